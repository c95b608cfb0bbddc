// SPDX-License-Identifier: MIT OR Apache-2.0

//! `mapwright bench`: what it costs to map memory, to allocate it, to map it for a device, and to toggle
//! an output.

mod alloc;
mod area;
mod clock;
mod compare;
mod cost;
mod dma;
mod gpio;
mod meter;
mod modules;
mod plot;
mod report;
mod stalls;
mod subject;
mod undisturbed;

use crate::size::size;
use anyhow::{ensure, Context as _, Result};
use indicatif::{ProgressBar, ProgressStyle};
use mapwright::{page_size, Backing, Method, Session};
use meter::Meter;
use report::{Measurement, Report};
use std::{
    path::{Path, PathBuf},
    rc::Rc,
};
use subject::{Subject, Variant, REFERENCE};

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// The life of a mapping: create, mmap, touch, munmap, destroy
    ///
    /// Counts instructions where the machine can (QEMU with -icount shift=0, one CPU), and time
    /// elsewhere. Each number is the least of several runs.
    Map(MapArgs),
    /// The kernel's allocators, beside the same loops in C and what textbooks say
    ///
    /// Counts what `bench map` counts.
    Alloc(alloc::Args),
    /// An edge of a GPIO line: by the mapped registers, ioctl, gpiolib, sysfs
    ///
    /// Counts what `bench map` counts, and the accesses to registers, where the bank is a model.
    Gpio(gpio::Args),
    /// A streaming DMA mapping: map, sync, unmap, by kind and size, beside the same in C
    ///
    /// Counts what `bench map` counts. Needs QEMU's edu device.
    Dma(dma::Args),
    /// How long others wait while programs do the worst that the devices let them do
    Stalls(stalls::Args),
}

#[derive(clap::Args)]
struct MapArgs {
    /// Measure only that whose name contains this: `remap`, `pages + fault`, `memfd`
    filter: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Write the JSON to a file, too
    #[arg(long, value_name = "FILE")]
    json_to: Option<PathBuf>,
    /// Draw cost against size into an SVG file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Sizes, in bytes or with K, M, G (powers of 1024); by default a page to 256 MiB by fours
    #[arg(long, value_name = "SIZE,…", value_delimiter = ',', value_parser = size)]
    size: Vec<u64>,
    /// Runs of each measurement at most; fewer if they repeat to 0.2 %
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u16).range(1..))]
    repeat: u16,
    /// Where mapwright.ko is, and mapwright_reference.ko if it is to be compared
    #[arg(long, env = "MAPWRIGHT_MODULES", value_name = "DIR")]
    modules: Option<PathBuf>,
}

pub fn run(args: &Args) -> Result<()> {
    match &args.what {
        What::Map(args) => run_map(args),
        What::Alloc(args) => alloc::run(args),
        What::Gpio(args) => gpio::run(args),
        What::Dma(args) => dma::run(args),
        What::Stalls(args) => stalls::run(args),
    }
}

fn run_map(args: &MapArgs) -> Result<()> {
    let sizes = sizes(&args.size)?;
    let mut bench = Bench {
        meter: Meter::new(),
        max_runs: args.repeat.into(),
        filter: args.filter.clone().unwrap_or_default(),
        progress: progress(),
        measurements: Vec::new(),
    };
    // Without, it takes longer to repeat.
    let _ = undisturbed::go_first();
    bench.usual(&sizes, args.modules.as_deref())?;
    if let Some(modules) = &args.modules {
        bench.stand_ins(&sizes, modules)?;
    }
    bench.progress.finish_and_clear();

    let report = Report::new(bench.meter.unit, bench.measurements);
    if let Some(file) = &args.svg {
        plot::draw(&report, file)?;
    }
    let json = serde_json::to_string_pretty(&report)?;
    if let Some(file) = &args.json_to {
        std::fs::write(file, format!("{json}\n"))
            .with_context(|| format!("writing {}", file.display()))?;
    }
    match args.json {
        true => println!("{json}"),
        false => report.show(&args.size),
    }
    Ok(())
}

