// SPDX-License-Identifier: MIT OR Apache-2.0

//! The memory type of a mapping is really what was asked for: the page-table entries themselves say so,
//! those of the program and those of the kernel. For each sound cell.
//!
//! On x86, the kernel's direct map must agree with the program's mapping. On 64-bit ARM it stays write-back, and
//! the kernel has a second mapping for what is not cached.

use crate::{
    cells::Cell,
    child,
    raw::{self, Map, RW},
    runner::{skip, Case, Context, Suite},
    walk::vmalloc_areas,
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{
    architecture, block_bytes, block_size,
    inspect::{Inspector, Layout, MemoryType, Target},
    page_bytes, page_size, Architecture, Backing, Caching, Method, Region, Session, DEVICE,
};
use nix::{libc, sys::mman::ProtFlags, unistd::pipe};
use std::{
    fs::{self, OpenOptions},
    os::unix::fs::OpenOptionsExt as _,
};

pub const SUITE: Suite = Suite {
    name: "memory_types",
    cases,
};

fn cases() -> Vec<Case> {
    let of = |name: &'static str, run: fn(Cell) -> Result<()>, takes: fn(&Cell) -> bool| {
        Cell::all()
            .filter(Cell::is_sound)
            .filter(takes)
            .map(move |cell| Case::new(format!("{name}__{}", cell.name()), move |_| run(cell)))
    };
    let mut cases = vec![
        Case::new("of_a_block_at_once", of_a_block_at_once),
        Case::new(
            "of_whole_blocks_splits_no_direct_map",
            of_whole_blocks_splits_no_direct_map,
        ),
        Case::new(
            "of_a_default_region_with_o_sync",
            of_a_default_region_with_o_sync,
        ),
    ];
    cases.extend(of("is_as_asked", is_as_asked, |_| true));
    cases.extend(of(
        "is_not_cached_for_the_kernel",
        is_not_cached_for_the_kernel,
        |cell| is_changed(cell) && !DIRECT_MAP_AGREES,
    ));
    cases.extend(of(
        "is_undone_when_destroyed",
        is_undone_when_destroyed,
        is_changed,
    ));
    cases.extend(of(
        "is_undone_though_pinned",
        is_undone_though_pinned,
        |cell| is_changed(cell) && cell.is_counted(),
    ));
    cases.extend(of("is_kept", is_kept, |_| true));
    cases
}

/// Whether the memory has another type than it was allocated with.
fn is_changed(cell: &Cell) -> bool {
    !cell.is_ordinary()
}

const PAGES: usize = 40;

/// Whether the direct map has the type of the memory, whatever that is.
const DIRECT_MAP_AGREES: bool = cfg!(target_arch = "x86_64");

/// The types that a page-table entry may have for what was asked. On x86, the kernel's "uncached" lets a
/// range register of the CPU's make it write-combining, which ordinary memory has none of. On 64-bit ARM,
/// the direct map may have tags.
fn types_of(caching: Caching) -> &'static [MemoryType] {
    match caching {
        Caching::WriteBack => &[MemoryType::WriteBack, MemoryType::Tagged],
        Caching::WriteCombine => &[MemoryType::WriteCombine],
        Caching::Uncached => &[MemoryType::UncachedMinus, MemoryType::Uncached],
    }
}

/// The type of a region's mapping. Coherent memory of a device that is not coherent is not cached: on 64-bit
/// ARM, that is each for which no device tree says otherwise, as the module's own.
fn caching_of(cell: &Cell) -> Caching {
    match cell.backing {
        Backing::Coherent if architecture() == Architecture::Arm64 => Caching::WriteCombine,
        _ => cell.caching,
    }
}

/// Looks at page tables.
pub struct Tables {
    inspector: Inspector,
    layout: Layout,
}

impl Tables {
    pub fn new() -> Result<Self> {
        let inspector = Inspector::open()?;
        Ok(Self {
            layout: inspector.layout()?,
            inspector,
        })
    }

    /// The frames of a mapping of this process, all pages of which are touched and must have that type.
    pub fn expect_mapping(&self, map: &Map, caching: Caching) -> Result<Vec<u64>> {
        (0..map.length / page_bytes())
            .map(|page| {
                map.load(page * page_bytes());
                let walk = self
                    .inspector
                    .walk(Target::Myself, (map.addr + page * page_bytes()) as u64)?;
                let result = walk.memory_type.context("no page")?;
                ensure!(
                    types_of(caching).contains(&result),
                    "page {page} is mapped {}, not {}",
                    result.name(),
                    caching.name()
                );
                walk.pfn().context("no frame")
            })
            .collect()
    }

