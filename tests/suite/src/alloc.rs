// SPDX-License-Identifier: MIT OR Apache-2.0

//! Allocation plans: what each allocator gives, and that nothing is left of it.

use crate::{
    random::Random,
    runner::{suite, Context},
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{
    alloc::{
        AllocDevice, Allocator, CacheFlag, Gfp, Modifier, Object, Pattern, Plan, Report, Zone,
        DEBUGFS,
    },
    page_size,
    uapi::alloc as uapi,
    AddressClass, Error,
};
use nix::errno::Errno;
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

fn each_allocator_gives_and_takes(_: &Context) -> Result<()> {
    let device = AllocDevice::open()?;
    let patterns = [
        Pattern::Pairs,
        Pattern::Batches { batch: 7 },
        Pattern::Random {
            places: 9,
            seed: 42,
        },
    ];
    for allocator in Allocator::ALL {
        for pattern in patterns {
            let plan = plan_of(*allocator).repeated(50).with_pattern(pattern);
            let report = device.run(&plan).with_context(|| allocator.name())?;
            ensure!(failed(&report) == 0, "{}: {report:?}", allocator.name());
            let expected = match pattern {
                Pattern::Random { .. } => report.allocated + report.freed == 50,
                _ => report.allocated == 50 && report.freed == 50,
            };
            ensure!(expected, "{}: {report:?}", allocator.name());
        }
    }
    Ok(())
}

fn objects_are_where_they_belong(_: &Context) -> Result<()> {
    let device = AllocDevice::open()?;
    for allocator in Allocator::ALL {
        for object in recorded(&device, &plan_of(*allocator), 4)? {
            let class = match allocator {
                Allocator::Vmalloc | Allocator::Vzalloc => AddressClass::Vmalloc,
                // Wherever the machine has its per-CPU area; on 32 bits coherent memory is remapped.
                Allocator::PerCpu | Allocator::Coherent => object.address_class,
                _ => AddressClass::DirectMap,
            };
            ensure!(object.address_class == class, "{object:?}");
            ensure!(object.pfn != 0 && object.runs >= 1, "{object:?}");
            ensure!(object.longest_run <= object.pages, "{object:?}");
            ensure!(object.zone != Zone::Device, "{object:?}");
        }
    }
    Ok(())
}

fn kmalloc_rounds_up(_: &Context) -> Result<()> {
    let device = AllocDevice::open()?;
    let mut last = 0;
    for bytes in (1..=8192).step_by(37) {
        let (_, objects) = device.record(&Plan::new(Allocator::Kmalloc, bytes), 1)?;
        let actual = objects[0].actual_bytes;
        // With slab debugging, `ksize()` tells what was asked for.
        ensure!(actual >= bytes && actual >= last.min(bytes), "{objects:?}");
        // The smallest object is a cache line where DMA needs that: 64 bytes on 32-bit ARM.
        ensure!(actual < bytes.max(33) * 2, "{bytes} bytes: {objects:?}");
        last = actual;
    }
    Ok(())
}

fn kmalloc_gives_no_more_than_its_largest(_: &Context) -> Result<()> {
    let device = AllocDevice::open()?;
    let largest = device.info()?.kmalloc_max_bytes;
    let beyond = device.run(&Plan::new(Allocator::Kmalloc, largest + 1))?;
    ensure!(
        (beyond.allocated, beyond.failed_size, beyond.failed_memory) == (0, 1, 0),
        "{beyond:?}"
    );
    let at_most = device.run(&Plan::new(Allocator::Kmalloc, largest))?;
    ensure!(at_most.allocated + at_most.failed_memory == 1);
    Ok(())
}

fn nothing_has_an_address_too(_: &Context) -> Result<()> {
    let device = AllocDevice::open()?;
    for allocator in [Allocator::Kmalloc, Allocator::Kzalloc, Allocator::Kvmalloc] {
        let plan = Plan {
            size_zero: true,
            free_null: true,
            ..Plan::new(allocator, 0)
        };
        let (report, objects) = device.record(&plan, 1)?;
        ensure!(report.allocated == 1 && report.freed == 1, "{report:?}");
        // ZERO_SIZE_PTR
        ensure!(objects[0].address == 16, "{objects:?}");
        ensure!(objects[0].pages == 0 && objects[0].actual_bytes == 0);
    }
    Ok(())
}

fn zeroed_is_zeroed(_: &Context) -> Result<()> {
    let device = AllocDevice::open()?;
    let sizes = [
        (Allocator::Kmalloc, Allocator::Kzalloc, 500),
        (Allocator::Vmalloc, Allocator::Vzalloc, 20_000),
    ];
    for (filled, zeroed, bytes) in sizes {
        let fill = Plan {
            fill: true,
            ..Plan::new(filled, bytes)
        };
        recorded(&device, &fill, 32)?;
        let objects = recorded(&device, &Plan::new(zeroed, bytes), 32)?;
        ensure!(objects.iter().all(|object| object.zeroed), "{objects:?}");
    }
    let fill = Plan {
        fill: true,
        ..Plan::pages(2)
    };
    recorded(&device, &fill, 8)?;
    let objects = recorded(&device, &Plan::pages(2).with(Modifier::Zero), 8)?;
    ensure!(objects.iter().all(|object| object.zeroed), "{objects:?}");
    Ok(())
}

fn krealloc_keeps_and_moves(_: &Context) -> Result<()> {
    let device = AllocDevice::open()?;
    for (from, to, moves) in [(64, 4096, true), (100, 101, false), (8192, 65536, true)] {
        for object in recorded(&device, &Plan::krealloc(from, to), 8)? {
            ensure!(object.kept, "{from} to {to}: {object:?}");
            // Debugging may move what could stay.
            ensure!(object.moved || !moves, "{from} to {to}: {object:?}");
        }
    }
    Ok(())
}

fn split_blocks_are_contiguous(_: &Context) -> Result<()> {
    let device = AllocDevice::open()?;
    let plan = Plan {
        split: true,
        ..Plan::pages(3)
    };
    let (report, pages) = device.record_pages(&plan.repeated(2), 16)?;
    ensure!(report.allocated == 2 && pages.len() == 16, "{pages:?}");
    for block in pages.chunks(8) {
        ensure!(block[0].pfn % 8 == 0, "{block:?}");
        for (i, page) in (0..).zip(block) {
            ensure!(page.pfn == block[0].pfn + i, "{block:?}");
            ensure!(page.pages == 1 && page.index == block[0].index);
        }
    }
    Ok(())
}

fn coherent_memory_has_two_addresses(_: &Context) -> Result<()> {
    let device = AllocDevice::open()?;
    let page = page_size();
    for object in recorded(&device, &Plan::new(Allocator::Coherent, page + 904), 4)? {
        let dma_addr = object.dma_addr.context("no DMA address")?;
        ensure!(dma_addr % page == 0, "{object:?}");
        ensure!(object.pages == 2 && object.runs == 1, "{object:?}");
    }
    let others = recorded(&device, &Plan::new(Allocator::Vmalloc, page + 904), 1)?;
    ensure!(others[0].dma_addr.is_none(), "{others:?}");
    Ok(())
}

fn a_cache_is_in_slabinfo(_: &Context) -> Result<()> {
    let device = AllocDevice::open()?;
    let plan = Plan {
        cache_flags: vec![CacheFlag::NoMerge],
        ..Plan::new(Allocator::KmemCache, 200)
    };
    let plan = plan.repeated(100);
    let plan = plan.with_pattern(Pattern::Batches { batch: 100 }).holding();
    let report = device.run(&plan)?;
    let name = report.cache.context("no name")?;
    let line_of = || -> Result<Option<String>> {
        let text = fs::read_to_string("/proc/slabinfo")?;
        let mut lines = text.lines();
        Ok(lines
            .find(|line| line.split_whitespace().next() == Some(&name))
            .map(str::to_owned))
    };
    let line = line_of()?.with_context(|| format!("{name} is not in /proc/slabinfo"))?;
    let size = line.split_whitespace().nth(3).context("a short line")?;
    ensure!(size.parse::<u64>()? >= 200, "{line}");
    ensure!(device.release()? == 100);
    ensure!(line_of()?.is_none(), "{name} outlived its objects");
    Ok(())
}

fn aligned_is_aligned(_: &Context) -> Result<()> {
    let device = AllocDevice::open()?;
    for allocator in [Allocator::KmemCache, Allocator::PerCpu] {
        for align in [64, 1024] {
            let plan = Plan {
                align,
                ..Plan::new(allocator, 24)
            };
            for object in recorded(&device, &plan, 8)? {
                ensure!(object.address % u64::from(align) == 0, "{object:?}");
            }
        }
    }
    Ok(())
}

/// Three blocks of pages that are held.
fn hold_three(device: &AllocDevice) -> Result<Report> {
    let plan = Plan::pages(2).repeated(3);
    Ok(device.run(&plan.with_pattern(Pattern::Batches { batch: 3 }).holding())?)
}

fn held_objects_stay_until_released(_: &Context) -> Result<()> {
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

fn held_objects_go_with_the_file(_: &Context) -> Result<()> {
    hold_three(&AllocDevice::open()?)?;
    nothing_is_left()
}

fn the_budget_is_not_exceeded(_: &Context) -> Result<()> {
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

fn histograms_add_up(_: &Context) -> Result<()> {
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

fn costs_are_told(_: &Context) -> Result<()> {
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

fn threads_run_where_they_are_pinned(_: &Context) -> Result<()> {
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

fn totals_are_exact(_: &Context) -> Result<()> {
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

/// A plan that is not large. A third of them are wild: those may be refused.
pub fn random_plan(random: &mut Random) -> Plan {
    let allocator = *random.pick(Allocator::ALL);
    let magnitude = random.below(15);
    let bytes = random.below(1 << magnitude) + 1;
    let mut plan = match allocator {
        Allocator::Pages => Plan::pages(random.below(6) as u32),
        Allocator::Krealloc => Plan::krealloc(random.below(10_000) + 1, bytes),
        Allocator::KmemCache => Plan::new(allocator, bytes.min(8192)),
        _ => Plan::new(allocator, bytes),
    };
    plan.gfp = *random.pick(&[Gfp::Kernel, Gfp::Atomic, Gfp::Noio, Gfp::User]);
    if random.below(3) == 0 {
        plan.modifiers = vec![*random.pick(&[Modifier::Zero, Modifier::Account])];
    }
    if allocator == Allocator::KmemCache {
        plan.cache_flags = (0..random.below(3))
            .map(|_| *random.pick(CacheFlag::ALL))
            .collect();
        plan.align = *random.pick(&[0, 8, 64, page_size() as u32]);
    }
    plan.count = random.below(40) as u32 + 1;
    let batch = random.below(12) as u32 + 1;
    plan.pattern = match random.below(3) {
        0 => Pattern::Pairs,
        1 => Pattern::Batches { batch },
        _ => Pattern::Random {
            places: batch,
            seed: random.next(),
        },
    };
    plan.hold = plan.pattern != Pattern::Pairs && random.below(3) == 0;
    plan.split = allocator == Allocator::Pages && random.below(2) == 0;
    if random.below(3) == 0 {
        spoil(&mut plan, random);
    }
    plan
}

/// Changes a plan so that it may not make sense any more.
fn spoil(plan: &mut Plan, random: &mut Random) {
    plan.gfp = *random.pick(Gfp::ALL);
    plan.modifiers = (0..random.below(3))
        .map(|_| *random.pick(Modifier::ALL))
        .collect();
    plan.node = *random.pick(&[None, Some(0), Some(1), Some(-3)]);
    plan.free_null = random.below(4) == 0;
    plan.split |= random.below(8) == 0;
    plan.hold |= random.below(8) == 0;
    if random.below(8) == 0 {
        plan.align = 64;
    }
}

fn a_thousand_random_plans(context: &Context) -> Result<()> {
    let device = AllocDevice::open()?;
    let mut random = Random::new(2026);
    let (mut ran, mut refused, mut failures, mut objects) = (0, 0, 0, 0);
    for i in 0..1000 {
        let plan = random_plan(&mut random);
        let result = match random.below(3) {
            0 => device.record(&plan, 5).map(|(report, _)| report),
            1 => device.record_pages(&plan, 5).map(|(report, _)| report),
            _ => device.run(&plan),
        };
        match result {
            Ok(report) => {
                ran += 1;
                failures += failed(&report);
                objects += report.allocated;
            }
            Err(Error::PlanRefused { .. }) => refused += 1,
            Err(err) => return Err(err).with_context(|| format!("plan {i}: {plan:?}")),
        }
        if i % 16 == 0 {
            device.release()?;
        }
    }
    device.release()?;
    context.note(format!(
        "{ran} ran and gave {objects} objects, {failures} allocations failed; {refused} were refused"
    ));
    ensure!(ran > 600 && refused > 50, "{ran} ran, {refused} refused");
    ensure!(objects > failures, "{objects} objects, {failures} failures");
    Ok(())
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
