// SPDX-License-Identifier: MIT OR Apache-2.0

//! Plans take no more of the machine's memory than the budget: the worst of each allocator, and many at
//! random.

use crate::{
    alloc::random_plan,
    random::Random,
    runner::{skip, suite, Context},
};
use anyhow::{bail, ensure, Context as _, Result};
use mapwright::{
    alloc::{AllocDevice, Allocator, CacheFlag, Modifier, Pattern, Plan},
    page_size, Error,
};
use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

suite! { "alloc_budget":
    the_smallest_objects,
    sizes_that_are_rounded_up,
    objects_with_the_largest_alignment,
    objects_with_the_most_beside_them,
    held_plans_of_no_objects,
    random_plans,
}

/// Bytes that programs could still have: the kernel's estimate, and the free pages in the lists of the CPUs,
/// which it leaves out and which may be many when a plan has just freed its pages.
pub fn available() -> Result<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo")?;
    let kib = after(&meminfo, "MemAvailable:").context("no MemAvailable")?;
    let zones = fs::read_to_string("/proc/zoneinfo")?;
    let in_lists: u64 = zones.lines().filter_map(|line| after(line, "count:")).sum();
    Ok((kib << 10) + in_lists * page_size())
}

/// The number behind `name` in the first line that begins so.
fn after(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().map(str::trim);
    let rest = lines.find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// A skip where the kernel keeps something of each object for its checkers, for which nobody is charged: it would hide
/// what is to be seen.
pub fn needs_a_kernel_without_checkers() -> Result<()> {
    match Path::new("/sys/kernel/debug/kmemleak").exists() {
        true => skip("this kernel has checkers that take memory for each object"),
        false => Ok(()),
    }
}

/// Memory at one time.
struct Memory {
    available: u64,
    meminfo: String,
}

impl Memory {
    fn now() -> Result<Self> {
        let meminfo = fs::read_to_string("/proc/meminfo")?;
        Ok(Self {
            available: available()?,
            meminfo,
        })
    }

    /// What of it is more than it was `before`, or less, by at least a hundred KiB.
    fn changed_since(&self, before: &Self) -> String {
        let kib = |line: &str| line.split_whitespace().nth(1)?.parse::<i64>().ok();
        let lines = before.meminfo.lines().zip(self.meminfo.lines());
        let changes = lines.filter_map(|(before, now)| {
            let change = kib(now)? - kib(before)?;
            let name = now.split(':').next()?;
            (change.abs() >= 100).then(|| format!("{name} {change:+} KiB"))
        });
        changes.collect::<Vec<_>>().join(", ")
    }
}

/// Fails if memory fell, at any time while `f` ran, by more than `budget` and a twentieth of it.
fn within(budget: u64, what: &str, f: impl FnOnce() -> Result<()>) -> Result<u64> {
    needs_a_kernel_without_checkers()?;
    let before = Memory::now()?;
    let over = AtomicBool::new(false);
    let (ran, least) = thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut least = Memory::now()?;
            while !over.load(Relaxed) {
                if available()? < least.available {
                    least = Memory::now()?;
                }
                thread::sleep(Duration::from_millis(1));
            }
            Ok::<_, anyhow::Error>(least)
        });
        let ran = f();
        over.store(true, Relaxed);
        (ran, watcher.join())
    });
    ran?;
    let least = least.map_err(|_| anyhow::anyhow!("the watcher panicked"))??;
    let fell = before.available.saturating_sub(least.available);
    ensure!(
        fell <= budget + budget / 20,
        "{what}: {fell} bytes of memory were taken, with a budget of {budget}: {}",
        least.changed_since(&before)
    );
    Ok(fell)
}

/// The largest batch of `plan` that the module accepts.
fn most(device: &AllocDevice, plan: &Plan) -> Result<u32> {
    // Each allocates one object only, but has to be within the budget with all of its places.
    let fits = |batch| {
        let plan = plan.clone().with_pattern(Pattern::Batches { batch });
        match device.run(&plan) {
            Ok(_) => Ok(true),
            Err(Error::OverBudget { .. }) => Ok(false),
            Err(err) => Err(err),
        }
    };
    let (mut fitting, mut over) = (0, 1u32 << 24);
    while over - fitting > fitting / 64 + 1 {
        let batch = fitting + (over - fitting) / 2;
        match fits(batch)? {
            true => fitting = batch,
            false => over = batch,
        }
    }
    ensure!(fitting > 0, "not even one object is within the budget");
    Ok(fitting)
}

/// Holds as many objects of each plan as the module lets, and looks what memory is left meanwhile.
fn none_takes_too_much(context: &Context, plans: Vec<Plan>) -> Result<()> {
    let device = AllocDevice::open()?;
    let budget = device.info()?.budget_bytes;
    for plan in plans {
        let batch = most(&device, &plan)?;
        let name = plan.allocator.name();
        let plan = plan
            .repeated(batch)
            .with_pattern(Pattern::Batches { batch })
            .holding();
        let fell = within(budget, name, || {
            let report = device.run(&plan)?;
            ensure!(report.allocated > 0, "{name}: {report:?}");
            Ok(())
        })?;
        device.release()?;
        context.note(format!(
            "{batch} of {name}, {} bytes: {} KiB taken",
            plan.bytes,
            fell >> 10
        ));
    }
    Ok(())
}

fn the_smallest_objects(context: &Context) -> Result<()> {
    let smallest = |allocator: &Allocator| match allocator {
        Allocator::Pages => Plan::pages(0),
        Allocator::Krealloc => Plan::krealloc(1, 1),
        _ => Plan::new(*allocator, 1),
    };
    none_takes_too_much(context, Allocator::ALL.iter().map(smallest).collect())
}

