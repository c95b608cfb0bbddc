// SPDX-License-Identifier: MIT OR Apache-2.0

//! `mapwright bench alloc`: what the kernel's allocators cost, beside the same loops in C and beside what
//! textbooks say.

use super::{
    meter::{Meter, Unit},
    modules, progress, undisturbed,
};
use crate::style;
use anyhow::{Context as _, Result};
use indicatif::ProgressBar;
use mapwright::{
    alloc::{AllocDevice, Allocator, CacheFlag, Cost, Pattern, Plan, Report},
    page_size,
};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// The device of the C reference.
const REFERENCE: &str = "/dev/mapwright_reference_alloc";

/// The two least costs are within this part of each other when no more runs are needed.
const REPEATS_TO: f64 = 0.002;
/// As few runs as are ever made: what is at hand differs from run to run.
const MIN_RUNS: usize = 12;
/// Objects that are alive at a time in batches: more than any allocator keeps at hand for a CPU, and so
/// many that the places for them are no slab object themselves.
const BATCH: u32 = 1100;
/// Bytes that are alive at a time in batches, at most.
const BATCH_BYTES: u64 = 16 << 20;

#[derive(clap::Args)]
pub struct Args {
    /// Measure only that whose name contains this: `kmalloc`, `pages`, `64 KiB`
    filter: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Write the JSON to a file, too
    #[arg(long, value_name = "FILE")]
    json_to: Option<PathBuf>,
    /// Runs of each measurement at most; fewer if they repeat to 0.2 %
    #[arg(long, value_name = "N", default_value_t = 25, value_parser = clap::value_parser!(u16).range(1..))]
    repeat: u16,
    /// Where mapwright_reference_alloc.ko is, if it is to be compared
    #[arg(long, env = "MAPWRIGHT_MODULES", value_name = "DIR")]
    modules: Option<PathBuf>,
}

pub fn run(args: &Args) -> Result<()> {
    let meter = Meter::new();
    let ours = AllocDevice::open()?;
    let reference = open_reference(args.modules.as_deref())?;
    // Without, it takes longer to repeat.
    let _ = undisturbed::go_first();
    let mut bench = Bench {
        unit: meter.unit,
        max_runs: args.repeat.into(),
        progress: progress(),
        lines: Vec::new(),
        miss: None,
    };
    let filter = args.filter.as_deref().unwrap_or("");
    bench.measure(filter, &ours, reference.as_ref())?;
    bench.measure_miss(&ours)?;
    let found = Found::new(&bench);

    let json = serde_json::to_string_pretty(&found)?;
    if let Some(file) = &args.json_to {
        std::fs::write(file, format!("{json}\n"))
            .with_context(|| format!("writing {}", file.display()))?;
    }
    match args.json {
        true => println!("{json}"),
        false => found.show(),
    }
    Ok(())
}

/// The C reference, if it is there or can be inserted.
fn open_reference(modules: Option<&Path>) -> Result<Option<AllocDevice>> {
    let file = modules.map(|dir| dir.join("mapwright_reference_alloc.ko"));
    if let Some(file) = file.filter(|file| file.exists()) {
        modules::insert(&file, "", REFERENCE)?;
    }
    match Path::new(REFERENCE).exists() {
        true => Ok(Some(AllocDevice::open_at(REFERENCE)?)),
        false => Ok(None),
    }
}

