// SPDX-License-Identifier: MIT OR Apache-2.0

//! One entry for a gigabyte: where there is one, and what the kernel does to it. The whole life of such a mapping is in
//! `life.rs`.

use crate::{
    child,
    life::patiently,
    raw::{has_huge_pages, Map, RW},
    runner::{skip, suite, Context},
    touch::{faults_of_loading, faults_of_touching},
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{
    block_bytes,
    inspect::{EntryKind, Inspector, Level, Target},
    page_bytes, page_size, Backing, Caching, Method, Region, Session,
};
use nix::{
    errno::Errno,
    sys::{mman::ProtFlags, signal::Signal},
};
use std::{
    fs, thread,
    time::{Duration, Instant},
};

suite! { "large.gigabyte":
    is_one_run_and_one_fault,
    of_uncached_memory_is_one_fault,
    falls_back_where_the_cpu_has_no_such_entry,
    falls_back_where_the_address_does_not_fit,
    a_page_more_is_mapped_in_blocks,
    comes_back_after_a_split_that_ended,
    is_the_administrators,
    counts_for_the_limit,
    is_freed,
}

pub const GIB: usize = 1 << 30;

/// One run of memory, for the method that maps it by the largest entries.
fn run_of(session: &Session, bytes: usize) -> Result<Region> {
    let (backing, method) = (Backing::Pages, Method::Huge);
    patiently(
        || session.create_contiguous(backing, method, Caching::WriteBack, bytes as u64),
        |err| err.errno() == Some(Errno::ENOMEM),
    )
}

/// A gigabyte, mapped.
pub struct Gigabyte {
    pub session: Session,
    pub region: Region,
    pub map: Map,
}

impl Gigabyte {
    pub fn new() -> Result<Self> {
        let session = Session::open()?;
        let region = run_of(&session, GIB)?;
        let map = Map::shared(&session, region.offset, GIB)?;
        Ok(Self {
            session,
            region,
            map,
        })
    }

    pub fn kernel_sees(&self, at: usize) -> Result<[u8; 8]> {
        let mut bytes = [0; 8];
        self.session.read_at(&self.region, at as u64, &mut bytes)?;
        Ok(bytes)
    }
}

/// Whether the CPU has an entry for a gigabyte.
fn cpu_has_entries() -> Result<bool> {
    Ok(fs::read_to_string("/proc/cpuinfo")?.contains("pdpe1gb"))
}

pub fn needs_entries() -> Result<()> {
    if !has_huge_pages() {
        return skip("this kernel has no huge pages in user space (CONFIG_TRANSPARENT_HUGEPAGE)");
    }
    match cpu_has_entries()? {
        true => Ok(()),
        false => skip("this CPU has no entry for a gigabyte"),
    }
}

/// What maps memory in blocks where an entry for a gigabyte does not fit: entries for a block, or on a kernel without huge pages
/// those for a page.
fn smaller_entry() -> (Level, u64) {
    match has_huge_pages() {
        true => (Level::Pmd, block_bytes() as u64),
        false => (Level::Pte, page_size()),
    }
}

/// The level of page tables that maps an address, and bytes of what it maps; `None` if nothing does.
pub fn mapped_by(address: usize) -> Result<Option<(Level, u64)>> {
    let walk = Inspector::open()?.walk(Target::Myself, address as u64)?;
    let last = walk.last().context("no level")?;
    Ok((last.kind == EntryKind::Page).then_some((last.level, walk.page_size)))
}

pub fn expect_entry(address: usize) -> Result<()> {
    let entry = mapped_by(address)?;
    ensure!(
        entry == Some((Level::Pud, GIB as u64)),
        "{address:#x}: {entry:?}"
    );
    Ok(())
}

fn is_one_run_and_one_fault(_: &Context) -> Result<()> {
    needs_entries()?;
    let it = Gigabyte::new()?;
    let query = it.session.query(&it.region)?;
    ensure!(query.runs == 1, "{query:?}");
    ensure!(it.map.addr % GIB == 0, "{:#x}", it.map.addr);
    let faults = faults_of_loading(&it.map, GIB)?;
    ensure!(faults == 1, "{faults} faults");
    let query = it.session.query(&it.region)?;
    ensure!(
        (query.faults, query.pages_faulted) == (1, GIB as u64 / page_size()),
        "{query:?}"
    );
    let last = GIB - 8;
    for at in [0, GIB / 2 + 5 * page_bytes(), last] {
        expect_entry(it.map.addr + at)?;
        ensure!(it.map.load(at) == 0, "byte {at} was not zeroed");
        it.map.store(at, 7);
        ensure!(it.kernel_sees(at)?[0] == 7, "byte {at}");
    }
    // A store comes to a fresh entry, too.
    let again = Map::shared(&it.session, it.region.offset, GIB)?;
    let last_page = last / page_bytes();
    let faults = faults_of_touching(&again, last_page..last_page + 1, true)?;
    ensure!(faults == 1, "{faults} faults");
    again.store(last, 9);
    ensure!(again.load(0) == 7 && it.map.load(last) == 9);
    Ok(())
}

fn of_uncached_memory_is_one_fault(_: &Context) -> Result<()> {
    needs_entries()?;
    let session = Session::open()?;
    let (backing, method) = (Backing::Pages, Method::Huge);
    let region = patiently(
        || session.create_contiguous(backing, method, Caching::WriteCombine, GIB as u64),
        |err| err.errno() == Some(Errno::ENOMEM),
    )?;
    let map = Map::shared(&session, region.offset, GIB)?;
    ensure!(map.load(0) == 0);
    map.store(GIB - 1, 3);
    expect_entry(map.addr)?;
    let mut byte = [0];
    session.read_at(&region, GIB as u64 - 1, &mut byte)?;
    ensure!(byte == [3] && session.query(&region)?.faults == 1);
    Ok(())
}

fn falls_back_where_the_cpu_has_no_such_entry(_: &Context) -> Result<()> {
    if cpu_has_entries()? {
        return skip("this CPU has an entry for a gigabyte");
    }
    let it = Gigabyte::new()?;
    it.map.store(GIB - 1, 1);
    ensure!(it.map.load(0) == 0 && it.kernel_sees(GIB - 8)?[7] == 1);
    let entry = mapped_by(it.map.addr)?;
    ensure!(entry == Some(smaller_entry()), "{entry:?}");
    ensure!(it.session.query(&it.region)?.faults == 2);
    Ok(())
}

fn falls_back_where_the_address_does_not_fit(_: &Context) -> Result<()> {
    let it = Gigabyte::new()?;
    let room = Map::anonymous(3 * GIB, ProtFlags::PROT_NONE)?;
    let addr = room.addr.next_multiple_of(GIB) + block_bytes();
    drop(room);
    let map = Map::shared_at(&it.session, addr, it.region.offset, GIB)?;
    let faults = faults_of_loading(&map, GIB)?;
    ensure!(faults == (GIB / block_bytes()) as u64, "{faults} faults");
    let entry = mapped_by(addr + GIB / 2)?;
    ensure!(entry == Some(smaller_entry()), "{entry:?}");
    // Half of it is half of an entry.
    let half = Map::shared(&it.session, it.region.offset + GIB as u64 / 2, GIB / 2)?;
    half.store(0, 8);
    ensure!(it.map.load(GIB / 2) == 8);
    let entry = mapped_by(half.addr)?;
    ensure!(entry == Some(smaller_entry()), "{entry:?}");
    Ok(())
}

fn a_page_more_is_mapped_in_blocks(_: &Context) -> Result<()> {
    let session = Session::open()?;
    let bytes = GIB + page_bytes();
    let region = run_of(&session, bytes)?;
    let query = session.query(&region)?;
    ensure!(query.runs == 1, "{query:?}");
    let map = Map::shared(&session, region.offset, bytes)?;
    map.store(bytes - 1, 4);
    map.store(0, 5);
    let mut byte = [0];
    session.read_at(&region, bytes as u64 - 1, &mut byte)?;
    ensure!(byte == [4]);
    for (at, level) in [(0, smaller_entry().0), (GIB, Level::Pte)] {
        let entry = mapped_by(map.addr + at)?;
        ensure!(entry.map(|entry| entry.0) == Some(level), "{entry:?}");
    }
    Ok(())
}

/// Another mapping of it is whole.
fn comes_back_after_a_split_that_ended(_: &Context) -> Result<()> {
    needs_entries()?;
    let mut it = Gigabyte::new()?;
    it.map.store(0, 1);
    it.map.unmap_part(GIB / 2, GIB / 2)?;
    it.map.store(1, 2);
    it.map = Map::shared(&it.session, it.region.offset, GIB)?;
    ensure!(it.map.load(1) == 2);
    expect_entry(it.map.addr)?;
    // All of it, and back.
    it.map.protect(ProtFlags::PROT_NONE)?;
    let killed = child::killed_by(|| {
        it.map.load(0);
        Ok(())
    })?;
    ensure!(killed == Some(Signal::SIGSEGV), "{killed:?}");
    it.map.protect(ProtFlags::PROT_READ)?;
    ensure!(it.map.load(1) == 2);
    it.map.protect(RW)?;
    it.map.store(1, 3);
    expect_entry(it.map.addr)?;
    ensure!(it.kernel_sees(1)?[0] == 3);
    Ok(())
}

/// Memory of others is moved for it.
fn is_the_administrators(_: &Context) -> Result<()> {
    let session = Session::open()?;
    let create = |bytes: usize| {
        let region = run_of(&session, bytes);
        region.map(drop).map_err(|err| {
            err.downcast::<mapwright::Error>()
                .ok()
                .and_then(|err| err.errno())
        })
    };
    child::run(|| {
        child::become_nobody()?;
        ensure!(create(GIB) == Err(Some(Errno::EPERM)));
        ensure!(create(5 * block_bytes()) == Err(Some(Errno::EPERM)));
        ensure!(create(block_bytes()) == Ok(()));
        Ok(())
    })?;
    ensure!(create(5 * block_bytes()) == Ok(()));
    Ok(())
}

/// Half of the machine's memory is the limit.
fn counts_for_the_limit(_: &Context) -> Result<()> {
    let session = Session::open()?;
    let all = session.info()?.total_bytes as usize;
    ensure!(all / GIB >= 2, "{all}");
    let create = session
        .create_contiguous(
            Backing::Pages,
            Method::Huge,
            Caching::WriteBack,
            (all + GIB) as u64,
        )
        .err();
    let errno = create.and_then(|err| err.errno());
    ensure!(errno == Some(Errno::ENOSPC), "{errno:?}");
    Ok(())
}

/// Bytes of memory that are free.
fn free() -> Result<usize> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemFree:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next());
    Ok(kib.context("no MemFree")?.parse::<usize>()? << 10)
}

/// Again and again, and when a process is killed that waits for it.
fn is_freed(context: &Context) -> Result<()> {
    let before = free()?;
    for _ in 0..3 {
        drop(Gigabyte::new()?);
    }
    let child = child::spawn(|| loop {
        drop(Gigabyte::new()?);
    })?;
    thread::sleep(Duration::from_millis(700));
    let killed = Instant::now();
    nix::sys::signal::kill(child, Signal::SIGKILL)?;
    nix::sys::wait::waitpid(child, None)?;
    context.note(format!(
        "it ended {:?} after it was killed",
        killed.elapsed()
    ));
    let after = free()?;
    ensure!(
        after + GIB / 4 > before,
        "{before} bytes were free, {after} are"
    );
    Ok(())
}
