// SPDX-License-Identifier: MIT OR Apache-2.0

//! Runs plans until their costs repeat.

use super::super::{meter::Unit, undisturbed};
use super::{bytes, name, plans};
use anyhow::{Context as _, Result};
use indicatif::ProgressBar;
use mapwright::alloc::{AllocDevice, Allocator, CacheFlag, Cost, Pattern, Plan, Report};
use serde::Serialize;

/// The two least costs are within this part of each other when no more runs are needed.
const REPEATS_TO: f64 = 0.002;
/// As few runs as are ever made: what is at hand differs from run to run.
const MIN_RUNS: usize = 12;
/// Objects that are alive at a time in batches: more than any allocator keeps at hand for a CPU, and so
/// many that the places for them are no slab object themselves.
const BATCH: u32 = 1100;
/// Bytes that are alive at a time in batches, at most.
const BATCH_BYTES: u64 = 16 << 20;

/// What an operation costs: the least, the middle and the most of several runs.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Spread {
    pub(super) least: f64,
    pub(super) median: f64,
    pub(super) most: f64,
}

impl Spread {
    fn new(mut costs: Vec<f64>) -> Self {
        costs.sort_by(f64::total_cmp);
        let at = |index: usize| costs.get(index).copied().unwrap_or(f64::NAN);
        Self {
            least: at(0),
            median: at(costs.len() / 2),
            most: at(costs.len().saturating_sub(1)),
        }
    }
}

/// What an allocator costs.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Measured {
    /// An object allocated and freed at once: what the allocator has at hand.
    pub(super) pair: Spread,
    /// One of many allocated one after the other.
    pub(super) allocate: Spread,
    /// One of these freed.
    pub(super) free: Spread,
    /// Each run, in the order of the runs.
    runs: Costs,
}

/// A row of the table.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) allocator: &'static str,
    pub(super) bytes: u64,
    pub(super) rust: Measured,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) c: Option<Measured>,
}

/// Measures, and keeps what came of it.
pub(super) struct Bench {
    pub(super) unit: Unit,
    max_runs: usize,
    progress: ProgressBar,
    pub(super) lines: Vec<Row>,
    /// The first object of a new cache.
    pub(super) miss: Option<Spread>,
}

/// The costs of several runs.
#[derive(Clone, Debug, Default, Serialize)]
struct Costs {
    pair: Vec<f64>,
    allocate: Vec<f64>,
    free: Vec<f64>,
}

impl Costs {
    /// Whether the least of each have been found.
    fn repeat(&self) -> bool {
        [&self.pair, &self.allocate, &self.free]
            .into_iter()
            .all(|costs| repeats(costs))
    }
}

impl From<Costs> for Measured {
    fn from(costs: Costs) -> Self {
        Self {
            pair: Spread::new(costs.pair.clone()),
            allocate: Spread::new(costs.allocate.clone()),
            free: Spread::new(costs.free.clone()),
            runs: costs,
        }
    }
}

impl Bench {
    /// Nothing is measured yet. Each measurement will be of at most `max_runs` runs.
    pub(super) fn new(unit: Unit, max_runs: usize, progress: ProgressBar) -> Self {
        Self {
            unit,
            max_runs,
            progress,
            lines: Vec::new(),
            miss: None,
        }
    }

    /// Measures the plans whose names contain `filter`, on our device and on the C reference.
    pub(super) fn measure(
        &mut self,
        filter: &str,
        ours: &AllocDevice,
        reference: Option<&AllocDevice>,
    ) -> Result<()> {
        let plans: Vec<Plan> = plans()
            .into_iter()
            .filter(|plan| name(plan).contains(filter))
            .collect();
        self.progress.inc_length(plans.len() as u64);
        let devices: Vec<&AllocDevice> = [ours].into_iter().chain(reference).collect();
        for plan in plans {
            let name = name(&plan);
            self.progress.set_message(name.clone());
            let measured = self.measure_one(&devices, &plan);
            let mut measured = measured.with_context(|| name.clone())?.into_iter();
            let Some(rust) = measured.next() else {
                continue;
            };
            self.lines.push(Row {
                allocator: plan.allocator.name(),
                bytes: bytes(&plan),
                rust,
                c: measured.next(),
                name,
            });
            self.progress.inc(1);
        }
        self.progress.finish_and_clear();
        Ok(())
    }

