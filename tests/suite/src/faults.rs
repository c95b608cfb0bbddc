// SPDX-License-Identifier: MIT OR Apache-2.0

//! Page faults of lazy mappings: how many, for how many pages, and that all who count them agree.

use crate::{
    cells::Cell,
    child,
    limits::with_parameters,
    raw::{has_huge_pages, largest_block, Map},
    runner::{skip, suite, Context},
    touch::{faults_of_touching, is_dirty_by_fault},
};
use anyhow::{anyhow, ensure, Result};
use mapwright::{
    block_bytes, block_size, page_bytes, page_size, Backing, Caching, Method, Session, Tables,
};
use nix::libc;
use std::{
    ops::Range,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
};

suite! { "faults":
    fault_maps_2_mib,
    fault_maps_a_window_of_16_pages,
    fault_around_can_be_switched_off,
    fault_around_has_a_limit,
    a_window_ends_with_the_vma,
    a_store_fault_needs_no_second,
    huge_maps_a_block_at_once,
    huge_without_huge_pages_maps_windows,
    huge_falls_back_where_it_does_not_fit,
    huge_takes_a_mapping_apart,
    eager_mappings_never_fault,
    counts_agree_with_getrusage,
    pages_may_go_while_they_are_touched,
}

const fn cell(backing: Backing, method: Method) -> Cell {
    Cell {
        backing,
        method,
        caching: Caching::WriteBack,
    }
}

/// What touching each page of a fresh mapping costs.
#[derive(Debug)]
struct Cost {
    /// Minor faults that the kernel counted for this thread.
    faults: u64,
    /// How many of them, at most, told the kernel that a page is dirty.
    dirtied: u64,
    /// Faults that the module counted.
    module_faults: u64,
    /// Pages that the module mapped for them.
    pages: u64,
}

/// Maps `pages` pages of a region of `cell` and touches each with a load, or a store.
fn cost(cell: Cell, pages: usize, store: bool) -> Result<Cost> {
    let session = Session::open()?;
    let region = cell.create(&session, (pages * page_bytes()) as u64)?;
    let map = Map::shared_for_blocks(&session, region.offset, pages * page_bytes())?;
    cost_of_touching(&map, 0..pages, store)
}

fn cost_of_touching(map: &Map, pages: Range<usize>, store: bool) -> Result<Cost> {
    let dirtied = match store && is_dirty_by_fault()? {
        true => pages.len() as u64,
        false => 0,
    };
    let tables = Tables::read()?;
    let faults = faults_of_touching(map, pages, store)?;
    let now = Tables::read()?;
    let grew = |counter| now.counter(counter) - tables.counter(counter);
    Ok(Cost {
        faults,
        dirtied,
        module_faults: grew(if store { "faults_write" } else { "faults_read" }),
        pages: grew("pages_faulted"),
    })
}

/// Emulated 32-bit ARM takes faults of the program's own code, too, if it is interrupted in the middle:
/// traced, they are at addresses of code that is mapped and locked in memory, and change nothing. There may
/// be more of them than the module's.
const STRAY_FAULTS: bool = cfg!(target_arch = "arm");

impl Cost {
    /// Whether each fault was the module's, or told that a page is dirty.
    fn agrees(&self) -> bool {
        let module = self.module_faults..=self.module_faults + self.dirtied;
        module.contains(&self.faults) || STRAY_FAULTS && self.faults > self.module_faults
    }
}

fn expect(cost: &Cost, faults: u64, pages: u64) -> Result<()> {
    ensure!(
        cost.agrees() && (cost.module_faults, cost.pages) == (faults, pages),
        "{cost:?}, not {faults} faults for {pages} pages"
    );
    Ok(())
}

/// Bytes that a fault maps at most, without a parameter of the module.
pub const WINDOW: usize = 2 << 20;

/// Pages of that.
fn window() -> usize {
    WINDOW / page_bytes()
}

/// Touches twice the pages of that window.
fn two_windows(cell: Cell, store: bool) -> Result<()> {
    let pages = 2 * window();
    expect(&cost(cell, pages, store)?, 2, pages as u64)
}

