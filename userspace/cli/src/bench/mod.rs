// SPDX-License-Identifier: MIT OR Apache-2.0

//! `mapwright bench`: what it costs to map memory, to allocate it, to map it for a device, and to toggle
//! an output.

mod alloc;
mod area;
mod clear;
mod clock;
mod compare;
mod cost;
mod dma;
mod gpio;
mod kernel;
mod map;
mod measurement;
mod memory;
mod meter;
mod modules;
mod options;
mod peers;
mod plot;
mod report;
mod stalls;
mod subject;
mod undisturbed;

use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::path::PathBuf;

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
    Map(options::Options),
    /// The same of what the kernel has for programs and drivers; whether it can be pinned, and what that costs
    ///
    /// Counts what `bench map` counts. Fills the pool of huge pages, and lets memfds have transparent ones,
    /// while it runs. Needs root.
    Peers(options::Options),
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
    /// Clearing memory, by the instructions that can do it: the time that this machine's processor takes
    ///
    /// Needs no module. In an emulated VM it says nothing.
    Clear(clear::Args),
    /// How long others wait while programs do the worst that the devices let them do
    Stalls(stalls::Args),
}

pub fn run(args: &Args) -> Result<()> {
    match &args.what {
        What::Map(options) => map::run(options),
        What::Peers(options) => peers::run(options),
        What::Alloc(args) => alloc::run(args),
        What::Gpio(args) => gpio::run(args),
        What::Dma(args) => dma::run(args),
        What::Clear(args) => clear::run(args),
        What::Stalls(args) => stalls::run(args),
    }
}

/// What each benchmark says in the end.
#[derive(clap::Args)]
struct Output {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Write the JSON to a file, too
    #[arg(long, value_name = "FILE")]
    json_to: Option<PathBuf>,
}

impl Output {
    /// Writes the JSON where it is wanted. Prints it, or shows the report by `show`.
    fn give(&self, report: &impl Serialize, show: impl FnOnce()) -> Result<()> {
        let json = serde_json::to_string_pretty(report)?;
        if let Some(file) = &self.json_to {
            std::fs::write(file, format!("{json}\n"))
                .with_context(|| format!("writing {}", file.display()))?;
        }
        match self.json {
            true => println!("{json}"),
            false => show(),
        }
        Ok(())
    }
}

/// The release of the running kernel.
fn kernel_release() -> String {
    nix::sys::utsname::uname()
        .map(|name| name.release().to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// Drawn on standard error, if that is a terminal.
fn progress() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len}  {msg}");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
