// SPDX-License-Identifier: MIT OR Apache-2.0

//! B3: how `kmalloc()` rounds sizes.

use crate::{Claim, Document, Finding, Lab, Need, Table, Verdict, Vm};
use anyhow::{Context as _, Result};
use mapwright::alloc::{AllocDevice, Allocator, Plan};

pub const CLAIM: Claim = Claim {
    id: "B3",
    title: "Sizes of kmalloc",
    sources: &[
        Document::Reference.section("9, Memory Allocation Hierarchy"),
        Document::Reference.section("A, kmalloc()"),
        Document::Reference.section("F, ksize()"),
    ],
    says: "kmalloc() rounds a size up to a power of two: 100 bytes take 128.",
    needs: &[Need::Module("mapwright_alloc")],
    vms: &[Vm::Normal],
    prove,
};

/// Requests that get the same.
struct Class {
    first: u64,
    last: u64,
    actual: u64,
}

fn prove(_: &Lab) -> Result<Finding> {
    let device = AllocDevice::open()?;
    // Every size up to the largest of a slab, and some beyond, which come from the page allocator.
    let up_to = device.info()?.slab_max_bytes;
    let larger = [up_to + 1, up_to * 3 / 2, 2 * up_to + 1, 100_000];
    let mut classes: Vec<Class> = Vec::new();
    for bytes in 1..=up_to {
        let actual = actual(&device, bytes)?;
        match classes.last_mut() {
            Some(class) if class.actual == actual => class.last = bytes,
            _ => classes.push(Class {
                first: bytes,
                last: bytes,
                actual,
            }),
        }
    }
    for bytes in larger {
        let actual = actual(&device, bytes)?;
        classes.push(Class {
            first: bytes,
            last: bytes,
            actual,
        });
    }
    let mut table = Table::new(
        format!("What ksize() tells of every size from 1 to {up_to}, and some larger ones"),
        ["asked for", "given", "a power of two"],
    );
    for class in &classes {
        let asked = match class.first == class.last {
            true => class.first.to_string(),
            false => format!("{} to {}", class.first, class.last),
        };
        let power = if class.actual.is_power_of_two() {
            "yes"
        } else {
            "no"
        };
        table.row([asked, class.actual.to_string(), power.to_owned()]);
    }
    let hundred = classes
        .iter()
        .find(|class| (class.first..=class.last).contains(&100));
    let hundred = hundred.context("100 bytes were not tried")?.actual;
    let others: Vec<String> = classes
        .iter()
        .filter(|class| !class.actual.is_power_of_two())
        .map(|class| class.actual.to_string())
        .collect();
    let least = classes[0].actual;
    Ok(Finding::new(format!(
        "100 bytes take {hundred}; not powers of two: {}",
        if others.is_empty() { "none".to_owned() } else { others.join(", ") }
    ))
    .statement("100 bytes take 128", Verdict::of(hundred == 128), format!("{hundred} bytes"))
    .statement(
        "Every size is rounded up to a power of two",
        Verdict::of(others.is_empty()),
        format!("there are also caches for {} bytes", others.join(" and ")),
    )
    .table(table)
    .instead(format!(
        "There are caches for 96 and 192 bytes, too. The smallest gives {least} bytes here; it is larger where \
         caches must not share a cache line with DMA. Beyond the largest cache, kmalloc() takes whole blocks of \
         pages."
    )))
}

fn actual(device: &AllocDevice, bytes: u64) -> Result<u64> {
    let (_, objects) = device.record(&Plan::new(Allocator::Kmalloc, bytes), 1)?;
    let object = objects.first();
    Ok(object
        .with_context(|| format!("kmalloc({bytes}) has failed"))?
        .actual_bytes)
}
