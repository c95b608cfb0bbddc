// SPDX-License-Identifier: MIT OR Apache-2.0

//! `/dev/mapwright-dma0`: what a device moves by itself, between memory and its buffer. Needs QEMU's
//! `edu` device.

use crate::{
    child,
    random::Random,
    rights::{expect_refused, DMA_CHANGES},
    runner::{skip, suite, Context},
};
use anyhow::{bail, ensure, Context as _, Result};
use mapwright::{
    dma_devices, page_bytes, page_size, uapi, uapi::Request as _, Backing, Direction, Imported,
    MapCall, Mapping, Method, Protection, Region, Session, Tables, Transfer, TransferSide as Side,
};
use nix::{
    errno::Errno,
    poll::{poll, PollFd, PollFlags},
    sys::{
        eventfd::EventFd,
        signal::{kill, Signal},
        wait::waitpid,
    },
    unistd::{pipe, read, write},
};
use std::{
    fs,
    os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread::sleep,
    time::{Duration, Instant},
};

suite! { "dma":
    the_device_is_an_edu,
    coherent_memory_round_trips,
    single_mappings_round_trip,
    page_mappings_round_trip,
    scatter_lists_round_trip,
    lists_of_pages_round_trip,
    a_mebibyte_round_trips,
    to_the_buffer_and_back,
    within_a_region,
    stores_of_a_program_are_moved,
    random_round_trips,
    each_piece_interrupts_once,
    a_bus_address_is_told,
    query_tells_the_bus_address,
    a_loan_is_used_and_passed_on,
    loans_are_checked,
    two_loans_of_a_cache_line,
    lent_during_a_transfer,
    two_queued_transfers_of_the_same_bytes,
    what_the_device_cannot_reach_is_copied,
    queued_transfers_end_in_order,
    a_full_queue,
    an_eventfd_is_told,
    closed_with_a_queue,
    exported_and_imported,
    the_system_heap_is_imported,
    a_udmabuf_is_imported,
    an_exported_buffer_is_mapped,
    read_only_buffers_are_no_target,
    what_cannot_be_exported,
    sides_are_checked,
    vmalloc_memory_is_no_single_stretch,
    raw_addresses_need_an_iommu,
    a_reading_descriptor_moves_nothing,
    other_sessions_regions,
    closed_regions,
    killed_in_a_transfer,
    killed_while_waiting,
    unbound_in_a_transfer,
    removed_and_found_again,
    the_module_stays_while_it_is_open,
    the_dma_debugger_has_nothing_to_say,
}

/// The kinds of memory that can be mapped, and how they are mapped into programs.
pub const PAGES: (Backing, Method) = (Backing::Pages, Method::Remap);
pub const VMALLOC: (Backing, Method) = (Backing::Vmalloc, Method::Insert);
pub const KMALLOC: (Backing, Method) = (Backing::Kmalloc, Method::Remap);
pub const COHERENT: (Backing, Method) = (Backing::Coherent, Method::Dma);

/// What the driver is called.
pub const DRIVER: &str = "mapwright_dma";

/// Bytes of the device's own buffer, through which everything goes.
pub const BUFFER: u64 = 4096;

/// Sizes for round trips: from a byte to several of those.
const SIZES: &[u64] = &[1, 2, 63, 512, BUFFER - 1, BUFFER, BUFFER + 1, 9000];

/// The first device, or a skip.
pub fn device() -> Result<PathBuf> {
    match dma_devices().into_iter().next() {
        Some(path) => Ok(path),
        None => skip("there is no edu device: boot with --qemu '-device edu'"),
    }
}

/// The bus addresses that a device can give out are below this.
pub fn reach(info: &uapi::DmaInfo) -> u64 {
    1 << info.address_bits
}

/// The device, with what is left behind in the end.
pub struct Bench {
    pub session: Session,
    pub path: PathBuf,
}

impl Bench {
    pub fn open() -> Result<Self> {
        let path = device()?;
        Ok(Self {
            session: Session::open_at(&path)?,
            path,
        })
    }

    pub fn create(&self, (backing, method): (Backing, Method), bytes: u64) -> Result<Region> {
        Ok(self.session.create(backing, method, bytes)?)
    }

    pub fn tables(&self) -> Result<Tables> {
        tables(&self.path)
    }

    /// Closes the device and makes sure that nothing is left.
    pub fn close(self) -> Result<()> {
        drop(self.session);
        nothing_is_left(&self.path)
    }
}

pub fn tables(device: &Path) -> Result<Tables> {
    let name = device.file_name().context("a device without a name")?;
    Ok(Tables::read_from(
        &Path::new("/sys/kernel/debug").join(name),
    )?)
}

/// Fails if a session, a region, a mapping or a mapping for DMA outlived a test.
pub fn nothing_is_left(device: &Path) -> Result<()> {
    let tables = tables(device)?;
    for (begun, ended) in [
        ("sessions_opened", "sessions_closed"),
        ("regions_created", "regions_freed"),
        ("vmas_opened", "vmas_closed"),
        ("mapped", "unmapped"),
    ] {
        let (begun_count, ended_count) = (tables.counter(begun), tables.counter(ended));
        ensure!(
            begun_count == ended_count,
            "the test left something behind: {begun} {begun_count}, {ended} {ended_count}"
        );
    }
    ensure!(tables.counter("timeouts") == 0, "the engine was lost once");
    nothing_is_mapped()
}

/// Fails if the kernel itself knows of a mapping for DMA, where it tells.
fn nothing_is_mapped() -> Result<()> {
    if dma_api_is_checked()? {
        let mappings = fs::read_to_string(Path::new(DMA_API_DEBUG).join("dump"))?;
        let ours = mappings.lines().find(|line| line.starts_with(DRIVER));
        ensure!(ours.is_none(), "still mapped: {ours:?}");
    }
    let bounced = bounce_buffers("io_tlb_used")?;
    ensure!(bounced == 0, "{bounced} slots of bounce buffers are in use");
    Ok(())
}

/// Whether the kernel keeps account of what is mapped for DMA. Fails if it has given up.
fn dma_api_is_checked() -> Result<bool> {
    let Ok(disabled) = fs::read_to_string(Path::new(DMA_API_DEBUG).join("disabled")) else {
        return Ok(false);
    };
    if disabled.trim() == "N" {
        return Ok(true);
    }
    // Then its list is not even initialised: the kernel dies of reading it.
    let command_line = fs::read_to_string("/proc/cmdline")?;
    ensure!(
        command_line
            .split_whitespace()
            .any(|word| word == "dma_debug=off"),
        "the DMA API's checker has given up: see the kernel's log"
    );
    Ok(false)
}

