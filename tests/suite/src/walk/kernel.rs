// SPDX-License-Identifier: MIT OR Apache-2.0

//! Walks for addresses of the kernel, compared with the direct map, `/proc/vmallocinfo` and the kernel's own dump.

use super::{memory_ranges, vmalloc_areas};
use crate::{
    random::Random,
    runner::{skip, Context},
};
use anyhow::{bail, ensure, Context as _, Result};
use mapwright::{
    inspect::{Area, Inspector, Layout, Level, Probe, Target, Walk},
    page_bytes, page_size,
};
use std::{
    fs::{self},
    path::Path,
};

fn area(layout: &Layout, area: Area) -> Result<(u64, u64)> {
    let range = layout.area(area);
    let range = range.with_context(|| format!("the layout has no {}", area.name()))?;
    Ok((range.start, range.last))
}

pub(super) fn agrees_with_the_direct_map_s_arithmetic(context: &Context) -> Result<()> {
    let inspector = Inspector::open()?;
    let layout = inspector.layout()?;
    // Not always all: 32-bit ARM maps no more than there are addresses for.
    let memory: Vec<_> = memory_ranges()?
        .into_iter()
        .filter(|(first, _)| layout.direct_map_address(*first).is_some())
        .collect();
    let mut random = Random::new(2);
    let mut by_size = std::collections::BTreeMap::new();
    for _ in 0..2000 {
        let (first, end) = *random.pick(&memory);
        let physical = first + random.below(end - first + 1);
        let Some(address) = layout.direct_map_address(physical) else {
            continue;
        };
        let walk = inspector.walk(Target::Kernel, address)?;
        if walk.physical.is_some() {
            ensure!(walk.physical == Some(physical), "{address:#x}: {walk:x?}");
            ensure!(!walk.is_user(), "user mode may use {walk:x?}");
        }
        *by_size.entry(walk.page_size).or_insert(0) += 1;
    }
    let unmapped = by_size.get(&0).copied().unwrap_or(0);
    context.note(format!("addresses by page size: {by_size:?}"));
    ensure!(
        unmapped < 100,
        "{unmapped} of 2000 addresses are not mapped"
    );
    Ok(())
}

/// What `/proc/vmallocinfo` tells of one area, against walks.
fn check_area(inspector: &Inspector, first: u64, bytes: u64, about: &str) -> Result<()> {
    let number = |name: &str| about.split(' ').find_map(|word| word.strip_prefix(name));
    let walk = |at: u64| inspector.walk(Target::Kernel, first + at);
    // What the kernel needed only at boot is freed, but its area is still told.
    let is_image = about.contains(" paging_init");
    if let Some(physical) = number("phys=").filter(|_| !is_image) {
        let physical = u64::from_str_radix(physical.trim_start_matches("0x"), 16)?;
        let result = walk(0)?;
        ensure!(result.physical == Some(physical), "{about}: {result:x?}");
    }
    if let Some(pages) = number("pages=") {
        let pages: u64 = pages.parse()?;
        for page in 0..pages {
            let result = walk(page * page_size())?;
            let pfn = result
                .pfn()
                .with_context(|| format!("{about}: {result:x?}"))?;
            inspector.frame(pfn)?;
        }
        // The rest is the guard page.
        for at in (pages * page_size()..bytes).step_by(page_bytes()) {
            let result = walk(at)?;
            ensure!(
                result.physical.is_none(),
                "{about}, guard page: {result:x?}"
            );
        }
    }
    Ok(())
}

pub(super) fn agrees_with_vmallocinfo(context: &Context) -> Result<()> {
    let inspector = Inspector::open()?;
    let layout = inspector.layout()?;
    let before = vmalloc_areas()?;
    let results: Vec<_> = before
        .iter()
        .map(|(first, bytes, about)| check_area(&inspector, *first, *bytes, about))
        .collect();
    let after = vmalloc_areas()?;
    let (mut checked, mut pages) = (0, 0);
    for (area, result) in before.iter().zip(results) {
        // Others come and go.
        if !after.contains(area) {
            continue;
        }
        result?;
        let class = layout.area_of(area.0);
        // 64-bit ARM has the kernel's image in an area of vmalloc, too.
        ensure!(
            matches!(
                class,
                Some(Area::Vmalloc | Area::Modules | Area::KernelImage)
            ),
            "{:#x} is in {class:?}",
            area.0
        );
        checked += 1;
        pages += area.1 / page_size();
    }
    context.note(format!("{checked} areas of {pages} pages"));
    ensure!(checked > 20, "only {checked} areas");
    Ok(())
}

/// A line of the kernel's own dump of its page tables: addresses, and the level whose entries map
/// them, or none.
struct Dumped {
    first: u64,
    end: u64,
    level: Option<Level>,
    writable: bool,
    executable: bool,
}