fn fault_maps_2_mib(_: &Context) -> Result<()> {
    let window = window();
    for method in [Method::Fault, Method::FaultPfn] {
        for (pages, faults) in [(1, 1), (window, 1), (window + 1, 2), (4 * window, 4)] {
            for store in [false, true] {
                let cost = cost(cell(Backing::Pages, method), pages, store)?;
                expect(&cost, faults, pages as u64)?;
            }
        }
    }
    two_windows(cell(Backing::Vmalloc, Method::Fault), false)
}

/// The parameter for a window as large as the kernel's own files have.
fn of_16_pages() -> String {
    format!("fault_around_kib={}", (16 * page_bytes()) >> 10)
}

fn fault_maps_a_window_of_16_pages(context: &Context) -> Result<()> {
    with_parameters(context, &of_16_pages(), || {
        for method in [Method::Fault, Method::FaultPfn] {
            for (pages, faults) in [(1, 1), (16, 1), (17, 2), (160, 10)] {
                let cost = cost(cell(Backing::Pages, method), pages, false)?;
                expect(&cost, faults, pages as u64)?;
            }
        }
        let vmalloc = cell(Backing::Vmalloc, Method::Fault);
        expect(&cost(vmalloc, 64, false)?, 4, 64)
    })
}

fn fault_around_can_be_switched_off(context: &Context) -> Result<()> {
    // Less than a page: it is one, all the same.
    with_parameters(context, "fault_around_kib=1", || {
        for method in [Method::Fault, Method::FaultPfn] {
            expect(&cost(cell(Backing::Pages, method), 20, false)?, 20, 20)?;
        }
        Ok(())
    })
}

fn fault_around_has_a_limit(context: &Context) -> Result<()> {
    with_parameters(context, "fault_around_kib=1000000", || {
        two_windows(cell(Backing::Pages, Method::Fault), false)
    })
}

fn a_window_ends_with_the_vma(context: &Context) -> Result<()> {
    with_parameters(context, &of_16_pages(), || {
        for method in [Method::Fault, Method::FaultPfn] {
            let session = Session::open()?;
            let region = cell(Backing::Pages, method).create(&session, 64 * page_size())?;
            // Pages 10 to 39 of the region: parts of three windows.
            let map = Map::shared(
                &session,
                region.offset + 10 * page_size(),
                30 * page_bytes(),
            )?;
            expect(&cost_of_touching(&map, 29..30, false)?, 1, 8)?;
            expect(&cost_of_touching(&map, 0..30, false)?, 2, 22)?;
        }
        Ok(())
    })
}

fn a_store_fault_needs_no_second(_: &Context) -> Result<()> {
    for method in [Method::Fault, Method::FaultPfn] {
        expect(&cost(cell(Backing::Pages, method), 16, true)?, 1, 16)?;
        // Mapped by a load, then stored to: the entry is writable already.
        let session = Session::open()?;
        let region = cell(Backing::Pages, method).create(&session, 16 * page_size())?;
        let map = Map::shared(&session, region.offset, 16 * page_bytes())?;
        cost_of_touching(&map, 0..16, false)?;
        expect(&cost_of_touching(&map, 0..16, true)?, 0, 0)?;
    }
    Ok(())
}

/// Whether an entry of the middle level can map a block in user space, or else a skip.
fn needs_huge_pages() -> Result<()> {
    match has_huge_pages() {
        true => Ok(()),
        false => skip("this kernel has no huge pages in user space (CONFIG_TRANSPARENT_HUGEPAGE)"),
    }
}

/// Pages of a block.
fn block() -> usize {
    block_bytes() / page_bytes()
}

fn huge_maps_a_block_at_once(_: &Context) -> Result<()> {
    needs_huge_pages()?;
    for backing in [Backing::Pages, Backing::Folio, Backing::Kmalloc] {
        // With pages of 16 KiB, kmalloc has one block at most.
        let blocks = match backing {
            Backing::Kmalloc => (largest_block()? / block_size()).min(2) as usize,
            _ => 2,
        };
        let pages = blocks * block();
        for store in [false, true] {
            let cost = cost(cell(backing, Method::Huge), pages, store)?;
            expect(&cost, blocks as u64, pages as u64)?;
        }
    }
    Ok(())
}

fn huge_without_huge_pages_maps_windows(_: &Context) -> Result<()> {
    if has_huge_pages() {
        return skip("this kernel has huge pages");
    }
    for backing in [Backing::Pages, Backing::Folio, Backing::Kmalloc] {
        for store in [false, true] {
            two_windows(cell(backing, Method::Huge), store)?;
        }
    }
    Ok(())
}

