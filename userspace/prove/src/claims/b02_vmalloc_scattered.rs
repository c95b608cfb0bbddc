// SPDX-License-Identifier: MIT OR Apache-2.0

//! B2: what `vmalloc()` gives is contiguous in virtual addresses only.

use crate::{
    finding::plural, holes::Holes, not_testable, Claim, Document, Finding, Lab, Need, Table,
    Verdict, Vm,
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{
    alloc::{AllocDevice, Allocator, Object, Plan},
    AddressClass,
};

pub const CLAIM: Claim = Claim {
    id: "B2",
    title: "vmalloc is contiguous virtually only",
    sources: &[
        Document::Walkthrough.section("2, Kernel virtual address layout"),
        Document::Walkthrough.section("4, Kernel allocators & mappings"),
        Document::Reference.section("9, Memory Allocation Hierarchy"),
        Document::Reference.section("9, vmalloc() - Virtual Contiguity"),
        Document::Overview.section("6, Memory Allocation APIs"),
    ],
    says: "vmalloc() strings together single physical pages from anywhere, contiguous only in virtual \
           addresses, in an area of their own.",
    needs: &[Need::Module("mapwright_alloc")],
    vms: &[Vm::Normal],
    prove,
};

const BYTES: u64 = 32 << 20;
/// Every other page of so much memory is freed.
const PERFORATED: usize = 288 << 20;
/// What is left free above the watermarks, beside the area: more each time that others took it first.
const LEFT: [u64; 2] = [32 << 20, 96 << 20];

fn prove(lab: &Lab) -> Result<Finding> {
    let fresh = vmalloc(lab)?.context("vmalloc() has failed")?;
    let Some(fragmented) = among_holes(lab)? else {
        return not_testable("where memory is full of holes, vmalloc() always failed");
    };
    let mut table = Table::new(
        format!("vmalloc() of {} MiB", BYTES >> 20),
        [
            "memory is",
            "pages",
            "physical runs",
            "longest run, pages",
            "virtual runs",
            "where",
        ],
    );
    for (memory, area) in [
        ("as it was", &fresh),
        ("full of holes of one page", &fragmented),
    ] {
        table.row([
            memory.to_owned(),
            area.pages.to_string(),
            area.runs.to_string(),
            area.longest.to_string(),
            area.virtual_runs.to_string(),
            area.class.name().to_owned(),
        ]);
    }
    let both = [&fresh, &fragmented];
    let singles = fresh.runs == fresh.pages;
    Ok(Finding::new(format!(
        "{} pages in {}, {} where memory is full of holes; 1 virtual run",
        fresh.pages,
        plural(fresh.runs, "physical run"),
        fragmented.runs
    ))
    .statement(
        "It is contiguous in virtual addresses",
        Verdict::of(both.iter().all(|area| area.virtual_runs == 1)),
        "each page's address follows the one before",
    )
    .statement(
        "It is not contiguous physically",
        Verdict::of(fragmented.runs > 1),
        plural(fragmented.runs, "run"),
    )
    .statement(
        "It is in an area of its own",
        Verdict::of(both.iter().all(|area| area.class == AddressClass::Vmalloc)),
        format!("in the {} area", fresh.class.name()),
    )
    .said_in(&[
        Document::Walkthrough.section("2, Kernel virtual address layout"),
        Document::Walkthrough.section("4, Kernel allocators & mappings"),
    ])
    .statement(
        "It is made of single pages",
        Verdict::Confirmed.if_else(singles, Verdict::Outdated),
        format!(
            "where memory is not fragmented, the longest run has {}",
            plural(fresh.longest, "page")
        ),
    )
    .said_in(&[Document::Reference.section("9, Memory Allocation Hierarchy")])
    .table(table)
    .instead(
        "The kernel takes the largest blocks that it can get without effort and splits them: physical runs are \
         long as long as memory is not fragmented, but nobody may rely on them.",
    ))
}

struct Area {
    pages: usize,
    runs: usize,
    longest: u64,
    virtual_runs: usize,
    class: AddressClass,
}

/// An area that is allocated where memory is full of holes; `None` if there was too little for it.
fn among_holes(lab: &Lab) -> Result<Option<Area>> {
    for left in LEFT {
        let _holes = Holes::new(PERFORATED, BYTES + left)?;
        if let Some(area) = vmalloc(lab)? {
            return Ok(Some(area));
        }
    }
    Ok(None)
}

/// An area, or `None` if the kernel has too little memory.
fn vmalloc(lab: &Lab) -> Result<Option<Area>> {
    let pages = BYTES / lab.machine.page_size;
    let plan = Plan::new(Allocator::Vmalloc, BYTES);
    let (report, objects) = AllocDevice::open()?.record_pages(&plan, u32::try_from(pages)?)?;
    if report.allocated == 0 {
        return Ok(None);
    }
    ensure!(
        objects.len() as u64 == pages,
        "{} of {pages} pages were told",
        objects.len()
    );
    let (runs, longest) = runs(&objects, |object| object.pfn, 1);
    let (virtual_runs, _) = runs_of_addresses(&objects, lab.machine.page_size);
    Ok(Some(Area {
        pages: objects.len(),
        runs,
        longest,
        virtual_runs,
        class: objects[0].address_class,
    }))
}

fn runs_of_addresses(objects: &[Object], page: u64) -> (usize, u64) {
    runs(objects, |object| object.address, page)
}

/// How many runs there are in which `place` grows by `step` from page to page, and how long the longest.
fn runs(objects: &[Object], place: impl Fn(&Object) -> u64, step: u64) -> (usize, u64) {
    let (mut count, mut length, mut longest) = (0, 0, 0);
    let mut next = None;
    for object in objects {
        let here = place(object);
        if next != Some(here) {
            count += 1;
            length = 0;
        }
        length += 1;
        longest = longest.max(length);
        next = Some(here + step);
    }
    (count, longest)
}
