// SPDX-License-Identifier: MIT OR Apache-2.0

//! D4: anonymous pages go to swap, and come back.

use crate::{
    anonymous::Anonymous,
    cgroup::Cgroup,
    filler::Filler,
    finding::plural,
    not_testable,
    pin::Pinned,
    swap::{Swap, SwapFile},
    Claim, Document, Finding, Lab, Need, Table, Verdict, Vm,
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{page_bytes, page_faults, pagemap, PagemapEntry};
use nix::sys::mman::MmapAdvise;
use std::{
    collections::{BTreeSet, HashMap},
    thread::sleep,
    time::Duration,
};

pub const CLAIM: Claim = Claim {
    id: "D4",
    title: "Swap",
    sources: &[
        Document::Walkthrough.section("7, File cache & writeback"),
        Document::Reference.section("C, malloc()"),
        Document::Overview.section("8, Page Replacement & Swapping"),
    ],
    says: "When memory runs low, kswapd evicts anonymous pages in the background: they are written to swap, and a touch brings \
           them back by a major fault. vmstat counts both.",
    needs: &[Need::Arch(&["x86_64", "aarch64"]), Need::Seconds(60)],
    vms: &[Vm::Normal],
    prove,
};

/// Pages that the kernel is told to page out.
const PAGES: usize = 512;
/// Pages that nobody uses while memory runs low.
const IDLE: usize = 2048;
/// Bytes of swap on zram, and in a file.
const ON_ZRAM: u64 = 256 << 20;
const IN_FILE: usize = 8 << 20;
/// Memory is used up quickly until this much is left, then in steps.
const SPARE: u64 = 16 << 20;
const STEP: usize = 1 << 20;
/// Steps after which something must have happened.
const MOST_STEPS: usize = 192;
/// Enough pages of the idle ones in swap.
const ENOUGH: usize = 32;

fn prove(_: &Lab) -> Result<Finding> {
    let mut rounds = Vec::new();
    let short = {
        let swap = Swap::zram(ON_ZRAM)?;
        rounds.push(round("zram", &swap)?);
        run_low()?
    };
    if let Some(file) = SwapFile::new(IN_FILE)? {
        rounds.push(round("a file", &file.swap)?);
    }
    judge(&rounds, &short)
}

/// Pages that went to swap because the kernel was told to page them out, and came back.
struct Round {
    swap: &'static str,
    /// Those in swap then, in how many different places of how many devices.
    swapped: usize,
    places: usize,
    devices: usize,
    /// Bytes of the swap in use, beyond those before.
    used: u64,
    /// When they were touched.
    minor: u64,
    major: u64,
    back: usize,
    /// What vmstat counted meanwhile.
    out: u64,
    into: u64,
}

fn round(what: &'static str, swap: &Swap) -> Result<Round> {
    let _pinned = Pinned::to(0)?;
    mapwright::settle();
    let cgroup = Cgroup::enter()?;
    let memory = filled(PAGES)?;
    let (used, counted) = (swap.used()?, Counters::read()?);
    for _ in 0..3 {
        memory.advise(MmapAdvise::MADV_PAGEOUT)?;
        // What was written stays in memory, too, until that is reclaimed.
        cgroup.reclaim(cgroup.charged()?)?;
    }
    let entries = places(&memory)?;
    let used = swap.used()?.saturating_sub(used);
    let (minor, major) = page_faults()?;
    check(&memory)?;
    let (minor_now, major_now) = page_faults()?;
    let counted = Counters::read()?.since(&counted);
    let devices: BTreeSet<u64> = entries.iter().map(|(device, _)| *device).collect();
    Ok(Round {
        swap: what,
        swapped: entries.len(),
        places: entries.iter().collect::<BTreeSet<_>>().len(),
        devices: devices.len(),
        used,
        minor: minor_now - minor,
        major: major_now - major,
        back: PAGES - places(&memory)?.len(),
        out: counted.get("pswpout"),
        into: counted.get("pswpin"),
    })
}

/// Anonymous memory, each page with a word of its own. What is full of zeros needs no swap.
fn filled(pages: usize) -> Result<Anonymous> {
    let memory = Anonymous::small(pages * page_bytes())?;
    for number in 0..pages {
        memory.store(number * page_bytes(), word(number))?;
        memory.store(number * page_bytes() + 1, 0xa5)?;
    }
    Ok(memory)
}

fn word(number: usize) -> u8 {
    (number % 251) as u8
}

/// Touches each page, which must have its word.
fn check(memory: &Anonymous) -> Result<()> {
    for number in 0..memory.len() / page_bytes() {
        let value = memory.load(number * page_bytes())?;
        ensure!(
            value == word(number),
            "page {number} has {value} instead of {}",
            word(number)
        );
    }
    Ok(())
}

/// Where pages of it are in swap.
fn places(memory: &Anonymous) -> Result<Vec<(u64, u64)>> {
    let entries = pagemap(memory.addr(), memory.len() / page_bytes())?;
    let place = |entry: PagemapEntry| match entry {
        PagemapEntry::Swap(device, offset) => Some((device, offset)),
        _ => None,
    };
    Ok(entries.into_iter().filter_map(place).collect())
}

/// Counters of `/proc/vmstat`.
struct Counters(HashMap<String, i64>);

impl Counters {
    fn read() -> Result<Self> {
        Ok(Self(procfs::vmstat().context("reading /proc/vmstat")?))
    }

    /// How much each has grown.
    fn since(&self, before: &Self) -> Self {
        let grown = self.0.iter().map(|(name, count)| {
            let before = before.0.get(name).unwrap_or(&0);
            (name.clone(), count - before)
        });
        Self(grown.collect())
    }

    fn get(&self, name: &str) -> u64 {
        u64::try_from(self.0.get(name).copied().unwrap_or(0)).unwrap_or(0)
    }
}

/// What happened while memory ran low.
struct Short {
    /// Pages of the idle ones that went to swap.
    evicted: usize,
    counted: Counters,
}

/// Uses up memory, step by step, with time for kswapd between, until enough of the idle pages are in swap.
fn run_low() -> Result<Short> {
    let idle = filled(IDLE)?;
    let _most = Filler::leave(SPARE)?;
    let before = Counters::read()?;
    let memory = Anonymous::small(MOST_STEPS * STEP)?;
    let mut evicted = 0;
    for step in 0..MOST_STEPS {
        memory.populate(step * STEP..(step + 1) * STEP)?;
        sleep(Duration::from_millis(2));
        let written = Counters::read()?.since(&before).get("pswpout");
        // To look at each page takes longer.
        if written < ENOUGH as u64 {
            continue;
        }
        evicted = places(&idle)?.len();
        if evicted >= ENOUGH {
            break;
        }
    }
    let counted = Counters::read()?.since(&before);
    if counted.get("pgscan_kswapd") + counted.get("pgscan_direct") == 0 {
        return not_testable("memory was used up, and nobody had to reclaim any");
    }
    drop(memory);
    check(&idle)?;
    Ok(Short { evicted, counted })
}

fn judge(rounds: &[Round], short: &Short) -> Result<Finding> {
    let zram = rounds.first().context("no swap was tried")?;
    let all = |test: fn(&Round) -> bool| rounds.iter().all(test);
    let background = short.counted.get("pgsteal_kswapd");
    let direct = short.counted.get("pgsteal_direct");
    let written = short.counted.get("pswpout");
    let finding = Finding::new(format!(
        "{} of {IDLE} idle pages were evicted when memory ran low; kswapd reclaimed {background} pages, who allocated \
         {direct}",
        short.evicted
    ))
    .statement(
        "When memory runs low, anonymous pages are written to swap",
        Verdict::of(short.evicted > 0 && written > 0),
        format!("{} idle pages are in swap, {written} pages were written there in all", short.evicted),
    )
    .statement(
        "kswapd does that, in the background",
        Verdict::of(background > 0),
        format!(
            "it scanned {} pages and reclaimed {background}; who had to allocate scanned {} and reclaimed {direct}",
            short.counted.get("pgscan_kswapd"),
            short.counted.get("pgscan_direct")
        ),
    )
    .said_in(&[Document::Overview.section("8, Page Replacement & Swapping")])
    .statement(
        "The page is on the swap device, and no longer mapped",
        Verdict::of(all(|round| round.swapped * 10 >= PAGES * 9 && round.places == round.swapped)),
        format!(
            "of {PAGES} pages {} have an entry that tells a place of their own on {}",
            zram.swapped,
            plural(zram.devices, "device")
        ),
    )
    .said_in(&[
        Document::Walkthrough.section("7, File cache & writeback"),
        Document::Overview.section("8, Page Replacement & Swapping"),
    ])
    .statement(
        "A touch is a major fault, which brings it back",
        Verdict::of(all(|round| round.major > 0 && round.back == PAGES)),
        rounds
            .iter()
            .map(|round| format!("{}: {}, {} minor, all as they were", round.swap, plural(round.major, "major fault"), round.minor))
            .collect::<Vec<_>>()
            .join("; "),
    )
    .said_in(&[
        Document::Walkthrough.section("5, User mappings"),
        Document::Walkthrough.section("7, File cache & writeback"),
        Document::Reference.section("3, Pages & Page Tables"),
    ])
    .statement(
        "vmstat counts pages that are swapped out and in",
        Verdict::of(all(|round| round.out >= round.swapped as u64 && round.into >= round.swapped as u64)),
        format!("pswpout {} and pswpin {} for {} pages", zram.out, zram.into, zram.swapped),
    )
    .said_in(&[Document::Overview.section("8, Page Replacement & Swapping")])
    .table(table(rounds))
    .table(counters(short));
    Ok(finding.instead(
        "Not each page that comes back costs a major fault: from a disk or a file the kernel reads neighbours, too \
         (vm.page-cluster), whose faults are minor. Pages that are all zeros are not written at all.",
    ))
}

fn table(rounds: &[Round]) -> Table {
    let mut table = Table::new(
        format!("{PAGES} anonymous pages that the kernel is told to page out (/proc/self/pagemap, /proc/swaps, getrusage())"),
        [
            "swap on",
            "entries that tell a place in swap",
            "KiB of swap in use",
            "major faults when touched",
            "minor faults",
            "in memory then",
        ],
    );
    for round in rounds {
        table.row([
            round.swap.to_owned(),
            round.swapped.to_string(),
            (round.used >> 10).to_string(),
            round.major.to_string(),
            round.minor.to_string(),
            round.back.to_string(),
        ]);
    }
    table
}

fn counters(short: &Short) -> Table {
    let mut table = Table::new(
        "Counters of /proc/vmstat while memory is used up",
        ["counter", "pages"],
    );
    for name in [
        "pgscan_kswapd",
        "pgsteal_kswapd",
        "pgscan_direct",
        "pgsteal_direct",
        "pgsteal_anon",
        "pswpout",
        "swpout_zero",
        "pswpin",
    ] {
        table.row([name.to_owned(), short.counted.get(name).to_string()]);
    }
    table
}
