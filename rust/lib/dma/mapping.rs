// SPDX-License-Identifier: GPL-2.0-only

//! What the DMA API made of a range of memory, until it is unmapped.
//!
//! C headers: [`include/linux/dma-mapping.h`](srctree/include/linux/dma-mapping.h), [`include/linux/scatterlist.h`](srctree/include/linux/scatterlist.h)
//!
//! Documentation: [`Documentation/core-api/dma-api.rst`](srctree/Documentation/core-api/dma-api.rst)

use crate::{
    base::errno,
    dma::{
        device::{
            DmaDevice,
            InUse, //
        },
        direction::Direction,
        scatter::ScatterList,
        segment::Segment, //
    },
    ffi,
    memory::backing::{
        AddressClass,
        Backing, //
    }, //
};
use core::ops::Range;
use kernel::{
    bindings,
    page::PAGE_SIZE,
    prelude::*, //
};

/// By which call of the DMA API memory is mapped.
///
/// # Examples
///
/// ```
/// use kernel::{page::PAGE_SIZE, prelude::*, sync::Arc};
/// use mapkit::{
///     dma::{
///         device::DmaDevice,
///         direction::Direction,
///         mapping::MapCall,
///         streaming::StreamingMapping,
///     },
///     memory::{mappable::Mappable, vmalloc::Vmalloc},
/// };
///
/// /// Memory that is contiguous for the CPU only: the device gets a list.
/// fn send(device: &Arc<DmaDevice>) -> Result<StreamingMapping<Arc<Mappable<()>>>> {
///     let memory = KBox::new(Vmalloc::new(4)?, GFP_KERNEL)?;
///     let memory = Arc::new(Mappable::new(memory, 0, ()), GFP_KERNEL)?;
///     let (bytes, direction) = (0..4 * PAGE_SIZE, Direction::ToDevice);
///     StreamingMapping::map(device, memory, bytes, MapCall::Sgtable, direction)
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapCall {
    /// One stretch of the direct map: `dma_map_single()`.
    Single,
    /// A piece of a page: `dma_map_page()`.
    Page,
    /// A list of pieces, neighbours in one entry: `dma_map_sgtable()`.
    Sgtable,
    /// The same, each page an entry of its own.
    SgtableOfPages,
}

/// What is mapped, whoever has it.
///
/// # Invariants
///
/// `handle` was made by the DMA API for `device` and `direction`, and is owned. The device may be used for
/// DMA, and what is mapped stays, as long as this exists.
pub(super) struct Mapping {
    device: *mut bindings::device,
    handle: Handle,
    direction: bindings::dma_data_direction,
}

enum Handle {
    One {
        bus: bindings::dma_addr_t,
        bytes: usize,
    },
    List(ScatterList),
}

// SAFETY: A mapping is not tied to a thread.
unsafe impl Send for Mapping {}
// SAFETY: What takes `&self` reads what does not change, or calls functions of the DMA API that may be
// called by several threads at once.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// # Safety
    ///
    /// What is returned must be dropped before `memory` goes, and while the device may still be used for DMA.
    // Always inline: else what is mapped is moved once more.
    #[inline(always)]
    pub(super) unsafe fn new(
        device: &InUse<'_>,
        memory: &dyn Backing,
        range: Range<usize>,
        call: MapCall,
        direction: Direction,
    ) -> Result<Self> {
        let direction = direction.as_raw();
        let handle = Handle::new(device, memory, range, call, direction)?;
        // INVARIANT: It was just made for these, and by the requirement of this function.
        Ok(Self {
            device: device.as_raw(),
            handle,
            direction,
        })
    }

    pub(super) fn segment_at(&self, offset: usize) -> Option<Segment> {
        match &self.handle {
            Handle::One { bus, bytes } => Segment::new(*bus, *bytes)?.after(offset),
            Handle::List(list) => list.segments().at(offset),
        }
    }

    pub(super) fn for_each_segment(&self, mut f: impl FnMut(Segment)) {
        match &self.handle {
            Handle::One { bus, bytes } => {
                if let Some(segment) = Segment::new(*bus, *bytes) {
                    f(segment);
                }
            }
            Handle::List(list) => list.segments().for_each(f),
        }
    }

    pub(super) fn entries(&self) -> usize {
        match &self.handle {
            Handle::One { .. } => 1,
            Handle::List(list) => list.entries(),
        }
    }

    #[inline]
    pub(super) fn sync_for_cpu(&self) {
        // SAFETY: By the type invariant this is a mapping of the device, with this size and direction.
        unsafe {
            match &self.handle {
                Handle::One { bus, bytes } => {
                    ffi::mapkit_dma_sync_single_for_cpu(self.device, *bus, *bytes, self.direction);
                }
                Handle::List(list) => {
                    ffi::mapkit_dma_sync_sgtable_for_cpu(
                        self.device,
                        list.as_raw(),
                        self.direction,
                    );
                }
            }
        }
    }

    #[inline]
    pub(super) fn sync_for_device(&self) {
        // SAFETY: As in `sync_for_cpu`.
        unsafe {
            match &self.handle {
                Handle::One { bus, bytes } => {
                    ffi::mapkit_dma_sync_single_for_device(
                        self.device,
                        *bus,
                        *bytes,
                        self.direction,
                    );
                }
                Handle::List(list) => {
                    ffi::mapkit_dma_sync_sgtable_for_device(
                        self.device,
                        list.as_raw(),
                        self.direction,
                    );
                }
            }
        }
    }
}

