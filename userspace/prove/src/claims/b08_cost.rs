// SPDX-License-Identifier: MIT OR Apache-2.0

//! B8: what the allocators cost, compared.

use crate::{pin::Pinned, Claim, Document, Finding, Lab, Need, Table, Verdict, Vm};
use anyhow::{ensure, Context as _, Result};
use mapwright::alloc::{AllocDevice, Allocator, Pattern, Plan};

pub const CLAIM: Claim = Claim {
    id: "B8",
    title: "Cost of the allocators",
    sources: &[Document::Reference.section("9, Memory Allocation Hierarchy")],
    says: "An object from a slab takes about 1 µs if one is cached and 2 µs if not; pages of the buddy allocator \
           take 100 to 500 ns, and vmalloc() about the same.",
    needs: &[Need::Module("mapwright_alloc")],
    vms: &[Vm::Normal],
    prove,
};

/// Each is measured so often; the least counts.
const ROUNDS: usize = 7;
/// Allocations of a round.
const COUNT: u32 = 512;
/// More than this is not “about the same”.
const FAR: f64 = 3.0;

struct Measured {
    name: &'static str,
    /// Nanoseconds to allocate and free one, without the loop.
    least: f64,
    most: f64,
}

fn prove(_: &Lab) -> Result<Finding> {
    let device = AllocDevice::open()?;
    let _pinned = Pinned::to(0)?;
    let batches = Pattern::Batches { batch: COUNT };
    let measured = [
        (
            "kmalloc(64), freed at once: a slab hit",
            Plan::new(Allocator::Kmalloc, 64),
        ),
        (
            "kmalloc(2048), 512 at a time: slabs have to be made",
            Plan::new(Allocator::Kmalloc, 2048).with_pattern(batches),
        ),
        ("a page, freed at once", Plan::pages(0)),
        (
            "2^6 pages, freed at once: buddies are split and merged",
            Plan::pages(6),
        ),
        (
            "vmalloc() of a page, freed at once",
            Plan::new(Allocator::Vmalloc, mapwright::page_size()),
        ),
    ];
    let measured: Vec<Measured> = measured
        .into_iter()
        .map(|(name, plan)| measure(&device, name, plan.repeated(COUNT)))
        .collect::<Result<_>>()?;
    let mut table = Table::new(
        format!(
            "Nanoseconds to allocate and free one, without the loop: {ROUNDS} rounds of {COUNT}"
        ),
        ["what", "least", "most", "least, in slab hits"],
    );
    let [hit, miss, page, block, vmalloc] = &measured[..] else {
        anyhow::bail!("not all was measured");
    };
    for one in &measured {
        table.row([
            one.name.to_owned(),
            format!("{:.0}", one.least),
            format!("{:.0}", one.most),
            format!("{:.1}", one.least / hit.least),
        ]);
    }
    ensure!(
        hit.least > 0.0,
        "the clock saw nothing of {COUNT} allocations"
    );
    let slab_is_slower = hit.least > page.least && hit.least > block.least;
    let vmalloc_is_near = vmalloc.least < FAR * page.least;
    Ok(Finding::new(format!(
        "slab hit 1, miss {:.1}, page {:.1}, vmalloc {:.1}",
        miss.least / hit.least,
        page.least / hit.least,
        vmalloc.least / hit.least
    ))
    .statement(
        "By the times given, a slab (1 µs) is slower than the page allocator (100 to 500 ns)",
        Verdict::of(slab_is_slower),
        format!("a page takes {:.1} times as long as a slab hit", page.least / hit.least),
    )
    .statement(
        "vmalloc() costs about as much as the page allocator",
        Verdict::of(vmalloc_is_near),
        format!("{:.1} times as much as a page", vmalloc.least / page.least),
    )
    .statement(
        "A slab miss is slower than a hit",
        Verdict::of(miss.least > hit.least),
        format!("{:.1} times", miss.least / hit.least),
    )
    .table(table)
    .instead(
        "A slab hit is the fastest of all: that is what slabs are for, and what the document's words say, against its \
         times. The page allocator is slower, and vmalloc() by far the slowest: it allocates its pages, an area of \
         addresses and page tables, and to free it takes a TLB flush on all processors. Times of an emulated machine \
         compare only among themselves.",
    ))
}

/// The loop's own cost is its least of all rounds: taken off round by round, one that was disturbed when the
/// empty loop ran would cost nothing.
fn measure(device: &AllocDevice, name: &'static str, plan: Plan) -> Result<Measured> {
    let (mut spent, mut empty) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let report = device.run(&plan)?;
        ensure!(
            report.allocated == u64::from(COUNT),
            "{name}: {} of {COUNT} allocated",
            report.allocated
        );
        spent.push(report.allocating.ns + report.freeing.ns);
        empty.push(report.allocating.empty_ns + report.freeing.empty_ns);
    }
    let empty = empty.into_iter().min();
    let empty = empty.context("nothing was measured")?;
    let per_one = |ns: Option<u64>| -> Result<f64> {
        let ns = ns.context("nothing was measured")?;
        Ok(ns.saturating_sub(empty) as f64 / f64::from(COUNT))
    };
    Ok(Measured {
        name,
        least: per_one(spent.iter().copied().min())?,
        most: per_one(spent.iter().copied().max())?,
    })
}
