// SPDX-License-Identifier: MIT OR Apache-2.0
//! Several guests at the same time, as most of a run is one emulated processor's work.

use super::guest::{self, Ran, Run};
use anyhow::{anyhow, Result};
use ktap::Totals;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Memory that a guest of the tests takes with its emulator, at most, in MiB.
const GUEST_MIB: u64 = 3072;
/// Guests that run at the same time, at most: more slow each other down on most computers.
const MOST: usize = 4;

/// How many guests this computer runs well at the same time: one more than it has processors, as a guest waits for a fifth of
/// its time.
pub fn default_jobs() -> usize {
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    let mib = nix::sys::sysinfo::sysinfo().map_or(0, |info| info.ram_total() >> 20);
    let fit = usize::try_from(mib / GUEST_MIB).unwrap_or(MOST);
    (cpus + 1).min(fit).clamp(1, MOST)
}

/// Runs all, `jobs` of them at the same time. After an error or a signal no more are begun.
pub fn run(runs: Vec<Run>, jobs: usize) -> Result<Ran> {
    let workers = jobs.clamp(1, runs.len().max(1));
    let waiting = Mutex::new(VecDeque::from(runs));
    let next = || {
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.pop_front()
    };
    let stop = || {
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.clear();
    };
    let work = || {
        let mut totals = Totals::default();
        while let Some(run) = next() {
            match guest::run(&run) {
                Ok(Ran::Counted(of_run)) => totals += of_run,
                other => {
                    stop();
                    return other;
                }
            }
        }
        Ok(Ran::Counted(totals))
    };
    let ended: Vec<Result<Ran>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        let ended = threads.into_iter().map(|thread| thread.join());
        ended
            .map(|result| result.unwrap_or_else(|_| Err(anyhow!("a run of the tests panicked"))))
            .collect()
    });
    let mut totals = Totals::default();
    for of_worker in ended {
        match of_worker? {
            Ran::Counted(counted) => totals += counted,
            interrupted => return Ok(interrupted),
        }
    }
    Ok(Ran::Counted(totals))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_to_do() {
        assert!(matches!(run(vec![], 2), Ok(Ran::Counted(totals)) if totals.total() == 0));
        assert!((1..=MOST).contains(&default_jobs()));
    }
}
