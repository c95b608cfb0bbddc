// SPDX-License-Identifier: MIT OR Apache-2.0

//! Walks of the page tables tell what the kernel's other interfaces tell.

use crate::{
    cells::Cell,
    random::Random,
    raw::{Map, RW},
    runner::{skip, suite, Context},
};
use anyhow::{bail, ensure, Context as _, Result};
use mapwright::{
    architecture, block_bytes, block_size,
    inspect::{Area, EntryFlag, EntryKind, Inspector, Layout, Level, Probe, Target, Walk},
    page_bytes, page_size, pagemap_pfns, Architecture, Backing, Method, Session,
};
use nix::{
    errno::Errno,
    libc,
    sys::mman::{MapFlags, ProtFlags},
};
use std::{
    fs::{self, File},
    path::Path,
};

suite! { "walk":
    agrees_with_pagemap_and_get_user_pages,
    finds_every_region_of_ours_where_the_module_put_it,
    ends_at_the_pmd_for_a_huge_page,
    tells_a_blocked_page_from_an_empty_entry,
    tells_entries_that_are_one_to_the_tlb,
    has_no_address_of_user_mode_for_the_kernel,
    agrees_with_the_direct_map_s_arithmetic,
    agrees_with_vmallocinfo,
    agrees_with_the_kernel_s_page_table_dump,
    finds_nothing_at_the_guard_page_of_vmalloc_memory,
}

/// Random addresses of a test.
const ADDRESSES: usize = 10_000;

/// A mapping of this process, with what is to be expected of its pages.
struct Sample {
    name: String,
    map: Map,
    /// Page frames by number only: hidden from pagemap, refused by `get_user_pages()`. The frames that
    /// the module says it has.
    hidden: Option<Vec<u64>>,
}

impl Sample {
    fn new(name: &str, map: Map) -> Self {
        Self {
            name: name.to_owned(),
            map,
            hidden: None,
        }
    }

    fn holds(&self, address: u64) -> bool {
        let start = self.map.addr as u64;
        (start..start + self.map.length as u64).contains(&address)
    }
}

/// Stores to each page of a part of a mapping.
fn fill(map: &Map, from: usize, to: usize) {
    for at in (from..to).step_by(page_bytes()) {
        map.store(at, 1);
    }
}

/// Anonymous memory in blocks, if the machine has them free.
fn huge_anonymous() -> Result<Map> {
    let map = Map::anonymous(4 * block_bytes(), RW)?;
    map.advise(libc::MADV_HUGEPAGE)?;
    fill(&map, 0, map.length);
    Ok(map)
}

/// Two pages of the hugetlb pool, if it can be filled.
fn hugetlb() -> Result<Option<Map>> {
    let pool = "/proc/sys/vm/nr_hugepages";
    if fs::write(pool, "2").is_err() || fs::read_to_string(pool)?.trim() != "2" {
        return Ok(None);
    }
    let none = File::open("/dev/null")?;
    let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_ANONYMOUS | MapFlags::MAP_HUGETLB;
    let map = Map::new(&none, 0, 2 * block_bytes(), RW, flags)?;
    // The second page stays untouched.
    map.store(block_bytes() / 2, 1);
    Ok(Some(map))
}