fn sizes_that_are_rounded_up(context: &Context) -> Result<()> {
    use Allocator::{Coherent, Kmalloc, KmemCache, Kvmalloc, PerCpu, Vmalloc};
    let page = page_size();
    let plans = [
        (Kmalloc, 65),
        (Kmalloc, 2 * page + 1),
        (Kmalloc, 64 * page + 1),
        (Kvmalloc, 64 * page + 1),
        (Vmalloc, page + 1),
        (KmemCache, page + 1),
        (KmemCache, 1400),
        (Coherent, 16 * page + 1),
        (PerCpu, page / 2 + 1),
        (PerCpu, 20_000),
    ];
    let plan = |(allocator, bytes)| Plan::new(allocator, bytes);
    let mut plans: Vec<Plan> = plans.into_iter().map(plan).collect();
    // What is made smaller stays where it is.
    plans.push(Plan::krealloc(4097, 1));
    none_takes_too_much(context, plans)
}

fn objects_with_the_largest_alignment(context: &Context) -> Result<()> {
    let aligned = |allocator, bytes| Plan {
        align: page_size() as u32,
        ..Plan::new(allocator, bytes)
    };
    let plans = vec![
        aligned(Allocator::KmemCache, 1),
        aligned(Allocator::KmemCache, page_size() + 1),
        aligned(Allocator::PerCpu, 1),
        aligned(Allocator::PerCpu, page_size() + 1),
    ];
    none_takes_too_much(context, plans)
}

fn objects_with_the_most_beside_them(context: &Context) -> Result<()> {
    let accounted = [
        Allocator::Kmalloc,
        Allocator::KmemCache,
        Allocator::PerCpu,
        Allocator::Vmalloc,
    ];
    let mut plans: Vec<Plan> = accounted
        .iter()
        .map(|allocator| Plan::new(*allocator, 1).with(Modifier::Account))
        .collect();
    for (bytes, align) in [(1, 0), (100, 64), (1, page_size() as u32)] {
        plans.push(Plan {
            cache_flags: CacheFlag::ALL
                .iter()
                .copied()
                .filter(|flag| !matches!(flag, CacheFlag::Dma | CacheFlag::Dma32))
                .collect(),
            align,
            ..Plan::new(Allocator::KmemCache, bytes)
        });
    }
    none_takes_too_much(context, plans)
}

fn held_plans_of_no_objects(context: &Context) -> Result<()> {
    let device = AllocDevice::open()?;
    let budget = device.info()?.budget_bytes;
    // A size of 0 takes no memory, but the plan does.
    let plan = Plan {
        size_zero: true,
        ..Plan::new(Allocator::Kmalloc, 0)
    };
    let plan = plan.with_pattern(Pattern::Batches { batch: 1 }).holding();
    let used = device.info()?.used_bytes;
    let mut held = 0;
    let fell = within(budget, "held plans", || loop {
        match device.run(&plan) {
            Ok(_) => held += 1,
            Err(Error::OverBudget { .. }) => return Ok(()),
            Err(err) => bail!(err),
        }
        if held == 20_000 {
            let each = (device.info()?.used_bytes - used) / held;
            // The structure that keeps its objects, and its place among all.
            ensure!(each >= 128, "a held plan counts as {each} bytes");
            return Ok(());
        }
    })?;
    context.note(format!("{held} plans: {} KiB taken", fell >> 10));
    device.release()?;
    Ok(())
}

/// How many plans at random, by the environment variable `MAPWRIGHT_PLANS`.
fn how_many() -> Result<u64> {
    match std::env::var("MAPWRIGHT_PLANS") {
        Ok(number) => Ok(number.parse()?),
        Err(_) => Ok(100),
    }
}

fn random_plans(context: &Context) -> Result<()> {
    let device = AllocDevice::open()?;
    let budget = device.info()?.budget_bytes;
    let mut random = Random::new(15);
    let (mut held, mut over) = (0, 0);
    let mut run = || {
        for i in 0..how_many()? {
            let plan = large_plan(&mut random, budget);
            match device.run(&plan) {
                Ok(_) => held += 1,
                Err(Error::PlanRefused { .. }) => (),
                Err(Error::OverBudget { .. }) => {
                    over += 1;
                    device.release()?;
                }
                Err(err) => return Err(err).with_context(|| format!("plan {i}: {plan:?}")),
            }
        }
        Ok(())
    };
    let fell = within(budget, "random plans", &mut run)?;
    device.release()?;
    context.note(format!(
        "{held} plans, {over} times over the budget: {} KiB taken",
        fell >> 10
    ));
    ensure!(over > 0, "the budget was never used up");
    Ok(())
}

/// A plan at random that could use up to a fourth of the budget.
fn large_plan(random: &mut Random, budget: u64) -> Plan {
    let mut plan = random_plan(random);
    if plan.pattern == Pattern::Pairs {
        return plan;
    }
    let page = page_size();
    let object = match plan.allocator {
        Allocator::Pages => page << plan.order.min(10),
        Allocator::Vmalloc | Allocator::Vzalloc | Allocator::Coherent => plan.bytes.max(page),
        Allocator::Krealloc => plan.bytes.max(plan.old_bytes),
        _ => plan.bytes.max(u64::from(plan.align)).max(8),
    };
    let batch = (random.below(budget / 4) / object).clamp(1, 20_000) as u32;
    plan.count = batch;
    plan.pattern = Pattern::Batches { batch };
    plan.hold = true;
    plan
}
