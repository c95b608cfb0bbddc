// SPDX-License-Identifier: MIT OR Apache-2.0

//! What allocators give: sizes, places, contents.

use super::{failed, plan_of, recorded};
use crate::runner::Context;
use anyhow::{ensure, Context as _, Result};
use mapwright::{
    alloc::{AllocDevice, Allocator, CacheFlag, Modifier, Pattern, Plan, Zone},
    page_size, AddressClass,
};
use std::fs;

pub(super) fn each_allocator_gives_and_takes(_: &Context) -> Result<()> {
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

pub(super) fn objects_are_where_they_belong(_: &Context) -> Result<()> {
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

pub(super) fn kmalloc_rounds_up(_: &Context) -> Result<()> {
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

pub(super) fn kmalloc_gives_no_more_than_its_largest(_: &Context) -> Result<()> {
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

pub(super) fn nothing_has_an_address_too(_: &Context) -> Result<()> {
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

pub(super) fn zeroed_is_zeroed(_: &Context) -> Result<()> {
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

pub(super) fn krealloc_keeps_and_moves(_: &Context) -> Result<()> {
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

pub(super) fn split_blocks_are_contiguous(_: &Context) -> Result<()> {
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

pub(super) fn coherent_memory_has_two_addresses(_: &Context) -> Result<()> {
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

pub(super) fn a_cache_is_in_slabinfo(_: &Context) -> Result<()> {
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

pub(super) fn aligned_is_aligned(_: &Context) -> Result<()> {
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