/// Memory of the kinds that every program has.
fn ordinary_samples(context: &Context) -> Result<Vec<Sample>> {
    let anonymous = Map::anonymous(1 << 20, RW)?;
    anonymous.advise(libc::MADV_NOHUGEPAGE)?;
    fill(&anonymous, 0, anonymous.length);

    let sparse = Map::anonymous(1 << 20, RW)?;
    sparse.advise(libc::MADV_NOHUGEPAGE)?;
    for at in (0..sparse.length).step_by(3 * page_bytes()) {
        sparse.store(at, 1);
    }
    // A page that is only read is the zero page.
    std::hint::black_box(sparse.load(page_bytes()));

    let blocked = Map::anonymous(256 << 10, RW)?;
    fill(&blocked, 0, blocked.length);
    blocked.protect(ProtFlags::PROT_NONE)?;

    let holes = Map::anonymous(1 << 20, RW)?;
    fill(&holes, 0, holes.length);
    holes.unmap_part(256 << 10, 128 << 10)?;
    holes.advise_part(512 << 10, 128 << 10, libc::MADV_DONTNEED)?;

    let program = File::open("/proc/self/exe")?;
    let length = (program.metadata()?.len() as usize).min(1 << 20) & !(page_bytes() - 1);
    let file = Map::new(
        &program,
        0,
        length,
        ProtFlags::PROT_READ,
        MapFlags::MAP_PRIVATE,
    )?;
    for at in (0..length).step_by(2 * page_bytes()) {
        std::hint::black_box(file.load(at));
    }

    let memory = nix::sys::memfd::memfd_create(c"walk", nix::sys::memfd::MFdFlags::empty())?;
    let memory = File::from(memory);
    memory.set_len(512 << 10)?;
    let shared = Map::shared(&memory, 0, 512 << 10)?;
    fill(&shared, 0, 300 << 10);

    let mut samples = vec![
        Sample::new("anonymous", anonymous),
        Sample::new("sparse", sparse),
        Sample::new("PROT_NONE", blocked),
        Sample::new("with holes", holes),
        Sample::new("file", file),
        Sample::new("memfd", shared),
        Sample::new("huge anonymous", huge_anonymous()?),
    ];
    match hugetlb()? {
        Some(map) => samples.push(Sample::new("hugetlb", map)),
        None => context.note("without hugetlb pages: the pool cannot be filled here".into()),
    }
    Ok(samples)
}

/// A region of ours for each sound cell, mapped and touched.
fn our_samples(session: &Session) -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    for cell in Cell::all().filter(Cell::is_sound) {
        let bytes = 16 * page_size();
        let region = cell.create(session, bytes)?;
        let map = Map::shared(session, region.offset, bytes as usize)?;
        fill(&map, 0, map.length);
        let frames = session.pages(&region, 0, u64::MAX)?;
        samples.push(Sample {
            name: cell.name(),
            map,
            hidden: (!cell.is_counted()).then(|| frames.iter().map(|page| page.pfn).collect()),
        });
    }
    Ok(samples)
}

/// What the kernel's other interfaces say of an address must be what the walk says.
fn compare(inspector: &Inspector, samples: &[Sample], address: u64) -> Result<()> {
    let pid = std::process::id();
    let (walk, counted) = inspector.walk_counted(Target::Process(pid), address)?;
    // A later one may be in the hole of an earlier one.
    let sample = samples.iter().rev().find(|sample| sample.holds(address));
    let name = sample.map_or("nothing of ours", |sample| &sample.name);
    let pfn = walk.pfn();
    let hidden = sample.and_then(|sample| sample.hidden.as_ref().map(|pfns| (sample, pfns)));
    if let Some((sample, pfns)) = hidden {
        let page = (address as usize - sample.map.addr) / page_bytes();
        ensure!(
            pfn == Some(pfns[page]),
            "{name}: the module has {:#x}, the walk {walk:x?}",
            pfns[page]
        );
        ensure!(
            counted == Err(Errno::EFAULT),
            "{name}: get_user_pages() gave {counted:x?}"
        );
        return Ok(());
    }
    // A 32-bit program on a 64-bit kernel has nothing beyond its own addresses.
    let seen = match usize::try_from(address) {
        Ok(address) => pagemap_pfns(address, 1)?[0],
        Err(_) => None,
    };
    ensure!(
        pfn == seen,
        "{name}: pagemap says {seen:x?}, the walk {walk:x?}"
    );
    // What cannot be used is not given.
    let usable = pfn.filter(|_| walk.is_present());
    ensure!(
        counted.ok() == usable,
        "{name}: get_user_pages() says {counted:x?}, the walk {walk:x?}"
    );
    Ok(())
}