/// Where a debug kernel tells of what is mapped for DMA.
const DMA_API_DEBUG: &str = "/sys/kernel/debug/dma-api";

/// A figure of the kernel's bounce buffers (swiotlb), each of which has slots of 2 KiB; 0 if there are none.
pub fn bounce_buffers(figure: &str) -> Result<u64> {
    match fs::read_to_string(Path::new("/sys/kernel/debug/swiotlb").join(figure)) {
        Ok(text) => Ok(text.trim().parse()?),
        Err(_) => Ok(0),
    }
}

fn the_device_is_an_edu(context: &Context) -> Result<()> {
    let bench = Bench::open()?;
    let info = bench.session.dma_info()?;
    ensure!(info.identification & 0xff == 0xed, "{info:?}");
    // Its own are 28, but QEMU can give it more where memory begins beyond their reach.
    let is_usual = matches!(info.address_bits, 28 | 32);
    ensure!(u64::from(info.buffer_bytes) == BUFFER && is_usual);
    context.note(format!("{info:?}"));
    // The other device has no engine.
    let errno = Session::open()?.dma_info().err();
    ensure!(errno == Some(Errno::ENOTTY), "{errno:?}");
    bench.close()
}

/// Moves random bytes from a random place in one region to one in another, and compares all of it.
fn round_trip(
    bench: &Bench,
    random: &mut Random,
    (source, target): ((Backing, Method), (Backing, Method)),
    map_call: MapCall,
    bytes: u64,
) -> Result<()> {
    let map_call = match map_call {
        // More than a bounce buffer takes.
        MapCall::Single if bytes > 200 << 10 && bounce_buffers("io_tlb_nslabs")? > 0 => {
            MapCall::Scatter
        }
        map_call => map_call,
    };
    let slack = match map_call {
        // Must stay in one page.
        MapCall::Page => page_size() - bytes,
        _ => 3 * page_size(),
    };
    let source = bench.create(source, bytes + slack)?;
    let target = bench.create(target, bytes + slack)?;
    let mut contents = random.bytes(source.bytes as usize);
    let mut expected = random.bytes(target.bytes as usize);
    bench.session.write_at(&source, 0, &contents)?;
    bench.session.write_at(&target, 0, &expected)?;

    let (from, to) = (random.below(slack + 1), random.below(slack + 1));
    let transfer = Transfer {
        source: Side::Region(source, from),
        target: Side::Region(target, to),
        bytes,
        map_call,
    };
    bench.session.transfer(&transfer)?;

    let length = bytes as usize;
    let moved = &contents[from as usize..][..length];
    expected[to as usize..][..length].copy_from_slice(moved);
    for (region, expected) in [(&source, &mut contents), (&target, &mut expected)] {
        let mut found = vec![0; expected.len()];
        bench.session.read_at(region, 0, &mut found)?;
        let differs = found.iter().zip(expected.iter()).position(|(a, b)| a != b);
        ensure!(
            differs.is_none(),
            "{bytes} bytes from {from} to {to}: byte {differs:?} is wrong"
        );
        bench.session.destroy(region)?;
    }
    Ok(())
}

pub fn round_trips(kind: (Backing, Method), map_call: MapCall, sizes: &[u64]) -> Result<()> {
    let bench = Bench::open()?;
    let mut random = Random::new(sizes.iter().sum());
    for &bytes in sizes {
        round_trip(&bench, &mut random, (kind, kind), map_call, bytes)?;
    }
    bench.close()
}

fn coherent_memory_round_trips(_: &Context) -> Result<()> {
    round_trips(COHERENT, MapCall::Scatter, SIZES)
}

fn single_mappings_round_trip(_: &Context) -> Result<()> {
    round_trips(PAGES, MapCall::Single, SIZES)?;
    round_trips(KMALLOC, MapCall::Single, &[1, page_size() + 1])
}

fn page_mappings_round_trip(_: &Context) -> Result<()> {
    round_trips(VMALLOC, MapCall::Page, &[1, 511, page_size()])?;
    round_trips(PAGES, MapCall::Page, &[1, page_size() - 1])
}

fn scatter_lists_round_trip(_: &Context) -> Result<()> {
    round_trips(VMALLOC, MapCall::Scatter, SIZES)?;
    round_trips(PAGES, MapCall::Scatter, &[1, 9000])
}

fn lists_of_pages_round_trip(_: &Context) -> Result<()> {
    round_trips(VMALLOC, MapCall::ScatterPages, &[1, page_size() + 1])?;
    round_trips(PAGES, MapCall::ScatterPages, SIZES)
}

fn a_mebibyte_round_trips(_: &Context) -> Result<()> {
    // A tenth of a second for each piece would be a minute, were it not for a clock that jumps.
    if !waiting_costs_nothing()? {
        return skip("three times a minute, on a machine whose clock does not jump over waiting");
    }
    round_trips(COHERENT, MapCall::Scatter, &[1 << 20])?;
    round_trips(PAGES, MapCall::Single, &[1 << 20])?;
    round_trips(VMALLOC, MapCall::Scatter, &[1 << 20])
}

