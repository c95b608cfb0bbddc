// SPDX-License-Identifier: MIT OR Apache-2.0

//! Folios in a page cache of their own: many pages by a fault wherever they lie, references that come and go with them, and
//! nobody who could move them, take them out of the cache, or open the file that they are of.

mod apart;
mod kept;

use crate::{
    cells::Cell,
    huge_folio::smaps,
    raw::{has_huge_pages, Map},
    runner::{skip, suite, Context},
    touch::{faults_of_touching, is_dirty_by_fault},
};
use anyhow::{ensure, Context as _, Result};
use apart::{
    a_fork_leaves_no_reference, a_hole_leaves_no_reference, a_move_leaves_no_reference,
    a_part_read_only_leaves_no_reference, a_part_thrown_away_leaves_no_reference,
    a_pin_is_a_reference, a_private_store_leaves_no_reference,
    cold_and_paged_out_leave_no_reference,
};
use kept::{
    a_group_is_charged_for_a_file, it_is_counted_as_a_file, nobody_opens_its_file,
    nothing_moves_it, processes_share_a_futex,
};
use mapwright::{
    block_bytes, block_size, page_bytes, page_size, Backing, Caching, Inspector, Method, Region,
    Session,
};
use nix::{errno::Errno, libc, sys::mman::ProtFlags};
use std::{collections::BTreeMap, fs, ops::Range};

suite! { "page_cache":
    a_fault_fills_a_page_table,
    a_store_after_a_load_is_no_fault,
    a_block_is_one_entry_where_it_fits,
    a_folio_is_no_larger_than_an_entry_maps,
    one_run_is_one_folio,
    a_hole_leaves_no_reference,
    a_part_read_only_leaves_no_reference,
    a_move_leaves_no_reference,
    a_part_thrown_away_leaves_no_reference,
    a_private_store_leaves_no_reference,
    a_fork_leaves_no_reference,
    cold_and_paged_out_leave_no_reference,
    a_pin_is_a_reference,
    nothing_moves_it,
    nobody_opens_its_file,
    it_is_counted_as_a_file,
    a_group_is_charged_for_a_file,
    processes_share_a_futex,
    parts_of_a_region_are_mapped,
}

const CELL: Cell = Cell {
    backing: Backing::Folio,
    method: Method::PageCache,
    caching: Caching::WriteBack,
};

/// Blocks of a region.
const BLOCKS: usize = 3;

/// Bytes of a region.
const BYTES: fn() -> usize = || BLOCKS * block_bytes();

/// How a mapping lies to what an entry of the middle level maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lies {
    Aligned,
    /// A page further: each block is in two page tables.
    APageFurther,
}

/// A region of blocks, whose pages begin with their numbers, and a mapping of it that nobody has touched.
struct Subject {
    session: Session,
    region: Region,
    map: Map,
}

impl Subject {
    fn new(lies: Lies) -> Result<Self> {
        let session = Session::open()?;
        let region = CELL.create(&session, BYTES() as u64)?;
        for page in pages() {
            session.write_at(&region, page as u64 * page_size(), &number(page))?;
        }
        let map = Map::shared_at(&session, place(lies)?, region.offset, BYTES())?;
        Ok(Self {
            session,
            region,
            map,
        })
    }

    /// Each way that a mapping may lie.
    fn each(f: impl Fn(Self) -> Result<()>) -> Result<()> {
        [Lies::Aligned, Lies::APageFurther]
            .into_iter()
            .try_for_each(|lies| f(Self::new(lies)?).with_context(|| format!("{lies:?}")))
    }

    fn frames(&self) -> Result<Vec<u64>> {
        let pages = self.session.pages(&self.region, 0, u64::MAX)?;
        Ok(pages.into_iter().map(|page| page.pfn).collect())
    }

    /// The first frame of each folio, and how many pages it has.
    fn folios(&self) -> Result<BTreeMap<u64, usize>> {
        let inspector = Inspector::open()?;
        let mut folios = BTreeMap::new();
        for pfn in self.frames()? {
            let frame = inspector.frame(pfn)?;
            if frame.head == pfn || frame.order == 0 {
                folios.insert(pfn, 1 << frame.order);
            }
        }
        Ok(folios)
    }

    /// Whether an entry of the middle level can map each block.
    fn is_of_blocks(&self) -> Result<bool> {
        Ok(self.folios()?.len() == BLOCKS)
    }

