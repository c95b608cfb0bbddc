// SPDX-License-Identifier: MIT OR Apache-2.0

//! Huge pages with reference counts: a block of a region is one entry of a page table, is counted, can be pinned, and
//! whatever takes it apart leaves no reference behind.

use crate::{
    cells::Cell,
    child,
    raw::{has_huge_pages, Map, RW},
    runner::{skip, suite, Context},
    touch::faults_of_touching,
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{
    block_bytes, block_size, page_bytes, page_size, Backing, Caching, Inspector, Method, Region,
    Session,
};
use nix::{libc, sys::mman::ProtFlags, unistd::pipe};
use std::{fs, ops::Range, path::Path};

suite! { "huge_folio":
    a_block_is_one_entry,
    what_is_there_behind_it_stays,
    a_store_after_a_load_is_no_fault,
    writable_again_in_one_entry,
    huge_pages_where_the_machine_has_them,
    no_huge_page_where_a_program_wants_none,
    misaligned_ends_are_pages,
    a_hole_leaves_no_reference,
    a_part_read_only_leaves_no_reference,
    a_move_leaves_no_reference,
    a_part_thrown_away_leaves_no_reference,
    a_private_store_leaves_no_reference,
    a_fork_leaves_no_reference,
    cold_and_paged_out_leave_no_reference,
    a_pin_is_a_reference,
    blocks_are_no_larger_than_an_entry_maps,
}

const CELL: Cell = Cell {
    backing: Backing::Folio,
    method: Method::HugeFolio,
    caching: Caching::WriteBack,
};

/// Blocks of a region.
const BLOCKS: usize = 3;

/// A region of blocks, whose pages begin with their numbers, and a mapping of it that nobody has touched.
struct Subject {
    session: Session,
    region: Region,
    map: Map,
}

impl Subject {
    /// Skips where no entry maps a block.
    fn new() -> Result<Self> {
        if !has_huge_pages() {
            skip("this kernel has no huge pages in user space (CONFIG_TRANSPARENT_HUGEPAGE)")?;
        }
        let session = Session::open()?;
        let region = CELL.create(&session, (BLOCKS * block_bytes()) as u64)?;
        for page in 0..BLOCKS * pages_of_a_block() {
            let at = page as u64 * page_size();
            session.write_at(&region, at, &number(page))?;
        }
        let map = Map::shared_for_blocks(&session, region.offset, BLOCKS * block_bytes())?;
        let it = Self {
            session,
            region,
            map,
        };
        // Of memory in pieces, as other tests may have left it, a block may be missing.
        match it.blocks_that_are_folios()? {
            BLOCKS => Ok(it),
            n => skip(format!("{n} of {BLOCKS} blocks are in one piece"))?,
        }
    }

    /// The numbers of the first frames of its blocks.
    fn heads(&self) -> Result<Vec<u64>> {
        let pages = self.session.pages(&self.region, 0, u64::MAX)?;
        let firsts = pages.iter().step_by(pages_of_a_block());
        Ok(firsts.map(|page| page.pfn).collect())
    }

    fn blocks_that_are_folios(&self) -> Result<usize> {
        let inspector = Inspector::open()?;
        let mut folios = 0;
        for pfn in self.heads()? {
            let frame = inspector.frame(pfn)?;
            folios += usize::from(frame.head == pfn && 1 << frame.order == pages_of_a_block());
        }
        Ok(folios)
    }

    /// Fails unless each block has a reference, the region's, and `mapped` more for entries that map it.
    fn expect_references(&self, what: &str, mapped: i32) -> Result<()> {
        let inspector = Inspector::open()?;
        for pfn in self.heads()? {
            let frame = inspector.frame(pfn)?;
            ensure!(frame.refcount == 1 + mapped, "{what}: {frame:?}");
        }
        Ok(())
    }

    /// Fails unless these pages are the region's.
    fn expect_pages(&self, map: &Map, pages: Range<usize>) -> Result<()> {
        for page in pages {
            let at = page * page_bytes();
            let bytes = [map.load(at), map.load(at + 1)];
            ensure!(bytes == number(page), "page {page}: {bytes:?}");
        }
        Ok(())
    }

    /// Does `f`, which takes the mapping apart, after all of it was touched. All is there again, and at last nothing is
    /// left.
    fn take_apart(mut self, f: impl Fn(&mut Self) -> Result<Vec<Range<usize>>>) -> Result<()> {
        let all = 0..BLOCKS * pages_of_a_block();
        self.expect_pages(&self.map, all)?;
        self.expect_references("mapped", 1)?;
        for pages in f(&mut self)? {
            self.expect_pages(&self.map, pages)?;
        }
        self.map.unmap()?;
        self.expect_references("unmapped", 0)
    }
}

/// All of them, as one range.
fn all_pages() -> Vec<Range<usize>> {
    std::iter::once(0..BLOCKS * pages_of_a_block()).collect()
}

fn number(page: usize) -> [u8; 2] {
    [page as u8, (page >> 8) as u8 | 0x40]
}

fn entries_of_a_table() -> usize {
    page_bytes() / size_of::<u64>()
}

fn pages_of_a_block() -> usize {
    block_bytes() / page_bytes()
}

/// Bytes that the kernel says of a mapping in `/proc/self/smaps`.
pub fn smaps(map: &Map, what: &str) -> Result<u64> {
    let smaps = fs::read_to_string("/proc/self/smaps")?;
    let (begin, end) = (map.addr as u64, (map.addr + map.length) as u64);
    let (mut is_inside, mut bytes) = (false, 0);
    for line in smaps.lines() {
        let range = line.split(' ').next().and_then(|word| word.split_once('-'));
        let range = range.and_then(|(from, to)| {
            let from = u64::from_str_radix(from, 16).ok()?;
            Some((from, u64::from_str_radix(to, 16).ok()?))
        });
        if let Some((from, to)) = range {
            is_inside = begin <= from && to <= end;
        } else if is_inside {
            if let Some(kib) = line
                .strip_prefix(what)
                .and_then(|rest| rest.strip_prefix(':'))
            {
                let kib = kib.split_whitespace().next().context("no number")?;
                bytes += kib.parse::<u64>()? << 10;
            }
        }
    }
    Ok(bytes)
}

/// Fails unless all of a mapping is resident, and so many blocks of it mapped by one entry each.
fn expect_blocks(map: &Map, blocks: usize) -> Result<()> {
    let (rss, huge) = (smaps(map, "Rss")?, smaps(map, "FilePmdMapped")?);
    ensure!(rss == map.length as u64, "Rss is {rss} of {}", map.length);
    ensure!(
        huge == blocks as u64 * block_size(),
        "huge: {huge}, not {blocks} blocks"
    );
    Ok(())
}

/// Loads from, or stores to, each page of a mapping: the faults.
fn touch(map: &Map, store: bool) -> Result<u64> {
    faults_of_touching(map, 0..map.length / page_bytes(), store)
}

fn a_block_is_one_entry(_: &Context) -> Result<()> {
    for store in [false, true] {
        let it = Subject::new()?;
        let faults = touch(&it.map, store)?;
        expect_faults(&it, faults, store)?;
        expect_blocks(&it.map, BLOCKS)?;
        it.expect_references("mapped", 1)?;
        it.expect_pages(&it.map, 0..BLOCKS * pages_of_a_block())?;
    }
    Ok(())
}

/// A fault maps the block that was touched and the one behind it, if the same page table has its entry.
fn expect_faults(it: &Subject, faults: u64, store: bool) -> Result<()> {
    let is_last_of_a_table =
        |block: usize| (it.map.addr / block_bytes() + block + 1) % entries_of_a_table() == 0;
    let (mut block, mut expected) = (0, 0);
    while block < BLOCKS {
        block += if is_last_of_a_table(block) { 1 } else { 2 };
        expected += 1;
    }
    let query = it.session.query(&it.region)?;
    ensure!(
        (query.faults, query.pages_faulted) == (expected, (BLOCKS * pages_of_a_block()) as u64),
        "{query:?}, not {expected} faults"
    );
    // A CPU that does not note that an entry is dirty has another fault for the first store.
    let dirtied = if store { BLOCKS as u64 } else { 0 };
    ensure!(
        (expected..=expected + dirtied).contains(&faults),
        "{faults} faults, not {expected}"
    );
    Ok(())
}

/// What lies behind the block that is touched is left as it is: a part that is mapped by pages, or already there.
fn what_is_there_behind_it_stays(_: &Context) -> Result<()> {
    let mut it = Subject::new()?;
    let (block, page) = (block_bytes(), page_bytes());
    it.map.advise(libc::MADV_NOHUGEPAGE)?;
    it.map.store(block + 5 * page + 2, 0x5a);
    it.map.advise(libc::MADV_HUGEPAGE)?;
    let before = it.session.query(&it.region)?.pages_faulted;
    it.map.store(2, 0x5b);
    let faulted = it.session.query(&it.region)?.pages_faulted - before;
    ensure!(faulted == pages_of_a_block() as u64, "{faulted} pages");
    ensure!(smaps(&it.map, "FilePmdMapped")? == block_size());
    ensure!(it.map.load(block + 5 * page + 2) == 0x5a && it.map.load(2) == 0x5b);
    it.expect_pages(&it.map, 0..BLOCKS * pages_of_a_block())?;
    it.map.unmap()?;
    it.expect_references("unmapped", 0)
}

fn a_store_after_a_load_is_no_fault(_: &Context) -> Result<()> {
    let it = Subject::new()?;
    touch(&it.map, false)?;
    let faults = touch(&it.map, true)?;
    ensure!(faults <= BLOCKS as u64, "{faults} faults");
    expect_blocks(&it.map, BLOCKS)
}

/// An entry that has lost its right to be written gets it back as a whole.
fn writable_again_in_one_entry(_: &Context) -> Result<()> {
    let it = Subject::new()?;
    touch(&it.map, true)?;
    it.map.protect(ProtFlags::PROT_READ)?;
    touch(&it.map, false)?;
    it.map.protect(RW)?;
    let faults = touch(&it.map, true)?;
    ensure!(faults <= BLOCKS as u64, "{faults} faults");
    expect_blocks(&it.map, BLOCKS)?;
    it.expect_references("mapped", 1)
}

const ENABLED: &str = "/sys/kernel/mm/transparent_hugepage/enabled";

/// Where huge pages are for programs that ask for them, a mapping counts as one that does.
fn huge_pages_where_the_machine_has_them(_: &Context) -> Result<()> {
    if !Path::new(ENABLED).exists() {
        return skip("this kernel has no huge pages in user space");
    }
    let before = fs::read_to_string(ENABLED)?;
    let chosen = before.split(['[', ']']).nth(1).context("nothing chosen")?;
    let tried = [("never", 0), ("madvise", BLOCKS), ("always", BLOCKS)];
    let tried = tried.iter().try_for_each(|(how, blocks)| {
        fs::write(ENABLED, how)?;
        let it = Subject::new()?;
        touch(&it.map, true)?;
        expect_blocks(&it.map, *blocks).with_context(|| (*how).to_owned())?;
        it.expect_pages(&it.map, 0..BLOCKS * pages_of_a_block())
    });
    fs::write(ENABLED, chosen)?;
    tried
}

fn no_huge_page_where_a_program_wants_none(_: &Context) -> Result<()> {
    let it = Subject::new()?;
    it.map.advise(libc::MADV_NOHUGEPAGE)?;
    touch(&it.map, true)?;
    expect_blocks(&it.map, 0)?;
    it.expect_pages(&it.map, 0..BLOCKS * pages_of_a_block())
}

fn misaligned_ends_are_pages(_: &Context) -> Result<()> {
    let it = Subject::new()?;
    let (page, last) = (page_bytes(), BLOCKS * block_bytes() - 5 * page_bytes());
    let addr = it.map.addr + 3 * page;
    let session = it.session;
    drop(it.map);
    let map = Map::shared_at(
        &session,
        addr,
        it.region.offset + 3 * page_size(),
        last - 3 * page,
    )?;
    let before = session.query(&it.region)?.faults;
    touch(&map, true)?;
    expect_blocks(&map, BLOCKS - 2)?;
    // The kernel has more faults, where a CPU does not note itself what was stored to. The module maps a block of the
    // middle by one, and of the ends the pages of 2 MiB at once.
    let faults = session.query(&it.region)?.faults - before;
    let most = (BLOCKS * block_bytes() / (2 << 20)) as u64;
    ensure!(faults <= most, "{faults} faults, of {most}");
    for at in 0..map.length / page {
        let bytes = [map.load(at * page), map.load(at * page + 1)];
        ensure!(bytes == number(at + 3), "page {at}: {bytes:?}");
    }
    Ok(())
}

fn a_hole_leaves_no_reference(_: &Context) -> Result<()> {
    Subject::new()?.take_apart(|it| {
        let page = page_bytes();
        it.map.unmap_part(100 * page, 100 * page)?;
        Ok(vec![0..100, 200..BLOCKS * pages_of_a_block()])
    })
}

fn a_part_read_only_leaves_no_reference(_: &Context) -> Result<()> {
    Subject::new()?.take_apart(|it| {
        let page = page_bytes();
        it.map
            .protect_part(page, block_bytes(), ProtFlags::PROT_READ)?;
        Ok(all_pages())
    })
}

fn a_move_leaves_no_reference(_: &Context) -> Result<()> {
    Subject::new()?.take_apart(|it| {
        let room = Map::anonymous(it.map.length, ProtFlags::PROT_NONE)?;
        it.map.move_onto(room)?;
        Ok(all_pages())
    })
}

fn a_part_thrown_away_leaves_no_reference(_: &Context) -> Result<()> {
    Subject::new()?.take_apart(|it| {
        it.map
            .advise_part(7 * page_bytes(), block_bytes(), libc::MADV_DONTNEED)?;
        let all = 0..BLOCKS * pages_of_a_block();
        it.expect_pages(&it.map, all.clone())?;
        it.map.advise(libc::MADV_DONTNEED)?;
        it.expect_references("thrown away", 0)?;
        Ok(vec![all])
    })
}

fn a_private_store_leaves_no_reference(_: &Context) -> Result<()> {
    let it = Subject::new()?;
    let flags = nix::sys::mman::MapFlags::MAP_PRIVATE;
    let private = Map::new(&it.session, it.region.offset, it.map.length, RW, flags)?;
    it.expect_pages(&private, 0..BLOCKS * pages_of_a_block())?;
    private.store(9 * page_bytes(), 0xee);
    private.store(block_bytes() + 2, 0xee);
    ensure!(private.load(9 * page_bytes()) == 0xee);
    it.expect_pages(&private, 10..BLOCKS * pages_of_a_block())?;
    drop(private);
    it.take_apart(|_| Ok(all_pages()))
}

fn a_fork_leaves_no_reference(_: &Context) -> Result<()> {
    Subject::new()?.take_apart(|it| {
        let all = 0..BLOCKS * pages_of_a_block();
        child::run(|| {
            it.expect_pages(&it.map, all.clone())?;
            it.expect_references("in two programs", 2)
        })?;
        it.expect_references("in one program again", 1)?;
        Ok(vec![all])
    })
}

/// The kernel must not split the folio itself.
fn cold_and_paged_out_leave_no_reference(_: &Context) -> Result<()> {
    Subject::new()?.take_apart(|it| {
        for advice in [libc::MADV_COLD, libc::MADV_PAGEOUT] {
            it.map
                .advise_part(3 * page_bytes(), block_bytes(), advice)?;
            it.map.advise(advice)?;
        }
        ensure!(it.blocks_that_are_folios()? == BLOCKS, "a folio was split");
        Ok(all_pages())
    })
}

fn a_pin_is_a_reference(_: &Context) -> Result<()> {
    let it = Subject::new()?;
    touch(&it.map, true)?;
    let (reader, writer) = pipe()?;
    let spliced = crate::raw::vmsplice(&writer, it.map.addr + block_bytes(), 4 * page_bytes());
    ensure!(spliced == Ok(4 * page_bytes()), "{spliced:?}");
    let head = it.heads()?[1];
    let inspector = Inspector::open()?;
    ensure!(inspector.frame(head)?.refcount == 1 + 1 + 4);
    expect_blocks(&it.map, BLOCKS)?;
    drop((reader, writer));
    it.expect_references("mapped", 1)
}

fn blocks_are_no_larger_than_an_entry_maps(_: &Context) -> Result<()> {
    let it = Subject::new()?;
    let inspector = Inspector::open()?;
    for page in it.session.pages(&it.region, 0, u64::MAX)? {
        let frame = inspector.frame(page.pfn)?;
        ensure!(1 << frame.order <= pages_of_a_block(), "{frame:?}");
    }
    Ok(())
}
