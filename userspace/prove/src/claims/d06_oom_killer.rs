// SPDX-License-Identifier: MIT OR Apache-2.0

//! D6: the OOM killer, when it comes and whom it kills.

use crate::{
    cgroup::Cgroup,
    glutton::Glutton,
    read::{log::Log, zoneinfo},
    Claim, Document, Finding, Lab, Need, Table, Verdict, Vm,
};
use anyhow::{bail, ensure, Result};
use nix::sys::signal::Signal;
use std::{thread::sleep, time::Duration};

pub const CLAIM: Claim = Claim {
    id: "D6",
    title: "The OOM killer",
    sources: &[
        Document::Memory.section("5, Kernel Source Pointers"),
        Document::Memory.section("6, Interview Prep, Q3"),
        Document::Overview.section("12, Common Memory-Related Issues"),
    ],
    says: "When memory is exhausted, which is when all zones are below their min watermark, the OOM killer selects a process and \
           kills it.",
    needs: &[Need::Seconds(60)],
    vms: &[Vm::Normal],
    prove,
};

/// What the cgroup may use, what the larger process takes, and the steps in which the smaller takes more.
const LIMIT: usize = 32 << 20;
const LARGE: usize = 18 << 20;
const STEP: usize = 1 << 20;
/// A process with this is never chosen: oom_score_adj in proc(5).
const NEVER: i32 = -1000;

fn prove(_: &Lab) -> Result<Finding> {
    let usual = exhaust("no wish", None)?;
    let spared = exhaust("the larger is never to be killed", Some(NEVER))?;
    let mut log = Table::new("What the kernel's log says", ["line"]);
    for line in usual.log.iter().chain(&spared.log) {
        log.row([line.clone()]);
    }
    let largest = usual.first == Victim::Larger;
    let chosen = spared.first == Victim::Asking && !spared.both;
    Ok(Finding::new(format!(
        "at a cgroup's limit of {} MiB {}, with {} pages of the machine free (min: {})",
        LIMIT >> 20,
        match largest {
            true => "the larger process was killed first, not the one that asked for more",
            false => "it was not the larger process that was killed first",
        },
        usual.free,
        usual.min
    ))
    .statement(
        "When memory is exhausted, the kernel kills a process",
        Verdict::of(usual.counted > 0 && usual.first != Victim::Nobody),
        format!("memory.events counts {} and {} killed in the two tries", usual.counted, spared.counted),
    )
    .said_in(&[
        Document::Memory.section("6, Interview Prep, Q3"),
        Document::Reference.section("4, Kernel Memory Leaks"),
        Document::Overview.section("12, Common Memory-Related Issues"),
    ])
    .statement(
        "It comes when all zones are below their min watermark",
        match usual.counted {
            0 => Verdict::NotTestableHere,
            _ => Verdict::of(usual.above == 0),
        },
        format!("before that step {} of {} zones had more than min free", usual.above, usual.zones),
    )
    .said_in(&[
        Document::Memory.section("5, Kernel Source Pointers"),
        Document::Memory.section("6, Interview Prep, Q3"),
    ])
    .statement(
        "It selects its victim",
        Verdict::of(largest && chosen),
        format!(
            "with {} MiB and {} MiB {}; where the larger has oom_score_adj {NEVER}, {}",
            LARGE >> 20,
            usual.taken >> 20,
            usual.describe(),
            spared.describe()
        ),
    )
    .said_in(&[Document::Memory.section("5, Kernel Source Pointers")])
    .table(table(&[&usual, &spared]))
    .table(log)
    .instead(
        "A memory cgroup that has reached its memory.max, and from which nothing can be reclaimed, is enough: a process of \
         it is killed while the machine has memory. In the whole machine it is the last resort after direct reclaim and \
         compaction. Whoever has most memory and swap, with what oom_score_adj adds, is chosen; and somebody else, too, if \
         that is not enough or not soon enough.",
    ))
}