    /// References beside those that each folio has: the region's, and the cache's, one for each page.
    fn references(&self) -> Result<i64> {
        let inspector = Inspector::open()?;
        let folios = self.folios()?.into_iter();
        let more = folios.map(|(pfn, pages)| {
            let count = i64::from(inspector.frame(pfn)?.refcount);
            Ok(count - 1 - pages as i64)
        });
        more.sum()
    }

    /// Fails unless each entry that maps it holds a reference, and each page is mapped `times` times, by so many
    /// entries.
    fn expect_mapped(&self, times: usize) -> Result<()> {
        let entries = match smaps(&self.map, "FilePmdMapped")? {
            0 => BYTES() / page_bytes(),
            huge => {
                ensure!(huge == self.map.length as u64, "{huge} bytes of huge pages");
                BLOCKS
            }
        };
        let expected = (entries * times) as i64;
        let found = self.references_become(expected)?;
        ensure!(found == expected, "{found} references, not {expected}");
        Ok(())
    }

    /// How many references there are, when there are as many as expected, or after a second. A CPU may have to put some
    /// pages on a list, or look at one, for which it holds a reference.
    fn references_become(&self, expected: i64) -> Result<i64> {
        let mut found = self.references()?;
        for _ in 0..50 {
            if found == expected {
                break;
            }
            fs::write("/proc/sys/vm/drop_caches", "1")?;
            std::thread::sleep(std::time::Duration::from_millis(20));
            found = self.references()?;
        }
        Ok(found)
    }

    fn expect_unmapped(&self) -> Result<()> {
        self.expect_mapped(0)
    }

    /// Fails unless these pages are the region's.
    fn expect_pages(&self, mut pages: Range<usize>) -> Result<()> {
        let is_there = |page: usize| {
            let at = page * page_bytes();
            [self.map.load(at), self.map.load(at + 1)] == number(page)
        };
        ensure!(pages.all(is_there), "other memory");
        Ok(())
    }

    /// Does `f`, which takes the mapping apart, after all of it was touched. What it returns is there again, and at last
    /// nothing is left.
    fn take_apart(f: impl Fn(&mut Self) -> Result<Vec<Range<usize>>>) -> Result<()> {
        Self::each(|mut it| {
            it.expect_pages(pages())?;
            it.expect_mapped(1)?;
            for pages in f(&mut it)? {
                it.expect_pages(pages)?;
            }
            it.map.unmap()?;
            it.expect_unmapped()
        })
    }
}

/// An address with room for a region where nothing is mapped.
fn place(lies: Lies) -> Result<usize> {
    let room = Map::anonymous(BYTES() + 2 * block_bytes(), ProtFlags::PROT_NONE)?;
    let addr = room.addr.next_multiple_of(block_bytes());
    Ok(match lies {
        Lies::Aligned => addr,
        Lies::APageFurther => addr + page_bytes(),
    })
}

fn pages() -> Range<usize> {
    0..BYTES() / page_bytes()
}

/// All of them, as one range.
fn all_pages() -> Vec<Range<usize>> {
    std::iter::once(pages()).collect()
}

fn number(page: usize) -> [u8; 2] {
    [page as u8, (page >> 8) as u8 | 0x40]
}

/// Loads or stores a byte of each page of a mapping: the faults that the module had.
fn touch(it: &Subject, store: bool) -> Result<u64> {
    let before = it.session.query(&it.region)?.faults;
    for at in (2..it.map.length).step_by(page_bytes()) {
        match store {
            true => it.map.store(at, 1),
            false => drop(it.map.load(at)),
        }
    }
    Ok(it.session.query(&it.region)?.faults - before)
}

fn a_fault_fills_a_page_table(_: &Context) -> Result<()> {
    for (lies, tables) in [(Lies::Aligned, BLOCKS), (Lies::APageFurther, BLOCKS + 1)] {
        for store in [false, true] {
            let it = Subject::new(lies)?;
            let faults = touch(&it, store)?;
            ensure!(faults == tables as u64, "{lies:?}: {faults} faults");
            ensure!(smaps(&it.map, "Rss")? == it.map.length as u64);
            it.expect_mapped(1)?;
            it.expect_pages(pages())?;
        }
    }
    Ok(())
}

