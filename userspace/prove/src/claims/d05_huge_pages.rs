// SPDX-License-Identifier: MIT OR Apache-2.0

//! D5: transparent huge pages, and those of the pool.

use crate::{
    anonymous::Anonymous, cgroup::Cgroup, finding::plural, hugetlb::Pool, mounted::Mounted,
    not_testable, pin::Pinned, read::text, swap::Swap, Claim, Document, Finding, Lab, Need, Table,
    Verdict, Vm,
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{
    block_bytes, block_size,
    inspect::{Inspector, Level, Target},
    page_faults, pagemap, Mapping, PagemapEntry, Protection,
};
use nix::{errno::Errno, sys::mman::MmapAdvise};
use procfs::process::Process;
use std::{fs, fs::OpenOptions, os::fd::AsFd as _};

pub const CLAIM: Claim = Claim {
    id: "D5",
    title: "Transparent huge pages and hugetlbfs",
    sources: &[
        Document::Walkthrough.section("6, Page tables & huge pages"),
        Document::Memory.section("10, Virtual Memory & Paging"),
    ],
    says: "Anonymous memory gets pages of 2 MB by itself where the kernel finds some (THP). Those of hugetlbfs, of 2 MB or 1 GB, \
           are set aside beforehand, and stay in memory.",
    needs: &[
        Need::Arch(&["x86_64", "aarch64"]),
        Need::Module("mapwright_inspect"),
        Need::File(
            ENABLED,
            "a kernel with transparent huge pages (CONFIG_TRANSPARENT_HUGEPAGE)",
        ),
        Need::File("/proc/sys/vm/nr_hugepages", "CONFIG_HUGETLBFS"),
    ],
    vms: &[Vm::Normal, Vm::Arm64],
    prove,
};

const ENABLED: &str = "/sys/kernel/mm/transparent_hugepage/enabled";
const SIZES: &str = "/sys/kernel/mm/hugepages";
/// What a page is said to have.
const CLAIMED: u64 = 2 << 20;
/// Pages of the pool: for an anonymous mapping, and for a file.
const POOL: u64 = 2;
/// Less than this is left of the cgroup that has no room for a huge page.
const ROOM: u64 = 1 << 20;

/// Memory of some kind, of which one byte was stored.
struct Observation {
    what: &'static str,
    faults: u64,
    level: Level,
    page: u64,
    /// Bytes that smaps counts as transparent huge pages there.
    transparent: u64,
    /// What became of the page when the kernel was asked to page it out.
    paged_out: Outcome,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Swapped,
    Stayed,
    Refused(Errno),
    NotAsked,
}

impl Observation {
    fn is_huge(&self) -> bool {
        self.page == block_size() && self.level == Level::Pmd
    }
}

fn prove(_: &Lab) -> Result<Finding> {
    let _pinned = Pinned::to(0)?;
    let inspector = Inspector::open()?;
    let pool = Pool::of(POOL)?;
    if !pool.is_filled() {
        return not_testable(format!(
            "memory is too scattered for {POOL} huge pages to be set aside"
        ));
    }
    let swap = Swap::zram(8 * block_size())?;
    let bytes = 2 * block_bytes();
    let mut observations = vec![
        anonymous(
            &inspector,
            "anonymous, nothing asked",
            Anonymous::new(bytes)?,
        )?,
        anonymous(
            &inspector,
            "anonymous, MADV_HUGEPAGE",
            Anonymous::huge(bytes)?,
        )?,
        anonymous(
            &inspector,
            "anonymous, MADV_NOHUGEPAGE",
            Anonymous::small(bytes)?,
        )?,
        in_full_cgroup(&inspector)?,
    ];
    let pooled = Anonymous::of_pool(block_bytes())?;
    observations.push(look(
        &inspector,
        "of the pool, MAP_HUGETLB",
        pooled.addr(),
        || pooled.store(0, 1),
    )?);
    if let Some(last) = observations.last_mut() {
        last.paged_out = page_out(&pooled, 0)?;
    }
    observations.push(of_file(&inspector)?);
    // Both pages of the pool are taken now, or promised.
    let _second = Anonymous::of_pool(block_bytes())?;
    let beyond = Anonymous::of_pool(block_bytes()).is_err();
    drop(swap);
    judge(&observations, beyond)
}

/// Stores one byte into anonymous memory, and then has the kernel page it out.
fn anonymous(inspector: &Inspector, what: &'static str, memory: Anonymous) -> Result<Observation> {
    let at = memory.aligned();
    let observation = look(inspector, what, memory.addr() + at, || memory.store(at, 1))?;
    Ok(Observation {
        paged_out: page_out(&memory, at)?,
        ..observation
    })
}

/// The same where the cgroup has less room than a huge page takes.
fn in_full_cgroup(inspector: &Inspector) -> Result<Observation> {
    let cgroup = Cgroup::enter()?;
    cgroup.limit(cgroup.charged()? + ROOM)?;
    let what = "anonymous, MADV_HUGEPAGE, 1 MiB left of its cgroup";
    let memory = Anonymous::huge(2 * block_bytes())?;
    let at = memory.aligned();
    look(inspector, what, memory.addr() + at, || memory.store(at, 1))
}

/// A page of a file of hugetlbfs.
fn of_file(inspector: &Inspector) -> Result<Observation> {
    let mounted = Mounted::new("hugetlbfs", None)?;
    let path = mounted.dir().join("file");
    let mut options = OpenOptions::new();
    let file = options.create_new(true).read(true).write(true).open(&path);
    let file = file.with_context(|| format!("making {}", path.display()))?;
    let mut mapping = Mapping::new(file.as_fd(), 0, block_bytes(), Protection::ReadWrite)?;
    let addr = mapping.addr();
    look(inspector, "a file of hugetlbfs", addr, || {
        mapping.write(0, &[1]);
        Ok(())
    })
}

/// What the page table has at `addr` after `touch` has stored there.
fn look(
    inspector: &Inspector,
    what: &'static str,
    addr: usize,
    touch: impl FnOnce() -> Result<()>,
) -> Result<Observation> {
    let (before, _) = page_faults()?;
    touch()?;
    let (after, _) = page_faults()?;
    let walk = inspector.walk(Target::Myself, addr as u64)?;
    let last = walk.last().context("a walk without a level")?;
    Ok(Observation {
        what,
        faults: after - before,
        level: last.level,
        page: walk.page_size,
        transparent: transparent_at(addr as u64)?,
        paged_out: Outcome::NotAsked,
    })
}

/// `AnonHugePages` of the VMA there.
fn transparent_at(addr: u64) -> Result<u64> {
    let maps = Process::myself().and_then(|me| me.smaps());
    let maps = maps.context("reading /proc/self/smaps")?;
    let map = maps
        .into_iter()
        .find(|map| (map.address.0..map.address.1).contains(&addr));
    let map = map.context("nothing is mapped where it was stored")?;
    Ok(map.extension.map.get("AnonHugePages").copied().unwrap_or(0))
}

/// Asks the kernel to page the memory out, of which the page at a place was touched.
fn page_out(memory: &Anonymous, at: usize) -> Result<Outcome> {
    // A page that others look at for a moment stays where it is.
    for _ in 0..3 {
        match memory.advise(MmapAdvise::MADV_PAGEOUT) {
            Ok(()) => {}
            Err(err) => {
                return match err.downcast_ref::<Errno>() {
                    Some(errno) => Ok(Outcome::Refused(*errno)),
                    None => Err(err),
                }
            }
        }
        let entry = pagemap(memory.addr() + at, 1)?;
        if matches!(entry[..], [PagemapEntry::Swap(..)]) {
            return Ok(Outcome::Swapped);
        }
    }
    Ok(Outcome::Stayed)
}

fn judge(observations: &[Observation], beyond: bool) -> Result<Finding> {
    let [plain, asked, small, full, pooled, file] = observations else {
        anyhow::bail!("a kind of memory is missing");
    };
    ensure!(
        !small.is_huge(),
        "a page is huge though MADV_NOHUGEPAGE was told"
    );
    let enabled = text(ENABLED)?;
    let enabled = enabled.split(['[', ']']).nth(1).unwrap_or("?").to_owned();
    let is_claimed =
        |one: &Observation| Verdict::Confirmed.if_else(one.page == CLAIMED, Verdict::Config);
    let huge = |one: &Observation| match one.is_huge() {
        true => is_claimed(one),
        false => Verdict::Refuted,
    };
    let sizes = sizes()?;
    let has_both = [CLAIMED, 1 << 30].iter().all(|size| sizes.contains(size));
    Ok(Finding::new(format!(
        "one store gets {} of anonymous memory, and {} of the pool; paged out: {} and {}",
        size(asked.page),
        size(pooled.page),
        describe(asked.paged_out),
        describe(pooled.paged_out)
    ))
    .statement(
        "Anonymous memory gets a page of 2 MB, which the PMD's entry maps",
        huge(asked),
        format!(
            "{}; smaps counts {} as AnonHugePages; the walk ends at the {}",
            plural(asked.faults, "fault"),
            size(asked.transparent),
            asked.level.name()
        ),
    )
    .statement(
        "A program need not ask for it",
        match plain.is_huge() {
            true => Verdict::Confirmed,
            false => Verdict::Refuted.if_else(enabled == "always", Verdict::Config),
        },
        format!(
            "without advice {}; {ENABLED} is {enabled}",
            size(plain.page)
        ),
    )
    .said_in(&[Document::Memory.section("10, Virtual Memory & Paging")])
    .statement(
        "That is opportunistic: where none can be had, small pages do",
        Verdict::of(!full.is_huge() && full.page < block_size()),
        format!(
            "in a cgroup without room for a huge page the same store gets {}",
            size(full.page)
        ),
    )
    .said_in(&[Document::Walkthrough.section("6, Page tables & huge pages")])
    .statement(
        "hugetlbfs has pages of 2 MB",
        match pooled.is_huge() && file.is_huge() {
            true => is_claimed(pooled),
            false => Verdict::Refuted,
        },
        format!(
            "{} with MAP_HUGETLB, {} in a file",
            size(pooled.page),
            size(file.page)
        ),
    )
    .statement(
        "It has pages of 1 GB, too",
        Verdict::Confirmed.if_else(has_both, Verdict::Config),
        format!(
            "{SIZES} has {}",
            sizes
                .iter()
                .map(|bytes| size(*bytes))
                .collect::<Vec<_>>()
                .join(", ")
        ),
    )
    .statement(
        "They are configured: there are as many as were set aside",
        Verdict::of(beyond),
        match beyond {
            true => "with all in use or promised, a further mapping fails",
            false => "a mapping beyond those set aside was made",
        },
    )
    .statement(
        "They stay in memory",
        Verdict::of(pooled.paged_out != Outcome::Swapped && asked.paged_out == Outcome::Swapped),
        format!(
            "MADV_PAGEOUT of one: {}; of a transparent one: {}",
            describe(pooled.paged_out),
            describe(asked.paged_out)
        ),
    )
    .table(table(observations)))
}

/// The sizes that the pool may have pages of.
fn sizes() -> Result<Vec<u64>> {
    let mut sizes = Vec::new();
    for entry in fs::read_dir(SIZES).context(SIZES)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        let kib = name
            .strip_prefix("hugepages-")
            .and_then(|rest| rest.strip_suffix("kB"));
        if let Some(kib) = kib.and_then(|kib| kib.parse::<u64>().ok()) {
            sizes.push(kib << 10);
        }
    }
    sizes.sort_unstable();
    Ok(sizes)
}

fn size(bytes: u64) -> String {
    match (bytes >> 30, bytes >> 20) {
        (0, 0) => format!("{} KiB", bytes >> 10),
        (0, mib) => format!("{mib} MiB"),
        (gib, _) => format!("{gib} GiB"),
    }
}

fn describe(outcome: Outcome) -> String {
    match outcome {
        Outcome::Swapped => "it goes to swap".to_owned(),
        Outcome::Stayed => "it stays".to_owned(),
        Outcome::Refused(errno) => format!("refused ({errno:?})"),
        Outcome::NotAsked => "–".to_owned(),
    }
}

fn table(observations: &[Observation]) -> Table {
    let mut table = Table::new(
        "One byte is stored (mapwright_inspect, /proc/self/smaps), then the kernel is asked to page it out, to zram",
        [
            "memory",
            "faults",
            "the walk ends at",
            "page",
            "AnonHugePages, KiB",
            "MADV_PAGEOUT",
        ],
    );
    for one in observations {
        table.row([
            one.what.to_owned(),
            one.faults.to_string(),
            one.level.name().to_owned(),
            size(one.page),
            (one.transparent >> 10).to_string(),
            describe(one.paged_out),
        ]);
    }
    table
}
