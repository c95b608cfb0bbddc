// SPDX-License-Identifier: MIT OR Apache-2.0

//! `mapwright bench clear`: the time that this machine's processor takes to clear memory, by the instructions that can
//! do it; and to load it then, which is slower from what is past the caches.

mod ways;

use super::{area::Area, Output};
use crate::{size::size, style};
use anyhow::{ensure, Result};
use mapwright::{page_bytes, page_size};
use nix::{errno::Errno, libc};
use serde::Serialize;
use std::time::Duration;
use ways::{Way, WAYS};

/// Bytes that the kernel's page allocator gives at once, at most, with pages of 4 KiB.
const LARGEST_BLOCK: u64 = 4 << 20;
/// Bytes of a line of the caches: a load of each has all of them.
const LINE: usize = 64;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    output: Output,
    /// Sizes, in bytes or with K, M, G (powers of 1024)
    #[arg(long, value_name = "SIZE,…", value_delimiter = ',', value_parser = size, default_value = "4M,256M")]
    size: Vec<u64>,
    /// Runs of each measurement, of which the least counts
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..))]
    repeat: u16,
}

/// What a page takes, by one of the ways.
#[derive(Debug, Serialize)]
struct Line {
    name: &'static str,
    what: &'static str,
    bytes: u64,
    /// Bytes that are cleared by one instruction with `rep`, or by one loop.
    at_once: u64,
    /// Nanoseconds of the processor for a page: to clear it; and to load all of its lines when all are cleared.
    clear: f64,
    load: f64,
}

#[derive(Debug, Serialize)]
struct Report {
    processor: String,
    page_bytes: usize,
    lines: Vec<Line>,
}

pub fn run(args: &Args) -> Result<()> {
    let mut lines = Vec::new();
    for bytes in &args.size {
        let whole = bytes.next_multiple_of(page_size());
        ensure!(whole > 0, "a size is 0");
        // In huge pages, as the kernel's own mapping of all memory.
        let mut area = Area::anonymous(usize::try_from(whole)?, true)?;
        area.touch();
        for at_once in [page_size(), whole.min(LARGEST_BLOCK)] {
            for way in &WAYS {
                lines.push(measure(&mut area, way, (whole, at_once), args.repeat)?);
            }
        }
    }
    let report = Report {
        processor: processor(),
        page_bytes: page_bytes(),
        lines,
    };
    args.output.give(&report, || report.show())
}

/// What the kernel calls the processor.
fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("model name"));
    let name = line.and_then(|line| line.split(':').nth(1));
    name.unwrap_or("unknown").trim().to_owned()
}

fn measure(area: &mut Area, way: &Way, (bytes, at_once): (u64, u64), runs: u16) -> Result<Line> {
    let piece = usize::try_from(at_once)?;
    let (mut clear, mut load) = (Duration::MAX, Duration::MAX);
    for _ in 0..runs {
        let before = processor_time()?;
        area.clear(way.clear, piece);
        let cleared = processor_time()?;
        std::hint::black_box(area.sum(LINE));
        let loaded = processor_time()?;
        clear = clear.min(cleared.saturating_sub(before));
        load = load.min(loaded.saturating_sub(cleared));
    }
    ensure!(area.sum(LINE) == 0, "{} does not clear", way.name);
    let pages = (bytes / page_size()) as f64;
    Ok(Line {
        name: way.name,
        what: way.what,
        bytes,
        at_once,
        clear: clear.as_nanos() as f64 / pages,
        load: load.as_nanos() as f64 / pages,
    })
}

/// The time that this thread has run: on a busy machine others run between.
fn processor_time() -> Result<Duration> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: The kernel fills in the structure, which lives during the call.
    Errno::result(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) })?;
    Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

impl Report {
    fn show(&self) {
        let title = format!("What a page takes, in nanoseconds of {}", self.processor);
        anstream::println!("{}", style::paint(style::HEADING, title));
        let header = [
            "size",
            "at once",
            "by",
            "clear",
            "GB/s",
            "then load",
            "in all",
        ];
        let mut table = style::table(header, 3);
        for line in &self.lines {
            table.add_row([
                style::bytes(line.bytes),
                style::bytes(line.at_once),
                format!("{}: {}", line.name, line.what),
                format!("{:.0}", line.clear),
                format!("{:.1}", self.page_bytes as f64 / line.clear),
                format!("{:.0}", line.load),
                format!("{:.0}", line.clear + line.load),
            ]);
        }
        anstream::println!("{table}");
        let notes = "the least of several runs, each of its own; load: a load from each line when all is cleared; \
                     the memory is in huge pages";
        anstream::println!("{}", style::paint(style::DIM, notes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_run() {
        let mut area = Area::anonymous(4 * page_bytes(), false).unwrap();
        area.touch();
        let sizes = (4 * page_size(), page_size());
        for way in &WAYS {
            let line = measure(&mut area, way, sizes, 3).unwrap();
            assert!(line.clear > 0.0, "{line:?}");
        }
    }
}
