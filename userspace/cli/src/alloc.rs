// SPDX-License-Identifier: MIT OR Apache-2.0

//! `mapwright alloc`: run an allocation plan and show what came of it.

use crate::{size::size, style};
use anyhow::Result;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use mapwright::{
    alloc::{
        AllocDevice, Allocator, CacheFlag, Cost, Gfp, Info, Modifier, Object, Pattern, Plan, Report,
    },
    Bucket,
};
use std::{collections::BTreeMap, time::Duration};

/// Objects of which address and frame are shown.
const SHOWN: usize = 8;

#[derive(clap::Args)]
pub struct Args {
    /// Who gives the memory
    #[arg(value_parser = word(Allocator::ALL, Allocator::name))]
    allocator: Allocator,
    /// Bytes of an object, or with K, M (powers of 1024)
    #[arg(long, default_value = "64", value_parser = size)]
    size: u64,
    /// Order of a block of pages
    #[arg(long, default_value_t = 0)]
    order: u32,
    /// Bytes of the object that krealloc begins with
    #[arg(long, value_name = "SIZE", default_value = "32", value_parser = size)]
    from: u64,
    /// Allocations to make
    #[arg(long, value_name = "N", default_value_t = 1000)]
    count: u32,
    /// Allocate so many before they are freed, rather than free each at once
    #[arg(long, value_name = "N")]
    batch: Option<u32>,
    /// Free and allocate at random, with up to BATCH objects alive; the same seed does the same
    #[arg(long, value_name = "SEED", requires = "batch")]
    random: Option<u64>,
    /// What an allocation may do, and where its memory may be
    #[arg(long, default_value = "kernel", value_parser = word(Gfp::ALL, Gfp::name))]
    flags: Gfp,
    /// A further GFP flag; may be given several times
    #[arg(long, value_name = "FLAG", value_parser = word(Modifier::ALL, Modifier::name))]
    with: Vec<Modifier>,
    /// A flag of the kmem_cache; may be given several times
    #[arg(long, value_name = "FLAG", value_parser = word(CacheFlag::ALL, CacheFlag::name))]
    cache: Vec<CacheFlag>,
    /// What addresses are multiples of
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    align: u32,
    /// The node to allocate from
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    node: Option<i32>,
    /// Threads that do it at the same time, pinned to the first CPUs
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "cpus")]
    threads: u32,
    /// CPUs that do it at the same time, a thread each
    #[arg(long, value_name = "CPU,…", value_delimiter = ',')]
    cpus: Vec<u32>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One of the words of the interface.
fn word<T>(all: &'static [T], name: fn(T) -> &'static str) -> impl TypedValueParser<Value = T>
where
    T: Copy + Send + Sync + 'static,
{
    let names = all.iter().map(move |word| name(*word));
    PossibleValuesParser::new(names).try_map(move |text| {
        let value = all.iter().copied().find(|word| name(*word) == text);
        value.ok_or("no such word")
    })
}

impl Args {
    fn plan(&self) -> Plan {
        let base = match self.allocator {
            Allocator::Pages => Plan::pages(self.order),
            Allocator::Krealloc => Plan::krealloc(self.from, self.size),
            allocator => Plan::new(allocator, self.size),
        };
        let pattern = match (self.batch, self.random) {
            (None, _) => Pattern::Pairs,
            (Some(batch), None) => Pattern::Batches { batch },
            (Some(places), Some(seed)) => Pattern::Random { places, seed },
        };
        Plan {
            gfp: self.flags,
            modifiers: self.with.clone(),
            cache_flags: self.cache.clone(),
            align: self.align,
            node: self.node,
            pattern,
            count: self.count,
            ..base
        }
    }

    fn cpus(&self) -> Vec<u32> {
        match self.cpus.as_slice() {
            [] => (0..self.threads).collect(),
            cpus => cpus.to_vec(),
        }
    }
}

pub fn run(args: &Args) -> Result<()> {
    let device = AllocDevice::open()?;
    let (plan, cpus) = (args.plan(), args.cpus());
    let ran = Ran {
        reports: device.run_on(&plan, &cpus)?,
        // The clock is looked at in runs of their own: that costs more than an allocation.
        latency: latency(&device, &plan, &cpus)?,
        objects: recorded(&device, &plan)?,
        plan,
    };
    match args.json {
        true => println!("{:#}", ran.to_json()),
        false => ran.show(&device.info()?),
    }
    Ok(())
}

/// How long single operations take, on all CPUs together.
fn latency(device: &AllocDevice, plan: &Plan, cpus: &[u32]) -> Result<Vec<Bucket>> {
    let reports = device.run_on(&plan.clone().with_histogram(), cpus)?;
    let mut sums: BTreeMap<(String, u64), u64> = BTreeMap::new();
    for bucket in reports.into_iter().flat_map(|report| report.latency) {
        *sums.entry((bucket.operation, bucket.below_ns)).or_default() += bucket.count;
    }
    let bucket = |((operation, below_ns), count)| Bucket {
        operation,
        below_ns,
        count,
    };
    Ok(sums.into_iter().map(bucket).collect())
}