/// The kernel may move a page between two questions: what differs is asked again.
fn settle(mut ask: impl FnMut() -> Result<()>) -> Result<()> {
    for _ in 0..3 {
        if ask().is_ok() {
            return Ok(());
        }
    }
    ask()
}

fn agrees_with_pagemap_and_get_user_pages(context: &Context) -> Result<()> {
    let inspector = Inspector::open()?;
    let session = Session::open()?;
    let mut samples = ordinary_samples(context)?;
    samples.extend(our_samples(&session)?);
    let mut random = Random::new(1);
    let (mut present, mut absent, mut refused) = (0, 0, 0);
    let layout = inspector.layout()?;
    let (user_last, kernel_first) = (layout.user_last, layout.kernel_first);
    // A 32-bit kernel's addresses end where there are no more bits.
    let is_translated = |address: u64| match kernel_first >> 32 {
        0 => address >> 32 == 0,
        _ => address <= user_last || address >= kernel_first,
    };
    // Of the 4 GiB that a 32-bit kernel's tables are for, at least the lower half is the program's.
    let (user, beyond) = match kernel_first >> 32 {
        0 => (1 << 31, 1 << 32),
        _ => (user_last, user_last + 1),
    };
    for _ in 0..ADDRESSES {
        let address = match random.below(20) {
            0 => random.below(user),
            1 => beyond + random.below(kernel_first.wrapping_sub(user_last).max(1 << 34)),
            _ => {
                let map = &random.pick(&samples).map;
                map.addr as u64 + random.below(map.length as u64)
            }
        };
        if !is_translated(address) {
            let result = inspector.walk(Target::Myself, address);
            let errno = result.as_ref().err().and_then(mapwright::Error::errno);
            ensure!(errno == Some(Errno::EINVAL), "{address:#x}: {result:x?}");
            refused += 1;
            continue;
        }
        settle(|| compare(&inspector, &samples, address))
            .with_context(|| format!("address {address:#x}"))?;
        match inspector.walk(Target::Myself, address)?.is_present() {
            true => present += 1,
            false => absent += 1,
        }
    }
    context.note(format!(
        "{present} addresses with a page, {absent} without, {refused} that no page table can map"
    ));
    ensure!(present > ADDRESSES / 2 && absent > ADDRESSES / 20 && refused > 100);
    drop(samples);
    // Back to an empty pool.
    let _ = fs::write("/proc/sys/vm/nr_hugepages", "0");
    Ok(())
}

fn finds_every_region_of_ours_where_the_module_put_it(_: &Context) -> Result<()> {
    let (inspector, session) = (Inspector::open()?, Session::open()?);
    for cell in Cell::all().filter(Cell::is_sound) {
        let region = cell.create(&session, 64 * page_size())?;
        let map = Map::shared(&session, region.offset, 64 * page_bytes())?;
        fill(&map, 0, map.length);
        for (page, frame) in session.pages(&region, 0, u64::MAX)?.iter().enumerate() {
            let address = (map.addr + page * page_bytes()) as u64;
            let walk = inspector.walk(Target::Myself, address)?;
            ensure!(
                walk.pfn() == Some(frame.pfn) && walk.is_user() && walk.is_writable(),
                "{}, page {page}: {:#x}, but {walk:x?}",
                cell.name(),
                frame.pfn
            );
            ensure!(!walk.is_executable(), "{}: {walk:x?}", cell.name());
        }
    }
    Ok(())
}

fn ends_at_the_pmd_for_a_huge_page(_: &Context) -> Result<()> {
    let (inspector, map) = (Inspector::open()?, huge_anonymous()?);
    let middle = (map.addr + map.length / 2) & !(block_bytes() - 1);
    let walk = inspector.walk(Target::Myself, middle as u64)?;
    let last = walk.last().context("no level")?;
    if last.level != Level::Pmd {
        return skip("the kernel had no block of memory free, or does not use them");
    }
    ensure!(
        last.kind == EntryKind::Page && walk.page_size == block_size(),
        "{walk:x?}"
    );
    let next = inspector.walk(Target::Myself, middle as u64 + 5 * page_size() + 7)?;
    ensure!(
        next.physical == walk.physical.map(|physical| physical + 5 * page_size() + 7),
        "{next:x?}"
    );
    Ok(())
}

