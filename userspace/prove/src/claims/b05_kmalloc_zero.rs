// SPDX-License-Identifier: MIT OR Apache-2.0

//! B5: `kmalloc(0)`, and what may be freed without having been allocated.

use crate::{read, Claim, Document, Finding, Lab, Need, Table, Verdict, Vm};
use anyhow::{Context as _, Result};
use mapwright::alloc::{AllocDevice, Allocator, Plan};

pub const CLAIM: Claim = Claim {
    id: "B5",
    title: "kmalloc(0) and kfree(NULL)",
    sources: &[Document::Reference.section("10, kmalloc() Function")],
    says: "kmalloc(0) gives ZERO_SIZE_PTR, which is not NULL and may not be used. kfree() of it, and of \
           NULL, is harmless.",
    needs: &[Need::Module("mapwright_alloc")],
    vms: &[Vm::Normal],
    prove,
};

/// `include/linux/slab.h`
const ZERO_SIZE_PTR: u64 = 16;
const TIMES: u32 = 1000;

fn prove(_: &Lab) -> Result<Finding> {
    let device = AllocDevice::open()?;
    let before = troubles()?;
    let zero = Plan {
        size_zero: true,
        ..Plan::new(Allocator::Kmalloc, 0).repeated(TIMES)
    };
    let (of_zero, objects) = device.record(&zero, TIMES)?;
    let address = objects
        .first()
        .context("kmalloc(0) has given a null pointer")?
        .address;
    let all_same = objects.iter().all(|object| object.address == address);
    let null = Plan {
        free_null: true,
        ..Plan::new(Allocator::Kmalloc, 64).repeated(TIMES)
    };
    let of_null = device.run(&null)?;
    let after = troubles()?;

    let mut table = Table::new(
        "Done a thousand times each",
        ["what", "allocated", "freed", "address"],
    );
    table.row([
        "kmalloc(0), kfree() of what it gave".to_owned(),
        of_zero.allocated.to_string(),
        of_zero.freed.to_string(),
        format!("{address:#x}"),
    ]);
    table.row([
        "kmalloc(64), kfree() of that and of NULL".to_owned(),
        of_null.allocated.to_string(),
        of_null.freed.to_string(),
        "any".to_owned(),
    ]);
    let harmless = before == after;
    let taint = format!("the kernel's taint flags before and after: {before}, {after}");
    Ok(Finding::new(format!("kmalloc(0) is {address:#x}"))
        .statement(
            "kmalloc(0) gives ZERO_SIZE_PTR, which is not NULL",
            Verdict::of(address == ZERO_SIZE_PTR && all_same),
            format!("{address:#x}, {} times", objects.len()),
        )
        .statement(
            "kfree() of it is harmless",
            Verdict::of(harmless && of_zero.freed == of_zero.allocated),
            taint.clone(),
        )
        .statement(
            "kfree(NULL) is harmless",
            Verdict::of(harmless && of_null.freed == of_null.allocated),
            taint,
        )
        .table(table))
}

/// The kernel's taint flags: a warning or worse sets one.
fn troubles() -> Result<String> {
    Ok(read::text("/proc/sys/kernel/tainted")?.trim().to_owned())
}
