// SPDX-License-Identifier: MIT OR Apache-2.0

//! `mapwright stat`: the module's counters and live regions.

use crate::style;
use anyhow::Result;
use mapwright::Tables;

#[derive(clap::Args)]
pub struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Show counters that are zero, too
    #[arg(long)]
    all: bool,
}

pub fn run(args: &Args) -> Result<()> {
    let tables = Tables::read()?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&tables)?);
        return Ok(());
    }
    show_counters(&tables, args.all);
    show_regions(&tables);
    Ok(())
}

/// Prints the counters.
pub fn show_counters(tables: &Tables, all: bool) {
    let mut table = style::table(["counter", "since the module was loaded"], 1);
    for (name, value) in &tables.counters {
        if all || *value > 0 {
            table.add_row([name.clone(), value.to_string()]);
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
    let header = ["region", "pid", "backing", "method", "caching", "size", "VMAs", "mmaps"];
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
        ]);
    }
    anstream::println!("{table}");
}