    /// Measures a plan on all devices.
    fn measure_one(&self, devices: &[&AllocDevice], plan: &Plan) -> Result<Vec<Measured>> {
        // Enough for the clock, and few enough to fit between two ticks.
        let turns = u32::try_from((1 << 20) / bytes(plan).max(1))?.clamp(16, 512);
        let batch = u32::try_from(BATCH_BYTES / bytes(plan).max(1))?.clamp(2, BATCH);
        let pairs = plan.clone().repeated(turns);
        let batches = plan
            .clone()
            .repeated(batch)
            .with_pattern(Pattern::Batches { batch });
        let mut costs = vec![Costs::default(); devices.len()];
        // The first of all finds what none after it does, such as a per-CPU chunk that nobody has used:
        // whose turn that is would seem cheaper.
        for device in devices {
            device.run(&pairs)?;
            device.run(&batches)?;
        }
        for run in 1..=self.max_runs {
            // In turn, and now this, now that one first: each finds what the other left.
            let turn = |i: usize| match run % 2 {
                0 => i,
                _ => devices.len() - 1 - i,
            };
            for i in (0..devices.len()).map(turn) {
                undisturbed::let_others_work(run);
                let report = devices[i].run(&pairs)?;
                costs[i]
                    .pair
                    .push(self.per(report.allocating, all_of(&report)?));
            }
            for i in (0..devices.len()).map(turn) {
                undisturbed::let_others_work(run);
                let report = devices[i].run(&batches)?;
                let allocate = self.per(report.allocating, all_of(&report)?);
                costs[i].allocate.push(allocate);
                costs[i].free.push(self.per(report.freeing, report.freed));
            }
            if run >= MIN_RUNS && costs.iter().all(Costs::repeat) {
                break;
            }
        }
        Ok(costs.into_iter().map(Measured::from).collect())
    }

    /// What the first object of a new cache costs, for which pages have to be got.
    pub(super) fn measure_miss(&mut self, device: &AllocDevice) -> Result<()> {
        let plan = Plan {
            cache_flags: vec![CacheFlag::NoMerge],
            ..Plan::new(Allocator::KmemCache, 64).with_pattern(Pattern::Batches { batch: 1 })
        };
        let mut costs = Vec::new();
        for run in 1..=self.max_runs {
            undisturbed::let_others_work(run);
            let report = device.run(&plan)?;
            costs.push(self.per(report.allocating, all_of(&report)?));
        }
        self.miss = Some(Spread::new(costs));
        Ok(())
    }

    /// The least that one of many allocations cost.
    pub(super) fn allocate(&self, name: &str) -> Option<f64> {
        let row = self.lines.iter().find(|row| row.name == name)?;
        Some(row.rust.allocate.least)
    }

    fn per(&self, cost: Cost, operations: u64) -> f64 {
        match self.unit {
            Unit::Instructions => cost.cycles_per(operations),
            Unit::Nanoseconds => cost.ns_per(operations),
        }
    }
}

/// The allocations of a plan, of which none may have failed: a failure costs something else.
fn all_of(report: &Report) -> Result<u64> {
    let failed = report.failed_memory + report.failed_size;
    anyhow::ensure!(failed == 0, "{failed} allocations failed");
    Ok(report.allocated)
}

/// Whether the two least are near each other.
fn repeats(costs: &[f64]) -> bool {
    let mut sorted = costs.to_vec();
    sorted.sort_by(f64::total_cmp);
    matches!(sorted[..], [first, second, ..] if second - first <= first * REPEATS_TO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_two_decide() {
        assert!(!repeats(&[7.0, 100.0, 100.1]));
        assert!(repeats(&[300.0, 100.1, 100.0]));
        assert!(!repeats(&[100.0]) && !repeats(&[101.0, 100.0]));
    }

    #[test]
    fn a_spread() {
        let spread = Spread::new(vec![3.0, 1.0, 2.0]);
        assert_eq!((spread.least, spread.median, spread.most), (1.0, 2.0, 3.0));
    }
}
