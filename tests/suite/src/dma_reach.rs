// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory beyond a device's address bits, where neither an IOMMU nor a bounce buffer helps: every way to have the
//! device move it is refused. The kernel warns of whoever asks the DMA API for its address all the same, and in the
//! machine of these tests it panics then.

use crate::{
    dma::{
        bounce_buffers, from_to, heap_buffer, reach, udmabuf, Bench, BUFFER, COHERENT,
        MORE_THAN_REACH, PAGES, VMALLOC,
    },
    runner::{skip, suite, Context},
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{
    page_size, uapi, uapi::Request as _, Backing, Direction, Endpoint, MapCall, Method, Region,
    Session, Transfer,
};
use nix::{
    errno::Errno,
    poll::{poll, PollFd, PollFlags},
};
use std::os::fd::{AsFd as _, BorrowedFd};

suite! { "dma.reach":
    a_warning_is_a_panic,
    far_memory_is_not_mapped,
    far_memory_is_not_moved,
    far_memory_is_not_moved_later,
    far_memory_is_not_measured,
    far_memory_of_the_device_is_not_imported,
    near_memory_of_the_device_is_imported,
    a_udmabuf_is_not_imported,
    the_system_heap_is_not_imported,
    another_modules_memory_is_not_imported,
    coherent_memory_is_within_reach,
}

/// A device that does not reach all memory, with nothing that helps, or a skip.
fn limited() -> Result<Bench> {
    let bench = Bench::open()?;
    if bench.session.dma_info()?.translated == 1 {
        return skip("an IOMMU gives the device an address for all memory");
    }
    if bounce_buffers("io_tlb_nslabs")? > 0 {
        return skip("what the device does not reach is copied into a bounce buffer");
    }
    Ok(bench)
}

/// Bytes of a region or buffer some of which is likely to be beyond the device's reach.
const SOME: u64 = 16 << 20;

/// A region, and where the first page of it is that the device does not reach, or does.
fn region_with(
    bench: &Bench,
    kind: (Backing, Method),
    wanted_far: bool,
) -> Result<Option<(Region, u64)>> {
    let reach = reach(&bench.session.dma_info()?);
    for bytes in [SOME, MORE_THAN_REACH] {
        let region = bench.create(kind, bytes)?;
        let pages = bench.session.pages(&region, 0, u64::MAX)?;
        let is_far = |page: &uapi::PageInfo| page.pfn * page_size() >= reach;
        if let Some(page) = pages.iter().position(|page| is_far(page) == wanted_far) {
            return Ok(Some((region, page as u64 * page_size())));
        }
        bench.session.destroy(&region)?;
    }
    Ok(None)
}

fn far_region(bench: &Bench, kind: (Backing, Method)) -> Result<(Region, u64)> {
    region_with(bench, kind, true)?.context("all of a region is within the device's reach")
}

/// The ways to map a page of these kinds of memory.
const WAYS: &[((Backing, Method), &[MapCall])] = &[
    (
        VMALLOC,
        &[MapCall::Scatter, MapCall::ScatterPages, MapCall::Page],
    ),
    (
        PAGES,
        &[
            MapCall::Scatter,
            MapCall::ScatterPages,
            MapCall::Page,
            MapCall::Single,
        ],
    ),
];

/// Calls `f` with a page that the device does not reach, for each way to map it, and expects what it returns to
/// be the refusal.
fn each_is_refused(
    bench: &Bench,
    f: impl Fn(&Region, u64, MapCall) -> Result<Option<Errno>>,
) -> Result<()> {
    for (kind, ways) in WAYS {
        let (region, at) = far_region(bench, *kind)?;
        for way in *ways {
            let errno = f(&region, at, *way)?;
            ensure!(
                errno == Some(Errno::EADDRNOTAVAIL),
                "{errno:?} for {kind:?} as {way:?}"
            );
        }
        bench.session.destroy(&region)?;
    }
    Ok(())
}

fn a_warning_is_a_panic(_: &Context) -> Result<()> {
    let set = std::fs::read_to_string("/proc/sys/kernel/panic_on_warn")?;
    ensure!(set.trim() == "1", "panic_on_warn is {}", set.trim());
    Ok(())
}

fn far_memory_is_not_mapped(_: &Context) -> Result<()> {
    let bench = limited()?;
    let session = &bench.session;
    each_is_refused(&bench, |region, at, way| {
        let mapped = session.dma_map(region, (at, page_size()), way, Direction::Bidirectional);
        Ok(mapped.err())
    })?;
    // Some of it is within reach, some is not.
    let (region, _) = far_region(&bench, VMALLOC)?;
    let all = (0, region.bytes);
    let errno = session
        .dma_map(&region, all, MapCall::Scatter, Direction::ToDevice)
        .err();
    ensure!(errno == Some(Errno::EADDRNOTAVAIL), "{errno:?}");
    bench.close()
}

/// From the device's buffer to a page of a region, and back.
fn both_ways(region: &Region, at: u64, map_call: MapCall) -> [Transfer; 2] {
    let (buffer, region) = (Endpoint::Buffer(0), Endpoint::Region(*region, at));
    [(buffer, region), (region, buffer)].map(|(source, target)| Transfer {
        map_call,
        ..from_to(source, target, BUFFER)
    })
}

fn far_memory_is_not_moved(_: &Context) -> Result<()> {
    let bench = limited()?;
    each_is_refused(&bench, |region, at, way| {
        let [to, from] = both_ways(region, at, way);
        let (to, from) = (bench.session.transfer(&to), bench.session.transfer(&from));
        ensure!(to == from, "{to:?}, but {from:?} the other way");
        Ok(to.err())
    })?;
    bench.close()
}

fn far_memory_is_not_moved_later(_: &Context) -> Result<()> {
    let bench = limited()?;
    each_is_refused(&bench, |region, at, way| {
        let [to, from] = both_ways(region, at, way);
        let mut ended = Vec::new();
        for (cookie, transfer) in [(1, to), (2, from)] {
            bench.session.queue(&transfer, cookie, None)?;
            ended.push(next_to_end(&bench.session, cookie)?);
        }
        ensure!(ended[0] == ended[1], "{ended:?}");
        Ok(ended[0])
    })?;
    bench.close()
}

/// How the queued transfer `cookie`, the next to do so, ends.
fn next_to_end(session: &Session, cookie: u64) -> Result<Option<Errno>> {
    let mut fds = [PollFd::new(session.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, 60_000u16)?;
    let (ended, how) = session.done()?;
    ensure!(ended == cookie, "{ended} ended instead of {cookie}");
    Ok(how.err())
}

fn far_memory_is_not_measured(_: &Context) -> Result<()> {
    let bench = limited()?;
    each_is_refused(&bench, |region, at, way| {
        let mut request = uapi::Measure {
            region: region.id,
            first: at,
            bytes: page_size(),
            map_call: way.number(),
            turns: 3,
            ..uapi::Measure::new()
        };
        Ok(bench.session.request(&mut request).err())
    })?;
    bench.close()
}

/// Fails unless the device is refused a buffer.
fn expect_no_import(bench: &Bench, what: &str, buffer: BorrowedFd<'_>) -> Result<()> {
    let errno = match bench.session.import(buffer) {
        Err(errno) => errno,
        Ok(imported) => {
            let to = from_to(Endpoint::Buffer(0), Endpoint::Import(imported, 0), 1);
            let moved = bench.session.transfer(&to);
            anyhow::bail!("{what} was imported, and a transfer ended with {moved:?}");
        }
    };
    ensure!(errno == Errno::EADDRNOTAVAIL, "{what}: {errno}");
    Ok(())
}

fn far_memory_of_the_device_is_not_imported(_: &Context) -> Result<()> {
    let bench = limited()?;
    for kind in [PAGES, VMALLOC] {
        let (region, at) = far_region(&bench, kind)?;
        for range in [(at, page_size()), (0, region.bytes)] {
            let exported = bench.session.export(&region, range, true)?;
            expect_no_import(&bench, "an exported region", exported.as_fd())?;
        }
        bench.session.destroy(&region)?;
    }
    bench.close()
}

fn near_memory_of_the_device_is_imported(_: &Context) -> Result<()> {
    let bench = limited()?;
    let Some((region, at)) = region_with(&bench, VMALLOC, false)? else {
        return skip("the kernel has given no page within the device's reach");
    };
    let coherent = bench.create(COHERENT, page_size())?;
    bench.session.write_at(&coherent, 0, b"near")?;
    let exported = bench.session.export(&region, (at, page_size()), true)?;
    let buffer = bench.session.import(exported.as_fd())?;
    let to = from_to(
        Endpoint::Region(coherent, 0),
        Endpoint::Import(buffer, 0),
        4,
    );
    bench.session.transfer(&to)?;
    let mut contents = [0; 4];
    bench.session.read_at(&region, at, &mut contents)?;
    ensure!(&contents == b"near", "{contents:?}");
    drop(exported);
    bench.close()
}

// Where others have their memory, nobody is told before it is mapped.

fn a_udmabuf_is_not_imported(_: &Context) -> Result<()> {
    let bench = limited()?;
    let (file, _memory) = udmabuf(SOME)?;
    expect_no_import(&bench, "a udmabuf", file.as_fd())?;
    bench.close()
}

fn the_system_heap_is_not_imported(_: &Context) -> Result<()> {
    let bench = limited()?;
    let heap = heap_buffer(SOME, nix::libc::O_RDWR)?;
    expect_no_import(&bench, "the system heap's buffer", heap.as_fd())?;
    bench.close()
}

fn another_modules_memory_is_not_imported(_: &Context) -> Result<()> {
    let bench = limited()?;
    let other = Session::open()?;
    let region = other.create(Backing::Vmalloc, Method::Insert, SOME)?;
    let exported = other.export(&region, (0, region.bytes), true)?;
    expect_no_import(&bench, "another module's buffer", exported.as_fd())?;
    bench.close()
}

fn coherent_memory_is_within_reach(context: &Context) -> Result<()> {
    let bench = limited()?;
    let reach = reach(&bench.session.dma_info()?);
    let mut regions = 0;
    let refused = loop {
        let region = match bench
            .session
            .create(Backing::Coherent, Method::Dma, 1 << 20)
        {
            Ok(region) => region,
            Err(err) => break err.errno(),
        };
        let result = bench.session.query(&region)?.dma_addr;
        let bus = result.context("root is told")?;
        ensure!(bus < reach, "{bus:#x} is beyond the device's reach");
        regions += 1;
    };
    context.note(format!("{regions} MiB, then {refused:?}"));
    ensure!(
        regions > 0 && matches!(refused, Some(Errno::ENOMEM | Errno::ENOSPC)),
        "{refused:?} after {regions} regions"
    );
    bench.close()
}
