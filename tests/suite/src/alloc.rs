// SPDX-License-Identifier: MIT OR Apache-2.0

//! Allocation plans: what each allocator gives, and that nothing is left of it.

mod accounts;
mod objects;
mod random_plans;

pub(crate) use random_plans::random_plan;

use crate::runner::suite;
use accounts::{
    costs_are_told, held_objects_go_with_the_file, held_objects_stay_until_released,
    histograms_add_up, the_budget_is_not_exceeded, threads_run_where_they_are_pinned,
    totals_are_exact,
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{
    alloc::{AllocDevice, Allocator, Object, Pattern, Plan, Report, DEBUGFS},
    uapi::alloc as uapi,
};
use nix::errno::Errno;
use objects::{
    a_cache_is_in_slabinfo, aligned_is_aligned, coherent_memory_has_two_addresses,
    each_allocator_gives_and_takes, kmalloc_gives_no_more_than_its_largest, kmalloc_rounds_up,
    krealloc_keeps_and_moves, nothing_has_an_address_too, objects_are_where_they_belong,
    split_blocks_are_contiguous, zeroed_is_zeroed,
};
use random_plans::a_thousand_random_plans;
use std::{fs, path::Path};

suite! { "alloc":
    each_allocator_gives_and_takes,
    objects_are_where_they_belong,
    kmalloc_rounds_up,
    kmalloc_gives_no_more_than_its_largest,
    nothing_has_an_address_too,
    zeroed_is_zeroed,
    krealloc_keeps_and_moves,
    split_blocks_are_contiguous,
    coherent_memory_has_two_addresses,
    a_cache_is_in_slabinfo,
    aligned_is_aligned,
    held_objects_stay_until_released,
    held_objects_go_with_the_file,
    the_budget_is_not_exceeded,
    histograms_add_up,
    costs_are_told,
    threads_run_where_they_are_pinned,
    totals_are_exact,
    a_thousand_random_plans,
}

/// A plan of some size for each allocator.
pub fn plan_of(allocator: Allocator) -> Plan {
    match allocator {
        Allocator::Pages => Plan::pages(1),
        Allocator::Krealloc => Plan::krealloc(100, 300),
        Allocator::Vmalloc | Allocator::Vzalloc | Allocator::Coherent => {
            Plan::new(allocator, 10_000)
        }
        _ => Plan::new(allocator, 100),
    }
}

/// A line of the module's table of allocators.
fn totals_of(allocator: Allocator) -> Result<[u64; 3]> {
    let text = fs::read_to_string(Path::new(DEBUGFS).join("allocators"))?;
    let line = text
        .lines()
        .find(|line| line.split(' ').next() == Some(allocator.name()))
        .with_context(|| format!("no line of {}: {text}", allocator.name()))?;
    let mut numbers = line.split(' ').skip(1).map(str::parse);
    let mut next = || -> Result<u64> { Ok(numbers.next().context("a short line")??) };
    Ok([next()?, next()?, next()?])
}

/// Fails if objects of a plan outlived their test.
pub fn nothing_is_left() -> Result<()> {
    let table = Path::new(DEBUGFS).join("allocators");
    if !table.exists() {
        return Ok(());
    }
    for line in fs::read_to_string(table)?.lines().skip(1) {
        let words: Vec<&str> = line.split(' ').collect();
        ensure!(
            words[1] == words[2],
            "the test left something behind: {line}"
        );
    }
    let stats = fs::read_to_string(Path::new(DEBUGFS).join("stats"))?;
    let used = stats.lines().find(|line| line.starts_with("used_bytes "));
    ensure!(used == Some("used_bytes 0"), "{used:?}");
    Ok(())
}

fn failed(report: &Report) -> u64 {
    report.failed_memory + report.failed_size
}

/// The first `n` objects of a plan in which so many are alive at a time.
fn recorded(device: &AllocDevice, plan: &Plan, n: u32) -> Result<Vec<Object>> {
    let plan = plan.clone().repeated(n);
    let plan = plan.with_pattern(Pattern::Batches { batch: n });
    let (report, objects) = device.record(&plan, n)?;
    ensure!(failed(&report) == 0, "{report:?}");
    ensure!(objects.len() == n as usize, "{} records", objects.len());
    Ok(objects)
}

/// The errno of a request that is a sound plan but for what `spoil` does to it.
pub fn errno_of(spoil: impl Fn(&mut uapi::Run)) -> Result<Errno> {
    let device = AllocDevice::open()?;
    let mut run = Plan::new(Allocator::Kmalloc, 64).repeated(3).to_request();
    spoil(&mut run);
    match device.request(&mut run) {
        Ok(()) => anyhow::bail!("it ran: {run:?}"),
        Err(errno) => Ok(errno),
    }
}
