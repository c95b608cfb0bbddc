// SPDX-License-Identifier: GPL-2.0-only

//! What was done since the module was loaded.

use kernel::{
    prelude::*,
    seq_file::SeqFile,
    seq_print, //
};
use mapkit::{
    base::text::Decimal,
    observe::percpu::{
        CounterNames,
        PerCpuCounters, //
    }, //
};
use mapwright_uapi::alloc::Allocator;

/// What is counted of plans.
#[derive(Clone, Copy)]
pub(crate) enum Counter {
    /// Files opened.
    FilesOpened,
    /// Files closed.
    FilesClosed,
    /// Plans that ran to their end.
    PlansRun,
    /// Plans that a signal ended.
    PlansInterrupted,
    /// Plans that could not be run as they were.
    PlansRefused,
    /// Plans that could have needed more than was left of the budget.
    PlansOverBudget,
    /// Plans that failed otherwise.
    PlansFailed,
}

impl Counter {
    /// All, with their names in the table, which stay the same in later versions.
    pub(crate) const ALL: &'static [(&'static str, Self)] = &[
        ("files_opened", Self::FilesOpened),
        ("files_closed", Self::FilesClosed),
        ("plans_run", Self::PlansRun),
        ("plans_interrupted", Self::PlansInterrupted),
        ("plans_refused", Self::PlansRefused),
        ("plans_over_budget", Self::PlansOverBudget),
        ("plans_failed", Self::PlansFailed),
    ];
}

impl CounterNames for Counter {
    const COUNT: usize = Self::ALL.len();

    fn index(self) -> usize {
        self as usize
    }
}

/// What is counted of objects.
#[derive(Clone, Copy)]
pub(crate) enum Counted {
    /// Allocated.
    Allocated,
    /// Freed.
    Freed,
    /// Asked for in vain.
    Failed,
}

/// The objects of an allocator.
#[derive(Clone, Copy)]
struct Of(Allocator, Counted);

impl CounterNames for Of {
    const COUNT: usize = Allocator::ALL.len() * 3;

    fn index(self) -> usize {
        let Self(allocator, counted) = self;
        (allocator.number() as usize)
            .wrapping_mul(3)
            .wrapping_add(counted as usize)
    }
}

/// The totals.
pub(crate) struct Totals {
    plans: PerCpuCounters<Counter>,
    objects: PerCpuCounters<Of>,
}

impl Totals {
    /// All zero.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            plans: PerCpuCounters::new()?,
            objects: PerCpuCounters::new()?,
        })
    }

    /// Adds one.
    pub(crate) fn inc(&self, counter: Counter) {
        self.plans.inc(counter);
    }

    /// A counter.
    pub(crate) fn get(&self, counter: Counter) -> u64 {
        self.plans.sum(counter) as u64
    }

    /// Adds objects of an allocator.
    pub(crate) fn add(&self, allocator: Allocator, counted: Counted, n: usize) {
        self.objects.add(Of(allocator, counted), n);
    }

    /// Counts how a plan ended, and passes the result on.
    pub(crate) fn note<T>(&self, result: Result<T>) -> Result<T> {
        self.inc(match &result {
            Ok(_) => Counter::PlansRun,
            Err(err) if *err == EINTR => Counter::PlansInterrupted,
            Err(err) if *err == EINVAL => Counter::PlansRefused,
            Err(err) if *err == ENOSPC => Counter::PlansOverBudget,
            Err(_) => Counter::PlansFailed,
        });
        result
    }

    /// Writes the table of allocators: a header line, then a line each.
    pub(crate) fn show_allocators(&self, m: &SeqFile) {
        seq_print!(m, "allocator allocated freed failed\n");
        for allocator in Allocator::ALL {
            let sum = |counted| Decimal(self.objects.sum(Of(*allocator, counted)) as u64);
            seq_print!(
                m,
                "{} {} {} {}\n",
                allocator.name(),
                sum(Counted::Allocated),
                sum(Counted::Freed),
                sum(Counted::Failed)
            );
        }
    }
}
