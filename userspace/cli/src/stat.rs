// SPDX-License-Identifier: MIT OR Apache-2.0

//! `mapwright stat`: the module's counters, live regions and latencies.

use crate::{reader, style};
use anyhow::Result;
use mapwright::{Bucket, Tables};
use std::{
    io::{self, Write as _},
    time::Duration,
};

#[derive(clap::Args)]
pub struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Show counters that are zero, too
    #[arg(long)]
    all: bool,
    /// Show it again every so many seconds
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "1")]
    watch: Option<f64>,
}

pub fn run(args: &Args) -> Result<()> {
    let mut last = None;
    loop {
        let tables = Tables::read()?;
        match (args.json, args.watch) {
            (true, _) => println!("{}", serde_json::to_string(&tables)?),
            (false, None) => show(&tables, None, args.all),
            (false, Some(_)) => {
                // From the top of an empty screen.
                anstream::print!("\x1b[H\x1b[2J");
                show(&tables, last.as_ref(), args.all);
            }
        }
        let Some(seconds) = args.watch else {
            return Ok(());
        };
        last = Some(tables);
        io::stdout().flush()?;
        if !reader::stays_for(Duration::try_from_secs_f64(seconds)?) {
            return Ok(());
        }
    }
}

fn show(tables: &Tables, last: Option<&Tables>, all: bool) {
    show_counters(tables, last, all);
    show_regions(tables);
    show_latency(&tables.latency);
}

/// Prints the counters, and how much each grew since `last`.
pub fn show_counters(tables: &Tables, last: Option<&Tables>, all: bool) {
    let mut table = style::table(
        [
            "counter",
            "since the module was loaded",
            "since the last look",
        ],
        1,
    );
    for (name, value) in &tables.counters {
        if all || *value > 0 {
            let grew = last.map(|last| value.wrapping_sub(last.counter(name)));
            let grew = grew
                .filter(|grew| *grew > 0)
                .map_or(String::new(), |grew| format!("+{grew}"));
            table.add_row([name.clone(), value.to_string(), grew]);
        }
    }
    if last.is_none() {
        for column in table.column_iter_mut().skip(2) {
            column.set_constraint(comfy_table::ColumnConstraint::Hidden);
        }
    }
    anstream::println!("{table}");
}

/// Prints the regions that hold memory.
pub fn show_regions(tables: &Tables) {
    if tables.regions.is_empty() {
        anstream::println!("no region holds memory now");
        return;
    }
    let header = [
        "region", "pid", "backing", "method", "caching", "size", "VMAs", "mmaps", "faults",
    ];
    let mut table = style::table(header, 5);
    for region in &tables.regions {
        table.add_row([
            region.id.to_string(),
            region.pid.to_string(),
            region.backing.clone(),
            region.method.clone(),
            region.caching.clone(),
            style::bytes(region.bytes),
            region.vmas.to_string(),
            region.mmaps.to_string(),
            (region.faults_read + region.faults_write).to_string(),
        ]);
    }
    anstream::println!("{table}");
}

/// Prints the histograms of latencies.
fn show_latency(buckets: &[Bucket]) {
    if buckets.is_empty() {
        return;
    }
    let most = buckets.iter().map(|bucket| bucket.count).max().unwrap_or(1);
    let mut table = style::table(["operation", "below", "count", ""], 1);
    for bucket in buckets {
        let below = format!("{:?}", Duration::from_nanos(bucket.below_ns));
        let width = usize::try_from((bucket.count * 40).div_ceil(most)).unwrap_or(40);
        table.add_row([
            bucket.operation.clone(),
            below,
            bucket.count.to_string(),
            "▇".repeat(width),
        ]);
    }
    for column in table.column_iter_mut().skip(3) {
        column.set_cell_alignment(comfy_table::CellAlignment::Left);
    }
    anstream::println!("{table}");
}