/// What is measured: of each allocator, some sizes.
fn plans() -> Vec<Plan> {
    let page = page_size();
    let sized = [
        (
            Allocator::Kmalloc,
            &[8, 64, 512, page, 2 * page, 64 << 10, 1 << 20][..],
        ),
        (Allocator::Kzalloc, &[64, page, 64 << 10]),
        (Allocator::KmemCache, &[64, 512, page]),
        (Allocator::Kvmalloc, &[64, 64 << 10]),
        (Allocator::Vmalloc, &[page, 64 << 10, 1 << 20]),
        (Allocator::Vzalloc, &[page, 64 << 10]),
        (Allocator::PerCpu, &[8, 1024]),
        (Allocator::Coherent, &[page, 64 << 10]),
    ];
    let mut plans: Vec<Plan> = [0, 1, 2, 3, 4, 6, 9, 10].map(Plan::pages).into();
    for (allocator, sizes) in sized {
        plans.extend(sizes.iter().map(|bytes| Plan::new(allocator, *bytes)));
    }
    plans.extend([Plan::krealloc(64, 128), Plan::krealloc(100, 128)]);
    plans
}

/// Bytes of an object.
fn bytes(plan: &Plan) -> u64 {
    match plan.allocator {
        Allocator::Pages => page_size() << plan.order,
        _ => plan.bytes,
    }
}

fn name(plan: &Plan) -> String {
    let size = style::bytes(bytes(plan));
    match plan.allocator {
        Allocator::Pages => format!("pages, order {} ({size})", plan.order),
        Allocator::Krealloc => format!("krealloc, {} to {size}", plan.old_bytes),
        allocator => format!("{}, {size}", allocator.name()),
    }
}