/// Sizes, places, contents, kinds of memory and ways to map it, all by chance; the interrupts that the
/// driver and the kernel count are those of the pieces.
fn random_round_trips(context: &Context) -> Result<()> {
    const TRIPS: u32 = 24;
    let bench = Bench::open()?;
    let mut random = Random::new(0xed0);
    let most: u64 = match waiting_costs_nothing()? {
        true => 1 << 20,
        false => 2 * page_size(),
    };
    let kinds = [
        (MapCall::Scatter, &[COHERENT, PAGES, VMALLOC, KMALLOC][..]),
        (MapCall::ScatterPages, &[COHERENT, PAGES, VMALLOC]),
        (MapCall::Single, &[COHERENT, PAGES, KMALLOC]),
    ];
    let before = (bench.tables()?, interrupts()?);
    let mut moved = 0;
    for _ in 0..TRIPS {
        let (map_call, memory) = random.pick(&kinds);
        let (source, target) = (*random.pick(memory), *random.pick(memory));
        // As many small ones as large ones.
        let order = random.below(most.ilog2().into());
        let bytes = 1 + random.below(1 << order);
        let trip = round_trip(&bench, &mut random, (source, target), *map_call, bytes);
        trip.with_context(|| format!("{source:?} to {target:?} as {map_call:?}"))?;
        moved += bytes;
    }
    for bytes in [1, most] {
        round_trip(
            &bench,
            &mut random,
            (VMALLOC, PAGES),
            MapCall::Scatter,
            bytes,
        )?;
        moved += bytes;
    }
    let after = bench.tables()?;
    let grown = |name: &str| after.counter(name) - before.0.counter(name);
    let (pieces, counted) = (grown("pieces_started"), grown("interrupts"));
    let seen = interrupts()? - before.1;
    ensure!(
        pieces == counted && pieces == seen,
        "{pieces} pieces, {counted} interrupts by the driver's count, {seen} by the kernel's"
    );
    ensure!(grown("transfers") == u64::from(TRIPS) + 2 && grown("bytes_moved") == 2 * moved);
    context.note(format!(
        "{moved} bytes in {pieces} pieces, {seen} interrupts"
    ));
    bench.close()
}

/// How many interrupts of the driver's the kernel has counted.
pub fn interrupts() -> Result<u64> {
    let text = fs::read_to_string("/proc/interrupts")?;
    let line = text
        .lines()
        .find(|line| line.contains(DRIVER))
        .context("the kernel knows no interrupt of the driver's")?;
    let counts = line.split_whitespace().skip(1);
    Ok(counts.map_while(|word| word.parse::<u64>().ok()).sum())
}

/// Whether this is a machine whose clock jumps over what it would wait for, as the one who booted it
/// says: from the inside nobody can tell.
fn waiting_costs_nothing() -> Result<bool> {
    let parameters = fs::read_to_string("/proc/cmdline")?;
    Ok(parameters
        .split_whitespace()
        .any(|word| word == "mapwright.clock=jumps"))
}

fn to_the_buffer_and_back(_: &Context) -> Result<()> {
    let bench = Bench::open()?;
    let region = bench.create(COHERENT, page_size())?;
    let lists = bench.create(VMALLOC, page_size())?;
    bench.session.write_at(&region, 100, b"into the device")?;
    let map_call = MapCall::Scatter;
    bench.session.transfer(&Transfer {
        source: Side::Region(region, 100),
        target: Side::Buffer(BUFFER - 15),
        bytes: 15,
        map_call,
    })?;
    bench.session.transfer(&Transfer {
        source: Side::Buffer(BUFFER - 10),
        target: Side::Region(lists, 3),
        bytes: 10,
        map_call,
    })?;
    let mut found = [0; 14];
    bench.session.read_at(&lists, 1, &mut found)?;
    ensure!(&found == b"\0\0the device\0\0", "{found:?}");
    bench.close()
}

fn within_a_region(_: &Context) -> Result<()> {
    let bench = Bench::open()?;
    for kind in [COHERENT, VMALLOC] {
        let region = bench.create(kind, 2 * page_size())?;
        let at = page_size() - 10;
        bench
            .session
            .write_at(&region, at, b"over the edge of a page")?;
        // Onto itself, a little further on: through the device's buffer, so nothing is smeared.
        bench.session.transfer(&Transfer {
            source: Side::Region(region, at),
            target: Side::Region(region, at + 5),
            bytes: 300,
            map_call: MapCall::Scatter,
        })?;
        let mut found = [0; 28];
        bench.session.read_at(&region, at, &mut found)?;
        ensure!(&found == b"over over the edge of a page", "{found:?}");
    }
    bench.close()
}

fn stores_of_a_program_are_moved(_: &Context) -> Result<()> {
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
            source: Side::Region(source, 7),
            target: Side::Region(target, 70),
            bytes: 14,
            map_call: MapCall::Scatter,
        })?;
        let mut seen = [0; 14];
        to.read(70, &mut seen);
        ensure!(&seen == b"by the program", "{seen:?}");
    }
    bench.close()
}

