// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a life of some memory costs, phase by phase: the least of several.

use super::{meter::Meter, subject::Subject, undisturbed};
use anyhow::Result;
use serde::Serialize;

/// The phases' names, in their order.
pub const PHASES: [&str; 6] = [
    "create",
    "mmap",
    "first touch",
    "second touch",
    "munmap",
    "destroy",
];

/// As few runs as are ever made.
const MIN_RUNS: usize = 3;
/// The two least sums of all phases are within this part of each other when no more runs are needed.
const REPEATS_TO: f64 = 0.002;

/// What each phase costs, for all pages together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cost {
    pub create: u64,
    pub mmap: u64,
    pub first_touch: u64,
    pub second_touch: u64,
    pub munmap: u64,
    pub destroy: u64,
}

impl Cost {
    /// In the order of [`PHASES`].
    pub fn phases(&self) -> [u64; 6] {
        [
            self.create,
            self.mmap,
            self.first_touch,
            self.second_touch,
            self.munmap,
            self.destroy,
        ]
    }

    fn from_phases(phases: [u64; 6]) -> Self {
        let [create, mmap, first_touch, second_touch, munmap, destroy] = phases;
        Self {
            create,
            mmap,
            first_touch,
            second_touch,
            munmap,
            destroy,
        }
    }

    /// To map memory that is there, use each page once and unmap it.
    pub fn in_all(&self) -> u64 {
        self.mmap + self.first_touch + self.munmap
    }
}

/// The least of several runs.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Least {
    pub cost: Cost,
    pub runs: usize,
    /// How much more the second least of each phase is, in all, as a part of the least.
    pub repeats_to: f64,
}

/// Measures `bytes` of `subject`, at most `max_runs` times. `None` if there is no such amount.
pub fn measure(
    meter: &Meter,
    subject: &Subject,
    bytes: u64,
    max_runs: usize,
) -> Result<Option<Least>> {
    let mut runs = Vec::new();
    loop {
        undisturbed::let_others_work(runs.len());
        let Some(cost) = run(meter, subject, bytes)? else {
            return Ok(None);
        };
        runs.push(cost);
        let least = least(&runs);
        let enough = runs.len() >= MIN_RUNS && least.repeats_to <= REPEATS_TO;
        if enough || runs.len() >= max_runs {
            return Ok(Some(least));
        }
    }
}

/// A life, from its making to its end.
fn run(meter: &Meter, subject: &Subject, bytes: u64) -> Result<Option<Cost>> {
    let (memory, create) = meter.count(|| subject.create(bytes));
    let Some(memory) = memory? else {
        return Ok(None);
    };
    let (area, mmap) = meter.count(|| subject.map(&memory));
    let mut area = area?;
    let ((), first_touch) = meter.count(|| area.touch());
    let ((), second_touch) = meter.count(|| area.touch());
    let ((), munmap) = meter.count(|| area.unmap());
    let (destroyed, destroy) = meter.count(|| subject.destroy(memory));
    destroyed?;
    Ok(Some(Cost {
        create,
        mmap,
        first_touch,
        second_touch,
        munmap,
        destroy,
    }))
}

/// The least of each phase, and how well it repeats.
fn least(runs: &[Cost]) -> Least {
    let mut first = [u64::MAX; 6];
    let mut second = [u64::MAX; 6];
    for run in runs {
        for (i, cost) in run.phases().into_iter().enumerate() {
            if cost < first[i] {
                (first[i], second[i]) = (cost, first[i]);
            } else if cost < second[i] {
                second[i] = cost;
            }
        }
    }
    let sum = first.iter().sum::<u64>().max(1) as f64;
    let more = first
        .iter()
        .zip(&second)
        .map(|(first, second)| (second - first) as f64);
    Least {
        cost: Cost::from_phases(first),
        runs: runs.len(),
        repeats_to: more.sum::<f64>() / sum,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_of_each_phase() {
        let runs = [
            [10, 20, 30, 5, 6, 100],
            [11, 19, 30, 5, 6, 90],
            [12, 21, 40, 5, 6, 90],
        ];
        let least = least(&runs.map(Cost::from_phases));
        assert_eq!(least.cost.phases(), [10, 19, 30, 5, 6, 90]);
        assert_eq!(least.runs, 3);
        assert!((least.repeats_to - 2.0 / 160.0).abs() < 1e-9);
        assert_eq!(least.cost.in_all(), 19 + 30 + 6);
    }

    #[test]
    fn one_run_does_not_repeat() {
        assert!(least(&[Cost::from_phases([1; 6])]).repeats_to > 1.0);
    }
}