fn tells_a_blocked_page_from_an_empty_entry(_: &Context) -> Result<()> {
    let (inspector, map) = (Inspector::open()?, Map::anonymous(4 * page_bytes(), RW)?);
    map.advise(libc::MADV_NOHUGEPAGE)?;
    map.store(0, 1);
    let kind = |at: usize| -> Result<(EntryKind, Option<u64>)> {
        let walk = inspector.walk(Target::Myself, (map.addr + at) as u64)?;
        Ok((walk.last().context("no level")?.kind, walk.pfn()))
    };
    let (before, pfn) = kind(0)?;
    ensure!(before == EntryKind::Page && pfn.is_some());
    map.protect(ProtFlags::PROT_NONE)?;
    ensure!(kind(0)? == (EntryKind::Blocked, pfn), "{:x?}", kind(0)?);
    ensure!(kind(page_bytes())? == (EntryKind::Empty, None));
    Ok(())
}

/// Entries that 64-bit ARM may join, with pages of this size.
fn joined_entries() -> u64 {
    match page_size() {
        0x1000 => 16,
        0x4000 => 128,
        _ => 32,
    }
}

fn tells_entries_that_are_one_to_the_tlb(context: &Context) -> Result<()> {
    if architecture() != Architecture::Arm64 {
        return skip("only entries of 64-bit ARM tell that (the contiguous bit)");
    }
    let (inspector, session) = (Inspector::open()?, Session::open()?);
    let bytes = 2 * block_size();
    let region = session.create(Backing::Folio, Method::Fault, bytes)?;
    let map = Map::shared_for_blocks(&session, region.offset, usize::try_from(bytes)?)?;
    (0..map.length).step_by(page_bytes()).for_each(|at| {
        map.load(at);
    });
    let group = joined_entries() * page_size();
    let (start, end) = (map.addr as u64, map.addr as u64 + bytes);
    let mut joined = 0;
    for first in (start.next_multiple_of(group)..=end - group).step_by(group as usize) {
        let walks = (first..first + group)
            .step_by(page_bytes())
            .map(|address| inspector.walk(Target::Myself, address))
            .collect::<mapwright::Result<Vec<Walk>>>()?;
        let has = |walk: &Walk| {
            walk.last()
                .is_some_and(|step| step.has(EntryFlag::Contiguous))
        };
        if !walks.iter().any(has) {
            continue;
        }
        ensure!(walks.iter().all(has), "a part of {first:#x} is joined");
        let begins = walks[0].physical.context("no page")?;
        ensure!(begins % group == 0, "{first:#x} has {begins:#x}");
        for (i, walk) in walks.iter().enumerate() {
            let expected = begins + i as u64 * page_size();
            ensure!(walk.physical == Some(expected), "{walk:x?}");
        }
        joined += 1;
    }
    context.note(format!(
        "{joined} times {} entries are one",
        joined_entries()
    ));
    ensure!(joined > 0, "no entries are joined");
    Ok(())
}

fn has_no_address_of_user_mode_for_the_kernel(_: &Context) -> Result<()> {
    if architecture() != Architecture::Arm64 {
        return skip("only 64-bit ARM has a table of its own for the kernel's addresses");
    }
    let inspector = Inspector::open()?;
    let layout = inspector.layout()?;
    for (address, expected) in [
        (0, Some(Errno::EINVAL)),
        (layout.user_last, Some(Errno::EINVAL)),
        (layout.kernel_first, None),
        (u64::MAX, None),
    ] {
        let result = inspector.walk(Target::Kernel, address);
        let errno = result.as_ref().err().and_then(mapwright::Error::errno);
        ensure!(errno == expected, "{address:#x}: {result:x?}");
        // A process has both, as its CPU has.
        inspector.walk(Target::Myself, address)?;
    }
    Ok(())
}