fn each_piece_interrupts_once(context: &Context) -> Result<()> {
    let bench = Bench::open()?;
    let (source, target) = (bench.create(COHERENT, 10000)?, bench.create(PAGES, 10000)?);
    let before = bench.tables()?;
    for bytes in [1, BUFFER, 10000] {
        bench.session.transfer(&Transfer {
            source: Side::Region(source, 0),
            target: Side::Region(target, 0),
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

fn a_bus_address_is_told(_: &Context) -> Result<()> {
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

fn query_tells_the_bus_address(_: &Context) -> Result<()> {
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

/// A transfer of `bytes` from the start of one side to the start of another.
pub fn from_to(source: Side, target: Side, bytes: u64) -> Transfer {
    Transfer {
        source,
        target,
        bytes,
        map_call: MapCall::Scatter,
    }
}

fn a_loan_is_used_and_passed_on(_: &Context) -> Result<()> {
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
        let (from, to) = (Side::Region(mapped, 5000), Side::Region(other, 1));
        session.transfer(&from_to(from, to, 5))?;

        // The CPU has it: the device may not be sent there.
        session.sync(&mapped, 0, all, mapwright::Side::Cpu)?;
        let errno = session.transfer(&from_to(from, to, 5));
        ensure!(errno == Err(Errno::EBUSY), "{errno:?}");
        session.write_at(&mapped, 5000, b"again")?;
        session.sync(&mapped, 0, all, mapwright::Side::Device)?;
        session.transfer(&from_to(from, Side::Region(other, 6), 5))?;
        let mut seen = [0; 10];
        session.read_at(&other, 1, &mut seen)?;
        ensure!(&seen == b"firstagain", "{seen:?}");

        // And the other way.
        session.transfer(&from_to(
            Side::Region(other, 0),
            Side::Region(mapped, 9000),
            12,
        ))?;
        session.sync(&mapped, 0, all, mapwright::Side::Cpu)?;
        let mut seen = [0; 12];
        session.read_at(&mapped, 9000, &mut seen)?;
        ensure!(&seen == b"\0firstagain\0", "{seen:?}");
        session.dma_unmap(mapping.id)?;
        ensure!(session.dma_unmap(mapping.id) == Err(Errno::ENOENT));
    }
    bench.close()
}

fn loans_are_checked(_: &Context) -> Result<()> {
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
    let buffer = Side::Buffer(0);
    let errno = session.transfer(&from_to(Side::Region(pages, 250), buffer, 51));
    ensure!(errno == Err(Errno::EBUSY), "{errno:?}");
    let errno = session.transfer(&from_to(buffer, Side::Region(pages, 100), 1));
    ensure!(errno == Err(Errno::EBUSY), "{errno:?}");
    session.transfer(&from_to(Side::Region(pages, 299), buffer, 1))?;
    session.transfer(&from_to(buffer, Side::Region(pages, 300), 1))?;
    session.dma_unmap(mapping.id)?;

    for first in [0, page] {
        session.dma_map(&lists, (first, page), MapCall::Page, Direction::ToDevice)?;
    }
    // Freed with its last mapping, when the file is closed.
    session.destroy(&lists)?;
    bench.close()
}

fn two_loans_of_a_cache_line(_: &Context) -> Result<()> {
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
    let beside = Side::Region(pages, 120);
    let errno = bench.session.transfer(&from_to(Side::Buffer(0), beside, 1));
    ensure!(errno == Err(Errno::EBUSY), "{errno:?}");
    bench
        .session
        .transfer(&from_to(beside, Side::Buffer(0), 1))?;
    bench.close()
}

fn lent_during_a_transfer(_: &Context) -> Result<()> {
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
    let transfer = from_to(Side::Region(source, 0), Side::Region(target, 0), moved);
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

fn two_queued_transfers_of_the_same_bytes(_: &Context) -> Result<()> {
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
            let transfer = from_to(Side::Region(*source, 0), Side::Region(target, 0), bytes);
            session.queue(&transfer, cookie as u64, None)?;
        }
        for cookie in 0..2 {
            ensure!(polled(session, 60_000)?.contains(PollFlags::POLLIN));
            let done = session.done();
            ensure!(done == Ok((cookie, Ok(()))), "{done:?}");
        }
        // One after the other: all is the second's.
        let mut seen = [0; BYTES];
        session.read_at(&target, 0, &mut seen)?;
        ensure!(seen == [b'2'; BYTES], "they were mixed");
    }
    bench.close()
}

/// Bytes of a region that does not fit into what 28 address bits reach.
pub const MORE_THAN_REACH: u64 = 320 << 20;

fn what_the_device_cannot_reach_is_copied(context: &Context) -> Result<()> {
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
        session.transfer(&from_to(Side::Region(far, at), Side::Region(other, 0), 4))?;
        let mut seen = [0; 4];
        session.read_at(&other, 0, &mut seen)?;
        ensure!(&seen == want, "the device read {seen:?}");
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
            Side::Region(*other, 0),
            Side::Region(*far, at + within),
            4,
        ))?;
    }
    session.sync(far, at, bytes, mapwright::Side::Cpu)?;
    let mut want = [0; 4];
    session.read_at(other, 0, &mut want)?;
    for within in [0, (256 << 10) - 2, bytes - 4] {
        let mut seen = [0; 4];
        session.read_at(far, at + within, &mut seen)?;
        ensure!(seen == want, "{seen:?} at byte {within}");
    }
    Ok(session.dma_unmap(mapping.id)?)
}

fn polled(session: &Session, timeout_ms: u16) -> Result<PollFlags> {
    let mut fds = [PollFd::new(session.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, timeout_ms)?;
    Ok(fds[0].revents().unwrap_or(PollFlags::empty()))
}

fn queued_transfers_end_in_order(_: &Context) -> Result<()> {
    let bench = Bench::open()?;
    let session = &bench.session;
    let region = bench.create(VMALLOC, 2 * page_size())?;
    let coherent = bench.create(COHERENT, page_size())?;
    session.write_at(&region, 0, b"queued")?;
    ensure!(polled(session, 0)?.is_empty());
    ensure!(session.done() == Err(Errno::EAGAIN));
    let first = from_to(Side::Region(region, 0), Side::Region(coherent, 0), 6);
    session.queue(&first, 11, None)?;
    session.queue(
        &from_to(Side::Region(coherent, 0), Side::Region(region, 4000), 6),
        22,
        None,
    )?;
    for cookie in [11, 22] {
        ensure!(polled(session, 10_000)?.contains(PollFlags::POLLIN));
        let done = session.done();
        ensure!(done == Ok((cookie, Ok(()))), "{done:?}");
    }
    ensure!(session.done() == Err(Errno::EAGAIN));
    let mut seen = [0; 6];
    session.read_at(&region, 4000, &mut seen)?;
    ensure!(&seen == b"queued", "{seen:?}");
    bench.close()
}

fn a_full_queue(_: &Context) -> Result<()> {
    let bench = Bench::open()?;
    let coherent = bench.create(COHERENT, page_size())?;
    let transfer = from_to(Side::Region(coherent, 0), Side::Buffer(0), 1);
    for cookie in 0..u64::from(uapi::MAX_QUEUED) {
        bench.session.queue(&transfer, cookie, None)?;
    }
    let errno = bench.session.queue(&transfer, 0, None);
    ensure!(errno == Err(Errno::EAGAIN), "{errno:?}");
    bench.close()
}

fn an_eventfd_is_told(_: &Context) -> Result<()> {
    let bench = Bench::open()?;
    let coherent = bench.create(COHERENT, page_size())?;
    let eventfd = EventFd::new()?;
    let transfer = from_to(Side::Region(coherent, 0), Side::Region(coherent, 100), 50);
    for cookie in 0..3 {
        bench
            .session
            .queue(&transfer, cookie, Some(eventfd.as_fd()))?;
    }
    let mut result = 0;
    while result < 3 {
        result += eventfd.read()?;
    }
    ensure!(result == 3, "told {result} times");
    for cookie in 0..3 {
        let done = bench.session.done();
        ensure!(done == Ok((cookie, Ok(()))), "{done:?}");
    }
    // Another kind of file is none.
    let errno = bench
        .session
        .queue(&transfer, 0, Some(bench.session.as_fd()));
    ensure!(errno == Err(Errno::EINVAL), "{errno:?}");
    bench.close()
}

fn closed_with_a_queue(_: &Context) -> Result<()> {
    let bench = Bench::open()?;
    let (source, target) = (
        bench.create(VMALLOC, 1 << 20)?,
        bench.create(PAGES, 1 << 20)?,
    );
    let transfer = from_to(Side::Region(source, 0), Side::Region(target, 0), 1 << 20);
    for cookie in 0..5 {
        bench.session.queue(&transfer, cookie, None)?;
    }
    sleep(Duration::from_millis(250));
    let path = bench.path.clone();
    bench.close()?;
    each_piece_interrupted(&path).map(drop)
}

/// How many pieces the device was told to move. Fails unless it has interrupted after each.
pub fn each_piece_interrupted(device: &Path) -> Result<u64> {
    let tables = tables(device)?;
    let (pieces, interrupts) = (
        tables.counter("pieces_started"),
        tables.counter("interrupts"),
    );
    ensure!(
        pieces == interrupts,
        "{interrupts} interrupts of {pieces} pieces"
    );
    Ok(pieces)
}

/// Moves bytes from a region to the end of a buffer and back into the region, and compares. Returns them:
/// others each time.
fn through_a_buffer(bench: &Bench, buffer: Imported) -> Result<[u8; 16]> {
    static TURN: AtomicU64 = AtomicU64::new(0);
    let text = *format!("a buffer, {:06}", TURN.fetch_add(1, Relaxed))
        .as_bytes()
        .first_chunk()
        .context("too short")?;
    let region = bench.create(COHERENT, 2 * page_size())?;
    bench.session.write_at(&region, 0, &text)?;
    let far = Side::Import(buffer, buffer.bytes - 16);
    bench
        .session
        .transfer(&from_to(Side::Region(region, 0), far, 16))?;
    bench
        .session
        .transfer(&from_to(far, Side::Region(region, 5000), 16))?;
    let mut seen = [0; 16];
    bench.session.read_at(&region, 5000, &mut seen)?;
    ensure!(seen == text, "{seen:?}");
    let errno = bench
        .session
        .transfer(&from_to(far, Side::Region(region, 0), 17));
    ensure!(errno == Err(Errno::EINVAL), "{errno:?}");
    bench.session.dma_unmap(buffer.id)?;
    let errno = bench
        .session
        .transfer(&from_to(far, Side::Region(region, 0), 1));
    ensure!(errno == Err(Errno::ENOENT), "{errno:?}");
    Ok(text)
}

fn exported_and_imported(_: &Context) -> Result<()> {
    let bench = Bench::open()?;
    // Of this device, and of the other one, which has no driver to lose, so that its coherent memory is there to stay.
    let other = Session::open()?;
    let kinds: [(&Session, &[(Backing, Method)]); 2] = [
        (&bench.session, &[PAGES, VMALLOC, KMALLOC]),
        (&other, &[PAGES, VMALLOC, KMALLOC, COHERENT]),
    ];
    for (session, kinds) in kinds {
        for (backing, method) in kinds.iter().copied() {
            let region = session.create(backing, method, 3 * page_size())?;
            let exported = session.export(&region, (page_size(), 2 * page_size()), true)?;
            let buffer = bench.session.import(exported.as_fd())?;
            ensure!(buffer.bytes == 2 * page_size());
            let text = through_a_buffer(&bench, buffer)?;
            let mut seen = [0; 16];
            session.read_at(&region, 3 * page_size() - 16, &mut seen)?;
            ensure!(seen == text, "{seen:?}");
            // The file keeps the memory.
            session.destroy(&region)?;
            let buffer = bench.session.import(exported.as_fd())?;
            through_a_buffer(&bench, buffer)?;
        }
    }
    drop(other);
    bench.close()
}

nix::ioctl_readwrite!(heap_alloc, b'H', 0, HeapAllocation);

/// `struct dma_heap_allocation_data` of `linux/dma-heap.h`.
#[repr(C)]
#[derive(Default)]
struct HeapAllocation {
    len: u64,
    fd: u32,
    fd_flags: u32,
    heap_flags: u64,
}

/// A buffer of the system heap, or a skip.
pub fn heap_buffer(bytes: u64, flags: i32) -> Result<OwnedFd> {
    let heap = match fs::File::open("/dev/dma_heap/system") {
        Ok(heap) => heap,
        Err(_) => return skip("this kernel has no system heap (CONFIG_DMABUF_HEAPS_SYSTEM)"),
    };
    let mut request = HeapAllocation {
        len: bytes,
        fd_flags: (flags | nix::libc::O_CLOEXEC) as u32,
        ..HeapAllocation::default()
    };
    // SAFETY: The structure is that of this request, which fills it in.
    unsafe { heap_alloc(heap.as_raw_fd(), &mut request)? };
    // SAFETY: The kernel has just made it for this process.
    Ok(unsafe { OwnedFd::from_raw_fd(request.fd as i32) })
}

fn the_system_heap_is_imported(_: &Context) -> Result<()> {
    let bench = Bench::open()?;
    let heap = heap_buffer(3 * page_size(), nix::libc::O_RDWR)?;
    let buffer = bench.session.import(heap.as_fd())?;
    through_a_buffer(&bench, buffer)?;
    bench.close()
}

nix::ioctl_write_ptr!(udmabuf_create, b'u', 0x42, UdmabufCreate);

/// `struct udmabuf_create` of `linux/udmabuf.h`.
#[repr(C)]
struct UdmabufCreate {
    memfd: u32,
    flags: u32,
    offset: u64,
    size: u64,
}

/// A buffer of all but the first page of a memfd of `bytes` bytes, and that memfd; or a skip.
pub fn udmabuf(bytes: u64) -> Result<(OwnedFd, OwnedFd)> {
    use nix::{
        fcntl::{fcntl, FcntlArg, SealFlag},
        sys::memfd::{memfd_create, MFdFlags},
    };
    let maker = match fs::File::open("/dev/udmabuf") {
        Ok(maker) => maker,
        Err(_) => return skip("this kernel makes no DMA-bufs of a memfd (CONFIG_UDMABUF)"),
    };
    let memory = memfd_create(c"udmabuf", MFdFlags::MFD_ALLOW_SEALING)?;
    nix::unistd::ftruncate(&memory, bytes as nix::libc::off_t)?;
    fcntl(&memory, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_SHRINK))?;
    let request = UdmabufCreate {
        memfd: memory.as_raw_fd() as u32,
        flags: 1,
        offset: page_size(),
        size: bytes - page_size(),
    };
    // SAFETY: The structure is that of this request.
    let fd = unsafe { udmabuf_create(maker.as_raw_fd(), &request)? };
    // SAFETY: The kernel has just made it for this process.
    Ok((unsafe { OwnedFd::from_raw_fd(fd) }, memory))
}

fn a_udmabuf_is_imported(_: &Context) -> Result<()> {
    let bench = Bench::open()?;
    let (made, memory) = udmabuf(3 * page_size())?;
    let buffer = bench.session.import(made.as_fd())?;
    let text = through_a_buffer(&bench, buffer)?;
    // The memfd's pages are what was written to.
    let mut seen = [0; 16];
    nix::sys::uio::pread(
        &memory,
        &mut seen,
        (3 * page_size()) as nix::libc::off_t - 16,
    )?;
    ensure!(seen == text, "{seen:?}");
    bench.close()
}

nix::ioctl_write_ptr!(dma_buf_sync, b'b', 0, u64);
/// `DMA_BUF_SYNC_RW` of `linux/dma-buf.h`.
const SYNC_BOTH: u64 = 3;
/// `DMA_BUF_SYNC_END`.
const SYNC_END: u64 = 4;

fn an_exported_buffer_is_mapped(_: &Context) -> Result<()> {
    let bench = Bench::open()?;
    for kind in [PAGES, VMALLOC, (Backing::Pages, Method::Fault)] {
        let region = bench.create(kind, 3 * page_size())?;
        bench
            .session
            .write_at(&region, page_size() + 7, b"mapped")?;
        let exported = bench
            .session
            .export(&region, (page_size(), 2 * page_size()), true)?;
        let bytes = 2 * page_bytes();
        let mut mapping = Mapping::new(exported.as_fd(), 0, bytes, Protection::ReadWrite)?;
        let beyond = Mapping::new(exported.as_fd(), 0, bytes + 1, Protection::Read).err();
        ensure!(beyond == Some(Errno::EINVAL), "{beyond:?}");
        // SAFETY: The word is what this request takes.
        unsafe { dma_buf_sync(exported.as_raw_fd(), &SYNC_BOTH)? };
        let mut seen = [0; 6];
        mapping.read(7, &mut seen);
        ensure!(&seen == b"mapped", "{seen:?}");
        mapping.write(page_bytes(), b"stored");
        // SAFETY: As above.
        unsafe { dma_buf_sync(exported.as_raw_fd(), &(SYNC_BOTH | SYNC_END))? };
        bench.session.read_at(&region, 2 * page_size(), &mut seen)?;
        ensure!(&seen == b"stored", "{seen:?}");
    }
    bench.close()
}

fn read_only_buffers_are_no_target(_: &Context) -> Result<()> {
    let bench = Bench::open()?;
    let (region, other) = (
        bench.create(PAGES, page_size())?,
        bench.create(COHERENT, page_size())?,
    );
    let exported = bench.session.export(&region, (0, page_size()), false)?;
    let heap = heap_buffer(page_size(), nix::libc::O_RDONLY)?;
    for fd in [exported, heap] {
        let buffer = bench.session.import(fd.as_fd())?;
        let (inside, outside) = (Side::Import(buffer, 0), Side::Region(other, 0));
        let errno = bench.session.transfer(&from_to(outside, inside, 1));
        ensure!(errno == Err(Errno::EACCES), "{errno:?}");
        bench.session.transfer(&from_to(inside, outside, 1))?;
        let mapped = Mapping::new(fd.as_fd(), 0, page_bytes(), Protection::ReadWrite).err();
        ensure!(mapped == Some(Errno::EACCES), "{mapped:?}");
    }
    bench.close()
}

fn what_cannot_be_exported(_: &Context) -> Result<()> {
    let bench = Bench::open()?;
    let session = &bench.session;
    let page = page_size();
    let region = bench.create(PAGES, 2 * page)?;
    let refused =
        |region: &Region, first, bytes| session.export(region, (first, bytes), true).err();
    for (first, bytes) in [
        (1, page),
        (0, page - 1),
        (0, 0),
        (page, 2 * page),
        (u64::MAX - (page - 1), page),
    ] {
        let errno = refused(&region, first, bytes);
        ensure!(
            errno == Some(Errno::EINVAL),
            "{errno:?} for {bytes} from {first}"
        );
    }
    // It is taken back when the device loses its driver.
    let errno = refused(&bench.create(COHERENT, 2 * page)?, 0, page);
    ensure!(errno == Some(Errno::EOPNOTSUPP), "{errno:?}");
    session.destroy(&region)?;
    ensure!(refused(&region, 0, page) == Some(Errno::ENOENT));
    let errno = session.import(session.as_fd()).err();
    ensure!(errno == Some(Errno::EINVAL), "{errno:?}");
    bench.close()
}

/// The errno that a transfer gets.
fn refused(session: &Session, request: uapi::Transfer) -> Result<Errno> {
    match session.request(&mut request.clone()) {
        Ok(()) => bail!("it was accepted: {request:?}"),
        Err(errno) => Ok(errno),
    }
}

fn sides_are_checked(_: &Context) -> Result<()> {
    let bench = Bench::open()?;
    let (one, two) = (
        bench.create(COHERENT, 2 * page_size())?,
        bench.create(VMALLOC, 2 * page_size())?,
    );
    let good = uapi::Transfer {
        source: one.id,
        target: two.id,
        bytes: 10,
        ..uapi::Transfer::new()
    };
    let changed = |change: fn(&mut uapi::Transfer)| {
        let mut request = good;
        change(&mut request);
        request
    };
    for (errno, request) in [
        (Errno::EINVAL, changed(|t| t.bytes = 0)),
        (Errno::EINVAL, changed(|t| t.bytes = 2 * page_size() + 1)),
        (Errno::EINVAL, changed(|t| t.bytes = u64::MAX)),
        (
            Errno::EINVAL,
            changed(|t| t.source_offset = 2 * page_size() - 9),
        ),
        (
            Errno::EINVAL,
            changed(|t| t.target_offset = 2 * page_size() - 9),
        ),
        (Errno::EINVAL, changed(|t| t.source_offset = u64::MAX)),
        (Errno::EINVAL, changed(|t| t.target_offset = u64::MAX - 5)),
        (Errno::EINVAL, changed(|t| (t.source, t.target) = (0, 0))),
        (
            Errno::EINVAL,
            changed(|t| (t.source, t.bytes) = (0, BUFFER + 1)),
        ),
        (
            Errno::EINVAL,
            changed(|t| (t.target, t.target_offset) = (0, BUFFER - 9)),
        ),
        (Errno::EINVAL, changed(|t| t.flags = 1 << 31)),
        (Errno::EINVAL, changed(|t| t.eventfd = 1)),
        (Errno::EINVAL, changed(|t| t.flags = uapi::TRANSFER_EVENTFD)),
        (
            Errno::EINVAL,
            changed(|t| t.flags = uapi::TRANSFER_EVENTFD | uapi::TRANSFER_QUEUE),
        ),
        (
            Errno::EBADF,
            changed(|t| {
                t.flags = uapi::TRANSFER_EVENTFD | uapi::TRANSFER_QUEUE;
                t.eventfd = 1000;
            }),
        ),
        (Errno::EINVAL, changed(|t| t.map_call = 99)),
        (Errno::EINVAL, changed(|t| t.size = 8)),
        (Errno::ENOENT, changed(|t| t.source = u64::MAX)),
        // Mapped as a page, but in two.
        (
            Errno::EINVAL,
            changed(|t| (t.map_call, t.target_offset) = (MapCall::Page.number(), page_size() - 6)),
        ),
    ] {
        let found = refused(&bench.session, request)?;
        ensure!(found == errno, "{found} instead of {errno}: {request:?}");
    }
    let mut good = good;
    bench.session.request(&mut good)?;
    bench.close()
}

fn vmalloc_memory_is_no_single_stretch(_: &Context) -> Result<()> {
    let bench = Bench::open()?;
    let bytes = 2 * page_size();
    let (one, two) = (bench.create(VMALLOC, bytes)?, bench.create(PAGES, bytes)?);
    for (source, target) in [(one, two), (two, one)] {
        let errno = bench.session.transfer(&Transfer {
            source: Side::Region(source, 0),
            target: Side::Region(target, 0),
            bytes,
            map_call: MapCall::Single,
        });
        ensure!(errno == Err(Errno::EOPNOTSUPP), "{errno:?}");
    }
    bench.close()
}

fn a_reading_descriptor_moves_nothing(_: &Context) -> Result<()> {
    expect_refused(&device()?, DMA_CHANGES)
}

fn raw_addresses_need_an_iommu(_: &Context) -> Result<()> {
    let bench = Bench::open()?;
    let region = bench.create(COHERENT, page_size())?;
    let mut request = uapi::Transfer {
        source: region.id,
        target_offset: 0x10_0000,
        bytes: 16,
        flags: uapi::TRANSFER_RAW_TARGET,
        ..uapi::Transfer::new()
    };
    let translated = bench.session.dma_info()?.translated == 1;
    if !translated {
        let errno = refused(&bench.session, request)?;
        ensure!(errno == Errno::EPERM, "{errno}");
    }
    // Only for root, whatever the machine.
    let path = bench.path.clone();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o666))?;
    let tried = child::run(|| {
        child::become_nobody()?;
        let session = Session::open_at(&path)?;
        request.source = session
            .create(Backing::Coherent, Method::Dma, page_size())?
            .id;
        let errno = refused(&session, request)?;
        ensure!(errno == Errno::EPERM, "{errno}");
        Ok(())
    });
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    tried?;
    bench.close()
}

