// SPDX-License-Identifier: MIT OR Apache-2.0

//! C2: entries above the last level that map a page themselves.

use crate::{
    anonymous::Anonymous, finding::plural, hugetlb::Pool, Claim, Document, Finding, Lab, Need,
    Table, Verdict, Vm,
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{
    block_bytes, block_size,
    inspect::{Area, EntryFlag, EntryKind, Inspector, Layout, Level, Target, Walk},
    page_bytes, page_size, Backing, Mapping, Method, Protection, Session,
};

pub const CLAIM: Claim = Claim {
    id: "C2",
    title: "Huge pages",
    sources: &[
        Document::Walkthrough.section("6, Page tables & huge pages"),
        Document::Memory.section("10, Virtual Memory & Paging"),
    ],
    says:
        "A PMD entry may map 2 MiB, and a PUD entry 1 GiB, by itself: the walk ends there, and one \
           entry (and one of the TLB) does for 512 or 262,144.",
    needs: &[
        Need::Module("mapwright_inspect"),
        Need::Module("mapwright"),
        Need::File(
            "/sys/kernel/mm/transparent_hugepage",
            "a kernel with huge pages in user space (CONFIG_TRANSPARENT_HUGEPAGE)",
        ),
    ],
    vms: &[Vm::Normal, Vm::FiveLevels, Vm::Arm64, Vm::Arm64Max],
    prove,
};

/// What an entry of the PMD, and one of the PUD, is said to map.
const CLAIMED: [u64; 2] = [2 << 20, 1 << 30];

/// Bytes that an entry of the PUD maps, if it does: as many blocks as fill a table with 8 bytes each.
fn pud_size() -> u64 {
    block_size() * (page_size() / 8)
}

/// A walk to memory of some kind.
struct Page {
    what: String,
    walk: Walk,
}

fn prove(_: &Lab) -> Result<Finding> {
    let inspector = Inspector::open()?;
    let layout = inspector.layout()?;
    let small = Anonymous::small(2 * block_bytes())?;
    touch_one(&small)?;
    let transparent = Anonymous::huge(2 * block_bytes())?;
    touch_one(&transparent)?;
    let pool = Pool::of(1)?;
    let pool_memory = pool.memory()?;
    let session = Session::open()?;
    let region = huge_region(&session)?;

    let mut pages = Vec::new();
    let mut see = |what: &str, target, address: u64| -> Result<()> {
        let walk = inspector.walk(target, address)?;
        if walk.is_present() {
            continues(&inspector, target, &walk)?;
            pages.push(Page {
                what: what.to_owned(),
                walk,
            });
        }
        Ok(())
    };
    see("a small page", Target::Myself, aligned(&small))?;
    see(
        "anonymous memory, THP",
        Target::Myself,
        aligned(&transparent),
    )?;
    if let Some(memory) = &pool_memory {
        see(
            "the pool of huge pages (hugetlb)",
            Target::Myself,
            memory.addr() as u64,
        )?;
    }
    see(
        "a region of ours, huge",
        Target::Myself,
        region.addr() as u64,
    )?;
    for bytes in [block_size(), pud_size()] {
        if let Some(address) = in_direct_map(&inspector, &layout, bytes)? {
            let what = format!("the direct map, with {}", size(bytes));
            see(&what, Target::Kernel, address)?;
        }
    }
    finding(&pages, entries_of_small(&inspector, &small)?)
}

/// The first address in it that a huge page may begin at.
fn aligned(memory: &Anonymous) -> u64 {
    (memory.addr() + memory.aligned()) as u64
}

/// Stores to the page there.
fn touch_one(memory: &Anonymous) -> Result<()> {
    memory.touch(memory.aligned()..memory.aligned() + 1)
}

fn finding(pages: &[Page], small_entries: usize) -> Result<Finding> {
    let with_size = |size: u64| {
        pages
            .iter()
            .filter(move |pages| pages.walk.page_size == size)
    };
    let ends_at = |size, level| {
        with_size(size).all(|page| {
            page.walk.last().is_some_and(|step| {
                step.level == level && step.has(EntryFlag::Large) && step.kind == EntryKind::Page
            })
        })
    };
    let (pmd, pud) = (block_size(), pud_size());
    let (of_pmd, of_pud) = (with_size(pmd).count(), with_size(pud).count());
    ensure!(
        of_pmd > 0,
        "no page of {} was found, not even in the direct map",
        size(pmd)
    );
    // With pages of another size than 4 KiB, these are others, too.
    let verdict = |bytes, level, claimed| match ends_at(bytes, level) {
        true => Verdict::Confirmed.if_else(bytes == claimed, Verdict::Config),
        false => Verdict::Refuted,
    };
    let mut finding = Finding::new(format!(
        "walks end at the PMD with {} for {} of memory, at the PUD with {} for {of_pud}",
        size(pmd),
        plural(of_pmd, "kind"),
        size(pud)
    ))
    .statement(
        "A 2 MiB entry ends the walk at the PMD",
        verdict(pmd, Level::Pmd, CLAIMED[0]),
        format!("so it is for {} of memory", plural(of_pmd, "kind")),
    );
    finding = match of_pud {
        0 => finding
            .statement(
                "A 1 GiB entry ends the walk at the PUD",
                Verdict::NotTestableHere,
                format!(
                    "this machine's kernel maps nothing with {}: the processor{} or the memory does not allow it",
                    size(pud),
                    if cfg!(target_arch = "x86_64") { " (pdpe1gb)" } else { "" }
                ),
            )
            .said_in(&[Document::Memory.section("10, Virtual Memory & Paging")]),
        count => finding
            .statement(
                "A 1 GiB entry ends the walk at the PUD",
                verdict(pud, Level::Pud, CLAIMED[1]),
                format!("so it is for {} of memory", plural(count, "kind")),
            )
            .said_in(&[Document::Memory.section("10, Virtual Memory & Paging")]),
    };
    finding = finding
        .statement(
            "One entry does for 512",
            match small_entries as u64 == pmd / page_size() {
                true => Verdict::Confirmed.if_else(small_entries == 512, Verdict::Config),
                false => Verdict::Refuted,
            },
            format!(
                "{} of small pages have {small_entries} entries at the last level",
                size(pmd)
            ),
        )
        .said_in(&[Document::Memory.section("10, Virtual Memory & Paging")]);
    Ok(finding.table(evidence(pages)))
}

fn evidence(pages: &[Page]) -> Table {
    let mut table = Table::new(
        "Where walks end",
        [
            "memory",
            "address",
            "ends at",
            "page size",
            "bits of offset",
            "entry",
        ],
    );
    for Page { what, walk } in pages {
        let Some(last) = walk.last() else { continue };
        table.row([
            what.clone(),
            format!("{:#x}", walk.address),
            format!("{}[{}]", last.level.name(), last.index),
            format!("{} KiB", walk.page_size >> 10),
            last.shift.to_string(),
            format!("{:#x}", last.value),
        ]);
    }
    table
}

/// In MiB, or in GiB.
fn size(bytes: u64) -> String {
    match bytes >> 30 {
        0 => format!("{} MiB", bytes >> 20),
        gib => format!("{gib} GiB"),
    }
}

/// The bits below the entry's are an offset in its page: physical addresses go on to its end.
fn continues(inspector: &Inspector, target: Target, walk: &Walk) -> Result<()> {
    let first = walk.address & !(walk.page_size - 1);
    let start = inspector.walk(target, first)?;
    let end = inspector.walk(target, first + walk.page_size - 1)?;
    let apart = end
        .physical
        .zip(start.physical)
        .map(|(end, start)| end - start);
    ensure!(
        apart == Some(walk.page_size - 1),
        "the page of {} bytes at {first:#x} is not contiguous: {apart:x?}",
        walk.page_size
    );
    Ok(())
}

/// Entries of the last level for a block of small pages.
fn entries_of_small(inspector: &Inspector, memory: &Anonymous) -> Result<usize> {
    let start = aligned(memory);
    let mut entries = std::collections::BTreeSet::new();
    for address in (start..start + block_size()).step_by(page_bytes()) {
        let walk = inspector.walk(Target::Myself, address)?;
        entries.insert(walk.last().context("no level")?.entry);
    }
    Ok(entries.len())
}

/// A region that the module maps block by block, touched.
fn huge_region(session: &Session) -> Result<Mapping> {
    let region = session.create(Backing::Pages, Method::Huge, 2 * block_size())?;
    let mapping = session.map(&region, Protection::ReadWrite)?;
    mapping.touch();
    Ok(mapping)
}

/// An address of the direct map that is mapped with this page size.
fn in_direct_map(inspector: &Inspector, layout: &Layout, size: u64) -> Result<Option<u64>> {
    let range = layout.area(Area::DirectMap).context("no direct map")?;
    let mut address = range.start;
    while address < range.last {
        let walk = inspector.walk(Target::Kernel, address)?;
        if walk.page_size == size {
            return Ok(Some(address));
        }
        let covered = 1 << walk.last().map_or(0, |step| step.shift);
        let covered = block_size().max(covered);
        address = (address & !(covered - 1)) + covered;
    }
    Ok(None)
}
