// SPDX-License-Identifier: MIT OR Apache-2.0

//! The watermarks of the running kernel's zones, and what the model of them says.

use crate::{
    pressure::History,
    read::{self, zoneinfo::Zone},
};
use anyhow::{Context as _, Result};
use mapwright_models::marks::{self, Settings};

/// Pages that a step takes at most: its own, and those that a processor takes for its list of free pages.
pub const BLUR: u64 = 64 + 4 * 63;

/// Has the kernel compute its watermarks again. It did so before it had all memory.
pub fn compute_again() -> Result<()> {
    let path = "/proc/sys/vm/watermark_scale_factor";
    std::fs::write(path, read::text(path)?).with_context(|| format!("writing {path}"))
}

pub fn is_movable(zone: &Zone) -> bool {
    ["HighMem", "Movable", "Device"].contains(&zone.name.as_str())
}

pub fn settings(zones: &[Zone], page_size: u64) -> Result<Settings> {
    let number = |name: &str| -> Result<u64> {
        let path = format!("/proc/sys/vm/{name}");
        read::text(&path)?
            .trim()
            .parse()
            .with_context(|| format!("{path} is no number"))
    };
    Ok(Settings {
        min_free: number("min_free_kbytes")? * 1024 / page_size,
        scale_factor: number("watermark_scale_factor")?,
        lowmem: zones
            .iter()
            .filter(|zone| !is_movable(zone))
            .map(Zone::managed)
            .sum(),
    })
}

pub fn free_of(zones: &[Zone], zone: &Zone) -> u64 {
    let same = |other: &&Zone| other.node == zone.node && other.name == zone.name;
    zones.iter().find(same).map_or(0, Zone::free)
}

/// Whether an allocation of a page would pass the watermark `mark`, as the model says. The mark that the kernel tells
/// has the zone's boost in it.
pub fn passes(zones: &[Zone], mark: &str) -> bool {
    let ok = |zone: &Zone| model_of(zone).is_ok(0, zone.counter(mark));
    zones.iter().any(ok)
}

fn model_of(zone: &Zone) -> marks::Zone {
    marks::Zone {
        free: zone.free(),
        free_highatomic: zone.counter("free_highatomic"),
        protection: kept(zone),
        // These only matter to an allocation of several pages.
        blocks: Vec::new(),
    }
}

/// How many pages could be taken before step `step`, until no zone has more than the watermark `mark` free:
/// those of the zone with most room. 0 or less: an allocation cannot pass.
pub fn margin(history: &History, step: usize, mark: &str) -> i64 {
    let room = |zone: &Zone| model_of(zone).room(zone.counter(mark));
    history.steps[step].iter().map(room).max().unwrap_or(0)
}

/// Pages of a zone that are kept from an allocation which may use any zone.
pub fn kept(zone: &Zone) -> u64 {
    zone.protection.last().copied().unwrap_or(0)
}
