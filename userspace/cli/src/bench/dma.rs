// SPDX-License-Identifier: MIT OR Apache-2.0

//! `mapwright bench dma`: what it costs to map memory for a device and to unmap it, beside memory that
//! both have all the time, and beside the same in C. Nothing is moved.

use super::{
    kernel_release,
    meter::{Meter, Unit},
    modules, progress, undisturbed, Output,
};
use crate::style;
use anyhow::{Context as _, Result};
use mapwright::{
    dma_devices, page_size, uapi, uapi::Request as _, Backing, MapCall, Method, Session,
};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// The device of the C reference.
const REFERENCE: &str = "/dev/mapwright_reference_dma";

/// Runs of each measurement, of which the least counts, and turns in each.
const RUNS: usize = 12;
const TURNS: u32 = 8;

/// Sizes that are measured.
fn sizes() -> [u64; 4] {
    [page_size(), 64 << 10, 1 << 20, 4 << 20]
}

#[derive(clap::Args)]
pub struct Args {
    /// Measure only that whose name contains this: `coherent`, `list`, `64 KiB`
    filter: Option<String>,
    #[command(flatten)]
    output: Output,
    /// Where mapwright_reference_dma.ko is, if it is to be compared
    #[arg(long, env = "MAPWRIGHT_MODULES", value_name = "DIR")]
    modules: Option<PathBuf>,
}

/// A kind of memory for DMA.
struct Kind {
    name: &'static str,
    /// What is mapped, and how; or memory for DMA is allocated.
    mapped: Option<(Backing, Method, MapCall)>,
    /// Only a page of it.
    one_page: bool,
}

const KINDS: [Kind; 5] = [
    Kind {
        name: "coherent: dma_alloc_coherent()",
        mapped: None,
        one_page: false,
    },
    Kind {
        name: "single: dma_map_single()",
        mapped: Some((Backing::Pages, Method::Remap, MapCall::Single)),
        one_page: false,
    },
    Kind {
        name: "page: dma_map_page()",
        mapped: Some((Backing::Vmalloc, Method::Insert, MapCall::Page)),
        one_page: true,
    },
    Kind {
        name: "list of one entry: dma_map_sgtable()",
        mapped: Some((Backing::Pages, Method::Remap, MapCall::Scatter)),
        one_page: false,
    },
    Kind {
        name: "list of pages: dma_map_sgtable()",
        mapped: Some((Backing::Vmalloc, Method::Insert, MapCall::ScatterPages)),
        one_page: false,
    },
];

/// What each phase costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Cost {
    map: u64,
    sync_for_cpu: u64,
    sync_for_device: u64,
    unmap: u64,
}

impl Cost {
    const MOST: Self = Self {
        map: u64::MAX,
        sync_for_cpu: u64::MAX,
        sync_for_device: u64::MAX,
        unmap: u64::MAX,
    };

    /// The lesser of each.
    fn least(self, other: Self) -> Self {
        Self {
            map: self.map.min(other.map),
            sync_for_cpu: self.sync_for_cpu.min(other.sync_for_cpu),
            sync_for_device: self.sync_for_device.min(other.sync_for_device),
            unmap: self.unmap.min(other.unmap),
        }
    }

    fn in_all(&self) -> u64 {
        self.map + self.sync_for_cpu + self.sync_for_device + self.unmap
    }
}

/// A line of the table.
#[derive(Debug, Serialize)]
struct Line {
    kind: &'static str,
    bytes: u64,
    rust: Cost,
    #[serde(skip_serializing_if = "Option::is_none")]
    c: Option<Cost>,
    /// All phases of Rust to all of C.
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<f64>,
}

/// All that was measured.
#[derive(Debug, Serialize)]
struct Results {
    unit: Unit,
    kernel: String,
    /// Whether an IOMMU translates the device's addresses.
    translated: bool,
    lines: Vec<Line>,
}

pub fn run(args: &Args) -> Result<()> {
    let meter = Meter::new();
    let path = dma_devices()
        .into_iter()
        .next()
        .context("there is no device that does DMA: in a VM, boot with --qemu '-device edu'")?;
    let ours = Session::open_at(&path)?;
    let reference = open_reference(args.modules.as_deref())?;
    // Without, it takes longer to repeat.
    let _ = undisturbed::go_first();
    let filter = args.filter.as_deref().unwrap_or("");
    let results = Results {
        unit: meter.unit,
        kernel: kernel_release(),
        translated: ours.dma_info().context("asking for the device")?.translated == 1,
        lines: lines(meter.unit, &ours, reference.as_ref(), filter)?,
    };
    args.output.give(&results, || results.show())
}

/// The C reference, if it is there or can be inserted.
fn open_reference(modules: Option<&Path>) -> Result<Option<Session>> {
    let file = modules.map(|dir| dir.join("mapwright_reference_dma.ko"));
    if let Some(file) = file.filter(|file| file.exists()) {
        modules::insert(&file, "", REFERENCE)?;
    }
    match Path::new(REFERENCE).exists() {
        true => Ok(Some(Session::open_at(REFERENCE)?)),
        false => Ok(None),
    }
}

