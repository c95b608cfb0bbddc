// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the kernel takes to make a program's transfers is charged to the program's memory cgroup, though a thread of
//! the kernel's makes those that are queued.

use crate::{
    alloc_budget::{available, needs_a_kernel_without_checkers},
    cgroup::Group,
    child,
    dma::{bounce_buffers, from_to, wait_until, Bench, PAGES, VMALLOC},
    runner::{skip, suite, Context},
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{page_size, Direction, Endpoint, MapCall, Region, Session};
use std::os::fd::AsFd as _;

suite! { "dma.cgroup":
    queued_transfers_are_charged,
}

/// Pages of the buffer that is moved.
const PAGES_MOVED: u64 = 3072;
/// Files that have a transfer of it in their queue.
const FILES: u64 = 24;
/// Bytes of a `struct scatterlist` of a 64-bit kernel.
const ENTRY_BYTES: u64 = 32;
/// Regions that a file may have.
const REGIONS: u64 = 1024;

/// A region whose pages have no neighbours among them, as far as that can be had: free pages were made single before.
/// And what keeps them so.
fn scattered(bench: &Bench) -> Result<(Region, Vec<Session>)> {
    let (mut kept, mut freed) = (Vec::new(), Vec::new());
    for _ in 0..PAGES_MOVED / REGIONS {
        let (one, two) = (
            Session::open_at(&bench.path)?,
            Session::open_at(&bench.path)?,
        );
        for _ in 0..REGIONS {
            one.create(PAGES.0, PAGES.1, page_size())?;
            two.create(PAGES.0, PAGES.1, page_size())?;
        }
        kept.push(one);
        freed.push(two);
    }
    drop(freed);
    let region = bench.create(VMALLOC, PAGES_MOVED * page_size())?;
    Ok((region, kept))
}

fn queued_transfers_are_charged(_: &Context) -> Result<()> {
    needs_a_kernel_without_checkers()?;
    let bench = Bench::open()?;
    if bench.session.dma_info()?.translated == 1 {
        return skip("Linux charges the page tables of an IOMMU to nobody");
    }
    if bounce_buffers("io_tlb_nslabs")? > 0 {
        return skip("what is copied for the device takes more bounce buffers than there are");
    }
    let group = Group::with_limit(128 << 20)?;
    group.run(|| {
        let (region, kept) = scattered(&bench)?;
        let all = (0, region.bytes);
        let session = &bench.session;
        let mapping = session.dma_map(&region, all, MapCall::Scatter, Direction::Bidirectional)?;
        session.dma_unmap(mapping.id)?;
        // A transfer that reads a buffer and writes to it has two lists of it.
        let lists = u64::from(mapping.entries) * ENTRY_BYTES * 2 * FILES;
        ensure!(lists > 3 << 20, "{mapping:?} is too little to see");

        let exported = session.export(&region, all, true)?;
        let files: Vec<_> = (0..FILES)
            .map(|_| {
                let file = Session::open_at(&bench.path)?;
                let buffer = file.import(exported.as_fd())?;
                let side = Endpoint::Import(buffer, 0);
                Ok((file, from_to(side, side, region.bytes)))
            })
            .collect::<Result<_>>()?;
        let (before, charged_before) = (available()?, group.current()?);
        let charged = || -> Result<u64> { Ok(group.current()?.saturating_sub(charged_before)) };
        for (file, transfer) in &files {
            file.queue(transfer, 0, None)?;
        }
        let waited = wait_until("the lists are charged", || {
            Ok(charged()? >= lists * 95 / 100)
        });
        let (taken, charged) = (before.saturating_sub(available()?), charged()?);
        child::note(&format!(
            "{FILES} transfers of {} entries: lists of {} KiB; {} KiB taken, {} KiB charged",
            mapping.entries,
            lists >> 10,
            taken >> 10,
            charged >> 10
        ));
        waited.with_context(|| format!("{charged} of {lists} bytes; {taken} were taken"))?;
        ensure!(
            taken <= charged + (2 << 20),
            "{taken} bytes of memory were taken, and {charged} charged"
        );
        drop((files, kept, exported));
        Ok(())
    })?;
    bench.close()
}