    /// Fails unless the direct map has frames of memory of that type as it should.
    fn expect_direct_map(&self, pfns: &[u64], caching: Caching) -> Result<()> {
        let caching = match DIRECT_MAP_AGREES {
            true => caching,
            false => Caching::WriteBack,
        };
        for pfn in pfns {
            let physical = pfn * page_size();
            let address = self.layout.direct_map_address(physical);
            let address = address.context("memory that is not in the direct map")?;
            let walk = self.inspector.walk(Target::Kernel, address)?;
            ensure!(
                walk.physical == Some(physical),
                "frame {pfn:#x} is not where it should be"
            );
            let result = walk.memory_type.context("no page")?;
            ensure!(
                types_of(caching).contains(&result),
                "the direct map has frame {pfn:#x} {}, not {}",
                result.name(),
                caching.name()
            );
        }
        Ok(())
    }
}

struct Subject {
    tables: Tables,
    session: Session,
    region: Region,
    map: Map,
    caching: Caching,
}

impl Subject {
    fn new(cell: Cell) -> Result<Self> {
        let (tables, session) = (Tables::new()?, Session::open()?);
        let region = cell.create(&session, PAGES as u64 * page_size())?;
        let map = Map::shared(&session, region.offset, PAGES * page_bytes())?;
        Ok(Self {
            tables,
            session,
            region,
            map,
            caching: caching_of(&cell),
        })
    }

    /// The frames, whose types must be right on both sides.
    fn expect_types(&self) -> Result<Vec<u64>> {
        let pfns = self.tables.expect_mapping(&self.map, self.caching)?;
        self.tables.expect_direct_map(&pfns, self.caching)?;
        Ok(pfns)
    }
}

fn is_as_asked(cell: Cell) -> Result<()> {
    let it = Subject::new(cell)?;
    let pfns = it.expect_types()?;
    let result = it.session.pages(&it.region, 0, u64::MAX)?;
    ensure!(
        pfns.iter().eq(result.iter().map(|page| &page.pfn)),
        "other frames than the module says"
    );
    Ok(())
}

/// The kernel's own mapping, which nothing but `/proc/vmallocinfo` tells, goes with the memory.
fn is_not_cached_for_the_kernel(cell: Cell) -> Result<()> {
    let it = Subject::new(cell)?;
    let pfns = it.expect_types()?;
    let is_of_frames = |(start, _, about): &(u64, u64, String)| -> Result<bool> {
        if !about.contains(" mapkit_vmap_noncached") {
            return Ok(false);
        }
        let walk = it.tables.inspector.walk(Target::Kernel, *start)?;
        Ok(walk.pfn() == Some(pfns[0]))
    };
    let areas = || -> Result<Vec<u64>> {
        let mut matching = Vec::new();
        for area in vmalloc_areas()? {
            if is_of_frames(&area)? {
                matching.push(area.0);
            }
        }
        Ok(matching)
    };
    let matching = areas()?;
    ensure!(
        matching.len() == 1,
        "{} areas have the frames",
        matching.len()
    );
    for (page, pfn) in pfns.iter().enumerate() {
        let address = matching[0] + page as u64 * page_size();
        let walk = it.tables.inspector.walk(Target::Kernel, address)?;
        ensure!(
            walk.pfn() == Some(*pfn) && walk.memory_type == Some(MemoryType::WriteCombine),
            "page {page}: {walk:x?}"
        );
    }
    drop(it.map);
    it.session.destroy(&it.region)?;
    ensure!(areas()?.is_empty(), "the mapping outlived the memory");
    Ok(())
}

/// The memory goes back to the kernel as it came.
fn is_undone_when_destroyed(cell: Cell) -> Result<()> {
    let it = Subject::new(cell)?;
    let pfns = it.expect_types()?;
    drop(it.map);
    // It does not depend on what is mapped.
    it.tables.expect_direct_map(&pfns, it.caching)?;
    it.session.destroy(&it.region)?;
    it.tables.expect_direct_map(&pfns, Caching::WriteBack)
}

/// It is not the freeing of the pages that does it: these are held by a pipe, and not free.
fn is_undone_though_pinned(cell: Cell) -> Result<()> {
    let it = Subject::new(cell)?;
    let (_reader, writer) = pipe()?;
    // A pipe has room for 16.
    let held = 8;
    ensure!(raw::vmsplice(&writer, it.map.addr, held * page_bytes()) == Ok(held * page_bytes()));
    let pfns = it.expect_types()?[..held].to_vec();
    drop(it.map);
    it.session.destroy(&it.region)?;
    for pfn in &pfns {
        let frame = it.tables.inspector.frame(*pfn)?;
        ensure!(frame.refcount > 0, "frame {pfn:#x} is free: {frame:?}");
    }
    it.tables.expect_direct_map(&pfns, Caching::WriteBack)
}

