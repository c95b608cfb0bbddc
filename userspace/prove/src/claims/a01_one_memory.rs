// SPDX-License-Identifier: MIT OR Apache-2.0

//! A1: after `remap_pfn_range()`, program and kernel have the same memory.

use crate::{
    finding::plural, frames::Frames, Claim, Document, Finding, Lab, Need, Table, Verdict, Vm,
};
use anyhow::Result;
use mapwright::{page_faults, Backing, Mapping, Method, Protection, Region, Session};

pub const CLAIM: Claim = Claim {
    id: "A1",
    title: "remap_pfn_range()",
    sources: &[
        Document::Walkthrough.section("8, Device & MMIO mappings"),
        Document::Driver.section("Step 4, Kernel maps physical memory"),
        Document::Driver.section("Step 5, User now accesses mapped memory"),
        Document::Driver.section("Key Concepts"),
    ],
    says: "remap_pfn_range() maps physical frames into a process: what the program stores, the kernel sees at once, with no \
           system call in between, and the other way round.",
    needs: &[Need::Module("mapwright"), Need::Module("mapwright_inspect")],
    vms: &[Vm::Normal],
    prove,
};

/// Pages of the region: each is tried.
const PAGES: u64 = 64;

fn prove(_: &Lab) -> Result<Finding> {
    let session = Session::open()?;
    let region = session.create(
        Backing::Pages,
        Method::Remap,
        PAGES * mapwright::page_size(),
    )?;
    let mut mapping = session.map(&region, Protection::ReadWrite)?;
    let frames = Frames::of(&session, &region, &mapping)?;
    mapwright::settle();
    let (before, _) = page_faults()?;
    let agreement = exchange(&session, &region, &mut mapping)?;
    let (after, _) = page_faults()?;
    let faults = after - before;

    let mut table = Table::new(
        format!("A text of its own in each of {PAGES} pages"),
        ["who stores it", "how", "who looks", "finds it in pages"],
    );
    for (who, how, looks, pages) in [
        (
            "the program",
            "a store",
            "the kernel, through its own pointer",
            agreement.by_kernel,
        ),
        (
            "the kernel",
            "through its own pointer",
            "the program, a load",
            agreement.by_program,
        ),
    ] {
        table.row([who.into(), how.into(), looks.into(), pages.to_string()]);
    }
    let all = frames.pages();
    Ok(Finding::new(format!(
        "{} of {all} pages are the same frames on both sides",
        frames.same()
    ))
    .statement(
        "It maps the frames themselves",
        Verdict::of(frames.same() == all),
        format!(
            "{} of {all} frames in the program's page table are the kernel's",
            frames.same()
        ),
    )
    .said_in(&[
        Document::Walkthrough.section("8, Device & MMIO mappings"),
        Document::Driver.section("Step 4, Kernel maps physical memory"),
    ])
    .statement(
        "What the program stores, the kernel sees at once",
        Verdict::of(agreement.by_kernel == all),
        format!("in {} of {all} pages", agreement.by_kernel),
    )
    .said_in(&[Document::Driver.section("Key Concepts")])
    .statement(
        "What the kernel stores, the program sees at once",
        Verdict::of(agreement.by_program == all),
        format!("in {} of {all} pages", agreement.by_program),
    )
    .said_in(&[Document::Driver.section("Key Concepts")])
    .statement(
        "No system call is in between: it is direct access to memory",
        Verdict::of(faults == 0),
        format!(
            "the program stored and loaded with plain instructions: {}",
            plural(faults, "page fault")
        ),
    )
    .said_in(&[Document::Driver.section("Step 5, User now accesses mapped memory")])
    .table(table)
    .table(frames.table("The first frames")?))
}

/// In how many pages each found what the other one stored.
struct Agreement {
    by_kernel: usize,
    by_program: usize,
}

fn exchange(session: &Session, region: &Region, mapping: &mut Mapping) -> Result<Agreement> {
    let page = usize::try_from(mapwright::page_size())?;
    let (mut by_kernel, mut by_program) = (0, 0);
    for within in (0..mapping.len()).step_by(page) {
        let text = format!("the program's, at {within:8}");
        let mut buffer = vec![0; text.len()];
        mapping.write(within, text.as_bytes());
        session.read_at(region, within as u64, &mut buffer)?;
        by_kernel += usize::from(buffer == text.as_bytes());

        let text = format!("the kernel's, at {within:9}");
        let mut buffer = vec![0; text.len()];
        session.write_at(region, within as u64, text.as_bytes())?;
        mapping.read(within, &mut buffer);
        by_program += usize::from(buffer == text.as_bytes());
    }
    Ok(Agreement {
        by_kernel,
        by_program,
    })
}
