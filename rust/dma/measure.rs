// SPDX-License-Identifier: GPL-2.0-only

//! What it costs to map memory for the device, without a transfer.

use crate::{
    mappings::Mappings,
    transfer::map_call, //
};
use core::ops::Range;
use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    sync::Mutex, //
};
use mapkit::{
    base::sysinfo,
    dma::{
        coherent::allocate_for,
        device::{
            DmaDevice,
            InUse, //
        },
        direction::Direction,
        mapping::MapCall,
        streaming::map_for_call, //
    },
    memory::backing::Backing, //
};
use mapwright_session::Session;
use mapwright_uapi as uapi;

/// Phases of a mapping: mapped, synchronized for the CPU, for the device, unmapped.
const PHASES: usize = 4;

/// When each phase began, and the last one ended.
type Times = [u64; PHASES + 1];

/// [`uapi::IOCTL_MEASURE`], asked for by the file of `session` and `mappings`.
pub(crate) fn measure(
    session: &Session,
    device: &DmaDevice,
    mappings: &Mutex<Mappings>,
    request: &mut uapi::Measure,
) -> Result {
    let known = uapi::MEASURE_COHERENT | uapi::MEASURE_NS;
    if request.flags & !known != 0
        || !(1..=uapi::MAX_TURNS).contains(&request.turns)
        || !(1..=uapi::MAX_MEASURED).contains(&request.bytes)
    {
        return Err(EINVAL);
    }
    let clock: fn() -> u64 = match request.flags & uapi::MEASURE_NS {
        0 => sysinfo::cycles,
        _ => sysinfo::nanoseconds,
    };
    let least = device.in_use(|device| match request.flags & uapi::MEASURE_COHERENT {
        0 => measure_mapping(session, device, mappings, request, &clock),
        _ => measure_coherent(session, device, request, &clock),
    })??;
    [
        request.map,
        request.sync_for_cpu,
        request.sync_for_device,
        request.unmap,
    ] = least;
    Ok(())
}

fn measure_coherent(
    session: &Session,
    device: &InUse<'_>,
    request: &uapi::Measure,
    clock: &impl Fn() -> u64,
) -> Result<[u64; PHASES]> {
    if request.region != 0 || request.first != 0 || request.map_call != 0 {
        return Err(EINVAL);
    }
    // As it is not too large.
    let nr_pages = (request.bytes as usize).div_ceil(PAGE_SIZE);
    let _reserved = session.reserve(request.bytes)?;
    repeat(device, request.turns, clock, || {
        allocate(clock, device, nr_pages)
    })
}

fn measure_mapping(
    session: &Session,
    device: &InUse<'_>,
    mappings: &Mutex<Mappings>,
    request: &uapi::Measure,
    clock: &impl Fn() -> u64,
) -> Result<[u64; PHASES]> {
    let call = map_call(request.map_call)?;
    let region = session.by_id(request.region)?;
    let end = request.first.checked_add(request.bytes).ok_or(EINVAL)?;
    if region.memory().is_dma() {
        return Err(mapkit::base::errno::eopnotsupp());
    }
    if end > region.memory().len() as u64 {
        return Err(EINVAL);
    }
    // As a region they fit.
    let range = request.first as usize..end as usize;
    // Locked meanwhile, so that nobody else maps it.
    let mappings = mappings.lock();
    let both = uapi::DMA_TO_DEVICE | uapi::DMA_FROM_DEVICE;
    mappings.check_room(region.number(), &range, both)?;
    repeat(device, request.turns, clock, || {
        map_once(clock, device, region.memory(), &range, call)
    })
}

/// The least cost of each phase in several turns, without what reading the clock costs.
fn repeat(
    device: &DmaDevice,
    turns: u32,
    clock: &impl Fn() -> u64,
    mut turn: impl FnMut() -> Result<Times>,
) -> Result<[u64; PHASES]> {
    let mut least = [u64::MAX; PHASES];
    let mut nothing = [u64::MAX; PHASES];
    for _ in 0..turns {
        if kernel::current!().signal_pending() {
            return Err(ERESTARTSYS);
        }
        device.check()?;
        note(&mut least, &turn()?);
        note(&mut nothing, &[clock(), clock(), clock(), clock(), clock()]);
    }
    for (cost, nothing) in least.iter_mut().zip(nothing) {
        *cost = cost.saturating_sub(nothing);
    }
    Ok(least)
}

fn note(least: &mut [u64; PHASES], times: &Times) {
    let ended = times.iter().skip(1);
    for ((cost, begun), ended) in least.iter_mut().zip(times).zip(ended) {
        *cost = (*cost).min(ended.wrapping_sub(*begun));
    }
}

#[inline(never)]
fn map_once(
    clock: &impl Fn() -> u64,
    device: &InUse<'_>,
    memory: &dyn Backing,
    range: &Range<usize>,
    call: MapCall,
) -> Result<Times> {
    let (range, both_ways) = (range.clone(), Direction::Bidirectional);
    let begun = clock();
    let [mapped, with_cpu, with_device] =
        map_for_call(device, memory, range, call, both_ways, |mapping| {
            let mapped = clock();
            let with_cpu = mapping.with_cpu_access(|_| clock());
            [mapped, with_cpu, clock()]
            // Unmapped after this.
        })?;
    Ok([begun, mapped, with_cpu, with_device, clock()])
}

#[inline(never)]
fn allocate(clock: &impl Fn() -> u64, device: &InUse<'_>, nr_pages: usize) -> Result<Times> {
    let begun = clock();
    let [allocated, with_cpu, with_device] = allocate_for(device, nr_pages, |_| {
        // Both sides see each other's stores all the time.
        [clock(), clock(), clock()]
        // Freed after this.
    })?;
    Ok([begun, allocated, with_cpu, with_device, clock()])
}
