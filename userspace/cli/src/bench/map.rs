// SPDX-License-Identifier: MIT OR Apache-2.0

//! `mapwright bench map`: what the life of a mapping costs, for each pair and size, beside the same in C and
//! beside what every program can have.

use super::{
    clock, cost,
    kernel::KernelMemory,
    measurement::Measurement,
    meter::Meter,
    modules,
    options::Options,
    plot, progress,
    report::Report,
    subject::{Subject, Variant},
    undisturbed,
};
use anyhow::{Context as _, Result};
use indicatif::ProgressBar;
use mapwright::{page_size, Backing, Method, Session};
use std::{path::Path, rc::Rc};

pub fn run(options: &Options) -> Result<()> {
    let sizes = options.sizes(&usual_sizes())?;
    let mut bench = Bench {
        meter: Meter::new(),
        max_runs: options.repeat.into(),
        filter: options.filter.clone().unwrap_or_default(),
        progress: progress(),
        measurements: Vec::new(),
    };
    // Without, it takes longer to repeat.
    let _ = undisturbed::go_first();
    bench.usual(&sizes, options)?;
    if let Some(modules) = &options.modules {
        bench.stand_ins(&sizes, modules)?;
    }
    bench.progress.finish_and_clear();

    let report = Report::new(bench.meter.unit, bench.measurements);
    if let Some(file) = &options.svg {
        plot::draw(&report, file)?;
    }
    options.output.give(&report, || report.show(&options.size))
}

/// A page to 256 MiB by fours.
fn usual_sizes() -> Vec<u64> {
    let page = page_size();
    (0..)
        .map(|step| page << (2 * step))
        .take_while(|bytes| *bytes <= 256 << 20)
        .collect()
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
    fn usual(&mut self, sizes: &[u64], options: &Options) -> Result<()> {
        let _clock = clock::Off::new();
        let session = Rc::new(Session::open()?);
        let mut subjects = Subject::pairs(&session);
        let (pages, huge) = (Backing::Pages, Method::Huge);
        subjects.push(Subject::ours(&session, pages, huge, Variant::Contiguous));
        if let Some(reference) = options.reference()? {
            subjects.extend(Subject::references(&Rc::new(reference)));
        }
        subjects.extend(KernelMemory::usual().map(Subject::kernel));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_by_fours() {
        let sizes = usual_sizes();
        assert_eq!((sizes[0], sizes[1]), (page_size(), 4 * page_size()));
        assert_eq!(sizes.last(), Some(&(256 << 20)));
    }
}
