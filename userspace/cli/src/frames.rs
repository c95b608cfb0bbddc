// SPDX-License-Identifier: MIT OR Apache-2.0

//! `mapwright frames`: the physical frames of a region as a strip, contiguous or scattered at a
//! glance.

use crate::{
    map,
    style::{bytes, count, more, paint, row, table, DIM, GOOD, HEADING, STRONG, WARN},
};
use anyhow::{bail, ensure, Context as _, Result};
use mapwright::{
    inspect::{Inspector, Target},
    Session, Tables, DEVICE,
};
use nix::errno::Errno;
use procfs::process::{MMapPath, Process};
use serde_json::json;
use std::{fs, path::Path};

/// Cells of a strip.
const STRIP: usize = 72;
/// Lines of the strip that shows the region's pages one by one.
const LINES: usize = 4;
/// Runs that are listed.
const LISTED: usize = 8;

#[derive(clap::Args)]
pub struct Args {
    /// Number of a region that is mapped somewhere (mapwright stat lists them); without it, one is
    /// made
    region: Option<u64>,
    #[command(flatten)]
    recipe: map::Recipe,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Frames of a region, page by page; none where it is not mapped yet.
struct Frames {
    title: String,
    pfns: Vec<Option<u64>>,
}

/// Pages whose frames follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    /// First page, counted from the region's start.
    page: usize,
    /// First frame.
    pfn: u64,
    pages: usize,
}

pub fn run(args: &Args) -> Result<()> {
    let frames = match args.region {
        Some(id) => of_mapped(id)?,
        None => of_new(&args.recipe)?,
    };
    let runs = runs(&frames.pfns);
    if args.json {
        let runs: Vec<_> = runs
            .iter()
            .map(|run| json!({ "page": run.page, "pfn": run.pfn, "pages": run.pages }))
            .collect();
        println!(
            "{:#}",
            json!({ "title": frames.title, "pfns": frames.pfns, "runs": runs })
        );
        return Ok(());
    }
    show(&frames, &runs)
}

/// The frames of a region that is made for it.
fn of_new(recipe: &map::Recipe) -> Result<Frames> {
    let session = Session::open()?;
    let region = recipe.create(&session)?;
    let pages = session.pages(&region, 0, u64::MAX).map_err(|err| {
        let reason = match err.errno() {
            Some(Errno::EPERM) => {
                "which frames a region has is told with CAP_SYS_ADMIN only, and not at all where the kernel is locked down"
            }
            _ => "asking for the region's frames",
        };
        anyhow::Error::from(err).context(reason)
    })?;
    Ok(Frames {
        title: format!("A region of {}, {}", bytes(region.bytes), recipe.name()),
        pfns: pages.iter().map(|page| Some(page.pfn)).collect(),
    })
}

/// The frames of another program's region, from that program's page tables.
fn of_mapped(id: u64) -> Result<Frames> {
    let live = Tables::read()?.regions;
    let Some(live) = live.iter().find(|live| live.id == id) else {
        bail!("there is no region {id}: mapwright stat lists them");
    };
    let (offset, length) = place(live.pid, id)?;
    let process = Process::new(live.pid)?;
    let is_there = |map: &&procfs::process::MemoryMap| {
        let of_device = matches!(&map.pathname, MMapPath::Path(path) if path == Path::new(DEVICE));
        of_device && map.offset <= offset && offset < map.offset + (map.address.1 - map.address.0)
    };
    let maps = process.maps()?;
    let map = maps
        .iter()
        .find(is_there)
        .with_context(|| format!("process {} does not map the region's start", live.pid))?;
    let inspector = Inspector::open()?;
    let start = map.address.0 + (offset - map.offset);
    let end = map.address.1.min(start + length);
    let pid = u32::try_from(live.pid)?;
    let page = mapwright::page_size();
    let pfns = (start..end).step_by(usize::try_from(page)?).map(|address| {
        let walk = inspector.walk(Target::Process(pid), address)?;
        Ok(walk.pfn())
    });
    Ok(Frames {
        title: format!(
            "Region {id} of process {}: {}, {} + {} + {}",
            live.pid,
            bytes(live.bytes),
            live.backing,
            live.method,
            live.caching
        ),
        pfns: pfns.collect::<Result<_>>()?,
    })
}

/// A region's offset and bytes, from what the process's open files tell of themselves.
fn place(pid: i32, id: u64) -> Result<(u64, u64)> {
    let dir = format!("/proc/{pid}/fdinfo");
    for entry in fs::read_dir(&dir).with_context(|| format!("process {pid} has ended"))? {
        // A file may be closed meanwhile.
        let Ok(text) = fs::read_to_string(entry?.path()) else {
            continue;
        };
        let regions = text
            .lines()
            .filter_map(|line| line.strip_prefix("mapwright-region:"));
        for region in regions {
            let words: Vec<&str> = region.split_whitespace().collect();
            let value = |name: &str| {
                let at = words.iter().position(|word| *word == name)?;
                words.get(at + 1).copied()
            };
            if value("id") != Some(id.to_string().as_str()) {
                continue;
            }
            let offset = value("offset").unwrap_or("").trim_start_matches("0x");
            let bytes = value("bytes").unwrap_or("");
            return Ok((u64::from_str_radix(offset, 16)?, bytes.parse()?));
        }
    }
    bail!("process {pid} has closed the file of region {id}: only its mapping is left")
}

