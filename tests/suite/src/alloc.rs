// SPDX-License-Identifier: MIT OR Apache-2.0

//! Allocation plans: what each allocator gives, and that nothing is left of it.

use crate::runner::{suite, Context};
use anyhow::{ensure, Context as _, Result};
use mapwright::{
    alloc::{AllocDevice, Allocator, Pattern, Plan, Zone, DEBUGFS},
    AddressClass,
};
use std::{fs, path::Path};

suite! { "alloc":
    each_allocator_gives_and_takes,
    objects_are_where_they_belong,
}

/// A plan of some size for each allocator.
fn plan_of(allocator: Allocator) -> Plan {
    match allocator {
        Allocator::Pages => Plan::pages(1),
        Allocator::Krealloc => Plan::krealloc(100, 300),
        Allocator::Vmalloc | Allocator::Vzalloc | Allocator::Coherent => {
            Plan::new(allocator, 10_000)
        }
        _ => Plan::new(allocator, 100),
    }
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
            let failed = report.failed_memory + report.failed_size;
            ensure!(failed == 0, "{}: {report:?}", allocator.name());
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
        let plan = plan_of(*allocator)
            .repeated(4)
            .with_pattern(Pattern::Batches { batch: 4 });
        let (report, objects) = device.record(&plan, 3)?;
        ensure!(report.allocated == 4 && objects.len() == 3, "{report:?}");
        for object in &objects {
            let class = match allocator {
                Allocator::Vmalloc | Allocator::Vzalloc => AddressClass::Vmalloc,
                Allocator::PerCpu => continue,
                _ => AddressClass::DirectMap,
            };
            ensure!(object.address_class == class, "{object:?}");
            ensure!(object.pfn != 0 && object.runs >= 1, "{object:?}");
            ensure!(object.zone != Zone::Device, "{object:?}");
        }
    }
    Ok(())
}
