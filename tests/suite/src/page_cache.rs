// SPDX-License-Identifier: MIT OR Apache-2.0

//! Folios in a page cache of their own: many pages by a fault wherever they lie, references that come and go with them, and
//! nobody who could move them, take them out of the cache, or open the file that they are of.

use crate::{
    cells::Cell,
    cgroup::Group,
    child,
    dma::wait_until,
    huge_folio::smaps,
    raw::{has_huge_pages, Map, RW},
    runner::{skip, suite, Context},
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{
    block_bytes, block_size, page_bytes, page_size, Backing, Caching, Inspector, Method, Region,
    Session,
};
use nix::{
    errno::Errno,
    libc,
    sys::mman::{MapFlags, ProtFlags},
    unistd::{pipe, truncate},
};
use std::{collections::BTreeMap, fs, ops::Range, path::PathBuf};

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
        let mut found = self.references()?;
        if found != expected {
            // Of single pages, a CPU may still have to put some on a list, for which it holds a reference.
            fs::write("/proc/sys/vm/drop_caches", "1")?;
            found = self.references()?;
        }
        ensure!(found == expected, "{found} references, not {expected}");
        Ok(())
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
fn a_store_after_a_load_is_no_fault(_: &Context) -> Result<()> {
    Subject::each(|it| {
        touch(&it, false)?;
        let before = mapwright::page_faults()?.0;
        for at in (2..it.map.length).step_by(page_bytes()) {
            it.map.store(at, 1);
        }
        let faults = mapwright::page_faults()?.0 - before;
        ensure!(faults == 0, "{faults} faults");
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

fn a_hole_leaves_no_reference(_: &Context) -> Result<()> {
    Subject::take_apart(|it| {
        let page = page_bytes();
        it.map.unmap_part(100 * page, 100 * page)?;
        Ok(vec![0..100, 200..pages().end])
    })
}

fn a_part_read_only_leaves_no_reference(_: &Context) -> Result<()> {
    Subject::take_apart(|it| {
        let page = page_bytes();
        it.map
            .protect_part(page, block_bytes(), ProtFlags::PROT_READ)?;
        Ok(all_pages())
    })
}

fn a_move_leaves_no_reference(_: &Context) -> Result<()> {
    Subject::take_apart(|it| {
        let room = Map::anonymous(it.map.length, ProtFlags::PROT_NONE)?;
        it.map.move_onto(room)?;
        Ok(all_pages())
    })
}

fn a_part_thrown_away_leaves_no_reference(_: &Context) -> Result<()> {
    Subject::take_apart(|it| {
        it.map
            .advise_part(7 * page_bytes(), block_bytes(), libc::MADV_DONTNEED)?;
        it.expect_pages(pages())?;
        it.map.advise(libc::MADV_DONTNEED)?;
        it.expect_unmapped()?;
        Ok(all_pages())
    })
}

fn a_private_store_leaves_no_reference(_: &Context) -> Result<()> {
    Subject::take_apart(|it| {
        let flags = MapFlags::MAP_PRIVATE;
        let private = Map::new(&it.session, it.region.offset, it.map.length, RW, flags)?;
        // Once before anything is there, once where a page table is full.
        private.store(9 * page_bytes(), 0xee);
        for at in (0..private.length).step_by(page_bytes()) {
            let expected = if at == 9 * page_bytes() {
                0xee
            } else {
                number(at / page_bytes())[0]
            };
            ensure!(private.load(at) == expected, "byte {at}");
        }
        private.store(block_bytes() + 2, 0xee);
        ensure!(private.load(block_bytes() + 2) == 0xee);
        drop(private);
        ensure!(it.map.load(block_bytes() + 2) == 0, "a private store");
        Ok(all_pages())
    })
}

fn a_fork_leaves_no_reference(_: &Context) -> Result<()> {
    Subject::take_apart(|it| {
        child::run(|| {
            it.expect_pages(pages())?;
            it.expect_mapped(2)
        })?;
        it.expect_mapped(1)?;
        Ok(all_pages())
    })
}

/// The kernel must not split a folio.
fn cold_and_paged_out_leave_no_reference(_: &Context) -> Result<()> {
    Subject::take_apart(|it| {
        let before = it.folios()?;
        for advice in [libc::MADV_COLD, libc::MADV_PAGEOUT] {
            it.map
                .advise_part(3 * page_bytes(), block_bytes(), advice)?;
            it.map.advise(advice)?;
        }
        ensure!(it.folios()? == before, "a folio was split, or is another");
        Ok(all_pages())
    })
}

fn a_pin_is_a_reference(_: &Context) -> Result<()> {
    Subject::each(|it| {
        touch(&it, true)?;
        let before = it.references()?;
        let (reader, writer) = pipe()?;
        let spliced = crate::raw::vmsplice(&writer, it.map.addr + block_bytes(), 4 * page_bytes());
        ensure!(spliced == Ok(4 * page_bytes()), "{spliced:?}");
        let with = it.references()?;
        ensure!(with == before + 4, "{with} references, {before} before");
        drop((reader, writer));
        it.expect_mapped(1)
    })
}

/// Neither compaction nor reclaim nor who drops caches, mapped or not.
fn nothing_moves_it(_: &Context) -> Result<()> {
    Subject::each(|mut it| {
        let before = it.frames()?;
        touch(&it, true)?;
        for _ in 0..2 {
            // Not every kernel can compact.
            let _ = fs::write("/proc/sys/vm/compact_memory", "1");
            fs::write("/proc/sys/vm/drop_caches", "3")?;
            if it.map.length > 0 {
                it.map.advise(libc::MADV_PAGEOUT)?;
                it.expect_pages(pages())?;
            }
            ensure!(it.frames()? == before, "it was moved");
            let mut byte = [0];
            for page in pages() {
                it.session
                    .read_at(&it.region, page as u64 * page_size(), &mut byte)?;
                ensure!(byte[0] == number(page)[0], "page {page}");
            }
            it.map.unmap()?;
        }
        Ok(())
    })
}

fn nobody_opens_its_file(_: &Context) -> Result<()> {
    let it = Subject::new(Lies::Aligned)?;
    let range = format!("{:x}-{:x}", it.map.addr, it.map.addr + it.map.length);
    let path = PathBuf::from("/proc/self/map_files").join(range);
    let name = fs::read_link(&path)?;
    ensure!(name.to_str() == Some("anon_inode:[mapwright]"), "{name:?}");
    for (read, write) in [(true, false), (false, true), (true, true)] {
        let opened = fs::File::options().read(read).write(write).open(&path);
        let errno = opened.err().and_then(|err| err.raw_os_error());
        ensure!(errno == Some(Errno::ENXIO as i32), "{errno:?}");
    }
    let truncated = truncate(&path, 0);
    ensure!(truncated == Err(Errno::EINVAL), "{truncated:?}");
    let removed = it.map.advise(libc::MADV_REMOVE);
    ensure!(removed == Err(Errno::ENODEV), "{removed:?}");
    it.expect_pages(pages())
}

/// A line of `/proc/meminfo`, in bytes.
fn meminfo(name: &str) -> Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|rest| rest.trim_start_matches(':').split_whitespace().next());
    Ok(kib.with_context(|| format!("no {name}"))?.parse::<u64>()? << 10)
}

/// As memory of a cache that nothing can be thrown out of.
fn it_is_counted_as_a_file(_: &Context) -> Result<()> {
    // CPUs count a part each, and others use memory at the same time.
    let about = BYTES() as u64 / 2;
    let now = || Ok::<_, anyhow::Error>((meminfo("Cached")?, meminfo("Unevictable")?));
    let before = now()?;
    let it = Subject::new(Lies::Aligned)?;
    let with = now()?;
    ensure!(with.0 >= before.0 + about, "{before:?}, {with:?}");
    ensure!(with.1 >= before.1 + about, "{before:?}, {with:?}");
    drop(it);
    let after = now()?;
    ensure!(after.0 + about <= with.0, "{with:?}, {after:?}");
    ensure!(after.1 + about <= with.1, "{with:?}, {after:?}");
    Ok(())
}

fn a_group_is_charged_for_a_file(_: &Context) -> Result<()> {
    let bytes = BYTES() as u64;
    let group = Group::with_limit(4 * bytes)?;
    group.run(|| {
        let it = Subject::new(Lies::Aligned)?;
        for name in ["file", "unevictable"] {
            let charged = group.stat(name)?;
            ensure!(charged >= bytes, "{name}: {charged} of {bytes}");
        }
        let dirty = group.stat("file_dirty")?;
        ensure!(dirty == 0, "{dirty} bytes wait to be written");
        drop(it);
        // What is counted for a group is gathered from time to time.
        wait_until("it is charged no more", || {
            Ok(group.stat("file")? < bytes / 2)
        })
    })
}

/// Pages of a page cache can be the key of a futex that processes share.
fn processes_share_a_futex(_: &Context) -> Result<()> {
    const WAIT: i32 = libc::FUTEX_WAIT;
    const WAKE: i32 = libc::FUTEX_WAKE;
    let it = Subject::new(Lies::Aligned)?;
    it.map.store_u32(0, 0);
    let call = |map: &Map, operation: i32, value: u32| {
        // SAFETY: The kernel looks at the address, which is of a mapping of this test.
        let result = unsafe {
            libc::syscall(
                libc::SYS_futex,
                map.addr,
                operation,
                value,
                std::ptr::null::<u8>(),
            )
        };
        Errno::result(result)
    };
    let waiter = child::spawn(|| {
        // By another mapping, at another address.
        let map = Map::shared(&it.session, it.region.offset, page_bytes())?;
        while map.load_u32(0) == 0 {
            match call(&map, WAIT, 0) {
                Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    })?;
    wait_until("the other process waits", || {
        Ok(call(&it.map, WAKE, 1)? == 1)
    })?;
    it.map.store_u32(0, 1);
    call(&it.map, WAKE, 1)?;
    child::ends_well(waiter)
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