/// The type is that of the memory, whatever becomes of the mapping.
fn is_kept(cell: Cell) -> Result<()> {
    let mut it = Subject::new(cell)?;
    let pfns = it.expect_types()?;
    it.map.protect(ProtFlags::PROT_READ)?;
    ensure!(it.expect_types()? == pfns, "mprotect changed the frames");
    it.map.protect(ProtFlags::PROT_NONE)?;
    it.map.protect(RW)?;
    it.map.store(0, 1);
    ensure!(it.expect_types()? == pfns, "mprotect changed the frames");
    it.map
        .move_onto(Map::anonymous(PAGES * page_bytes(), ProtFlags::PROT_NONE)?)?;
    ensure!(it.expect_types()? == pfns, "mremap changed the frames");
    child::run(|| {
        ensure!(it.expect_types()? == pfns, "fork changed the frames");
        Ok(())
    })?;
    let second = Map::shared(
        &it.session,
        it.region.offset + page_size(),
        (PAGES - 1) * page_bytes(),
    )?;
    ensure!(it.tables.expect_mapping(&second, it.caching)? == pfns[1..]);
    if cell.method == Method::Fault {
        it.map.advise(libc::MADV_DONTNEED)?;
        ensure!(
            it.expect_types()? == pfns,
            "a second fault changed the frames"
        );
    }
    Ok(())
}

/// The entry of a block has its type in other bits. A kernel without huge pages maps the same page by page.
fn of_a_block_at_once(_: &Context) -> Result<()> {
    let expected = match raw::has_huge_pages() {
        true => block_size(),
        false => page_size(),
    };
    let tables = Tables::new()?;
    for caching in Caching::ALL {
        let session = Session::open()?;
        let region = session.create_cached(Backing::Pages, Method::Huge, *caching, block_size())?;
        let map = Map::shared(&session, region.offset, block_bytes())?;
        let pfns = tables.expect_mapping(&map, *caching)?;
        let walk = tables.inspector.walk(Target::Myself, map.addr as u64)?;
        ensure!(
            walk.page_size == expected,
            "{}: mapped with {} bytes",
            caching.name(),
            walk.page_size
        );
        tables.expect_direct_map(&pfns, *caching)?;
        drop(map);
        session.destroy(&region)?;
        tables.expect_direct_map(&pfns, Caching::WriteBack)?;
    }
    Ok(())
}

fn of_a_default_region_with_o_sync(_: &Context) -> Result<()> {
    let tables = Tables::new()?;
    for (flags, caching) in [(0, Caching::WriteBack), (libc::O_SYNC, Caching::Uncached)] {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(flags)
            .open(DEVICE)?;
        let map = Map::shared(&file, 0, PAGES * page_bytes())?;
        let pfns = tables.expect_mapping(&map, caching)?;
        tables.expect_direct_map(&pfns, caching)?;
    }
    Ok(())
}

/// Bytes that the direct map maps page by page.
fn direct_map_by_pages() -> Result<u64> {
    let info = fs::read_to_string("/proc/meminfo")?;
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix("DirectMap4k:"));
    let kib = line.and_then(|line| line.split_ascii_whitespace().next());
    Ok(kib.context("/proc/meminfo does not tell")?.parse::<u64>()? << 10)
}

/// What the direct map has in blocks stays in blocks where all of a block gets the type: the page allocator's largest
/// are aligned to their size. Only a region's last pages, less than a block, split one.
fn of_whole_blocks_splits_no_direct_map(context: &Context) -> Result<()> {
    if !DIRECT_MAP_AGREES {
        return skip("the direct map keeps its type on this architecture");
    }
    let session = Session::open()?;
    let create =
        |bytes| session.create_cached(Backing::Pages, Method::Remap, Caching::Uncached, bytes);
    let before = direct_map_by_pages()?;
    let whole = create(4 * block_size())?;
    let split = direct_map_by_pages()? - before;
    ensure!(split == 0, "{split} bytes are mapped by pages now");
    session.destroy(&whole)?;
    let _part = create(page_size())?;
    let split = direct_map_by_pages()? - before;
    context.note(format!("{split} bytes for a region of one page"));
    ensure!(split <= block_size(), "{split} bytes for one page");
    Ok(())
}
