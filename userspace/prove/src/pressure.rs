// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory is used up, step by step, and what the kernel does about it is seen.

use crate::{
    anonymous::Anonymous,
    filler::Filler,
    not_testable,
    pin::only,
    read::{
        text,
        trace::{self, Event, MARK},
        zoneinfo::{self, Zone},
    },
};
use anyhow::{ensure, Context as _, Result};
use nix::{
    errno::Errno,
    sched::{sched_getaffinity, sched_setaffinity, CpuSet},
    sys::mman::MmapAdvise,
    unistd::Pid,
};
use std::{
    fs,
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// Memory that the kernel may take back at any time, so that reclaim has something to find.
const RECLAIMABLE: usize = 96 << 20;
/// Memory is used up in large pieces while more than this is free above the watermarks.
const COARSE: u64 = 16 << 20;
/// What each try may use up: the rest is used up once for all.
const OF_A_TRY: u64 = RECLAIMABLE as u64 + 2 * COARSE;
/// Pages of a step.
const STEP_PAGES: usize = 64;
/// What is used up in steps, at most: less than is free and can be reclaimed, or the OOM killer came.
const MOST: usize = RECLAIMABLE;
/// Others may wake kswapd first: how often it is tried.
const TRIES: usize = 4;

/// What was seen: the zones at the begin of each step, and the first step in which something happened.
pub struct History {
    /// Zones before each step; the last entry is after the last.
    pub steps: Vec<Vec<Zone>>,
    /// The first step in which kswapd was woken.
    pub woken: Option<usize>,
    /// The first step in which this thread had to reclaim memory itself.
    pub reclaimed: Option<usize>,
}

/// The event of a thread that finds too little memory free, and wakes kswapd.
const WAKE: &str = "mm_vmscan_wakeup_kswapd";
/// The event of a thread that begins to reclaim memory itself.
pub const RECLAIM: &str = "mm_vmscan_direct_reclaim_begin";

/// Memory that is used up bit by bit.
pub struct Squeeze<'a> {
    memory: &'a Anonymous,
    /// Where the next step begins.
    next: usize,
    /// Where it ends: no more than that can be reclaimed for it.
    end: usize,
}

impl Squeeze<'_> {
    /// Uses up more, until this thread has to reclaim some again: what was free, and what others have
    /// reclaimed meanwhile, is gone then.
    pub fn until_reclaim(&mut self) -> Result<()> {
        let step = STEP_PAGES * usize::try_from(mapwright::page_size())?;
        let reclaims = direct_reclaims()?;
        while direct_reclaims()? == reclaims {
            if self.next + step > self.end {
                return not_testable("others reclaim memory faster than it is used up here");
            }
            self.memory.touch(self.next..self.next + step)?;
            self.next += step;
        }
        Ok(())
    }
}

/// Fails where a program would use up high memory first, and then the kernel has none for itself at once
/// instead of less and less; and where some of what is free is only for programs.
pub fn expect_plain_zones(zones: &[Zone]) -> Result<()> {
    if zones.iter().any(|zone| zone.name == "HighMem") {
        return not_testable(
            "a program fills high memory first, so that the pressure which it makes is not that of the text",
        );
    }
    if zones.iter().any(|zone| zone.counter("nr_free_cma") > 0) {
        return not_testable(
            "memory is set aside for devices (CMA), which counts as free, though the kernel itself cannot use it: \
             boot with cma=0",
        );
    }
    Ok(())
}

