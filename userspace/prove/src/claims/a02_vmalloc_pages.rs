// SPDX-License-Identifier: MIT OR Apache-2.0

//! A2: vmalloc memory is mapped page by page.

use crate::{
    finding::plural, frames::Frames, read::free_lists, Claim, Document, Finding, Lab, Need,
    Verdict, Vm,
};
use anyhow::Result;
use mapwright::{pagemap_pfns, vma_of, Backing, Method, Protection, Session};

pub const CLAIM: Claim = Claim {
    id: "A2",
    title: "vmalloc memory in a process",
    sources: &[Document::Driver.section("Example, mmap with kernel allocated memory")],
    says: "vmalloc() memory is not physically contiguous, so a driver maps it page by page, with vm_insert_page().",
    needs: &[Need::Module("mapwright"), Need::Module("mapwright_inspect")],
    vms: &[Vm::Normal],
    prove,
};

fn prove(_: &Lab) -> Result<Finding> {
    let session = Session::open()?;
    // So large that the page allocator has no block for it.
    let bytes = mapwright::page_size() << free_lists::orders()?;
    let region = session.create(Backing::Vmalloc, Method::Insert, bytes)?;
    let mapping = session.map(&region, Protection::ReadWrite)?;
    let frames = Frames::of(&session, &region, &mapping)?;
    let counted = pagemap_pfns(mapping.addr(), frames.pages())?;
    let counted = counted.iter().flatten().count();
    let vma = vma_of(mapping.addr())?;
    let (all, same) = (frames.pages(), frames.same());
    Ok(Finding::new(format!(
        "{same} of {all} pages have their frame in the program's page table; they are in {}",
        plural(frames.runs(), "physical run")
    ))
    .statement(
        "Each page of it has an entry of its own in the program's page table",
        Verdict::of(same == all),
        format!("{same} of {all} entries are the frames of the kernel's pages, in their order"),
    )
    .statement(
        "It is not physically contiguous",
        Verdict::Confirmed.if_else(frames.runs() > 1, Verdict::Config),
        format!(
            "{} of {all} pages: where there are large free blocks, vmalloc() takes its pages from these",
            plural(frames.runs(), "run")
        ),
    )
    .statement(
        "vm_insert_page() maps pages that the kernel counts",
        Verdict::of(counted == all && vma.has("mm") && !vma.has("pf")),
        format!(
            "/proc/self/pagemap tells {counted} of {all} frames, and the VMA is mm (mixed), not pf (frame numbers only)"
        ),
    )
    .asked_here()
    .table(frames.table("The first frames")?)
    .instead(
        "vm_insert_pages() does the same for many pages at once, and remap_vmalloc_range() for all of a vmalloc \
         area that was made for it.",
    ))
}
