// SPDX-License-Identifier: MIT OR Apache-2.0

//! E5: vmalloc memory is no single stretch for a device.

use crate::{
    engine::{ensure_same, hex, pattern, Engine, NEEDS},
    finding::plural,
    holes::Holes,
    not_testable, Claim, Document, Finding, Lab, Table, Verdict, Vm,
};
use anyhow::{Context as _, Result};
use mapwright::{page_size, uapi::PageInfo, Direction, Endpoint, Error, MapCall, Region, Transfer};
use nix::errno::Errno;

pub const CLAIM: Claim = Claim {
    id: "E5",
    title: "vmalloc memory and DMA",
    sources: &[
        Document::Walkthrough.section("4, Kernel allocators & mappings"),
        Document::Walkthrough.section("Common pitfalls to call out"),
        Document::Memory.section("18, Memory-Mapped I/O & DMA"),
        Document::Reference.section("B, vmalloc()"),
    ],
    says: "An address of vmalloc() must never be given to a device as if the memory were contiguous; a \
           scatter list of its pages is the right way.",
    needs: NEEDS,
    vms: &[Vm::Edu, Vm::EduIommu, Vm::Arm64Edu, Vm::Arm64EduIommu],
    prove,
};

const PAGES: u64 = 16;
/// Bytes of a region that is larger than the zone DMA, of which hardly anything is in use.
const LARGE: u64 = 32 << 20;
/// What is left free beside it while it is allocated, in holes of one page: more each time that others took
/// it first.
const LEFT: [u64; 3] = [8 << 20, 16 << 20, 24 << 20];

/// A region that is allocated where memory is full of holes; `None` if there was too little for it.
fn among_holes(engine: &Engine) -> Result<Option<Region>> {
    for left in LEFT {
        let _holes = Holes::in_free_memory(LARGE + left).context("fragmenting memory")?;
        match engine.vmalloc(LARGE) {
            Ok(region) => return Ok(Some(region)),
            Err(err) if err.downcast_ref().and_then(Error::errno) == Some(Errno::ENOMEM) => {}
            Err(err) => return Err(err),
        }
    }
    Ok(None)
}

fn prove(_: &Lab) -> Result<Finding> {
    let engine = Engine::open()?;
    let session = &engine.session;
    let bytes = PAGES * page_size();
    // In a machine that has just been booted, pages come side by side.
    let Some(source) = among_holes(&engine)? else {
        return not_testable("where memory is full of holes, vmalloc() always failed");
    };
    let target = engine.vmalloc(bytes)?;
    let all = session.pages(&source, 0, u64::MAX)?;
    let (first, pages) = most_scattered(&all).context("a region without pages")?;
    let (first, runs) = (first * page_size(), runs(pages));
    let all_runs = runs_of(session.query(&source)?.runs, LARGE / page_size());

    let range = (first, bytes);
    let single = session.dma_map(&source, range, MapCall::Single, Direction::ToDevice);
    let mut table = Table::new(
        format!("{PAGES} pages of vmalloc(), mapped for the device"),
        ["as", "entries", "stretches of bus addresses"],
    );
    for (name, map_call) in [
        ("a list, neighbours in one entry", MapCall::Scatter),
        ("a list, an entry for each page", MapCall::ScatterPages),
    ] {
        let mapping = session
            .dma_map(&source, range, map_call, Direction::ToDevice)
            .context("mapping a list")?;
        table.row([
            name.into(),
            mapping.entries.to_string(),
            mapping.segments.to_string(),
        ]);
        session.dma_unmap(mapping.id)?;
    }

    let contents = pattern(bytes as usize);
    session.write_at(&source, first, &contents)?;
    let copied = session.transfer(&Transfer {
        source: Endpoint::Region(source, first),
        target: Endpoint::Region(target, 0),
        bytes,
        map_call: MapCall::Scatter,
    });
    copied.context("a transfer of scattered pages")?;
    ensure_same(
        &contents,
        &engine.contents(&target, contents.len())?,
        "the copy",
    )?;

    let mut frames = Table::new("Where its first pages are", ["page", "physical"]);
    for (i, page) in pages.iter().take(6).enumerate() {
        frames.row([i.to_string(), hex(page.pfn * page_size())]);
    }
    Ok(Finding::new(format!(
        "{} of {PAGES} pages, {}",
        plural(runs, "physical run"),
        engine.path()
    ))
        .statement(
            "A device cannot be given vmalloc memory as one stretch",
            Verdict::of(single == Err(Errno::EOPNOTSUPP)),
            match single {
                Err(errno) => format!("{errno}"),
                Ok(mapping) => format!("accepted: {mapping:?}"),
            },
        )
        .said_in(&[
            Document::Walkthrough.section("4, Kernel allocators & mappings"),
            Document::Walkthrough.section("Common pitfalls to call out"),
            Document::Reference.section("B, vmalloc()"),
        ])
        .statement(
            "Its pages are not next to each other in memory",
            Verdict::of(runs > 1),
            format!(
                "allocated while memory was full of holes, {all_runs}; those {PAGES}: {}",
                plural(runs, "run")
            ),
        )
        .said_in(&[
            Document::Walkthrough.section("4, Kernel allocators & mappings"),
            Document::Reference.section("B, vmalloc()"),
        ])
        .statement(
            "As a scatter list of its pages, a device moves it",
            Verdict::Confirmed,
            format!("{bytes} bytes, each of them compared"),
        )
        .said_in(&[
            Document::Walkthrough.section("Common pitfalls to call out"),
            Document::Memory.section("18, Memory-Mapped I/O & DMA"),
        ])
        .instead(
            "An IOMMU can make one stretch of bus addresses of scattered pages: then the device needs no \
             list, but the DMA API still takes one.",
        )
        .table(table)
        .table(frames))
}

/// How many physically contiguous runs there are.
fn runs(pages: &[PageInfo]) -> usize {
    let breaks = pages.windows(2).filter(|two| two[1].pfn != two[0].pfn + 1);
    1 + breaks.count()
}

/// The pages that are least side by side, and the number of the first.
fn most_scattered(all: &[PageInfo]) -> Option<(u64, &[PageInfo])> {
    let windows = all.chunks_exact(PAGES as usize).enumerate();
    let (window, pages) = windows.max_by_key(|(_, pages)| runs(pages))?;
    Some((window as u64 * PAGES, pages))
}

fn runs_of(runs: u64, pages: u64) -> String {
    format!(
        "{pages} pages are {}",
        plural(runs, "physically contiguous run")
    )
}
