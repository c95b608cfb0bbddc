// SPDX-License-Identifier: MIT OR Apache-2.0

//! C2: entries above the last level that map a page themselves.

use crate::{
    anonymous::{Anonymous, HUGE},
    Claim, Finding, Lab, Need, Shape, Table, Verdict,
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{
    inspect::{Area, EntryFlag, EntryKind, Inspector, Layout, Level, Target, Walk},
    Backing, Mapping, Method, Protection, Session,
};
use std::fs;

pub const CLAIM: Claim = Claim {
    id: "C2",
    title: "Huge pages",
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
    shapes: &[Shape::Normal, Shape::FiveLevels],
    prove,
};

const GIB: u64 = 1 << 30;

/// A walk to memory of some kind.
struct Seen {
    what: &'static str,
    walk: Walk,
}

fn prove(_: &Lab) -> Result<Finding> {
    let inspector = Inspector::open()?;
    let layout = inspector.layout()?;
    let small = Anonymous::small(2 * HUGE)?;
    touch_one(&small)?;
    let transparent = Anonymous::huge(2 * HUGE)?;
    touch_one(&transparent)?;
    let pool = Pool::of(1)?;
    let pool_memory = pool.memory()?;
    let session = Session::open()?;
    let region = huge_region(&session)?;

    let mut seen = Vec::new();
    let mut see = |what, target, address: u64| -> Result<()> {
        let walk = inspector.walk(target, address)?;
        if walk.is_present() {
            continues(&inspector, target, &walk)?;
            seen.push(Seen { what, walk });
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
    for (size, what) in [
        (HUGE as u64, "the direct map, with 2 MiB"),
        (GIB, "the direct map, with 1 GiB"),
    ] {
        if let Some(address) = in_direct_map(&inspector, &layout, size)? {
            see(what, Target::Kernel, address)?;
        }
    }
    finding(&seen, entries_of_small(&inspector, &small)?)
}

/// The first address in it that a huge page may begin at.
fn aligned(memory: &Anonymous) -> u64 {
    (memory.addr() + memory.aligned()) as u64
}

/// Stores to the page there.
fn touch_one(memory: &Anonymous) -> Result<()> {
    memory.touch(memory.aligned()..memory.aligned() + 1)
}

fn finding(seen: &[Seen], small_entries: usize) -> Result<Finding> {
    let with_size = |size: u64| seen.iter().filter(move |seen| seen.walk.page_size == size);
    let ends_at = |size, level| {
        with_size(size).all(|seen| {
            seen.walk.last().is_some_and(|step| {
                step.level == level && step.has(EntryFlag::Large) && step.kind == EntryKind::Page
            })
        })
    };
    let (two_mib, one_gib) = (with_size(HUGE as u64).count(), with_size(GIB).count());
    ensure!(
        two_mib > 0,
        "no 2 MiB page was found, not even in the direct map"
    );
    let mut finding = Finding::new(format!(
        "{two_mib} kinds of memory end at the PMD with 2 MiB, {one_gib} at the PUD with 1 GiB"
    ))
    .statement(
        "A 2 MiB entry ends the walk at the PMD",
        Verdict::of(ends_at(HUGE as u64, Level::Pmd)),
        format!("so do all {two_mib} that were found"),
    );
    finding = match one_gib {
        0 => finding.statement(
            "A 1 GiB entry ends the walk at the PUD",
            Verdict::NotTestableHere,
            "this machine's kernel maps nothing with 1 GiB: the processor (pdpe1gb) or the memory does not allow it",
        ),
        found => finding.statement(
            "A 1 GiB entry ends the walk at the PUD",
            Verdict::of(ends_at(GIB, Level::Pud)),
            format!("so does {found} in the direct map"),
        ),
    };
    finding = finding.statement(
        "One entry does for 512",
        Verdict::of(small_entries == 512),
        format!("2 MiB of small pages have {small_entries} entries at the last level"),
    );
    Ok(finding.table(evidence(seen)))
}

fn evidence(seen: &[Seen]) -> Table {
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
    for Seen { what, walk } in seen {
        let Some(last) = walk.last() else { continue };
        table.row([
            (*what).to_owned(),
            format!("{:#x}", walk.address),
            format!("{}[{}]", last.level.name(), last.index),
            format!("{} KiB", walk.page_size >> 10),
            last.shift.to_string(),
            format!("{:#x}", last.value),
        ]);
    }
    table
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

/// Entries of the last level for 2 MiB of small pages.
fn entries_of_small(inspector: &Inspector, memory: &Anonymous) -> Result<usize> {
    let start = aligned(memory);
    let mut entries = std::collections::BTreeSet::new();
    for address in (start..start + HUGE as u64).step_by(4096) {
        let walk = inspector.walk(Target::Myself, address)?;
        entries.insert(walk.last().context("no level")?.entry);
    }
    Ok(entries.len())
}

/// A region that the module maps with 2 MiB entries, touched.
fn huge_region(session: &Session) -> Result<Mapping> {
    let region = session.create(Backing::Pages, Method::Huge, 2 * HUGE as u64)?;
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
        let covered = 1 << walk.last().map_or(12, |step| step.shift.max(21));
        address = (address & !(covered - 1)) + covered;
    }
    Ok(None)
}

/// The pool of huge pages, which is as it was when this is dropped.
struct Pool {
    before: String,
    filled: bool,
}

impl Pool {
    const FILE: &'static str = "/proc/sys/vm/nr_hugepages";

    /// With so many pages more, if the kernel has the pool and the memory.
    fn of(pages: u64) -> Result<Self> {
        let before = fs::read_to_string(Self::FILE).unwrap_or_default();
        let had: u64 = before.trim().parse().unwrap_or(0);
        let wanted = (had + pages).to_string();
        let filled = fs::write(Self::FILE, &wanted).is_ok()
            && fs::read_to_string(Self::FILE)?.trim() == wanted;
        Ok(Self { before, filled })
    }

    /// A page of it, touched.
    fn memory(&self) -> Result<Option<Anonymous>> {
        if !self.filled {
            return Ok(None);
        }
        let memory = Anonymous::of_pool(HUGE)?;
        memory.touch(0..1)?;
        Ok(Some(memory))
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let _ = fs::write(Self::FILE, self.before.trim());
    }
}
