// SPDX-License-Identifier: MIT OR Apache-2.0

//! `/dev/mapwright-dma0`: what a device moves by itself, between memory and its buffer. Needs QEMU's
//! `edu` device.

mod buffers;
mod ends;
mod mappings;
mod queue;
mod refusals;
mod round_trips;
mod transfers;

pub(crate) use buffers::{heap_buffer, udmabuf};
pub(crate) use mappings::MORE_THAN_REACH;
pub(crate) use round_trips::round_trips;

use crate::runner::{skip, suite, Context};
use anyhow::{bail, ensure, Context as _, Result};
use buffers::{
    a_udmabuf_is_imported, an_exported_buffer_is_mapped, exported_and_imported,
    read_only_buffers_are_no_target, the_system_heap_is_imported, what_cannot_be_exported,
};
use ends::{
    killed_in_a_transfer, killed_while_waiting, removed_and_found_again,
    the_module_stays_while_it_is_open, unbound_in_a_transfer,
};
use mappings::{
    a_mapping_is_used_and_passed_on, mapped_during_a_transfer, mappings_are_checked,
    two_loans_of_a_cache_line, two_queued_transfers_of_the_same_bytes,
    what_the_device_cannot_reach_is_copied,
};
use mapwright::{
    dma_devices, uapi, Backing, Endpoint, MapCall, Method, Region, Session, Tables, Transfer,
};
use nix::errno::Errno;
use queue::{a_full_queue, an_eventfd_is_told, closed_with_a_queue, queued_transfers_end_in_order};
use refusals::{
    a_reading_descriptor_moves_nothing, closed_regions, other_sessions_regions,
    raw_addresses_need_an_iommu, sides_are_checked, vmalloc_memory_is_no_single_stretch,
};
use round_trips::{
    a_mebibyte_round_trips, coherent_memory_round_trips, lists_of_pages_round_trip,
    page_mappings_round_trip, random_round_trips, scatter_lists_round_trip,
    single_mappings_round_trip,
};
use std::{
    fs,
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};
use transfers::{
    a_bus_address_is_told, each_piece_interrupts_once, query_tells_the_bus_address,
    stores_of_a_program_are_moved, to_the_buffer_and_back, within_a_region,
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
    a_mapping_is_used_and_passed_on,
    mappings_are_checked,
    two_loans_of_a_cache_line,
    mapped_during_a_transfer,
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

/// A transfer of `bytes` from the start of one side to the start of another.
pub fn from_to(source: Endpoint, target: Endpoint, bytes: u64) -> Transfer {
    Transfer {
        source,
        target,
        bytes,
        map_call: MapCall::Scatter,
    }
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

pub fn wait_until(what: &str, mut done: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done()? {
        ensure!(Instant::now() < deadline, "it did not come to pass: {what}");
        sleep(Duration::from_millis(20));
    }
    Ok(())
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
