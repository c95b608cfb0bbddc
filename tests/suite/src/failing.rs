// SPDX-License-Identifier: MIT OR Apache-2.0

//! Each allocation that a call makes, failed in turn: every failure is a clean error or is made up for,
//! nothing is left behind, and the next call works. Needs a kernel for debugging.

mod bare;
mod events;
mod leaks;

use crate::{
    cells::Cell,
    child,
    inject::{each_failure, is_available, Injector, Tally},
    raw::Map,
    runner::{Case, Suite},
};
use anyhow::{bail, ensure, Result};
use bare::{bare_growth, bare_mmap, bare_read, bare_write, info, open, plan};
use events::{fork, mprotect_of_the_middle, mremap, munmap_of_the_middle, TOUCHES, UNTOUCHED};
use leaks::{no_page_is_left, pages_are_seen};
use mapwright::{
    alloc::Allocator, block_bytes, page_bytes, uapi, uapi::Request as _, Method, Region, Session,
    Tables,
};
use nix::{
    errno::Errno,
    sys::{
        signal::Signal,
        uio::{pread, pwrite},
        wait::{waitpid, WaitStatus},
    },
};
use std::os::fd::AsFd as _;

pub const SUITE: Suite = Suite {
    name: "failing",
    cases,
};

/// A call, by its name.
type Call = (&'static str, fn() -> Result<Tally>);
/// A call that is made on a region or a mapping of a cell.
type CellCall = (&'static str, fn(Cell) -> Result<Tally>);

/// Calls that are the same for every cell.
const CALLS: &[Call] = &[
    ("open", open),
    ("info", info),
    ("bare_mmap", bare_mmap),
    ("bare_read", bare_read),
    ("bare_write", bare_write),
    ("bare_growth", bare_growth),
];

/// Calls for each sound cell.
const CELL_CALLS: &[CellCall] = &[
    ("create", create),
    ("query", query),
    ("pages", pages),
    ("read", read),
    ("write", write),
    ("sync", sync),
    ("mmap", mmap),
    ("destroy", destroy),
];

/// What happens to mappings, the same for all backings.
const EVENTS: &[CellCall] = &[
    ("fork", fork),
    ("munmap_of_the_middle", munmap_of_the_middle),
    ("mprotect_of_the_middle", mprotect_of_the_middle),
    ("mremap", mremap),
];

fn cases() -> Vec<Case> {
    if !is_available() {
        // One skip, rather than hundreds that say the same.
        return vec![Case::new("each_allocation_of_each_call", |_| {
            Injector::new().map(drop)
        })];
    }
    let mut cases = vec![Case::new("pages_are_seen", pages_are_seen)];
    for (name, call) in CALLS {
        cases.push(case((*name).to_owned(), *call));
    }
    let sound = || Cell::all().filter(Cell::is_sound);
    for (name, call) in CELL_CALLS {
        cases.extend(
            sound().map(|cell| case(format!("{name}__{}", cell.name()), move || call(cell))),
        );
    }
    // On 64-bit ARM no device gets memory of another type.
    cases.extend(
        sound()
            .filter(Cell::is_ordinary)
            .map(|cell| case(format!("export__{}", cell.name()), move || export(cell))),
    );
    let lazy = sound().filter(Cell::is_lazy);
    cases.extend(lazy.map(|cell| case(format!("touch__{}", cell.name()), move || touch(cell))));
    for (name, event) in EVENTS {
        let of_method = |method: &Method| Cell::ordinary().find(|cell| cell.method == *method);
        let subjects = Method::ALL.iter().filter_map(of_method);
        cases.extend(
            subjects.map(|cell| case(format!("{name}__{}", cell.name()), move || event(cell))),
        );
    }
    for allocator in Allocator::ALL {
        let name = format!("plan__{}", allocator.name());
        cases.push(case(name, move || plan(*allocator)));
    }
    cases.push(Case::new("no_page_is_left", no_page_is_left));
    cases
}

/// A test that tells how many allocations it failed.
fn case(name: String, run: impl Fn() -> Result<Tally> + 'static) -> Case {
    Case::new(name, move |context| {
        let tally = run()?;
        let Tally { reported, survived } = tally;
        context.note(format!(
            "{} failed: {reported} errors, {survived} made up for",
            tally.total()
        ));
        Ok(())
    })
}

/// Errors of a call for which there was no memory.
const NO_MEMORY: &[Errno] = &[Errno::ENOMEM];
/// Errors of a call that also copies from or to the program.
const NO_COPY: &[Errno] = &[Errno::ENOMEM, Errno::EFAULT];

/// A run of four pages and one of one, where the backing has blocks.
const PAGES: usize = 5;

fn region_bytes() -> usize {
    PAGES * page_bytes()
}

/// An address far from everything, so that page tables of all levels are missing there.
#[cfg(target_pointer_width = "64")]
const FAR: usize = 16 << 40;
#[cfg(target_pointer_width = "32")]
const FAR: usize = 0x6000_0000;
/// As far, and the page tables of the lowest level are two: when the second is missing, there are
/// pages in the first.
fn far_border() -> usize {
    FAR + block_bytes() - 2 * page_bytes()
}

/// Fails unless there are so many regions, with so many VMAs.
fn expect(regions: usize, vmas: u64) -> Result<()> {
    let tables = Tables::read()?;
    let nr_vmas: u64 = tables.regions.iter().map(|region| region.vmas).sum();
    ensure!(
        tables.regions.len() == regions && nr_vmas == vmas,
        "not {regions} regions and {vmas} VMAs: {:?}",
        tables.regions
    );
    Ok(())
}

/// Fails unless a mapping of all of a region is as new.
fn expect_memory(session: &Session, region: &Region, map: &Map) -> Result<()> {
    for page in 0..map.length / page_bytes() {
        map.store(page * page_bytes(), 7);
        let mut byte = [0];
        session.read_at(region, (page * page_bytes()) as u64, &mut byte)?;
        ensure!(byte == [7], "page {page} is other memory");
    }
    Ok(())
}

fn create(cell: Cell) -> Result<Tally> {
    let session = Session::open()?;
    each_failure(
        NO_COPY,
        || cell.create(&session, region_bytes() as u64),
        |created| {
            let Some(region) = created else {
                return expect(0, 0);
            };
            expect(1, 0)?;
            let map = Map::shared(&session, region.offset, region_bytes())?;
            expect_memory(&session, &region, &map)?;
            drop(map);
            Ok(session.destroy(&region)?)
        },
    )
}

fn query(cell: Cell) -> Result<Tally> {
    let session = Session::open()?;
    let region = cell.create(&session, region_bytes() as u64)?;
    let mut query = uapi::Query {
        id: region.id,
        ..uapi::Query::new()
    };
    each_failure(NO_COPY, || session.request(&mut query), |_| expect(1, 0))
}

fn pages(cell: Cell) -> Result<Tally> {
    let session = Session::open()?;
    let region = cell.create(&session, region_bytes() as u64)?;
    let mut array = [uapi::PageInfo::default(); PAGES];
    let mut pages = uapi::Pages {
        id: region.id,
        count: PAGES as u64,
        array: array.as_mut_ptr() as u64,
        ..uapi::Pages::new()
    };
    each_failure(NO_COPY, || session.request(&mut pages), |_| expect(1, 0))
}

fn read(cell: Cell) -> Result<Tally> {
    let session = Session::open()?;
    let region = cell.create(&session, region_bytes() as u64)?;
    let mut buffer = vec![0; region_bytes()];
    let call = || pread(session.as_fd(), &mut buffer, offset(&region)?);
    each_failure(NO_COPY, call, |_| expect(1, 0))
}

fn write(cell: Cell) -> Result<Tally> {
    let session = Session::open()?;
    let region = cell.create(&session, region_bytes() as u64)?;
    let buffer = vec![1; region_bytes()];
    let call = || pwrite(session.as_fd(), &buffer, offset(&region)?);
    each_failure(NO_COPY, call, |_| expect(1, 0))
}

fn sync(cell: Cell) -> Result<Tally> {
    let session = Session::open()?;
    let region = cell.create(&session, region_bytes() as u64)?;
    let mut sync = uapi::Sync {
        id: region.id,
        bytes: region_bytes() as u64,
        flags: uapi::SYNC_FOR_CPU | uapi::SYNC_FOR_DEVICE,
        ..uapi::Sync::new()
    };
    each_failure(NO_COPY, || session.request(&mut sync), |_| expect(1, 0))
}

fn export(cell: Cell) -> Result<Tally> {
    let session = Session::open()?;
    let region = cell.create(&session, region_bytes() as u64)?;
    let call = || session.export(&region, (0, region_bytes() as u64), true);
    each_failure(NO_COPY, call, |_| expect(1, 0))
}

fn offset(region: &Region) -> Result<nix::libc::off_t, Errno> {
    region.offset.try_into().map_err(|_| Errno::EOVERFLOW)
}

fn mmap(cell: Cell) -> Result<Tally> {
    let session = Session::open()?;
    let region = cell.create(&session, region_bytes() as u64)?;
    each_failure(
        NO_MEMORY,
        || Map::shared_at(&session, far_border(), region.offset, region_bytes()),
        |mapped| {
            let Some(map) = mapped else {
                return expect(1, 0);
            };
            expect(1, 1)?;
            expect_memory(&session, &region, &map)
        },
    )
}

/// Destroying needs memory only to find out what is to be destroyed; a new region for each time.
fn destroy(cell: Cell) -> Result<Tally> {
    let session = Session::open()?;
    let region = std::cell::Cell::new(cell.create(&session, region_bytes() as u64)?);
    each_failure(
        NO_COPY,
        || {
            let mut destroy = uapi::Destroy {
                id: region.get().id,
                ..uapi::Destroy::new()
            };
            session.request(&mut destroy)
        },
        |destroyed| {
            if destroyed.is_some() {
                expect(0, 0)?;
                region.set(cell.create(&session, region_bytes() as u64)?);
            }
            expect(1, 0)
        },
    )
}

/// The first touch of a lazy mapping. What a fault cannot get, the kernel tries to get again, or kills.
fn touch(cell: Cell) -> Result<Tally> {
    // Room for a block.
    let bytes = if matches!(
        cell.method,
        Method::Huge | Method::HugeFolio | Method::PageCache
    ) {
        2 * block_bytes()
    } else {
        region_bytes()
    };
    let session = Session::open()?;
    let region = cell.create(&session, bytes as u64)?;
    let map = Map::shared_at(&session, FAR, region.offset, bytes)?;
    let mut tally = Tally::default();
    for nth in 1..=TOUCHES {
        // In a child, which has a page table of its own with nothing in it.
        let child = child::spawn(|| {
            let (value, was_done) = Injector::new()?.fail(nth, || map.load(0))?;
            ensure!(value == 0);
            map.store(0, 0);
            // What it says only if nothing was left to fail.
            if !was_done {
                // SAFETY: Ends this child at once.
                unsafe { nix::libc::_exit(UNTOUCHED) };
            }
            Ok(())
        })?;
        match waitpid(child, None)? {
            WaitStatus::Exited(_, UNTOUCHED) => {
                expect(1, 1)?;
                expect_memory(&session, &region, &map)?;
                return Ok(tally);
            }
            WaitStatus::Exited(_, 0) => tally.count(false),
            WaitStatus::Signaled(_, Signal::SIGBUS | Signal::SIGSEGV | Signal::SIGKILL, _) => {
                tally.count(true);
            }
            status => bail!("allocation {nth} failed, and the child ended with {status:?}"),
        }
        expect(1, 1)?;
    }
    bail!("after {TOUCHES} failures there still is one more")
}
