// SPDX-License-Identifier: MIT OR Apache-2.0

//! Streaming mappings: whose turn it is, and memory beyond the device's reach.

use super::{
    bounce_buffers, from_to, queue::polled, reach, wait_until, Bench, BUFFER, COHERENT, PAGES,
    VMALLOC,
};
use crate::runner::{skip, Context};
use anyhow::{ensure, Context as _, Result};
use mapwright::{
    page_size, uapi, uapi::Request as _, Backing, Direction, Endpoint, MapCall, Method, Region,
    Session,
};
use nix::{errno::Errno, poll::PollFlags};

pub(super) fn a_mapping_is_used_and_passed_on(_: &Context) -> Result<()> {
    let bench = Bench::open()?;
    let session = &bench.session;
    let reach = reach(&session.dma_info()?);
    for map_call in [MapCall::Scatter, MapCall::ScatterPages, MapCall::Single] {
        let all = 4 * page_size();
        let (mapped, other) = (bench.create(PAGES, all)?, bench.create(COHERENT, all)?);
        session.write_at(&mapped, 5000, b"first")?;
        let mapping = session.dma_map(&mapped, (0, all), map_call, Direction::Bidirectional)?;
        let entries = if map_call == MapCall::ScatterPages {
            4
        } else {
            1
        };
        ensure!(
            mapping.entries == entries && mapping.segments >= 1,
            "{mapping:?}"
        );
        ensure!(mapping.bus.is_some_and(|bus| bus < reach), "{mapping:x?}");
        let (from, to) = (Endpoint::Region(mapped, 5000), Endpoint::Region(other, 1));
        session.transfer(&from_to(from, to, 5))?;

        // The CPU has it: the device may not be sent there.
        session.sync(&mapped, 0, all, mapwright::Side::Cpu)?;
        let errno = session.transfer(&from_to(from, to, 5));
        ensure!(errno == Err(Errno::EBUSY), "{errno:?}");
        session.write_at(&mapped, 5000, b"again")?;
        session.sync(&mapped, 0, all, mapwright::Side::Device)?;
        session.transfer(&from_to(from, Endpoint::Region(other, 6), 5))?;
        let mut contents = [0; 10];
        session.read_at(&other, 1, &mut contents)?;
        ensure!(&contents == b"firstagain", "{contents:?}");

        // And the other way.
        session.transfer(&from_to(
            Endpoint::Region(other, 0),
            Endpoint::Region(mapped, 9000),
            12,
        ))?;
        session.sync(&mapped, 0, all, mapwright::Side::Cpu)?;
        let mut contents = [0; 12];
        session.read_at(&mapped, 9000, &mut contents)?;
        ensure!(&contents == b"\0firstagain\0", "{contents:?}");
        session.dma_unmap(mapping.id)?;
        ensure!(session.dma_unmap(mapping.id) == Err(Errno::ENOENT));
    }
    bench.close()
}

pub(super) fn mappings_are_checked(_: &Context) -> Result<()> {
    let bench = Bench::open()?;
    let session = &bench.session;
    let (page, all) = (page_size(), 2 * page_size());
    let (pages, lists) = (bench.create(PAGES, all)?, bench.create(VMALLOC, all)?);
    let coherent = bench.create(COHERENT, all)?;
    let map = |region: &Region, first, bytes, map_call| {
        session
            .dma_map(region, (first, bytes), map_call, Direction::FromDevice)
            .err()
    };
    ensure!(map(&pages, 0, 0, MapCall::Single) == Some(Errno::EINVAL));
    ensure!(map(&pages, all - 1, 2, MapCall::Single) == Some(Errno::EINVAL));
    ensure!(map(&pages, u64::MAX, 2, MapCall::Single) == Some(Errno::EINVAL));
    ensure!(map(&pages, page - 1, 2, MapCall::Page) == Some(Errno::EINVAL));
    ensure!(map(&lists, 0, all, MapCall::Single) == Some(Errno::EOPNOTSUPP));
    ensure!(map(&coherent, 0, 10, MapCall::Scatter) == Some(Errno::EOPNOTSUPP));
    let mut bad = uapi::DmaMap {
        region: pages.id,
        bytes: 10,
        direction: 4,
        ..uapi::DmaMap::new()
    };
    ensure!(session.request(&mut bad) == Err(Errno::EINVAL));

    let mapping = session.dma_map(&pages, (100, 200), MapCall::Single, Direction::ToDevice)?;
    // Neither twice, nor beyond it, nor in the other direction.
    ensure!(map(&pages, 299, 1, MapCall::Single) == Some(Errno::EBUSY));
    let buffer = Endpoint::Buffer(0);
    let errno = session.transfer(&from_to(Endpoint::Region(pages, 250), buffer, 51));
    ensure!(errno == Err(Errno::EBUSY), "{errno:?}");
    let errno = session.transfer(&from_to(buffer, Endpoint::Region(pages, 100), 1));
    ensure!(errno == Err(Errno::EBUSY), "{errno:?}");
    session.transfer(&from_to(Endpoint::Region(pages, 299), buffer, 1))?;
    session.transfer(&from_to(buffer, Endpoint::Region(pages, 300), 1))?;
    session.dma_unmap(mapping.id)?;

    for first in [0, page] {
        session.dma_map(&lists, (first, page), MapCall::Page, Direction::ToDevice)?;
    }
    // Freed with its last mapping, when the file is closed.
    session.destroy(&lists)?;
    bench.close()
}