/// First and last address of memory, from `/proc/iomem`.
pub fn memory_ranges() -> Result<Vec<(u64, u64)>> {
    let text = fs::read_to_string("/proc/iomem")?;
    let mut ranges = Vec::new();
    for line in text
        .lines()
        .filter(|line| !line.starts_with(' ') && line.ends_with(": System RAM"))
    {
        let range = line.split(' ').next().unwrap_or("");
        let (first, last) = range.split_once('-').context("/proc/iomem")?;
        ranges.push((
            u64::from_str_radix(first, 16)?,
            u64::from_str_radix(last, 16)?,
        ));
    }
    ensure!(!ranges.is_empty(), "/proc/iomem tells no memory");
    Ok(ranges)
}

fn area(layout: &Layout, area: Area) -> Result<(u64, u64)> {
    let range = layout.area(area);
    let range = range.with_context(|| format!("the layout has no {}", area.name()))?;
    Ok((range.start, range.last))
}

fn agrees_with_the_direct_map_s_arithmetic(context: &Context) -> Result<()> {
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

/// The areas that `/proc/vmallocinfo` tells: first address, bytes, the rest of the line. A skip where it
/// hides the addresses.
pub fn vmalloc_areas() -> Result<Vec<(u64, u64, String)>> {
    let text = fs::read_to_string("/proc/vmallocinfo")?;
    let mut areas = Vec::new();
    for line in text.lines() {
        let (range, rest) = line.split_once(' ').context("/proc/vmallocinfo")?;
        let (first, end) = range.split_once('-').context("/proc/vmallocinfo")?;
        let first = u64::from_str_radix(first.trim_start_matches("0x"), 16)?;
        let end = u64::from_str_radix(end.trim_start_matches("0x"), 16)?;
        areas.push((first, end.wrapping_sub(first), rest.trim().to_owned()));
    }
    let is_hashed = |(first, _, _): &(u64, u64, String)| first >> (u64::BITS - 1) == 0;
    if cfg!(target_pointer_width = "64") && areas.iter().all(is_hashed) {
        return skip("/proc/vmallocinfo hides the addresses: boot with no_hash_pointers");
    }
    Ok(areas)
}

/// What `/proc/vmallocinfo` tells of one area, against walks.
fn check_area(inspector: &Inspector, first: u64, bytes: u64, about: &str) -> Result<()> {
    let number = |name: &str| about.split(' ').find_map(|word| word.strip_prefix(name));
    let walk = |at: u64| inspector.walk(Target::Kernel, first + at);
    // What the kernel needed only at boot is freed, but its area is still told.
    let is_image = about.contains(" paging_init");
    if let Some(physical) = number("phys=").filter(|_| !is_image) {
        let physical = u64::from_str_radix(physical.trim_start_matches("0x"), 16)?;
        let found = walk(0)?;
        ensure!(found.physical == Some(physical), "{about}: {found:x?}");
    }
    if let Some(pages) = number("pages=") {
        let pages: u64 = pages.parse()?;
        for page in 0..pages {
            let found = walk(page * page_size())?;
            let pfn = found
                .pfn()
                .with_context(|| format!("{about}: {found:x?}"))?;
            inspector.frame(pfn)?;
        }
        // The rest is the guard page.
        for at in (pages * page_size()..bytes).step_by(page_bytes()) {
            let found = walk(at)?;
            ensure!(found.physical.is_none(), "{about}, guard page: {found:x?}");
        }
    }
    Ok(())
}

fn agrees_with_vmallocinfo(context: &Context) -> Result<()> {
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

fn agrees_with_the_kernel_s_page_table_dump(context: &Context) -> Result<()> {
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

fn finds_nothing_at_the_guard_page_of_vmalloc_memory(_: &Context) -> Result<()> {
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
