// SPDX-License-Identifier: MIT OR Apache-2.0

//! Walks for addresses of programs, compared with `/proc/PID/pagemap` and with our own tables.

use crate::{
    cells::Cell,
    random::Random,
    raw::{Map, RW},
    runner::{skip, Context},
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{
    architecture, block_bytes, block_size,
    inspect::{EntryFlag, EntryKind, Inspector, Level, Target, Walk},
    page_bytes, page_size, pagemap_pfns, Architecture, Backing, Method, Session,
};
use nix::{
    errno::Errno,
    libc,
    sys::mman::{MapFlags, ProtFlags},
};
use std::fs::{self, File};

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
    let in_pagemap = match usize::try_from(address) {
        Ok(address) => pagemap_pfns(address, 1)?[0],
        Err(_) => None,
    };
    ensure!(
        pfn == in_pagemap,
        "{name}: pagemap says {in_pagemap:x?}, the walk {walk:x?}"
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

pub(super) fn agrees_with_pagemap_and_get_user_pages(context: &Context) -> Result<()> {
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

pub(super) fn finds_every_region_of_ours_where_the_module_put_it(_: &Context) -> Result<()> {
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

pub(super) fn ends_at_the_pmd_for_a_huge_page(_: &Context) -> Result<()> {
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

pub(super) fn tells_a_blocked_page_from_an_empty_entry(_: &Context) -> Result<()> {
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

pub(super) fn tells_entries_that_are_one_to_the_tlb(context: &Context) -> Result<()> {
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
