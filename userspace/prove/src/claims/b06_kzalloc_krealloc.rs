// SPDX-License-Identifier: MIT OR Apache-2.0

//! B6: `kzalloc()`, `krealloc()` and `ksize()`.

use crate::{Claim, Document, Finding, Lab, Need, Table, Verdict, Vm};
use anyhow::{Context as _, Result};
use mapwright::alloc::{AllocDevice, Allocator, Object, Pattern, Plan};

pub const CLAIM: Claim = Claim {
    id: "B6",
    title: "kzalloc, krealloc and ksize",
    sources: &[
        Document::Reference.section("D, kzalloc()"),
        Document::Reference.section("E, krealloc()"),
        Document::Reference.section("F, ksize()"),
    ],
    says: "kzalloc() gives zeroed memory; krealloc() gives a new block with the data of the old one; ksize() tells \
           the size that was really given.",
    needs: &[Need::Module("mapwright_alloc")],
    vms: &[Vm::Normal, Vm::AboveFourGib],
    prove,
};

/// Objects that are looked at.
const OBJECTS: u32 = 64;
const BYTES: u64 = 100;

fn prove(_: &Lab) -> Result<Finding> {
    let device = AllocDevice::open()?;
    let mut table = Table::new(
        format!("{OBJECTS} objects each; before that, as many were filled with 0xa5 and freed"),
        ["what", "given", "all zero", "moved", "data kept"],
    );
    let mut reports = Vec::new();
    for (what, plan) in [
        ("kmalloc(100)", Plan::new(Allocator::Kmalloc, BYTES)),
        ("kzalloc(100)", Plan::new(Allocator::Kzalloc, BYTES)),
        ("krealloc() from 100 to 120", Plan::krealloc(BYTES, 120)),
        ("krealloc() from 100 to 1000", Plan::krealloc(BYTES, 1000)),
        ("krealloc() from 1000 to 100", Plan::krealloc(1000, BYTES)),
    ] {
        let objects = after_dirt(&device, plan)?;
        let count = |is: fn(&Object) -> bool| objects.iter().filter(|object| is(object)).count();
        let of = Of {
            all: objects.len(),
            zeroed: count(|object| object.zeroed),
            moved: count(|object| object.moved),
            kept: count(|object| object.kept),
            actual: objects
                .first()
                .context("nothing was allocated")?
                .actual_bytes,
        };
        let reallocated = what.starts_with("krealloc");
        let cell = |count: usize, tell: bool| {
            if tell {
                count.to_string()
            } else {
                String::new()
            }
        };
        table.row([
            what.to_owned(),
            of.actual.to_string(),
            cell(of.zeroed, !reallocated),
            cell(of.moved, reallocated),
            cell(of.kept, reallocated),
        ]);
        reports.push(of);
    }
    let [plain, zeroed, within, grown, shrunk] = &reports[..] else {
        anyhow::bail!("not all was tried");
    };
    let kept = [within, grown, shrunk].iter().all(|of| of.kept == of.all);
    Ok(Finding::new(format!(
        "{} of {} from kzalloc() are zero, {} of {} from kmalloc(); 100 bytes are {}",
        zeroed.zeroed, zeroed.all, plain.zeroed, plain.all, plain.actual
    ))
    .statement(
        "kzalloc() gives zeroed memory",
        Verdict::of(zeroed.zeroed == zeroed.all),
        format!("{} of {} objects; of kmalloc(), {}", zeroed.zeroed, zeroed.all, plain.zeroed),
    )
    .said_in(&[Document::Reference.section("D, kzalloc()")])
    .statement(
        "kmalloc() does not zero",
        Verdict::Confirmed.if_else(plain.zeroed < plain.all, Verdict::Config),
        match plain.zeroed < plain.all {
            true => format!("{} of {} objects are not zero", plain.all - plain.zeroed, plain.all),
            false => "on this kernel, all that is allocated is zeroed: init_on_alloc".to_owned(),
        },
    )
    .said_in(&[
        Document::Reference.section("D, kzalloc()"),
        Document::Reference.section("G, Comprehensive Comparison Matrix"),
    ])
    .statement(
        "krealloc() keeps the data",
        Verdict::of(kept),
        format!("{} of {} objects", within.kept + grown.kept + shrunk.kept, within.all + grown.all + shrunk.all),
    )
    .said_in(&[Document::Reference.section("E, krealloc()")])
    .statement(
        "krealloc() gives a new block",
        Verdict::of(grown.moved == grown.all && within.moved == within.all),
        format!("{} of {} moved from 100 to 1000 bytes, {} from 100 to 120", grown.moved, grown.all, within.moved),
    )
    .said_in(&[Document::Reference.section("E, krealloc()")])
    .statement(
        "ksize() tells the size that was really given",
        Verdict::of(plain.actual > BYTES),
        format!("{} for {BYTES} bytes", plain.actual),
    )
    .said_in(&[Document::Reference.section("F, ksize()")])
    .table(table)
    .instead(
        "krealloc() moves only what does not fit where it is. With init_on_alloc=1, the default of many distributions (CONFIG_INIT_ON_ALLOC_DEFAULT_ON), kmalloc() zeroes, \
         too. What ksize() tells is no longer for use: the compiler and the kernel's checks take the size that was asked \
         for as the object's end. Who wants the rest asks kmalloc_size_roundup() first.",
    ))
}

struct Of {
    all: usize,
    zeroed: usize,
    moved: usize,
    kept: usize,
    actual: u64,
}

/// What a plan gives right after memory of the same size was filled and freed.
fn after_dirt(device: &AllocDevice, plan: Plan) -> Result<Vec<Object>> {
    let pattern = Pattern::Batches { batch: OBJECTS };
    for bytes in [plan.bytes, plan.old_bytes] {
        if bytes > 0 {
            let dirt = Plan {
                fill: true,
                ..Plan::new(Allocator::Kmalloc, bytes)
                    .repeated(OBJECTS)
                    .with_pattern(pattern)
            };
            device.record(&dirt, OBJECTS)?;
        }
    }
    let plan = plan.repeated(OBJECTS).with_pattern(pattern);
    Ok(device.record(&plan, OBJECTS)?.1)
}