fn other_sessions_regions(_: &Context) -> Result<()> {
    let bench = Bench::open()?;
    let other = Session::open_at(&bench.path)?;
    let mine = bench.create(COHERENT, page_size())?;
    let foreign = other.create(Backing::Coherent, Method::Dma, page_size())?;
    for (source, target) in [(mine, foreign), (foreign, mine)] {
        let errno = bench.session.transfer(&Transfer {
            source: Side::Region(source, 0),
            target: Side::Region(target, 0),
            bytes: 1,
            map_call: MapCall::Scatter,
        });
        ensure!(errno == Err(Errno::ENOENT), "{errno:?}");
    }
    drop(other);
    bench.close()
}

fn closed_regions(_: &Context) -> Result<()> {
    let bench = Bench::open()?;
    let (one, two) = (
        bench.create(PAGES, page_size())?,
        bench.create(PAGES, page_size())?,
    );
    bench.session.destroy(&two)?;
    let errno = bench.session.transfer(&Transfer {
        source: Side::Region(one, 0),
        target: Side::Region(two, 0),
        bytes: 1,
        map_call: MapCall::Scatter,
    });
    ensure!(errno == Err(Errno::ENOENT), "{errno:?}");
    bench.close()
}

/// A child process that moves a mebibyte: it takes a while. Returns when it has begun.
fn transferring(path: &Path, end: impl FnOnce(Errno) -> Result<()>) -> Result<nix::unistd::Pid> {
    let (ready, tell) = pipe()?;
    let before = tables(path)?.counter("pieces_started");
    let pid = child::spawn(|| {
        let session = Session::open_at(path)?;
        let source = session.create(Backing::Vmalloc, Method::Insert, 1 << 20)?;
        let target = session.create(Backing::Coherent, Method::Dma, 1 << 20)?;
        tell_ready(&tell)?;
        let ended = session.transfer(&Transfer {
            source: Side::Region(source, 0),
            target: Side::Region(target, 0),
            bytes: 1 << 20,
            map_call: MapCall::Scatter,
        });
        end(ended.err().context("it ended well")?)
    })?;
    drop(tell);
    read(&ready, &mut [0])?;
    wait_until("the transfer begins", || {
        Ok(tables(path)?.counter("pieces_started") > before + 2)
    })?;
    Ok(pid)
}