pub(super) fn two_loans_of_a_cache_line(_: &Context) -> Result<()> {
    let bench = Bench::open()?;
    let pages = bench.create(PAGES, page_size())?;
    let map = |first, bytes, direction| {
        bench
            .session
            .dma_map(&pages, (first, bytes), MapCall::Single, direction)
    };
    map(0, 100, Direction::FromDevice)?;
    for direction in [Direction::FromDevice, Direction::Bidirectional] {
        let errno = map(100, 10, direction).err();
        ensure!(errno == Some(Errno::EBUSY), "{errno:?}");
    }
    // What the device only reads, it may; and another line.
    map(100, 10, Direction::ToDevice)?;
    map(1024, 10, Direction::Bidirectional)?;
    // Nor may a transfer write next to it.
    let beside = Endpoint::Region(pages, 120);
    let errno = bench
        .session
        .transfer(&from_to(Endpoint::Buffer(0), beside, 1));
    ensure!(errno == Err(Errno::EBUSY), "{errno:?}");
    bench
        .session
        .transfer(&from_to(beside, Endpoint::Buffer(0), 1))?;
    bench.close()
}

pub(super) fn mapped_during_a_transfer(_: &Context) -> Result<()> {
    let bench = Bench::open()?;
    let session = &bench.session;
    // Of so many pieces, and with room behind them.
    let moved = 10 * BUFFER;
    let (source, target) = (
        bench.create(VMALLOC, moved + BUFFER)?,
        bench.create(PAGES, moved + BUFFER)?,
    );
    let started = || Ok::<_, anyhow::Error>(bench.tables()?.counter("pieces_started"));
    let before = started()?;
    let transfer = from_to(
        Endpoint::Region(source, 0),
        Endpoint::Region(target, 0),
        moved,
    );
    session.queue(&transfer, 1, None)?;
    wait_until("the transfer begins", || Ok(started()? > before))?;
    let map = |region, first, direction| {
        session
            .dma_map(region, (first, BUFFER), MapCall::Scatter, direction)
            .err()
    };
    let all = [
        Direction::ToDevice,
        Direction::FromDevice,
        Direction::Bidirectional,
    ];
    for direction in all {
        for region in [&source, &target] {
            let errno = map(region, moved - BUFFER, direction);
            ensure!(errno == Some(Errno::EBUSY), "{errno:?} as {direction:?}");
        }
    }
    // The bytes beside them are free.
    ensure!(map(&source, moved, Direction::Bidirectional).is_none());
    ensure!(map(&target, moved, Direction::Bidirectional).is_none());
    ensure!(session.done() == Err(Errno::EAGAIN), "it ended too soon");
    ensure!(polled(session, 60_000)?.contains(PollFlags::POLLIN));
    ensure!(session.done() == Ok((1, Ok(()))));
    // As are those, afterwards.
    ensure!(map(&source, 0, Direction::ToDevice).is_none());
    ensure!(map(&target, 0, Direction::FromDevice).is_none());
    bench.close()
}