/// What the first allocations gave, as many as are alive at a time.
fn recorded(device: &AllocDevice, plan: &Plan) -> Result<Vec<Object>> {
    let alive = match plan.pattern {
        Pattern::Pairs => 1,
        Pattern::Batches { batch } => batch,
        Pattern::Random { places, .. } => places,
    };
    let n = alive.min(plan.count).clamp(1, 1024);
    let plan = plan
        .clone()
        .repeated(n)
        .with_pattern(Pattern::Batches { batch: n });
    Ok(device.record(&plan, n)?.1)
}

/// What came of a plan.
struct Ran {
    plan: Plan,
    reports: Vec<Report>,
    latency: Vec<Bucket>,
    objects: Vec<Object>,
}

impl Ran {
    fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "allocator": self.plan.allocator.name(),
            "bytes": self.plan.bytes,
            "order": self.plan.order,
            "count": self.plan.count,
            "threads": self.reports,
            "latency": self.latency,
            "objects": self.objects,
        })
    }

    fn show(&self, info: &Info) {
        let plan = &self.plan;
        let what = match plan.allocator {
            Allocator::Pages => format!("2^{} pages", plan.order),
            Allocator::Krealloc => {
                let from = style::bytes(plan.old_bytes);
                format!("{from} to {}", style::bytes(plan.bytes))
            }
            _ => style::bytes(plan.bytes),
        };
        let title = format!("{} of {what}", plan.allocator.name());
        anstream::println!("{}", style::paint(style::HEADING, title));
        self.show_objects();
        self.show_threads();
        self.show_latency();
        let used = format!(
            "{} of {}",
            style::bytes(info.used_bytes),
            style::bytes(info.budget_bytes)
        );
        style::row("budget", format!("{used} in use now"));
    }

    fn show_objects(&self) {
        let Some(first) = self.objects.first() else {
            style::row("objects", "none was to be had");
            return;
        };
        let actual: Vec<u64> = self.objects.iter().map(|it| it.actual_bytes).collect();
        let (least, most) = (actual.iter().min(), actual.iter().max());
        style::row(
            "each is",
            match (least, most) {
                (Some(least), Some(most)) if least != most => {
                    format!("{} to {}", style::bytes(*least), style::bytes(*most))
                }
                _ => style::bytes(first.actual_bytes),
            },
        );
        style::row("address in", first.address_class.name());
        style::row("memory", self.places());
        let header = [
            "object", "address", "frame", "pages", "runs", "zone", "node",
        ];
        let mut table = style::table(header, 3);
        for object in self.objects.iter().take(SHOWN) {
            table.add_row([
                object.index.to_string(),
                format!("{:#018x}", object.address),
                format!("{:#x}", object.pfn),
                object.pages.to_string(),
                object.runs.to_string(),
                object.zone.name().to_owned(),
                object.node.to_string(),
            ]);
        }
        anstream::println!("{table}");
        let more = self.objects.len().saturating_sub(SHOWN);
        if more > 0 {
            style::more(format!("and {more} more"));
        }
    }

    /// Zones and nodes of the pages, each with how many.
    fn places(&self) -> String {
        let mut pages: BTreeMap<(&str, u32), u64> = BTreeMap::new();
        for object in &self.objects {
            *pages.entry((object.zone.name(), object.node)).or_default() += u64::from(object.pages);
        }
        let place = |((zone, node), n): (&(&str, u32), &u64)| {
            format!("{} in zone {zone} of node {node}", style::count(*n, "page"))
        };
        let places: Vec<String> = pages.iter().map(place).collect();
        places.join(", ")
    }

    fn show_threads(&self) {
        let has_free = matches!(self.plan.pattern, Pattern::Batches { .. });
        let header = [
            "CPU",
            "given",
            "no memory",
            "too large",
            if has_free { "to allocate" } else { "each" },
            "to free",
        ];
        let mut table = style::table(header, 0);
        for report in &self.reports {
            let (allocations, frees) = match self.plan.pattern {
                Pattern::Random { .. } => (report.allocated + report.freed, 0),
                _ => (report.allocated, report.freed),
            };
            let cost = |cost: Cost, n: u64| format!("{:.0} ns", cost.ns_per(n));
            table.add_row([
                report.last_cpu.to_string(),
                report.allocated.to_string(),
                report.failed_memory.to_string(),
                report.failed_size.to_string(),
                cost(report.allocating, allocations),
                match has_free {
                    true => cost(report.freeing, frees),
                    false => String::new(),
                },
            ]);
        }
        if !has_free {
            for column in table.column_iter_mut().skip(5) {
                column.set_constraint(comfy_table::ColumnConstraint::Hidden);
            }
        }
        anstream::println!("{table}");
    }

    fn show_latency(&self) {
        let most = self.latency.iter().map(|it| it.count).max().unwrap_or(1);
        let mut table = style::table(["one takes", "below", "times", ""], 1);
        for bucket in &self.latency {
            let width = usize::try_from((bucket.count * 30).div_ceil(most)).unwrap_or(30);
            table.add_row([
                format!("to {}", bucket.operation),
                format!("{:?}", Duration::from_nanos(bucket.below_ns)),
                bucket.count.to_string(),
                "▇".repeat(width),
            ]);
        }
        for column in table.column_iter_mut().skip(3) {
            column.set_cell_alignment(comfy_table::CellAlignment::Left);
        }
        anstream::println!("{table}");
    }
}