fn huge_falls_back_where_it_does_not_fit(_: &Context) -> Result<()> {
    needs_huge_pages()?;
    let (block, windows) = (block(), |pages: usize| pages.div_ceil(window()) as u64);
    // A block, and then windows, of which the last ends with the memory.
    let pages = block + block / 2;
    expect(
        &cost(cell(Backing::Pages, Method::Huge), pages, false)?,
        1 + windows(block / 2),
        pages as u64,
    )?;
    // From the second page of a block on: none fits.
    let session = Session::open()?;
    let region = cell(Backing::Pages, Method::Huge).create(&session, 2 * block_size())?;
    let pages = block - 1;
    let map = Map::shared(&session, region.offset + page_size(), pages * page_bytes())?;
    let cost = cost_of_touching(&map, 0..pages, false)?;
    expect(&cost, windows(block), pages as u64)
}

fn huge_takes_a_mapping_apart(_: &Context) -> Result<()> {
    let session = Session::open()?;
    let region = cell(Backing::Pages, Method::Huge).create(&session, 2 * block_size())?;
    let map = Map::shared(&session, region.offset, 2 * block_bytes())?;
    let pages = 2 * block();
    (0..pages).for_each(|page| map.store(page * page_bytes(), page as u8));
    // A hole in the middle of the first block: the rest comes back in single pages.
    map.unmap_part(100 * page_bytes(), 100 * page_bytes())?;
    for page in (0..100).chain(200..pages) {
        ensure!(map.load(page * page_bytes()) == page as u8, "page {page}");
    }
    Ok(())
}

fn eager_mappings_never_fault(_: &Context) -> Result<()> {
    for cell in Cell::ordinary().filter(|cell| !cell.is_lazy()) {
        for store in [false, true] {
            expect(&cost(cell, 100, store)?, 0, 0)?;
        }
    }
    Ok(())
}

fn counts_agree_with_getrusage(_: &Context) -> Result<()> {
    for cell in Cell::ordinary().filter(Cell::is_lazy) {
        for (pages, store) in [(1, false), (77, true), (300, false), (900, true)] {
            let cost = cost(cell, pages, store)?;
            ensure!(cost.agrees(), "{}: {cost:?}", cell.name());
            ensure!(cost.pages == pages as u64, "{}: {cost:?}", cell.name());
        }
    }
    Ok(())
}

/// A thread takes page tables away while another makes them.
fn pages_may_go_while_they_are_touched(_: &Context) -> Result<()> {
    // The kernel lets go of a page table whose pages were all taken out at once.
    let bytes = 2 * block_bytes();
    for (backing, method) in [
        (Backing::Pages, Method::Fault),
        (Backing::Folio, Method::Fault),
        (Backing::Vmalloc, Method::Fault),
        (Backing::Folio, Method::HugeFolio),
        (Backing::Folio, Method::PageCache),
    ] {
        let session = Session::open()?;
        let region = cell(backing, method).create(&session, bytes as u64)?;
        let map = Map::shared(&session, region.offset, bytes)?;
        (0..bytes / page_bytes()).for_each(|page| map.store(page * page_bytes(), page as u8));
        child::run(|| {
            let again = AtomicBool::new(true);
            let shared = Shared(&map);
            thread::scope(|scope| {
                let taker = scope.spawn(|| {
                    let taken = (0..200).try_for_each(|_| shared.map().advise(libc::MADV_DONTNEED));
                    again.store(false, Relaxed);
                    taken
                });
                let mut page = 0;
                while again.load(Relaxed) {
                    page = (page + 331) % (bytes / page_bytes());
                    let byte = shared.map().load(page * page_bytes());
                    ensure!(byte == page as u8, "page {page} has {byte}");
                }
                Ok(taker.join().map_err(|_| anyhow!("the thread failed"))??)
            })
        })?;
    }
    Ok(())
}

/// A mapping that two threads use.
struct Shared<'a>(&'a Map);

impl Shared<'_> {
    fn map(&self) -> &Map {
        self.0
    }
}

// SAFETY: Its methods that take `&self` are volatile loads and stores and system calls, which any thread
// may make.
unsafe impl Sync for Shared<'_> {}