pub(super) fn two_queued_transfers_of_the_same_bytes(_: &Context) -> Result<()> {
    let bench = Bench::open()?;
    let session = &bench.session;
    // Two pieces each.
    const BYTES: usize = 2 * BUFFER as usize;
    let bytes = BYTES as u64;
    let sources = [bench.create(PAGES, bytes)?, bench.create(VMALLOC, bytes)?];
    for target in [VMALLOC, PAGES, COHERENT] {
        let target = bench.create(target, bytes)?;
        for (cookie, (source, byte)) in sources.iter().zip([b'1', b'2']).enumerate() {
            session.write_at(source, 0, &[byte; BYTES])?;
            let transfer = from_to(
                Endpoint::Region(*source, 0),
                Endpoint::Region(target, 0),
                bytes,
            );
            session.queue(&transfer, cookie as u64, None)?;
        }
        for cookie in 0..2 {
            ensure!(polled(session, 60_000)?.contains(PollFlags::POLLIN));
            let done = session.done();
            ensure!(done == Ok((cookie, Ok(()))), "{done:?}");
        }
        // One after the other: all is the second's.
        let mut contents = [0; BYTES];
        session.read_at(&target, 0, &mut contents)?;
        ensure!(contents == [b'2'; BYTES], "they were mixed");
    }
    bench.close()
}

/// Bytes of a region that does not fit into what 28 address bits reach.
pub const MORE_THAN_REACH: u64 = 320 << 20;

pub(super) fn what_the_device_cannot_reach_is_copied(context: &Context) -> Result<()> {
    let bench = Bench::open()?;
    let session = &bench.session;
    let info = session.dma_info()?;
    if info.translated == 1 {
        return skip("an IOMMU gives the device an address for all memory");
    }
    let reach = reach(&info);
    let far = match session.create(Backing::Vmalloc, Method::Insert, MORE_THAN_REACH) {
        Ok(region) => region,
        Err(_) => return skip("all memory is within the device's reach: give the machine more"),
    };
    let pages = session.pages(&far, 0, u64::MAX)?;
    let is_far = |page: &uapi::PageInfo| page.pfn * page_size() >= reach;
    let Some(page) = pages.iter().position(is_far) else {
        return skip("all of it is within the device's reach: give the machine memory beyond");
    };
    let (physical, at) = (pages[page].pfn * page_size(), page as u64 * page_size());
    let map = || session.dma_map(&far, (at, page_size()), MapCall::Page, Direction::ToDevice);
    if bounce_buffers("io_tlb_nslabs")? == 0 {
        let errno = map().err();
        ensure!(errno == Some(Errno::EADDRNOTAVAIL), "{errno:?}");
        return bench.close();
    }
    let mapping = map()?;
    let bus = mapping.bus.context("root is told")?;
    ensure!(bus < reach, "{bus:#x} is beyond the device's reach");
    let used = bounce_buffers("io_tlb_used")?;
    ensure!(
        used >= page_size() / 2048,
        "{used} slots of bounce buffers are in use for a page"
    );
    context.note(format!(
        "memory at {physical:#x}, the device's copy at {bus:#x}"
    ));

    let other = bench.create(COHERENT, page_size())?;
    let moved = |want: &[u8; 4]| -> Result<()> {
        session.transfer(&from_to(
            Endpoint::Region(far, at),
            Endpoint::Region(other, 0),
            4,
        ))?;
        let mut contents = [0; 4];
        session.read_at(&other, 0, &mut contents)?;
        ensure!(&contents == want, "the device read {contents:?}");
        Ok(())
    };
    // It does not see what is written after the copy was made, until it is told to.
    session.write_at(&far, at, b"late")?;
    moved(b"\0\0\0\0")?;
    session.sync(&far, at, page_size(), mapwright::Side::Cpu)?;
    session.write_at(&far, at, b"seen")?;
    session.sync(&far, at, page_size(), mapwright::Side::Device)?;
    moved(b"seen")?;
    session.dma_unmap(mapping.id)?;
    far_memory_round_trips(session, &far, at, &other)?;
    bench.close()
}

/// More than a bounce buffer takes in one piece, of memory that the device does not reach.
fn far_memory_round_trips(session: &Session, far: &Region, at: u64, other: &Region) -> Result<()> {
    let bytes = 600 << 10;
    let at = at.min(far.bytes - bytes);
    let mapping = session.dma_map(far, (at, bytes), MapCall::Scatter, Direction::Bidirectional)?;
    ensure!(mapping.segments >= 3, "{mapping:?}");
    for within in [0, (256 << 10) - 2, bytes - 4] {
        session.transfer(&from_to(
            Endpoint::Region(*other, 0),
            Endpoint::Region(*far, at + within),
            4,
        ))?;
    }
    session.sync(far, at, bytes, mapwright::Side::Cpu)?;
    let mut want = [0; 4];
    session.read_at(other, 0, &mut want)?;
    for within in [0, (256 << 10) - 2, bytes - 4] {
        let mut contents = [0; 4];
        session.read_at(far, at + within, &mut contents)?;
        ensure!(contents == want, "{contents:?} at byte {within}");
    }
    Ok(session.dma_unmap(mapping.id)?)
}