fn lines(
    unit: Unit,
    ours: &Session,
    reference: Option<&Session>,
    filter: &str,
) -> Result<Vec<Line>> {
    let all = KINDS.iter().flat_map(|kind| {
        let sizes = sizes()
            .into_iter()
            .filter(|bytes| !kind.one_page || *bytes == page_size());
        sizes.map(move |bytes| (kind, bytes))
    });
    let chosen: Vec<_> = all
        .filter(|(kind, bytes)| format!("{}, {}", kind.name, style::bytes(*bytes)).contains(filter))
        .collect();
    let progress = progress();
    progress.inc_length(chosen.len() as u64);
    let mut lines = Vec::new();
    for (kind, bytes) in chosen {
        progress.set_message(kind.name);
        let line = measure(unit, ours, reference, kind, bytes);
        lines.push(line.with_context(|| format!("{} of {}", kind.name, style::bytes(bytes)))?);
        progress.inc(1);
    }
    progress.finish_and_clear();
    Ok(lines)
}

fn measure(
    unit: Unit,
    ours: &Session,
    reference: Option<&Session>,
    kind: &Kind,
    bytes: u64,
) -> Result<Line> {
    let region = match kind.mapped {
        Some((backing, method, _)) => Some(ours.create(backing, method, bytes)?),
        None => None,
    };
    let request = uapi::Measure {
        flags: match (kind.mapped, unit) {
            (None, Unit::Instructions) => uapi::MEASURE_COHERENT,
            (None, Unit::Nanoseconds) => uapi::MEASURE_COHERENT | uapi::MEASURE_NS,
            (Some(_), Unit::Instructions) => 0,
            (Some(_), Unit::Nanoseconds) => uapi::MEASURE_NS,
        },
        bytes,
        map_call: kind.mapped.map_or(0, |(_, _, map_call)| map_call.number()),
        turns: TURNS,
        ..uapi::Measure::new()
    };
    // The C reference has no regions: it makes memory of such a backing.
    let backing = kind.mapped.map_or(0, |(backing, _, _)| backing.number());
    let (mut rust, mut c) = (Cost::MOST, reference.map(|_| Cost::MOST));
    for run in 0..RUNS {
        undisturbed::let_others_work(run);
        rust = rust.least(once(ours, request, region.map_or(0, |region| region.id))?);
        if let (Some(reference), Some(least)) = (reference, &mut c) {
            undisturbed::let_others_work(run);
            *least = least.least(once(reference, request, backing.into())?);
        }
    }
    if let Some(region) = &region {
        ours.destroy(region)?;
    }
    Ok(Line {
        kind: kind.name,
        bytes,
        rust,
        c,
        ratio: c.map(|c| rust.in_all() as f64 / c.in_all() as f64),
    })
}

fn once(session: &Session, mut request: uapi::Measure, region: u64) -> Result<Cost> {
    request.region = region;
    session.request(&mut request).context("MEASURE")?;
    Ok(Cost {
        map: request.map,
        sync_for_cpu: request.sync_for_cpu,
        sync_for_device: request.sync_for_device,
        unmap: request.unmap,
    })
}

impl Results {
    fn show(&self) {
        let iommu = match self.translated {
            true => "behind an IOMMU",
            false => "without an IOMMU",
        };
        let title = format!(
            "What it costs to map memory for a device, {iommu}, in {}",
            self.unit
        );
        anstream::println!("{}", style::paint(style::HEADING, title));
        let header = [
            "",
            "size",
            "map",
            "sync for CPU",
            "sync for device",
            "unmap",
            "in all",
            "in C",
            "to C",
        ];
        let mut table = style::table(header, 2);
        let mut kind = "";
        for line in &self.lines {
            let rust = &line.rust;
            table.add_row([
                if line.kind == kind { "" } else { line.kind }.to_owned(),
                style::bytes(line.bytes),
                rust.map.to_string(),
                rust.sync_for_cpu.to_string(),
                rust.sync_for_device.to_string(),
                rust.unmap.to_string(),
                rust.in_all().to_string(),
                line.c.map_or(String::new(), |c| c.in_all().to_string()),
                line.ratio.map_or(String::new(), |ratio| {
                    format!("{:+.1} %", (ratio - 1.0) * 100.0)
                }),
            ]);
            kind = line.kind;
        }
        anstream::println!("{table}");
        let notes = "coherent: allocated and freed; both directions; the least of several runs, without what the clock costs";
        anstream::println!("{}", style::paint(style::DIM, notes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_of_each_phase() {
        let cost = |map, unmap| Cost {
            map,
            sync_for_cpu: 1,
            sync_for_device: 2,
            unmap,
        };
        let least = Cost::MOST.least(cost(10, 40)).least(cost(20, 30));
        assert_eq!(least, cost(10, 30));
        assert_eq!(least.in_all(), 43);
    }
}
