// SPDX-License-Identifier: MIT OR Apache-2.0

//! Single transfers: which bytes they move, what they interrupt, which bus addresses there are.

use super::{reach, Bench, BUFFER, COHERENT, PAGES, VMALLOC};
use crate::{child, runner::Context};
use anyhow::{ensure, Result};
use mapwright::{
    page_size, uapi, uapi::Request as _, Backing, Endpoint, MapCall, Method, Protection, Session,
    Transfer,
};
use std::fs;

/// Whether this is a machine whose clock jumps over what it would wait for, as the one who booted it
/// says: from the inside nobody can tell.
pub(super) fn waiting_costs_nothing() -> Result<bool> {
    let parameters = fs::read_to_string("/proc/cmdline")?;
    Ok(parameters
        .split_whitespace()
        .any(|word| word == "mapwright.clock=jumps"))
}

pub(super) fn to_the_buffer_and_back(_: &Context) -> Result<()> {
    let bench = Bench::open()?;
    let region = bench.create(COHERENT, page_size())?;
    let lists = bench.create(VMALLOC, page_size())?;
    bench.session.write_at(&region, 100, b"into the device")?;
    let map_call = MapCall::Scatter;
    bench.session.transfer(&Transfer {
        source: Endpoint::Region(region, 100),
        target: Endpoint::Buffer(BUFFER - 15),
        bytes: 15,
        map_call,
    })?;
    bench.session.transfer(&Transfer {
        source: Endpoint::Buffer(BUFFER - 10),
        target: Endpoint::Region(lists, 3),
        bytes: 10,
        map_call,
    })?;
    let mut contents = [0; 14];
    bench.session.read_at(&lists, 1, &mut contents)?;
    ensure!(&contents == b"\0\0the device\0\0", "{contents:?}");
    bench.close()
}

pub(super) fn within_a_region(_: &Context) -> Result<()> {
    let bench = Bench::open()?;
    for kind in [COHERENT, VMALLOC] {
        let region = bench.create(kind, 2 * page_size())?;
        let at = page_size() - 10;
        bench
            .session
            .write_at(&region, at, b"over the edge of a page")?;
        // Onto itself, a little further on: through the device's buffer, so nothing is smeared.
        bench.session.transfer(&Transfer {
            source: Endpoint::Region(region, at),
            target: Endpoint::Region(region, at + 5),
            bytes: 300,
            map_call: MapCall::Scatter,
        })?;
        let mut contents = [0; 28];
        bench.session.read_at(&region, at, &mut contents)?;
        ensure!(&contents == b"over over the edge of a page", "{contents:?}");
    }
    bench.close()
}

pub(super) fn stores_of_a_program_are_moved(_: &Context) -> Result<()> {
    let bench = Bench::open()?;
    for kind in [COHERENT, PAGES, VMALLOC] {
        let (source, target) = (
            bench.create(kind, page_size())?,
            bench.create(kind, page_size())?,
        );
        let mut from = bench.session.map(&source, Protection::ReadWrite)?;
        let to = bench.session.map(&target, Protection::Read)?;
        from.write(7, b"by the program");
        bench.session.transfer(&Transfer {
            source: Endpoint::Region(source, 7),
            target: Endpoint::Region(target, 70),
            bytes: 14,
            map_call: MapCall::Scatter,
        })?;
        let mut contents = [0; 14];
        to.read(70, &mut contents);
        ensure!(&contents == b"by the program", "{contents:?}");
    }
    bench.close()
}

pub(super) fn each_piece_interrupts_once(context: &Context) -> Result<()> {
    let bench = Bench::open()?;
    let (source, target) = (bench.create(COHERENT, 10000)?, bench.create(PAGES, 10000)?);
    let before = bench.tables()?;
    for bytes in [1, BUFFER, 10000] {
        bench.session.transfer(&Transfer {
            source: Endpoint::Region(source, 0),
            target: Endpoint::Region(target, 0),
            bytes,
            map_call: MapCall::Single,
        })?;
    }
    let after = bench.tables()?;
    let grown = |name: &str| after.counter(name) - before.counter(name);
    // One, one and three pieces, each into the device and out of it.
    ensure!(
        grown("interrupts") == 10,
        "{} interrupts",
        grown("interrupts")
    );
    ensure!(grown("pieces_started") == 10 && grown("transfers") == 3);
    ensure!(grown("pieces_from_memory") == 5 && grown("pieces_to_memory") == 5);
    ensure!(grown("bytes_moved") == 2 * (1 + BUFFER + 10000));
    let (all, pieces) = (after.counter("interrupts"), after.counter("pieces_started"));
    ensure!(all == pieces, "{all} interrupts of {pieces} pieces");
    context.note(format!(
        "{all} interrupts, {pieces} pieces since the driver was bound"
    ));
    bench.close()
}

pub(super) fn a_bus_address_is_told(_: &Context) -> Result<()> {
    let bench = Bench::open()?;
    let region = bench.create(COHERENT, 3 * page_size())?;
    let pages = bench.session.pages(&region, 0, 3)?;
    let info = bench.session.dma_info()?;
    let translated = info.translated == 1;
    for (i, page) in pages.iter().enumerate() {
        ensure!(page.dma_addr == pages[0].dma_addr + i as u64 * page_size());
        ensure!(
            page.dma_addr < reach(&info),
            "beyond the device's reach: {page:x?}"
        );
        let same = page.dma_addr == page.pfn * page_size();
        ensure!(same || translated, "without an IOMMU, {page:x?}");
    }
    let lists = bench.create(VMALLOC, page_size())?;
    ensure!(bench.session.pages(&lists, 0, 1)?[0].dma_addr == uapi::NO_DMA_ADDR);
    bench.close()
}

pub(super) fn query_tells_the_bus_address(_: &Context) -> Result<()> {
    let bench = Bench::open()?;
    let region = bench.create(COHERENT, 3 * page_size())?;
    let result = bench.session.query(&region)?.dma_addr;
    let page = bench.session.pages(&region, 0, 1)?[0];
    ensure!(result == Some(page.dma_addr), "{result:x?}, {page:x?}");
    let lists = bench.create(VMALLOC, page_size())?;
    ensure!(bench.session.query(&lists)?.dma_addr.is_none());
    // A program that knows nothing of it.
    let mut old = uapi::Query {
        size: uapi::Query::MIN_SIZE as u32,
        id: region.id,
        ..uapi::Query::new()
    };
    bench.session.request(&mut old)?;
    ensure!(old.bytes == region.bytes && old.dma_addr == 0, "{old:?}");

    // And who may not know is not told.
    let path = bench.path.clone();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o666))?;
    let tried = child::run(|| {
        child::become_nobody()?;
        let session = Session::open_at(&path)?;
        let region = session.create(Backing::Coherent, Method::Dma, page_size())?;
        let result = session.query(&region)?.dma_addr;
        ensure!(result.is_none(), "{result:x?}");
        Ok(())
    });
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    tried?;
    bench.close()
}