/// The sizes that were asked for, in whole pages; by fours up to 256 MiB by default.
fn sizes(wanted: &[u64]) -> Result<Vec<u64>> {
    ensure!(!wanted.contains(&0), "a size is 0");
    let page = page_size();
    let mut sizes: Vec<u64> = match wanted {
        [] => (0..)
            .map(|step| page << (2 * step))
            .take_while(|bytes| *bytes <= 256 << 20)
            .collect(),
        _ => wanted
            .iter()
            .map(|bytes| bytes.next_multiple_of(page))
            .collect(),
    };
    sizes.sort_unstable();
    sizes.dedup();
    Ok(sizes)
}

/// Drawn on standard error, if that is a terminal.
fn progress() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len}  {msg}");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

struct Bench {
    meter: Meter,
    max_runs: usize,
    filter: String,
    progress: ProgressBar,
    measurements: Vec<Measurement>,
}

impl Bench {
    /// Everything that the modules give as they are, but for the clock, which nothing else has.
    fn usual(&mut self, sizes: &[u64], modules: Option<&Path>) -> Result<()> {
        let _clock = clock::Off::new();
        let session = Rc::new(Session::open()?);
        let mut subjects = Subject::pairs(&session);
        if let Some(reference) = open_reference(modules)? {
            subjects.extend(Subject::references(&Rc::new(reference)));
        }
        subjects.extend(Subject::kernels());
        self.measure(&subjects, sizes)
    }

    /// What takes another parameter, or another build.
    fn stand_ins(&mut self, sizes: &[u64], modules: &Path) -> Result<()> {
        let original = modules.join("mapwright.ko");
        let uncounted = modules.join("uncounted").join("mapwright.ko");
        let builds = [
            (&original, "timing=0 fault_around_kib=4", Variant::Singly),
            (&original, "timing=1", Variant::Timed),
            (
                &original,
                "timing=1 fault_around_kib=4",
                Variant::TimedSingly,
            ),
            (&uncounted, "timing=0", Variant::Uncounted),
            (
                &uncounted,
                "timing=0 fault_around_kib=4",
                Variant::UncountedSingly,
            ),
        ];
        for (file, parameters, variant) in builds {
            if !file.exists() {
                continue;
            }
            // Dropped after the session, which is in use of it.
            let _stand_in =
                modules::StandIn::insert(&modules::MAPWRIGHT, file, parameters, original.clone())?;
            let session = Rc::new(Session::open()?);
            let fault = Subject::ours(&session, Backing::Pages, Method::Fault, variant);
            self.measure(&[fault], sizes)?;
        }
        Ok(())
    }

    fn measure(&mut self, subjects: &[Subject], sizes: &[u64]) -> Result<()> {
        let subjects: Vec<_> = subjects
            .iter()
            .filter(|subject| subject.name().contains(&self.filter))
            .collect();
        self.progress
            .inc_length((subjects.len() * sizes.len()) as u64);
        for bytes in sizes {
            for subject in &subjects {
                self.progress.set_message(format!(
                    "{} of {}",
                    crate::style::bytes(*bytes),
                    subject.name()
                ));
                let least = match subject.fits(*bytes) {
                    true => cost::measure(&self.meter, subject, *bytes, self.max_runs)
                        .with_context(|| subject.name())?,
                    false => None,
                };
                if let Some(least) = least {
                    self.measurements
                        .push(Measurement::new(subject, *bytes, least));
                }
                self.progress.inc(1);
            }
        }
        Ok(())
    }
}

/// The C reference, if it is there or can be inserted.
fn open_reference(modules: Option<&Path>) -> Result<Option<Session>> {
    let file = modules
        .map(|dir| dir.join("mapwright_reference.ko"))
        .filter(|file| file.exists());
    if let Some(file) = file {
        modules::insert(&file, "", REFERENCE)?;
    }
    match Path::new(REFERENCE).exists() {
        true => Ok(Some(Session::open_at(REFERENCE)?)),
        false => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_by_fours() {
        let sizes = sizes(&[]).unwrap();
        assert_eq!((sizes[0], sizes[1]), (page_size(), 4 * page_size()));
        assert_eq!(sizes.last(), Some(&(256 << 20)));
    }

    #[test]
    fn sizes_are_whole_pages_and_in_order() {
        let page = page_size();
        assert_eq!(sizes(&[page + 1, 1, page]).unwrap(), [page, 2 * page]);
        assert!(sizes(&[0]).is_err());
    }
}