impl Drop for Mapping {
    #[inline]
    fn drop(&mut self) {
        let (device, direction) = (self.device, self.direction);
        match &mut self.handle {
            // SAFETY: By the type invariant this is a mapping of the device, with this size and
            // direction, which is owned and used no more.
            Handle::One { bus, bytes } => unsafe {
                bindings::dma_unmap_phys(device, *bus, *bytes, direction, 0);
            },
            // SAFETY: As above.
            Handle::List(list) => unsafe { list.unmap(device, direction) },
        }
    }
}

impl Handle {
    /// Maps bytes of `memory` for `device`, which somebody else unmaps.
    // Always inline: it only chooses, and each function it chooses from returns its result by memory.
    #[inline(always)]
    fn new(
        device: &DmaDevice,
        memory: &dyn Backing,
        range: Range<usize>,
        call: MapCall,
        direction: bindings::dma_data_direction,
    ) -> Result<Self> {
        if range.is_empty() {
            return Err(EINVAL);
        }
        // Only 64-bit ARM has such memory.
        if cfg!(CONFIG_ARM64) && memory.is_aliased() {
            return Err(errno::eopnotsupp());
        }
        match call {
            MapCall::Single => map_single(device, memory, range, direction),
            MapCall::Page => map_page(device, memory, range, direction),
            MapCall::Sgtable => map_list(device, memory, range, usize::MAX, direction),
            MapCall::SgtableOfPages => map_list(device, memory, range, PAGE_SIZE, direction),
        }
    }
}

/// `dma_map_sgtable()`: a list with entries of up to `max_bytes`.
fn map_list(
    device: &DmaDevice,
    memory: &dyn Backing,
    range: Range<usize>,
    max_bytes: usize,
    direction: bindings::dma_data_direction,
) -> Result<Handle> {
    if range.end > memory.len() {
        return Err(EINVAL);
    }
    device.reach.check_list(memory, &range)?;
    let mut list = ScatterList::new(memory, range, device.reach.clamp(max_bytes))?;
    // SAFETY: The device may be used for DMA for as long as it is held, and the caller sees to it that
    // the list is unmapped.
    unsafe { list.map(device.as_raw(), direction)? };
    Ok(Handle::List(list))
}

/// `dma_map_single()`: what the CPU finds at consecutive addresses of the direct map.
fn map_single(
    device: &DmaDevice,
    memory: &dyn Backing,
    range: Range<usize>,
    direction: bindings::dma_data_direction,
) -> Result<Handle> {
    let (page, within, bytes) = parts(&range);
    // In the direct map, the frames of a run are at consecutive addresses.
    let run = memory.run_at(page).ok_or(EINVAL)?;
    let end = within.checked_add(bytes).ok_or(EINVAL)?;
    // As of an allocation, it cannot overflow. And an address of the vmalloc area says nothing about
    // where the next page is.
    if end > run.nr_pages.wrapping_mul(PAGE_SIZE)
        || memory.address_class() != AddressClass::DirectMap
    {
        return Err(why_not_single(memory, &range));
    }
    device.reach.check_single(run.pfn, within, bytes)?;
    // SAFETY: These bytes are in the run.
    unsafe { map_frames(device, run.pfn, within, bytes, direction) }
}

#[cold]
fn why_not_single(memory: &dyn Backing, range: &Range<usize>) -> Error {
    match range.end <= memory.len() {
        true => errno::eopnotsupp(),
        false => EINVAL,
    }
}

/// `dma_map_page()`: a piece of one page, wherever the CPU has it.
fn map_page(
    device: &DmaDevice,
    memory: &dyn Backing,
    range: Range<usize>,
    direction: bindings::dma_data_direction,
) -> Result<Handle> {
    let (page, within, bytes) = parts(&range);
    if bytes > PAGE_SIZE.wrapping_sub(within) {
        return Err(EINVAL);
    }
    let run = memory.run_at(page).ok_or(EINVAL)?;
    device.reach.check_frames(run.pfn, 1)?;
    // SAFETY: These bytes are in the first page of the run.
    unsafe { map_frames(device, run.pfn, within, bytes, direction) }
}

/// The first page of a range that is not empty, the first byte in that page, and how many bytes.
#[inline]
fn parts(range: &Range<usize>) -> (usize, usize, usize) {
    let bytes = range.end.wrapping_sub(range.start);
    (range.start / PAGE_SIZE, range.start % PAGE_SIZE, bytes)
}

/// # Safety
///
/// The bytes from byte `offset` of the frame `pfn` on must be in contiguous frames of a backing.
#[inline]
unsafe fn map_frames(
    device: &DmaDevice,
    pfn: usize,
    offset: usize,
    bytes: usize,
    direction: bindings::dma_data_direction,
) -> Result<Handle> {
    // As of memory that is there, it does not overflow.
    let phys = (pfn as bindings::phys_addr_t)
        .wrapping_mul(PAGE_SIZE as bindings::phys_addr_t)
        .wrapping_add(offset as bindings::phys_addr_t);
    // SAFETY: The device may be used for DMA. By the promise of `Backing` its frames are ordinary memory,
    // and by the requirement of this function these bytes are in such.
    let bus = unsafe { bindings::dma_map_phys(device.as_raw(), phys, bytes, direction, 0) };
    match is_mapping_error(device, bus) {
        true => Err(ENOMEM),
        false => Ok(Handle::One { bus, bytes }),
    }
}

/// `dma_mapping_error()`: whether that is no address.
#[inline]
fn is_mapping_error(device: &DmaDevice, bus: bindings::dma_addr_t) -> bool {
    if cfg!(CONFIG_DMA_API_DEBUG) {
        // SAFETY: The device may be used for DMA. The checker is told that the caller looks.
        unsafe { ffi::mapkit_dma_mapping_error(device.as_raw(), bus) };
    }
    // All that the function does beside it: `DMA_MAPPING_ERROR` has all bits set, as `helpers.c` asserts.
    bus == bindings::dma_addr_t::MAX
}