/// Entries are writable and dirty at once: nobody waits for a first store.
/// A CPU that does not note by itself that a page is dirty has one for each entry.
fn a_store_after_a_load_is_no_fault(_: &Context) -> Result<()> {
    Subject::each(|it| {
        touch(&it, false)?;
        let entries = match (is_dirty_by_fault()?, smaps(&it.map, "FilePmdMapped")?) {
            (false, _) => 0,
            (true, 0) => pages().len() as u64,
            (true, _) => BLOCKS as u64,
        };
        let faults = faults_of_touching(&it.map, pages(), true)?;
        ensure!(faults <= entries, "{faults} faults, not {entries}");
        Ok(())
    })
}

fn needs_blocks(it: &Subject) -> Result<()> {
    if !has_huge_pages() {
        skip("this kernel has no huge pages in user space (CONFIG_TRANSPARENT_HUGEPAGE)")?;
    }
    match it.is_of_blocks()? {
        true => Ok(()),
        // Of memory in pieces, as other tests may have left it, a block may be missing.
        false => skip("some blocks are in pieces"),
    }
}

fn a_block_is_one_entry_where_it_fits(_: &Context) -> Result<()> {
    for (lies, blocks) in [(Lies::Aligned, BLOCKS), (Lies::APageFurther, 0)] {
        for store in [false, true] {
            let it = Subject::new(lies)?;
            needs_blocks(&it)?;
            touch(&it, store)?;
            let huge = smaps(&it.map, "FilePmdMapped")?;
            ensure!(huge == blocks as u64 * block_size(), "{lies:?}: {huge}");
        }
    }
    let it = Subject::new(Lies::Aligned)?;
    it.map.advise(libc::MADV_NOHUGEPAGE)?;
    touch(&it, true)?;
    ensure!(smaps(&it.map, "FilePmdMapped")? == 0);
    it.expect_mapped(1)
}

fn a_folio_is_no_larger_than_an_entry_maps(_: &Context) -> Result<()> {
    let most = match has_huge_pages() {
        true => block_bytes() / page_bytes(),
        false => 1,
    };
    let folios = Subject::new(Lies::Aligned)?.folios()?;
    ensure!(folios.values().all(|pages| *pages <= most), "{folios:?}");
    Ok(())
}

/// What one folio has room for can be had in one run, and no more.
fn one_run_is_one_folio(_: &Context) -> Result<()> {
    let session = Session::open()?;
    let contiguous =
        |bytes| session.create_contiguous(CELL.backing, CELL.method, CELL.caching, bytes);
    let most = match has_huge_pages() {
        true => block_size(),
        false => page_size(),
    };
    let refused = contiguous(most + page_size()).err();
    let refused = refused.and_then(|err| err.errno());
    ensure!(refused == Some(Errno::ENOMEM), "{refused:?}");
    // Not a power of two.
    let bytes = most.min(3 * page_size());
    let region = contiguous(bytes)?;
    ensure!(session.query(&region)?.runs == 1);
    let map = Map::shared(&session, region.offset, usize::try_from(bytes)?)?;
    for at in (0..map.length).step_by(page_bytes()) {
        ensure!(map.load(at) == 0);
        map.store(at, 1);
    }
    ensure!(smaps(&map, "Rss")? == bytes);
    Ok(())
}

/// From any page on, in any length: each page is where its number says.
fn parts_of_a_region_are_mapped(_: &Context) -> Result<()> {
    let it = Subject::new(Lies::Aligned)?;
    let block = block_bytes() / page_bytes();
    for (first, count) in [
        (0, 1),
        (1, 1),
        (3, block),
        (block - 1, 2),
        (block, block + 1),
        (pages().end - 1, 1),
    ] {
        let offset = it.region.offset + first as u64 * page_size();
        let map = Map::shared(&it.session, offset, count * page_bytes())?;
        for page in 0..count {
            let at = page * page_bytes();
            let found = [map.load(at), map.load(at + 1)];
            ensure!(found == number(first + page), "{first}, {count}: {page}");
        }
        ensure!(smaps(&map, "Rss")? == map.length as u64);
    }
    let beyond = Map::shared(&it.session, it.region.offset + page_size(), it.map.length);
    ensure!(beyond.err() == Some(Errno::EINVAL), "beyond the end");
    Ok(())
}