/// Two processes of a cgroup, of which one takes more until somebody is killed.
struct Exhausted {
    wish: &'static str,
    /// Who was killed first.
    first: Victim,
    /// Whether both were: before the first had given its memory back, there was a second victim.
    both: bool,
    /// Bytes that the one that asked had then.
    taken: usize,
    /// Kills that memory.events counts.
    counted: u64,
    /// Free pages of the machine before that step, the sum of its min watermarks, zones with more than min, and all.
    free: u64,
    min: u64,
    above: usize,
    zones: usize,
    log: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Victim {
    Larger,
    Asking,
    Nobody,
}

impl Exhausted {
    fn describe(&self) -> String {
        let first = match self.first {
            Victim::Larger => "the larger one is killed",
            Victim::Asking => "the one that asks for more is killed",
            Victim::Nobody => "none is killed",
        };
        let both = if self.both { ", then the other" } else { "" };
        format!("{first}{both}")
    }
}

fn exhaust(wish: &'static str, score: Option<i32>) -> Result<Exhausted> {
    let cgroup = Cgroup::new()?;
    cgroup.limit(LIMIT as u64)?;
    cgroup.forbid_swap()?;
    let (large, asking) = (Glutton::start()?, Glutton::start()?);
    for glutton in [&large, &asking] {
        cgroup.add(glutton.pid())?;
        // What this process has for itself does not count for its children.
        glutton.adjust(0)?;
    }
    if let Some(score) = score {
        large.adjust(score)?;
    }
    let mut log = Log::from_now()?;
    ensure!(
        large.take(LARGE)?,
        "the larger process did not get its memory"
    );
    let mut free = zoneinfo::read()?;
    while large.killed()?.is_none() && asking.taken() < 2 * LIMIT {
        free = zoneinfo::read()?;
        if !asking.take(STEP)? {
            break;
        }
    }
    // Its end may be seen a moment after the memory is given back.
    for _ in 0..200 {
        if large.killed()?.is_some() || asking.killed()?.is_some() {
            break;
        }
        sleep(Duration::from_millis(10));
    }
    let has_more = |zone: &&zoneinfo::Zone| zone.free() > zone.counter("min");
    let lines = log.read()?.into_iter().filter(|line| is_told(line));
    let lines: Vec<String> = lines.collect();
    let killed = [large.killed()?, asking.killed()?];
    ensure!(
        killed
            .iter()
            .flatten()
            .all(|signal| *signal == Signal::SIGKILL),
        "a process ended by another signal than the OOM killer's: {killed:?}"
    );
    let is_first =
        |glutton: &Glutton| lines.iter().find_map(|line| victim(line)) == Some(glutton.pid());
    let first = match killed {
        [None, None] => Victim::Nobody,
        _ if is_first(&large) => Victim::Larger,
        _ if is_first(&asking) => Victim::Asking,
        _ => bail!("the log does not tell who was killed first: {lines:?}"),
    };
    Ok(Exhausted {
        wish,
        first,
        both: killed.iter().all(Option::is_some),
        taken: asking.taken(),
        counted: cgroup.events("oom_kill")?,
        free: free.iter().map(zoneinfo::Zone::free).sum(),
        min: free.iter().map(|zone| zone.counter("min")).sum(),
        above: free.iter().filter(has_more).count(),
        zones: free.len(),
        log: lines,
    })
}

/// `… Killed process 150 (mapwright) total-vm:…`
fn victim(line: &str) -> Option<u32> {
    let (_, rest) = line.split_once("Killed process ")?;
    rest.split_whitespace().next()?.parse().ok()
}

/// Of the many lines of the log those that tell who asked and who was killed.
fn is_told(line: &str) -> bool {
    line.contains("invoked oom-killer") || line.contains("Killed process")
}

fn table(all: &[&Exhausted]) -> Table {
    let mut table = Table::new(
        format!(
            "Two processes in a cgroup with memory.max {} MiB: one has {} MiB, the other takes more, {} MiB at a time",
            LIMIT >> 20,
            LARGE >> 20,
            STEP >> 20
        ),
        [
            "wish (oom_score_adj)",
            "the one that asks had, MiB",
            "killed",
            "free pages of the machine then",
            "sum of min",
        ],
    );
    for one in all {
        table.row([
            one.wish.to_owned(),
            (one.taken >> 20).to_string(),
            one.describe(),
            one.free.to_string(),
            one.min.to_string(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_tells_who_was_killed() {
        let line =
            "Memory cgroup out of memory: Killed process 150 (mapwright) total-vm:32432kB, UID:0";
        assert_eq!(victim(line), Some(150));
        assert_eq!(victim("mapwright invoked oom-killer: order=0"), None);
    }
}
