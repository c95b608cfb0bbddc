// SPDX-License-Identifier: MIT OR Apache-2.0

//! B1: what `kmalloc()` gives is contiguous in both kinds of addresses.

use crate::{Claim, Document, Finding, Lab, Need, Table, Verdict, Vm};
use anyhow::{ensure, Result};
use mapwright::{
    alloc::{AllocDevice, Allocator, Plan},
    AddressClass,
};

pub const CLAIM: Claim = Claim {
    id: "B1",
    title: "kmalloc is contiguous",
    sources: &[
        Document::Walkthrough.section("2, Kernel virtual address layout"),
        Document::Walkthrough.section("4, Kernel allocators & mappings"),
        Document::Reference.section("7, Low Memory Details"),
        Document::Reference.section("10, kmalloc() Function"),
        Document::Overview.section("6, Memory Allocation APIs"),
    ],
    says: "kmalloc() gives memory that is contiguous physically and virtually, in the direct map of all \
           memory, where an address and its physical address differ by a constant.",
    needs: &[Need::Module("mapwright_alloc")],
    vms: &[Vm::Normal],
    prove,
};

/// From within a page to the largest there is.
const SIZES: [u64; 7] = [64, 1000, 5000, 8192, 100_000, 1 << 20, 4 << 20];

fn prove(lab: &Lab) -> Result<Finding> {
    let device = AllocDevice::open()?;
    let page = lab.machine.page_size;
    let mut table = Table::new(
        "One kmalloc() of each size",
        [
            "bytes",
            "pages",
            "physical runs",
            "address",
            "physical address",
            "difference",
            "where",
        ],
    );
    let (mut one_run, mut in_direct_map, mut bases) = (true, true, Vec::new());
    let mut largest = 0;
    for bytes in SIZES {
        let (report, objects) = device.record(&Plan::new(Allocator::Kmalloc, bytes), 1)?;
        let Some(object) = objects.first().filter(|_| report.allocated > 0) else {
            continue;
        };
        let physical = object.pfn * page + object.address % page;
        let base = object.address.wrapping_sub(physical);
        one_run &= object.runs == 1 && object.longest_run == object.pages;
        in_direct_map &= object.address_class == AddressClass::DirectMap;
        bases.push(base);
        largest = bytes;
        table.row([
            bytes.to_string(),
            object.pages.to_string(),
            object.runs.to_string(),
            format!("{:#x}", object.address),
            format!("{physical:#x}"),
            format!("{base:#x}"),
            object.address_class.name().to_owned(),
        ]);
    }
    ensure!(!bases.is_empty(), "not one kmalloc() succeeded");
    let constant = bases.windows(2).all(|pair| pair[0] == pair[1]);
    let runs = if one_run {
        "1 physical run"
    } else {
        "several physical runs"
    };
    Ok(Finding::new(format!("{runs} up to {largest} bytes"))
        .statement("It is physically contiguous", Verdict::of(one_run), runs)
        .said_in(&[
            Document::Walkthrough.section("4, Kernel allocators & mappings"),
            Document::Reference.section("10, kmalloc() Function"),
            Document::Overview.section("6, Memory Allocation APIs"),
        ])
        .statement(
            "It is in the direct map",
            Verdict::of(in_direct_map),
            format!("{} objects of {} sizes", bases.len(), bases.len()),
        )
        .said_in(&[
            Document::Walkthrough.section("4, Kernel allocators & mappings"),
            Document::Reference.section("4.3, Physical Memory Organization - Zones"),
        ])
        .statement(
            "There, virtual and physical addresses differ by a constant",
            Verdict::of(constant),
            format!("the difference is {:#x}", bases[0]),
        )
        .said_in(&[
            Document::Walkthrough.section("2, Kernel virtual address layout"),
            Document::Reference.section("7, Low Memory Details"),
        ])
        .table(table))
}