/// Uses up memory until this thread has to reclaim some, and then does `then`. kswapd is woken, but hardly
/// gets to run, so that it does not undo what is measured.
pub fn apply<T>(then: impl Fn(&mut Squeeze<'_>) -> Result<T>) -> Result<(History, T)> {
    expect_plain_zones(&zoneinfo::read()?)?;
    let _short = ShortLists::new()?;
    let _most = Filler::leave(OF_A_TRY)?;
    for _ in 0..TRIES {
        if let (history, Some(done)) = attempt(&then)? {
            return Ok((history, done));
        }
    }
    not_testable(format!(
        "memory was used up, but others woke kswapd first, in {TRIES} tries"
    ))
}

/// The same, but `then` is only done if this thread woke kswapd and had to reclaim.
fn attempt<T>(then: impl Fn(&mut Squeeze<'_>) -> Result<T>) -> Result<(History, Option<T>)> {
    let reclaimable = Anonymous::new(RECLAIMABLE)?;
    reclaimable.advise(MmapAdvise::MADV_NOHUGEPAGE)?;
    reclaimable.populate(0..RECLAIMABLE)?;
    reclaimable.advise(MmapAdvise::MADV_FREE)?;
    let _filler = Filler::leave(COARSE)?;
    until_kswapd_sleeps()?;
    let _starved = Starved::new()?;

    let page = usize::try_from(mapwright::page_size())?;
    let memory = Anonymous::new(MOST)?;
    memory.advise(MmapAdvise::MADV_NOHUGEPAGE)?;
    let events = [
        "vmscan:mm_vmscan_wakeup_kswapd",
        "vmscan:mm_vmscan_direct_reclaim_begin",
    ];
    let (steps, events) = trace::record(&events, |buffer| {
        let mut steps = vec![zoneinfo::read()?];
        let reclaims = direct_reclaims()?;
        for begin in (0..memory.len()).step_by(STEP_PAGES * page) {
            buffer.mark(steps.len() - 1)?;
            memory.touch(begin..begin + STEP_PAGES * page)?;
            steps.push(zoneinfo::read()?);
            if direct_reclaims()? > reclaims {
                break;
            }
        }
        Ok(steps)
    })?;
    let history = History {
        woken: first(&events, WAKE)?,
        reclaimed: first(&events, RECLAIM)?,
        steps,
    };
    let next = (history.steps.len() - 1) * STEP_PAGES * page;
    let mut squeeze = Squeeze {
        memory: &memory,
        next,
        end: memory.len().min(next + RECLAIMABLE / 2),
    };
    let done = match (history.woken, history.reclaimed) {
        (Some(_), Some(_)) => Some(then(&mut squeeze)?),
        _ => None,
    };
    Ok((history, done))
}

/// Waits until kswapd sleeps: the larger pieces may have woken it.
fn until_kswapd_sleeps() -> Result<()> {
    let runs = || -> Result<i64> {
        let counters = procfs::vmstat().context("reading /proc/vmstat")?;
        let scanned = counters
            .iter()
            .filter(|(name, _)| name.starts_with("pgscan_kswapd"));
        Ok(counters.get("pageoutrun").unwrap_or(&0) + scanned.map(|(_, count)| count).sum::<i64>())
    };
    let mut before = runs()?;
    for _ in 0..20 {
        // It naps for 100 ms before it really sleeps.
        thread::sleep(Duration::from_millis(300));
        let now = runs()?;
        if now == before {
            return Ok(());
        }
        before = now;
    }
    not_testable("kswapd does not come to rest on this machine")
}

/// How often a thread had to reclaim memory itself, since boot.
fn direct_reclaims() -> Result<i64> {
    let counters = procfs::vmstat().context("reading /proc/vmstat")?;
    let stalls = counters
        .iter()
        .filter(|(name, _)| name.starts_with("allocstall"));
    Ok(stalls.map(|(_, count)| count).sum())
}

/// The step in which an event of this name was first seen.
fn first(events: &[Event], name: &str) -> Result<Option<usize>> {
    let mut step = 0;
    for event in events {
        if event.name == MARK {
            step = usize::try_from(event.number("number")?)?;
        } else if event.name == name {
            return Ok(Some(step));
        }
    }
    Ok(None)
}

/// Each processor keeps a list of free pages, which the counters of zones do not know of. While this
/// lives, these lists are short.
struct ShortLists(String);

const LISTS: &str = "/proc/sys/vm/percpu_pagelist_high_fraction";

impl ShortLists {
    fn new() -> Result<Self> {
        let before = text(LISTS)?;
        // A part of the zone so small that the kernel takes the least it has.
        fs::write(LISTS, "1000000").with_context(|| format!("writing {LISTS}"))?;
        Ok(Self(before.trim().to_owned()))
    }
}

impl Drop for ShortLists {
    fn drop(&mut self) {
        let _ = fs::write(LISTS, &self.0);
    }
}

/// kswapd on a processor that is busy, where it only runs if nothing else does (SCHED_IDLE), and this thread on
/// another one. Undone when dropped.
///
/// A busy thread of real-time priority would keep kswapd off, too, but on a real-time kernel also the kernel's own
/// threads that each processor has, which others wait for.
struct Starved {
    kswapds: Vec<(Pid, CpuSet)>,
    this: CpuSet,
    stop: Arc<AtomicBool>,
    spinner: Option<JoinHandle<()>>,
}

const THIS: Pid = Pid::from_raw(0);

impl Starved {
    fn new() -> Result<Self> {
        let this = sched_getaffinity(THIS)?;
        let cpus: Vec<usize> = (0..CpuSet::count())
            .filter(|cpu| this.is_set(*cpu) == Ok(true))
            .collect();
        let [mine, theirs, ..] = cpus[..] else {
            return not_testable("it needs two processors");
        };
        let stop = Arc::new(AtomicBool::new(false));
        let mut starved = Self {
            kswapds: Vec::new(),
            this,
            stop: Arc::clone(&stop),
            spinner: Some(thread::spawn(move || spin(theirs, &stop))),
        };
        sched_setaffinity(THIS, &only(mine)?)?;
        for process in procfs::process::all_processes()? {
            let Ok(stat) = process.and_then(|process| process.stat()) else {
                continue;
            };
            if stat.comm.starts_with("kswapd") {
                let pid = Pid::from_raw(stat.pid);
                starved.kswapds.push((pid, sched_getaffinity(pid)?));
                sched_setaffinity(pid, &only(theirs)?)?;
                set_policy(pid, nix::libc::SCHED_IDLE).context("making kswapd SCHED_IDLE")?;
            }
        }
        ensure!(!starved.kswapds.is_empty(), "there is no process kswapd");
        Ok(starved)
    }
}

impl Drop for Starved {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(spinner) = self.spinner.take() {
            let _ = spinner.join();
        }
        for (pid, cpus) in &self.kswapds {
            let _ = set_policy(*pid, nix::libc::SCHED_OTHER);
            let _ = sched_setaffinity(*pid, cpus);
        }
        let _ = sched_setaffinity(THIS, &self.this);
    }
}

/// Keeps a processor busy.
fn spin(cpu: usize, stop: &AtomicBool) {
    if only(cpu).is_ok_and(|set| sched_setaffinity(THIS, &set).is_ok()) {
        while !stop.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
    }
}

/// Sets the scheduling policy of a thread, which is none of those with a priority.
fn set_policy(thread: Pid, policy: i32) -> Result<()> {
    let none = nix::libc::sched_param { sched_priority: 0 };
    // SAFETY: The parameter lives during the call.
    let result = unsafe { nix::libc::sched_setscheduler(thread.as_raw(), policy, &none) };
    Errno::result(result)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_in_the_step_of_the_mark_before_it() {
        let event = |name: &str, text: &str| Event::new(name, text);
        let events = [
            event(MARK, "number=0"),
            event(MARK, "number=1"),
            event(WAKE, "nid=0"),
            event(MARK, "number=2"),
            event(WAKE, "nid=0"),
        ];
        assert_eq!(first(&events, WAKE).unwrap(), Some(1));
        assert_eq!(first(&events, RECLAIM).unwrap(), None);
    }
}
