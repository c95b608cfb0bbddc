// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is held, counted and timed.

use super::{nothing_is_left, plan_of, totals_of};
use crate::runner::Context;
use anyhow::{ensure, Result};
use mapwright::{
    alloc::{AllocDevice, Allocator, Pattern, Plan, Report},
    page_size, Error,
};

/// Three blocks of pages that are held.
fn hold_three(device: &AllocDevice) -> Result<Report> {
    let plan = Plan::pages(2).repeated(3);
    Ok(device.run(&plan.with_pattern(Pattern::Batches { batch: 3 }).holding())?)
}

pub(super) fn held_objects_stay_until_released(_: &Context) -> Result<()> {
    let device = AllocDevice::open()?;
    let report = hold_three(&device)?;
    ensure!((report.allocated, report.freed) == (3, 0), "{report:?}");
    let used = device.info()?.used_bytes;
    ensure!(used >= 12 * page_size(), "{used} bytes");
    let plan = Plan::new(Allocator::Kmalloc, 64).repeated(10);
    let random = Pattern::Random { places: 5, seed: 1 };
    let report = device.run(&plan.with_pattern(random).holding())?;
    let left = report.allocated - report.freed;
    ensure!(device.release()? == 3 + left);
    ensure!(device.release()? == 0);
    ensure!(device.info()?.used_bytes == 0);
    Ok(())
}

pub(super) fn held_objects_go_with_the_file(_: &Context) -> Result<()> {
    hold_three(&AllocDevice::open()?)?;
    nothing_is_left()
}

pub(super) fn the_budget_is_not_exceeded(_: &Context) -> Result<()> {
    let device = AllocDevice::open()?;
    let info = device.info()?;
    let half = u32::try_from(info.budget_bytes / page_size() / 2 + 1)?;
    let plan = Plan::new(Allocator::Kmalloc, page_size()).repeated(half);
    let plan = plan
        .with_pattern(Pattern::Batches { batch: half })
        .holding();
    device.run(&plan)?;
    let result = device.run(&plan);
    let over = matches!(
        result,
        Err(Error::OverBudget { used, budget, .. }) if used > 0 && budget == info.budget_bytes
    );
    ensure!(over, "{result:?}");
    device.release()?;
    device.run(&plan)?;
    Ok(())
}

pub(super) fn histograms_add_up(_: &Context) -> Result<()> {
    let device = AllocDevice::open()?;
    let plan = Plan::new(Allocator::Kmalloc, 64)
        .repeated(300)
        .with_pattern(Pattern::Batches { batch: 50 })
        .with_histogram();
    let report = device.run(&plan)?;
    for operation in ["allocate", "free"] {
        let of = report.latency.iter().filter(|it| it.operation == operation);
        let sum: u64 = of.map(|bucket| bucket.count).sum();
        ensure!(sum == 300, "{operation}: {:?}", report.latency);
    }
    Ok(())
}

pub(super) fn costs_are_told(_: &Context) -> Result<()> {
    let device = AllocDevice::open()?;
    let plan = Plan::new(Allocator::Vmalloc, 64 << 10).repeated(200);
    let report = device.run(&plan)?;
    ensure!(
        report.allocating.ns > report.allocating.empty_ns,
        "{report:?}"
    );
    ensure!(report.freeing.ns == 0, "{report:?}");
    let report = device.run(&plan.with_pattern(Pattern::Batches { batch: 20 }))?;
    ensure!(report.allocating.ns_per(200) > 0.0, "{report:?}");
    ensure!(report.freeing.ns_per(200) > 0.0, "{report:?}");
    Ok(())
}

pub(super) fn threads_run_where_they_are_pinned(_: &Context) -> Result<()> {
    let device = AllocDevice::open()?;
    let cpus: Vec<u32> = (0..u32::try_from(std::thread::available_parallelism()?.get())?).collect();
    let plan = Plan::new(Allocator::Kmalloc, 128).repeated(5000);
    let reports = device.run_on(&plan, &cpus)?;
    for (cpu, report) in cpus.iter().zip(&reports) {
        ensure!(
            (report.first_cpu, report.last_cpu) == (*cpu, *cpu),
            "{report:?}"
        );
        ensure!(report.allocated == 5000, "{report:?}");
    }
    // No machine has so many.
    let result = device.run_on(&plan, &[0, 1000]);
    ensure!(
        matches!(result, Err(Error::NoCpu { cpu: 1000 })),
        "{result:?}"
    );
    Ok(())
}

pub(super) fn totals_are_exact(_: &Context) -> Result<()> {
    let device = AllocDevice::open()?;
    for allocator in Allocator::ALL {
        let before = totals_of(*allocator)?;
        let plan = plan_of(*allocator).repeated(10);
        device.run(&plan)?;
        device.run(&plan.with_pattern(Pattern::Batches { batch: 4 }))?;
        let after = totals_of(*allocator)?;
        let grew: Vec<u64> = after.iter().zip(before).map(|(a, b)| a - b).collect();
        ensure!(grew == [20, 20, 0], "{}: {grew:?}", allocator.name());
    }
    Ok(())
}