fn runs(pfns: &[Option<u64>]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (page, pfn) in pfns.iter().enumerate() {
        let Some(pfn) = *pfn else { continue };
        match runs.last_mut() {
            Some(run) if run.page + run.pages == page && run.pfn + run.pages as u64 == pfn => {
                run.pages += 1;
            }
            _ => runs.push(Run {
                page,
                pfn,
                pages: 1,
            }),
        }
    }
    runs
}

fn show(frames: &Frames, runs: &[Run]) -> Result<()> {
    anstream::println!("{}\n", paint(HEADING, &frames.title));
    let mapped: usize = runs.iter().map(|run| run.pages).sum();
    ensure!(
        mapped > 0,
        "no page of the region is mapped yet: nothing was touched"
    );
    let longest = runs.iter().map(|run| run.pages).max().unwrap_or(0);
    let verdict = match runs.len() {
        1 => paint(GOOD, "contiguous"),
        few if few * 16 <= mapped => paint(WARN, "in a few pieces"),
        _ => paint(WARN, "scattered"),
    };
    row(
        "frames",
        format_args!(
            "{} in {}, the longest {}: {verdict}",
            count(mapped as u64, "page"),
            count(runs.len() as u64, "run"),
            count(longest as u64, "page"),
        ),
    );
    row(
        "page by page",
        paint(DIM, "the shade changes where the next frame is elsewhere"),
    );
    for row in by_page(&frames.pfns) {
        more(row);
    }
    let memory = memory_pages()?;
    row(
        "in memory",
        paint(
            DIM,
            format_args!(
                "all frames from 0 to {:#x}; marked is where the region has some",
                memory
            ),
        ),
    );
    more(in_memory(&frames.pfns, memory));
    show_longest(runs);
    Ok(())
}

/// A cell per page, or per few pages; the shade changes with each run.
fn by_page(pfns: &[Option<u64>]) -> Vec<String> {
    let per_cell = pfns.len().div_ceil(STRIP * LINES).max(1);
    let mut shade = false;
    let mut last: Option<u64> = None;
    let mut cells = Vec::new();
    for pages in pfns.chunks(per_cell) {
        let mut breaks = false;
        for pfn in pages {
            breaks |= match (last, *pfn) {
                (Some(last), Some(pfn)) => pfn != last + 1,
                _ => false,
            };
            last = pfn.or(last.map(|last| last + 1));
        }
        shade ^= breaks;
        cells.push(match (pages.first().copied().flatten(), shade) {
            (None, _) => '·',
            (Some(_), false) => '█',
            (Some(_), true) => '▒',
        });
    }
    cells
        .chunks(STRIP)
        .map(|row| row.iter().collect())
        .collect()
}

/// All of memory in one line: how much of each cell's frames the region has.
fn in_memory(pfns: &[Option<u64>], memory: u64) -> String {
    let per_cell = memory.div_ceil(STRIP as u64).max(1);
    let mut counts = [0u64; STRIP];
    for pfn in pfns.iter().flatten() {
        let cell = usize::try_from(pfn / per_cell).unwrap_or(STRIP);
        if let Some(count) = counts.get_mut(cell) {
            *count += 1;
        }
    }
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    counts
        .iter()
        .map(|count| match (count * 4).div_ceil(most) {
            0 => '·',
            1 => '░',
            2 => '▒',
            3 => '▓',
            _ => '█',
        })
        .collect()
}

/// Frames up to the end of memory, from `/proc/iomem`.
fn memory_pages() -> Result<u64> {
    let text = fs::read_to_string("/proc/iomem").context("reading /proc/iomem")?;
    let last = text
        .lines()
        .filter(|line| line.ends_with(": System RAM"))
        .filter_map(|line| {
            let range = line.trim().split(' ').next()?;
            u64::from_str_radix(range.split_once('-')?.1, 16).ok()
        })
        .max()
        .context("/proc/iomem tells no memory")?;
    Ok(last / mapwright::page_size() + 1)
}

fn show_longest(runs: &[Run]) {
    let mut longest = runs.to_vec();
    longest.sort_by_key(|run| std::cmp::Reverse(run.pages));
    let mut shown = table(["from page", "frames", "pages", "size"], 2);
    for run in longest.iter().take(LISTED) {
        let last = run.pfn + run.pages as u64 - 1;
        shown.add_row([
            run.page.to_string(),
            format!("{:#x}…{last:#x}", run.pfn),
            run.pages.to_string(),
            bytes(run.pages as u64 * mapwright::page_size()),
        ]);
    }
    row("longest runs", "");
    for row in shown.lines() {
        more(row);
    }
    if longest.len() > LISTED {
        let rest = (longest.len() - LISTED) as u64;
        more(paint(
            DIM,
            format_args!("and {}", paint(STRONG, count(rest, "more run"))),
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_end_where_frames_or_pages_do() {
        let pfns = [Some(5), Some(6), Some(9), None, Some(10)];
        let run = |page, pfn, pages| Run { page, pfn, pages };
        assert_eq!(runs(&pfns), [run(0, 5, 2), run(2, 9, 1), run(4, 10, 1)]);
        assert_eq!(by_page(&pfns), ["██▒·█"]);
    }

    #[test]
    fn memory_is_one_line() {
        let strip = in_memory(&[Some(0), Some(1), Some(719)], 720);
        assert_eq!(strip.chars().count(), STRIP);
        assert!(strip.starts_with('█') && strip.ends_with('▒'), "{strip}");
    }
}
