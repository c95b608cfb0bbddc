// SPDX-License-Identifier: MIT OR Apache-2.0

//! `mapwright bench alloc`: what the kernel's allocators cost, beside the same loops in C and beside what
//! textbooks say.

mod measure;
mod results;
mod textbook;

use super::{kernel_release, meter::Meter, modules, progress, undisturbed, Output};
use crate::style;
use anyhow::Result;
use mapwright::{
    alloc::{AllocDevice, Allocator, Plan},
    page_size,
};
use measure::Bench;
use results::Results;
use std::path::{Path, PathBuf};

/// The device of the C reference.
const REFERENCE: &str = "/dev/mapwright_reference_alloc";

#[derive(clap::Args)]
pub struct Args {
    /// Measure only that whose name contains this: `kmalloc`, `pages`, `64 KiB`
    filter: Option<String>,
    #[command(flatten)]
    output: Output,
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
    let mut bench = Bench::new(meter.unit, args.repeat.into(), progress());
    let filter = args.filter.as_deref().unwrap_or("");
    bench.measure(filter, &ours, reference.as_ref())?;
    bench.measure_miss(&ours)?;
    let results = Results::new(&bench);
    args.output.give(&results, || results.show())
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
}
