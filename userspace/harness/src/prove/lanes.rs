// SPDX-License-Identifier: MIT OR Apache-2.0
//! Several VMs at the same time, in an order in which each finds what it compares with.

use super::one_vm::Ran;
use crate::vms::Build;
use anyhow::{anyhow, Result};
use mapwright_prove::{Claim, Report, Vm};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// A VM, and what is to be judged there.
pub(super) struct Job {
    pub build: &'static Build,
    pub claims: Vec<&'static Claim>,
}

/// What came of all VMs.
#[derive(Default)]
pub(super) struct Ended {
    pub reports: Vec<Report>,
    pub problems: Vec<String>,
    /// The signal that ended it early.
    pub interrupted: Option<i32>,
}

/// How far the VM is.
struct State {
    waiting: Vec<Job>,
    running: Vec<Vm>,
    ended: Ended,
    /// No VM is begun any more.
    stopped: bool,
}

impl State {
    /// Takes the first VM that need not wait for another.
    fn take(&mut self) -> Option<Job> {
        let is_to_come = |vm: Vm| {
            self.running.contains(&vm) || self.waiting.iter().any(|job| job.build.vm == vm)
        };
        let may_begin = |job: &Job| !job.build.after.is_some_and(is_to_come);
        let first = self.waiting.iter().position(may_begin)?;
        let job = self.waiting.remove(first);
        self.running.push(job.build.vm);
        Some(job)
    }

    /// Takes down what came of a VM.
    fn end(&mut self, vm: Vm, ran: Ran) {
        self.running.retain(|running| *running != vm);
        match ran {
            Ran::Interrupted(signal) => {
                self.ended.interrupted = Some(signal);
                self.stopped = true;
            }
            Ran::Ended { report, problems } => {
                self.ended.reports.extend(report);
                self.ended.problems.extend(problems);
            }
        }
    }
}

/// The VMs that are waiting, running or done, for all lanes.
struct Lanes {
    state: Mutex<State>,
    changed: Condvar,
}

impl Lanes {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next VM, and what was found before it; nothing if none is left.
    fn next(&self) -> Option<(Job, Vec<Report>)> {
        let mut state = self.lock();
        loop {
            if state.stopped || state.waiting.is_empty() {
                return None;
            }
            if let Some(job) = state.take() {
                return Some((job, state.ended.reports.clone()));
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn work(&self, boot: &(dyn Fn(&Job, &[Report]) -> Result<Ran> + Sync)) -> Result<()> {
        while let Some((job, earlier)) = self.next() {
            let result = boot(&job, &earlier);
            let mut state = self.lock();
            let result = result.map(|ran| state.end(job.build.vm, ran));
            state.stopped |= result.is_err();
            drop(state);
            self.changed.notify_all();
            result?;
        }
        Ok(())
    }
}

/// Has `boot` run all VMs, `lanes` of them at the same time. After an error or a signal none is begun any more.
pub(super) fn run(
    jobs: Vec<Job>,
    lanes: usize,
    boot: &(dyn Fn(&Job, &[Report]) -> Result<Ran> + Sync),
) -> Result<Ended> {
    let state = State {
        waiting: jobs,
        running: Vec::new(),
        ended: Ended::default(),
        stopped: false,
    };
    let all = Lanes {
        state: Mutex::new(state),
        changed: Condvar::new(),
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..lanes).map(|_| scope.spawn(|| all.work(boot))).collect();
        let ended = threads.into_iter().map(|thread| thread.join());
        ended
            .map(|result| result.unwrap_or_else(|_| Err(anyhow!("a VM's thread panicked"))))
            .collect::<Result<Vec<()>>>()
    })?;
    let mut ended = all
        .state
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
        .ended;
    let place = |report: &Report| {
        let named = |vm: &Vm| vm.name() == report.vm;
        Vm::ALL.iter().position(named)
    };
    ended.reports.sort_by_key(place);
    Ok(ended)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vms::build_of;

    fn job(vm: Vm) -> Job {
        Job {
            build: build_of(vm),
            claims: Vec::new(),
        }
    }

    fn nothing() -> Ran {
        Ran::Ended {
            report: None,
            problems: vec![],
        }
    }

    #[test]
    fn a_vm_that_compares_waits_for_the_other() {
        let begun = Mutex::new(Vec::new());
        let boot = |job: &Job, _: &[Report]| {
            begun.lock().unwrap().push(job.build.vm);
            Ok(nothing())
        };
        let jobs = [Vm::Isolated, Vm::Normal, Vm::Nokaslr].map(job);
        run(jobs.into(), 1, &boot).unwrap();
        let begun = begun.into_inner().unwrap();
        assert_eq!(begun, [Vm::Normal, Vm::Isolated, Vm::Nokaslr]);
    }

    #[test]
    fn after_a_signal_none_begins() {
        let begun = Mutex::new(0);
        let boot = |_: &Job, _: &[Report]| {
            *begun.lock().unwrap() += 1;
            Ok(Ran::Interrupted(2))
        };
        let ended = run([Vm::Normal, Vm::Numa].map(job).into(), 1, &boot).unwrap();
        assert_eq!((ended.interrupted, *begun.lock().unwrap()), (Some(2), 1));
    }
}