/// Reads lines like `0xffff888000000000-0xffff888000099000  612K  RW  GLB NX pte`.
fn parse_dump(text: &str) -> Result<Vec<Dumped>> {
    let mut lines = Vec::new();
    for line in text.lines().filter(|line| line.starts_with("0x")) {
        let mut words = line.split_whitespace();
        let (first, end) = words
            .next()
            .and_then(|range| range.split_once('-'))
            .with_context(|| format!("the dump has the line {line:?}"))?;
        let address = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16);
        let words: Vec<&str> = words.collect();
        // A range with no attributes between its size and its level maps nothing.
        let attributes = words.get(1..words.len().saturating_sub(1)).unwrap_or(&[]);
        let level = match words.last() {
            _ if attributes.is_empty() => None,
            Some(&"pte") => Some(Level::Pte),
            Some(&"pmd") => Some(Level::Pmd),
            Some(&"pud") => Some(Level::Pud),
            _ => None,
        };
        lines.push(Dumped {
            first: address(first)?,
            end: address(end)?,
            level,
            writable: attributes.contains(&"RW"),
            executable: attributes.contains(&"x"),
        });
    }
    Ok(lines)
}

fn differs(walk: &Walk, line: &Dumped) -> bool {
    let mapped = walk.last().filter(|_| walk.is_present());
    mapped.map(|step| step.level) != line.level
        || (line.level.is_some()
            && (walk.is_executable() != line.executable || walk.is_writable() != line.writable))
}

pub(super) fn agrees_with_the_kernel_s_page_table_dump(context: &Context) -> Result<()> {
    let file = Path::new("/sys/kernel/debug/page_tables/kernel");
    if !file.exists() {
        return skip(
            "this kernel has no dump of its page tables (CONFIG_PTDUMP_DEBUGFS); `make test-debug` has it",
        );
    }
    let inspector = Inspector::open()?;
    let mut random = Random::new(3);
    let (mut checked, mut different) = (0, Vec::new());
    let lines = parse_dump(&fs::read_to_string(file)?)?;
    let kernel: Vec<_> = lines.iter().filter(|line| line.first >> 63 == 1).collect();
    for line in &kernel {
        let pages = (line.end.wrapping_sub(line.first) / page_size()).max(1);
        for _ in 0..3 {
            let address = line.first + random.below(pages) * page_size();
            let walk = inspector.walk(Target::Kernel, address)?;
            if differs(&walk, line) {
                different.push((address, walk));
            }
            checked += 1;
        }
    }
    // What changed since the dump was made is not wrong: a second one says so.
    let again = parse_dump(&fs::read_to_string(file)?)?;
    for (address, _) in different {
        let line = again
            .iter()
            .find(|line| line.first <= address && (address < line.end || line.end == 0))
            .with_context(|| format!("{address:#x} is not in the dump"))?;
        let walk = inspector.walk(Target::Kernel, address)?;
        if differs(&walk, line) {
            bail!(
                "{address:#x}: the dump says {:?}, the walk {walk:x?}",
                line.level
            );
        }
    }
    context.note(format!("{checked} addresses in {} ranges", kernel.len()));
    ensure!(checked > 100, "the dump has only {checked} addresses");
    Ok(())
}

/// The first page from `start` on whose entry is as wanted. Goes over whole empty tables at once.
fn find_page(
    inspector: &Inspector,
    start: u64,
    end: u64,
    wanted: impl Fn(&Walk) -> bool,
) -> Result<Option<u64>> {
    let mut address = start;
    while address < end {
        let walk = inspector.walk(Target::Kernel, address)?;
        if wanted(&walk) {
            return Ok(Some(address));
        }
        let covered = 1
            << walk
                .last()
                .map_or(page_size().trailing_zeros(), |step| step.shift);
        address = (address & !(covered - 1)) + covered;
    }
    Ok(None)
}

pub(super) fn finds_nothing_at_the_guard_page_of_vmalloc_memory(_: &Context) -> Result<()> {
    let inspector = Inspector::open()?;
    let (start, end) = area(&inspector.layout()?, Area::Vmalloc)?;
    // The last page of memory before a hole, somewhere in the area.
    let is_memory = |walk: &Walk| walk.pfn().is_some_and(|pfn| inspector.frame(pfn).is_ok());
    let first = find_page(&inspector, start, end, is_memory)?.context("no vmalloc memory")?;
    let guard = find_page(&inspector, first, end, |walk| walk.physical.is_none())?
        .context("no guard page")?;
    let (walk, inside) = inspector.probe(first)?;
    ensure!(inside == Probe::Loaded, "{inside:?}: {walk:x?}");
    let (walk, beyond) = inspector.probe(guard)?;
    ensure!(
        beyond == Probe::Faulted && walk.physical.is_none(),
        "{beyond:?}: {walk:x?}"
    );
    Ok(())
}