/// What an operation costs: the least, the middle and the most of several runs.
#[derive(Clone, Copy, Debug, Serialize)]
struct Spread {
    least: f64,
    median: f64,
    most: f64,
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
struct Measured {
    /// An object allocated and freed at once: what the allocator has at hand.
    pair: Spread,
    /// One of many allocated one after the other.
    allocate: Spread,
    /// One of these freed.
    free: Spread,
    /// Each run, in the order of the runs.
    runs: Costs,
}

/// A line of the table.
#[derive(Debug, Serialize)]
struct Line {
    name: String,
    allocator: &'static str,
    bytes: u64,
    rust: Measured,
    #[serde(skip_serializing_if = "Option::is_none")]
    c: Option<Measured>,
}

struct Bench {
    unit: Unit,
    max_runs: usize,
    progress: ProgressBar,
    lines: Vec<Line>,
    /// The first object of a new cache.
    miss: Option<Spread>,
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
    fn measure(
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
            self.lines.push(Line {
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
    fn measure_miss(&mut self, device: &AllocDevice) -> Result<()> {
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
    fn allocate(&self, name: &str) -> Option<f64> {
        let line = self.lines.iter().find(|line| line.name == name)?;
        Some(line.rust.allocate.least)
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

/// What a textbook says an allocation costs, in nanoseconds from and to, and what that is here.
struct Said {
    what: &'static str,
    ns: (f64, f64),
    of: fn(&Bench) -> Option<f64>,
}

const SAID: [Said; 4] = [
    Said {
        what: "slab, an object at hand (kmalloc of 64 bytes)",
        ns: (1000.0, 1000.0),
        of: |bench| bench.allocate("kmalloc, 64 bytes"),
    },
    Said {
        what: "slab, the first object of a new cache",
        ns: (2000.0, 2000.0),
        of: |bench| bench.miss.map(|spread| spread.least),
    },
    BUDDY,
    Said {
        what: "vmalloc of a page",
        ns: BUDDY.ns,
        of: |bench| bench.allocate(&name(&Plan::new(Allocator::Vmalloc, page_size()))),
    },
];

const BUDDY: Said = Said {
    what: "buddy, a page",
    ns: (100.0, 500.0),
    of: |bench| bench.allocate(&name(&Plan::pages(0))),
};

/// What a textbook says, beside what was measured.
#[derive(Debug, Serialize)]
struct Compared {
    what: &'static str,
    /// Nanoseconds, from and to.
    said_ns: (f64, f64),
    /// In the unit of all.
    measured: f64,
    /// How many times the cost of a page from the buddy allocator, as it is said.
    said_to_buddy: (f64, f64),
    /// And as it was measured.
    measured_to_buddy: f64,
}

/// All that was measured.
#[derive(Debug, Serialize)]
struct Found<'a> {
    unit: Unit,
    kernel: String,
    lines: &'a [Line],
    textbook: Vec<Compared>,
}

impl<'a> Found<'a> {
    fn new(bench: &'a Bench) -> Self {
        let kernel = nix::sys::utsname::uname()
            .map(|name| name.release().to_string_lossy().into_owned())
            .unwrap_or_default();
        Self {
            unit: bench.unit,
            kernel,
            textbook: compare(bench),
            lines: &bench.lines,
        }
    }

    fn show(&self) {
        let title = format!("What an object costs, in {}", self.unit);
        anstream::println!("{}", style::paint(style::HEADING, title));
        let header = [
            "",
            "allocated and freed",
            "median … most",
            "to C",
            "one of many",
            "to C",
            "its free",
            "to C",
        ];
        let mut table = style::table(header, 1);
        for line in self.lines {
            let (rust, c) = (&line.rust, line.c.as_ref());
            let to_c = |spread: &Spread, c: Option<&Spread>| match c {
                Some(c) => format!("{:+.1} %", (spread.least / c.least - 1.0) * 100.0),
                None => String::new(),
            };
            table.add_row([
                line.name.clone(),
                number(rust.pair.least),
                format!("{} … {}", number(rust.pair.median), number(rust.pair.most)),
                to_c(&rust.pair, c.map(|c| &c.pair)),
                number(rust.allocate.least),
                to_c(&rust.allocate, c.map(|c| &c.allocate)),
                number(rust.free.least),
                to_c(&rust.free, c.map(|c| &c.free)),
            ]);
        }
        anstream::println!("{table}");
        self.show_textbook();
        let notes = "least of several runs, with the empty loop subtracted; to C: the least of both; many: up to 1100 alive at a time";
        anstream::println!("{}", style::paint(style::DIM, notes));
    }

    fn show_textbook(&self) {
        if self.textbook.is_empty() {
            return;
        }
        let title = "Beside what a textbook says";
        anstream::println!("{}", style::paint(style::HEADING, title));
        let measured = self.unit.to_string();
        let header = [
            "",
            "said, ns",
            measured.as_str(),
            "said, to a page",
            "measured, to a page",
        ];
        let mut table = style::table(header, 1);
        for line in &self.textbook {
            table.add_row([
                line.what.to_owned(),
                range(line.said_ns),
                number(line.measured),
                range(line.said_to_buddy),
                format!("{:.2}", line.measured_to_buddy),
            ]);
        }
        anstream::println!("{table}");
    }
}

fn compare(bench: &Bench) -> Vec<Compared> {
    let Some(buddy) = (BUDDY.of)(bench) else {
        return Vec::new();
    };
    let (least, most) = BUDDY.ns;
    let compared = SAID.iter().filter_map(|said| {
        let measured = (said.of)(bench)?;
        let (from, to) = said.ns;
        Some(Compared {
            what: said.what,
            said_ns: said.ns,
            measured,
            said_to_buddy: match said.ns == BUDDY.ns {
                true => (1.0, 1.0),
                false => (from / most, to / least),
            },
            measured_to_buddy: measured / buddy,
        })
    });
    compared.collect()
}

fn range((from, to): (f64, f64)) -> String {
    match from == to {
        true => format!("{from}"),
        false => format!("{from}–{to}"),
    }
}

/// Three figures, no more.
fn number(n: f64) -> String {
    match n {
        n if n >= 100.0 => format!("{n:.0}"),
        n => format!("{n:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_size_and_order() {
        let names: Vec<String> = plans().iter().map(name).collect();
        let page = style::bytes(page_size());
        for said in [
            "kmalloc, 64 bytes".to_owned(),
            format!("pages, order 0 ({page})"),
            "krealloc, 100 to 128 bytes".to_owned(),
            format!("vmalloc, {page}"),
        ] {
            assert!(names.contains(&said), "{names:?}");
        }
    }

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
