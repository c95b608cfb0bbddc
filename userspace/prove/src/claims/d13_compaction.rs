// SPDX-License-Identifier: MIT OR Apache-2.0

//! D13: compaction, what stops it, and khugepaged.

use crate::{
    anonymous::Anonymous, filler, finding::plural, fragments::Fragments, not_testable,
    read::free_lists, setting::Setting, Claim, Document, Finding, Lab, Need, Source, Table,
    Verdict, Vm,
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{block_bytes, block_size, page_size};
use std::{
    fs, thread,
    time::{Duration, Instant},
};

pub const CLAIM: Claim = Claim {
    id: "D13",
    title: "Compaction and khugepaged",
    sources: &[
        Document::Memory.section("3, Buddy Allocator Split & Coalesce"),
        Document::Memory.section("5, Kernel Source Pointers"),
        Document::Memory.section("6, Interview Prep, Q4"),
        Document::Memory.section("10, Virtual Memory & Paging"),
        Document::Memory.section("12, Kernel Source Pointers"),
    ],
    says: "Compaction moves MOVABLE pages together, so that large blocks become free for huge pages; a single pinned page \
           ruins a range of 2 MB. khugepaged makes a huge page of 512 small ones by itself, and the program need not \
           change.",
    needs: &[
        Need::Arch(&["x86_64", "aarch64"]),
        Need::File("/proc/sys/vm/compact_memory", "CONFIG_COMPACTION"),
        Need::File(ENABLED, "CONFIG_TRANSPARENT_HUGEPAGE"),
        Need::Seconds(60),
    ],
    vms: &[Vm::Normal, Vm::Arm64],
    prove,
};

/// Where the documents say what compaction does.
const MOVED_TOGETHER: &[Source] = &[
    Document::Memory.section("3, Buddy Allocator Split & Coalesce"),
    Document::Memory.section("5, Kernel Source Pointers"),
    Document::Memory.section("6, Interview Prep, Q4"),
];
const ENABLED: &str = "/sys/kernel/mm/transparent_hugepage/enabled";
const SLEEP: &str = "/sys/kernel/mm/transparent_hugepage/khugepaged/scan_sleep_millisecs";
const SCAN: &str = "/sys/kernel/mm/transparent_hugepage/khugepaged/pages_to_scan";
/// Bytes in which two of three pages are freed: much more than others have of movable pages, which move into the holes,
/// too.
const PERFORATED: usize = 256 << 20;
/// Huge pages that khugepaged is to make, and how long it may take.
const HUGE: usize = 2;
const PATIENCE: Duration = Duration::from_secs(20);

/// What compaction did.
struct Compacted {
    what: &'static str,
    /// Of our pages, those that can be moved and those that are pinned.
    pages: usize,
    pinned: usize,
    /// How many of them were elsewhere after it.
    moved: usize,
    pinned_moved: usize,
    /// Blocks of memory of the size of a huge page with a page of ours in them, before and after.
    used: (usize, usize),
    /// Blocks that are free in whole.
    free: (u64, u64),
}

fn prove(_: &Lab) -> Result<Finding> {
    let available = filler::available()?;
    if available < 3 * perforated() as u64 / 2 {
        return not_testable(format!(
            "it takes {} MiB of free memory, and there are {}",
            (3 * perforated() / 2) >> 20,
            available >> 20
        ));
    }
    let movable = compact("pages of a program", false)?;
    let pinned = compact("the same, with one page pinned in each block", true)?;
    let collapsed = khugepaged()?;

    let mut table = Table::new(
        format!(
            "{} MiB, of which two of three pages were freed, before and after compact_memory (blocks of {} KiB)",
            perforated() >> 20,
            block_size() >> 10
        ),
        ["memory", "pages", "moved", "pinned pages", "moved", "blocks with a page of it", "free blocks"],
    );
    for compacted in [&movable, &pinned] {
        table.row([
            compacted.what.into(),
            compacted.pages.to_string(),
            compacted.moved.to_string(),
            compacted.pinned.to_string(),
            compacted.pinned_moved.to_string(),
            format!("{} → {}", compacted.used.0, compacted.used.1),
            format!("{} → {}", compacted.free.0, compacted.free.1),
        ]);
    }
    let gain = |compacted: &Compacted| compacted.free.1 as i64 - compacted.free.0 as i64;
    let emptied = movable.used.0.saturating_sub(movable.used.1);
    let ruined = pinned.pinned_moved == 0 && gain(&pinned) < gain(&movable);
    Ok(Finding::new(format!(
        "{:+} free blocks of {} MiB by compaction, {:+} with a pinned page in each block",
        gain(&movable),
        block_size() >> 20,
        gain(&pinned)
    ))
    .statement(
        "Compaction moves pages together",
        Verdict::of(movable.moved > 0 && emptied > 0),
        format!(
            "{} of {} pages moved; they were in {} and then in {}",
            movable.moved,
            movable.pages,
            plural(movable.used.0, "block"),
            movable.used.1
        ),
    )
    .said_in(MOVED_TOGETHER)
    .statement(
        "That makes large blocks free",
        Verdict::of(gain(&movable) > 0),
        format!("{} free blocks before, {} after", movable.free.0, movable.free.1),
    )
    .said_in(MOVED_TOGETHER)
    .statement(
        "One pinned page ruins a block for a huge page",
        Verdict::of(ruined && emptied > 0),
        format!(
            "{} of {} moved; compaction gained {:+} free blocks, and {:+} where nothing was pinned",
            pinned.pinned_moved,
            plural(pinned.pinned, "pinned page"),
            gain(&pinned),
            gain(&movable)
        ),
    )
    .said_in(&[Document::Memory.section("6, Interview Prep, Q4")])
    .statement(
        "khugepaged makes huge pages of small ones, without the program",
        Verdict::of(collapsed.before == 0 && collapsed.after > 0),
        format!(
            "AnonHugePages went from {} to {} KiB of {} in {:.1} s",
            collapsed.before >> 10,
            collapsed.after >> 10,
            collapsed.of >> 10,
            collapsed.time.as_secs_f64()
        ),
    )
    .said_in(&[
        Document::Memory.section("10, Virtual Memory & Paging"),
        Document::Memory.section("12, Kernel Source Pointers"),
    ])
    .table(table)
    .table(collapsed.table())
    .instead(
        "khugepaged need not find 512 frames in a row: it takes a free block and copies the pages there. It looks at 4096 pages \
         and then sleeps for 10 s; here it was told to hurry.",
    ))
}

/// So much that some blocks are in it.
fn perforated() -> usize {
    PERFORATED.max(8 * block_bytes())
}

/// Fragments memory, perhaps pins a page in each block, and has the kernel compact.
fn compact(what: &'static str, pin: bool) -> Result<Compacted> {
    let fragments = Fragments::new(perforated(), pin)?;
    let before = fragments.frames()?;
    let free = free_blocks()?;
    fs::write("/proc/sys/vm/compact_memory", "1").context("writing compact_memory")?;
    let after = fragments.frames()?;
    let now_free = free_blocks()?;
    let moved = |pinned: bool| {
        let pairs = before.iter().zip(&after);
        pairs
            .filter(|(then, now)| then.pinned == pinned && then.pfn != now.pfn)
            .count()
    };
    let pinned = before.iter().filter(|frame| frame.pinned).count();
    ensure!(pinned > 0 || !pin, "no page could be pinned");
    Ok(Compacted {
        what,
        pages: before.len() - pinned,
        pinned,
        moved: moved(false),
        pinned_moved: moved(true),
        used: (Fragments::blocks(&before), Fragments::blocks(&after)),
        free: (free, now_free),
    })
}

/// Free blocks that are large enough for a huge page; a larger one is several.
fn free_blocks() -> Result<u64> {
    let order = (block_size() / page_size()).trailing_zeros() as usize;
    let blocks = free_lists::read()?.into_iter().map(|lists| {
        let large = lists.blocks.iter().enumerate().skip(order);
        large.map(|(at, count)| count << (at - order)).sum::<u64>()
    });
    Ok(blocks.sum())
}

/// What khugepaged made of small pages.
struct Made {
    of: u64,
    before: u64,
    after: u64,
    collapsed: i64,
    time: Duration,
}

impl Made {
    fn table(&self) -> Table {
        let mut table = Table::new(
            "Memory that was touched page by page, and then left alone",
            [
                "KiB",
                "AnonHugePages at first",
                "and then",
                "after",
                "blocks collapsed (thp_collapse_alloc)",
            ],
        );
        table.row([
            (self.of >> 10).to_string(),
            (self.before >> 10).to_string(),
            (self.after >> 10).to_string(),
            format!("{:.1} s", self.time.as_secs_f64()),
            self.collapsed.to_string(),
        ]);
        table
    }
}

/// Touches memory while the kernel makes no huge pages, and waits for khugepaged.
fn khugepaged() -> Result<Made> {
    let _hurry = [Setting::to(SLEEP, "10")?, Setting::to(SCAN, "65536")?];
    let enabled = Setting::to(ENABLED, "always")?;
    // The kernel notes a process for khugepaged when it maps something.
    let memory = Anonymous::new((HUGE + 1) * block_bytes())?;
    enabled.set("never")?;
    memory.touch(0..memory.len())?;
    let collapsed = collapses()?;
    let before = huge_of(&memory)?;
    enabled.set("always")?;
    // It may have looked at the process already, found nothing to do, and forgotten it until it maps something again.
    let _more = Anonymous::new(2 * block_bytes())?;
    let begun = Instant::now();
    let mut after = huge_of(&memory)?;
    while after < (HUGE * block_bytes()) as u64 && begun.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(20));
        after = huge_of(&memory)?;
    }
    Ok(Made {
        of: memory.len() as u64,
        before,
        after,
        collapsed: collapses()? - collapsed,
        time: begun.elapsed(),
    })
}

fn collapses() -> Result<i64> {
    let counters = procfs::vmstat().context("reading /proc/vmstat")?;
    Ok(counters.get("thp_collapse_alloc").copied().unwrap_or(0))
}

/// Bytes of memory that huge pages map.
fn huge_of(memory: &Anonymous) -> Result<u64> {
    let maps = procfs::process::Process::myself()?
        .smaps()
        .context("reading /proc/self/smaps")?;
    let address = memory.addr() as u64;
    let map = maps
        .iter()
        .find(|map| map.address.0 <= address && address < map.address.1)
        .context("a mapping is not in /proc/self/smaps")?;
    Ok(map.extension.map.get("AnonHugePages").copied().unwrap_or(0))
}