fn tell_ready(pipe: &OwnedFd) -> Result<()> {
    ensure!(write(pipe, &[1])? == 1);
    Ok(())
}

pub fn wait_until(what: &str, mut done: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done()? {
        ensure!(Instant::now() < deadline, "it did not come to pass: {what}");
        sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn killed_in_a_transfer(_: &Context) -> Result<()> {
    let path = device()?;
    let pid = transferring(&path, |errno| bail!("{errno}"))?;
    kill(pid, Signal::SIGKILL)?;
    waitpid(pid, None)?;
    nothing_is_left(&path)?;
    let tables = tables(&path)?;
    let (pieces, interrupts) = (
        tables.counter("pieces_started"),
        tables.counter("interrupts"),
    );
    ensure!(
        pieces == interrupts,
        "{interrupts} interrupts of {pieces} pieces"
    );
    // Whoever comes next finds it idle.
    round_trips(COHERENT, MapCall::Scatter, &[BUFFER + 1])
}

fn killed_while_waiting(_: &Context) -> Result<()> {
    let path = device()?;
    let busy = transferring(&path, |errno| bail!("{errno}"))?;
    // With a transfer in the queue, which waits for the other's.
    let waiting = child::spawn(|| {
        let session = Session::open_at(&path)?;
        let region = session.create(Backing::Coherent, Method::Dma, page_size())?;
        session.queue(
            &from_to(Side::Region(region, 0), Side::Buffer(0), 1),
            0,
            None,
        )?;
        sleep(Duration::from_secs(1000));
        Ok(())
    })?;
    wait_until("the other child is open", || {
        let tables = tables(&path)?;
        let open = tables.counter("sessions_opened") - tables.counter("sessions_closed");
        Ok(open == 2 && tables.regions.len() == 3)
    })?;
    sleep(Duration::from_millis(300));
    kill(waiting, Signal::SIGKILL)?;
    waitpid(waiting, None)?;
    let still = waitpid(busy, Some(nix::sys::wait::WaitPidFlag::WNOHANG))?;
    ensure!(
        still == nix::sys::wait::WaitStatus::StillAlive,
        "the other's transfer was waited for: {still:?}"
    );
    kill(busy, Signal::SIGKILL)?;
    waitpid(busy, None)?;
    nothing_is_left(&path)
}

/// Where sysfs has the PCI device.
pub fn in_sysfs() -> Result<PathBuf> {
    for entry in fs::read_dir("/sys/bus/pci/drivers/mapwright_dma")? {
        let path = entry?.path();
        if path.join("vendor").exists() {
            return Ok(path.canonicalize()?);
        }
    }
    bail!("no device is bound to the driver")
}

/// The name by which sysfs knows the PCI device.
pub fn name_in_sysfs() -> Result<String> {
    let path = in_sysfs()?;
    let name = path.file_name().context("a device without a name")?;
    Ok(name.to_string_lossy().into_owned())
}

/// Takes the device from its driver, and returns how to give it back.
pub fn unbind(path: &Path) -> Result<impl Fn() -> Result<()> + use<'_>> {
    let name = name_in_sysfs()?;
    fs::write("/sys/bus/pci/drivers/mapwright_dma/unbind", &name)?;
    ensure!(!path.exists(), "{} is still there", path.display());
    Ok(move || {
        fs::write("/sys/bus/pci/drivers/mapwright_dma/bind", &name)?;
        wait_until("the device node appears", || Ok(path.exists()))
    })
}

fn unbound_in_a_transfer(_: &Context) -> Result<()> {
    let path = device()?;
    let pid = transferring(&path, |errno| {
        ensure!(errno == Errno::ENODEV, "{errno}");
        Ok(())
    })?;
    let bind = unbind(&path)?;
    let ended = waitpid(pid, None)?;
    ensure!(
        matches!(ended, nix::sys::wait::WaitStatus::Exited(_, 0)),
        "{ended:?}"
    );
    bind()?;
    nothing_is_left(&path)?;
    round_trips(COHERENT, MapCall::Scatter, &[BUFFER + 1])
}

fn removed_and_found_again(_: &Context) -> Result<()> {
    let path = device()?;
    let sysfs = in_sysfs()?;
    // Open, with memory that is not the device's: it stays.
    let session = Session::open_at(&path)?;
    let region = session.create(Backing::Pages, Method::Insert, 2 * page_size())?;
    let mut mapping = session.map(&region, Protection::ReadWrite)?;
    mapping.write(0, b"before");
    fs::write(sysfs.join("remove"), "1")?;
    ensure!(!path.exists(), "{} is still there", path.display());

    let mut seen = [0; 6];
    mapping.read(0, &mut seen);
    ensure!(&seen == b"before");
    mapping.write(page_bytes(), b"after");
    let read = session.read_at(&region, 0, &mut seen);
    let errno = read.err().and_then(|err| err.errno());
    ensure!(errno == Some(Errno::ENODEV), "{errno:?}");
    let transfer = session.transfer(&Transfer {
        source: Side::Region(region, 0),
        target: Side::Buffer(0),
        bytes: 1,
        map_call: MapCall::Scatter,
    });
    ensure!(transfer == Err(Errno::ENODEV), "{transfer:?}");
    ensure!(session.dma_info() == Err(Errno::ENODEV));
    let created = session.create(Backing::Coherent, Method::Dma, page_size());
    let errno = created.err().and_then(|err| err.errno());
    ensure!(errno == Some(Errno::ENODEV), "{errno:?}");

    fs::write("/sys/bus/pci/rescan", "1")?;
    wait_until("the device node appears", || Ok(path.exists()))?;
    round_trips(COHERENT, MapCall::Scatter, &[1])?;
    drop((mapping, session));
    nothing_is_left(&path)
}

fn the_dma_debugger_has_nothing_to_say(_: &Context) -> Result<()> {
    device()?;
    match fs::read_to_string(DMA_API_DEBUG.to_owned() + "/error_count") {
        Ok(errors) => ensure!(
            errors.trim() == "0",
            "{errors} errors: see the kernel's log"
        ),
        Err(_) => {
            return skip("this kernel does not check the use of the DMA API: see make test-debug")
        }
    }
    Ok(())
}

fn the_module_stays_while_it_is_open(_: &Context) -> Result<()> {
    let bench = Bench::open()?;
    let flags = nix::kmod::DeleteModuleFlags::O_NONBLOCK;
    let busy = |what| -> Result<()> {
        let errno = nix::kmod::delete_module(c"mapwright_dma", flags).err();
        ensure!(
            errno == Some(Errno::EWOULDBLOCK) || errno == Some(Errno::EBUSY),
            "{what}: {errno:?}"
        );
        Ok(())
    };
    busy("open")?;
    let region = bench.create(COHERENT, page_size())?;
    let mapping = bench.session.map(&region, Protection::Read)?;
    let Bench { session, path } = bench;
    drop(session);
    busy("mapped")?;
    drop(mapping);
    nothing_is_left(&path)
}
