// SPDX-License-Identifier: GPL-2.0-only

//! Streaming DMA mappings: a device has memory for a while, in one direction.
//!
//! The memory belongs to the device, until it is synced for the CPU, and again when it is synced for the device. Its
//! type says to whom: the CPU cannot touch what the device has, and the device cannot be sent to what the CPU has.
//!
//! C header: [`include/linux/dma-mapping.h`](srctree/include/linux/dma-mapping.h)
//!
//! Documentation: [`Documentation/core-api/dma-api.rst`](srctree/Documentation/core-api/dma-api.rst)

use crate::{
    base::gfp::GFP_FOR_CALLER,
    dma::{
        device::{
            DmaDevice,
            InUse,
            Registered, //
        },
        direction::Direction,
        mapping::{
            MapCall,
            Mapping, //
        },
        segment::Segment, //
    },
    ffi,
    memory::{
        backing::Backing,
        mappable::{
            Mappable,
            MappingEvents, //
        }, //
    },
    revoke::unbind::Revoke, //
};
use core::{
    cmp::max,
    ops::Range, //
};
use kernel::{
    bindings,
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    }, //
};

/// The bytes of all cache lines that some of these bytes are in.
///
/// # Examples
///
/// ```
/// use core::ops::Range;
/// use mapkit::dma::streaming::cache_lines;
///
/// /// Whether a device may write to both at the same time: they have no cache line in common.
/// fn are_apart(one: &Range<usize>, other: &Range<usize>) -> bool {
///     let (one, other) = (cache_lines(one), cache_lines(other));
///     one.end <= other.start || other.end <= one.start
/// }
/// ```
pub fn cache_lines(range: &Range<usize>) -> Range<usize> {
    // SAFETY: It is a number of the machine.
    let granule = unsafe { ffi::mapkit_dma_cache_alignment() } as usize;
    let line = max(granule, bindings::L1_CACHE_BYTES as usize);
    let end = range.end.checked_next_multiple_of(line);
    range.start.wrapping_sub(range.start % line)..end.unwrap_or(usize::MAX)
}

/// Shared memory that can be mapped for a device.
///
/// # Safety
///
/// An implementation promises that [`backing`](Self::backing) returns the same every time, and that it
/// lives as long as `self`.
///
/// For an example, see [`StreamingMapping`].
pub unsafe trait Memory: Send + Sync {
    /// The memory.
    fn backing(&self) -> &dyn Backing;
}

// SAFETY: The memory of a `Mappable` cannot be changed, and the reference keeps it alive.
unsafe impl<T: MappingEvents> Memory for Arc<Mappable<T>> {
    #[inline]
    fn backing(&self) -> &dyn Backing {
        self.memory()
    }
}

// SAFETY: It is the same for as long as it is borrowed.
unsafe impl Memory for &dyn Backing {
    #[inline]
    fn backing(&self) -> &dyn Backing {
        *self
    }
}

/// A range of memory that is mapped for a device, which has it. It is unmapped when dropped, or when the device
/// loses its driver.
///
/// It holds references to the memory and the device, and so may be kept. [`map_for_call`] maps memory for a function
/// call, and borrows both.
///
/// ```
/// use kernel::{page::PAGE_SIZE, prelude::*, sync::Arc};
/// use mapkit::dma::{
///     device::DmaDevice,
///     direction::Direction,
///     mapping::MapCall,
///     streaming::{Memory, StreamingMapping},
/// };
/// # const __LOG_PREFIX: &[u8] = b"example\0";
/// # fn main() {}
///
/// /// Looks at what a device wrote, and gives it the memory again.
/// fn receive<M: Memory + 'static>(
///     device: &Arc<DmaDevice>,
///     memory: M,
/// ) -> Result<StreamingMapping<M>> {
///     let (bytes, direction) = (0..PAGE_SIZE, Direction::FromDevice);
///     let mut mapping = StreamingMapping::map(device, memory, bytes, MapCall::Single, direction)?;
///     // … the device writes to `mapping.segment_at(0)` …
///     let nr_pages = mapping.with_cpu_access(|memory| memory.nr_pages());
///     pr_info!("the device wrote to {} pages\n", nr_pages);
///     Ok(mapping)
/// }
/// ```
///
/// What the device has, the CPU cannot touch:
///
/// ```compile_fail,E0599
/// # use mapkit::dma::streaming::{Memory, StreamingMapping};
/// fn peek<M: Memory + 'static>(mapping: &StreamingMapping<M>) {
///     mapping.memory();
/// }
/// ```
///
/// And what the CPU has, the device cannot be sent to:
///
/// ```compile_fail,E0502
/// # use mapkit::dma::streaming::{Memory, StreamingMapping};
/// fn send<M: Memory + 'static>(mapping: &mut StreamingMapping<M>) {
///     mapping.with_cpu_access(|_| mapping.segment_at(0));
/// }
/// ```
///
/// ```compile_fail,E0599
/// # use mapkit::dma::streaming::{Memory, SyncedForCpu};
/// fn send<M: Memory + 'static>(synced: &SyncedForCpu<M>) {
///     synced.segment_at(0);
/// }
/// ```
#[must_use = "it is unmapped when dropped"]
pub struct StreamingMapping<M: Memory + 'static>(Kept<M>);

/// What was a [`StreamingMapping`] until it was synced for the CPU, which has the memory now. It stays mapped.
///
/// For an example, see [`StreamingMapping`].
#[must_use = "it is unmapped when dropped"]
pub struct SyncedForCpu<M: Memory + 'static>(Kept<M>);

/// What is mapped until it is dropped, whoever has it.
struct Kept<M: Memory + 'static> {
    shared: Arc<Shared<M>>,
    _registered: Registered,
}

impl<M: Memory + 'static> Drop for Kept<M> {
    fn drop(&mut self) {
        self.shared.revoke();
    }
}

/// What is mapped until it is revoked.
#[pin_data]
struct Shared<M: Memory + 'static> {
    #[pin]
    mapping: Mutex<Option<Mapping>>,
    // Kept until it is unmapped.
    memory: M,
}

impl<M: Memory + 'static> Revoke for Shared<M> {
    fn revoke(&self) {
        // With the lock held: who drops it the usual way waits until it is gone, too.
        *self.mapping.lock() = None;
    }
}

impl<M: Memory + 'static> Kept<M> {
    /// Calls `f`, unless the device has lost its driver.
    fn with<R>(&self, f: impl FnOnce(&Mapping) -> R) -> Option<R> {
        self.shared.mapping.lock().as_ref().map(f)
    }

    fn memory(&self) -> &dyn Backing {
        self.shared.memory.backing()
    }
}

impl<M: Memory + 'static> StreamingMapping<M> {
    /// Maps the bytes `range` of `memory` for `device`.
    ///
    /// `EINVAL` if the range is empty or not inside the memory, or that is
    /// [`revocable`](Backing::revocable); for [`MapCall::Page`] if it is not in one page. `EOPNOTSUPP` for
    /// [`MapCall::Single`] of memory that is not in the direct map, not in one stretch, or more than a bounce
    /// buffer takes. `EADDRNOTAVAIL` if some of the memory is beyond the device's reach, and nothing helps.
    /// `ENOMEM` or `EIO` if the device cannot be given an address now, `ENODEV` if it has lost its driver.
    pub fn map(
        device: &Arc<DmaDevice>,
        memory: M,
        range: Range<usize>,
        call: MapCall,
        direction: Direction,
    ) -> Result<Self> {
        device.in_use(|in_use| {
            // SAFETY: The device may be used for DMA now. It is unmapped before the device goes, by being
            // registered if it has a driver and by the reference to it if not, and before `memory` goes.
            let mapping =
                unsafe { Mapping::new(in_use, memory.backing(), range, call, direction)? };
            let shared = Arc::pin_init(
                pin_init!(Shared {
                    mapping <- new_mutex!(Some(mapping)),
                    memory,
                }),
                GFP_FOR_CALLER,
            )?;
            Ok(Self(Kept {
                _registered: in_use.register(device, shared.clone())?,
                shared,
            }))
        })?
    }

    /// Where the device finds byte `offset` of the range, and how many bytes follow there. `None` if the
    /// device has lost its driver.
    pub fn segment_at(&self, offset: usize) -> Option<Segment> {
        self.0.with(|mapping| mapping.segment_at(offset))?
    }

    /// Calls `f` for each contiguous stretch of the device's addresses.
    pub fn for_each_segment(&self, f: impl FnMut(Segment)) {
        self.0.with(|mapping| mapping.for_each_segment(f));
    }

    /// Entries of the list that was given to the DMA API, which may have merged some. One if it was
    /// no list.
    pub fn entries(&self) -> usize {
        self.0.with(Mapping::entries).unwrap_or(0)
    }

    /// Syncs the memory for the CPU, calls `f`, and syncs it for the device again.
    pub fn with_cpu_access<R>(&mut self, f: impl FnOnce(&dyn Backing) -> R) -> R {
        self.0.with(Mapping::sync_for_cpu);
        let result = f(self.0.memory());
        self.0.with(Mapping::sync_for_device);
        result
    }

    /// Syncs the memory for the CPU, which has it then.
    pub fn sync_for_cpu(self) -> SyncedForCpu<M> {
        self.0.with(Mapping::sync_for_cpu);
        SyncedForCpu(self.0)
    }
}

impl<M: Memory + 'static> SyncedForCpu<M> {
    /// The memory, which the device leaves alone.
    pub fn memory(&self) -> &dyn Backing {
        self.0.memory()
    }

    /// Syncs the memory for the device, which has it then.
    pub fn sync_for_device(self) -> StreamingMapping<M> {
        self.0.with(Mapping::sync_for_device);
        StreamingMapping(self.0)
    }
}

/// Memory that a device has during a call of [`map_for_call`].
///
/// For an example, see [`map_for_call`].
pub struct ScopedMapping<'a> {
    mapping: Mapping,
    memory: &'a dyn Backing,
}

/// Maps the bytes `range` of `memory` for `device` while `f` runs, and returns what `f` does.
///
/// It fails as [`StreamingMapping::map`] does. It takes no reference to either, which that has to: what it maps
/// can be forgotten by nobody, and so is unmapped before they can go.
///
/// ```
/// use kernel::{page::PAGE_SIZE, prelude::*};
/// use mapkit::{
///     dma::{device::InUse, direction::Direction, mapping::MapCall, streaming::map_for_call},
///     memory::backing::Backing,
/// };
/// # fn main() {}
///
/// /// Where the device finds the first byte, while it has the memory.
/// fn send(device: &InUse<'_>, memory: &dyn Backing) -> Result<Option<u64>> {
///     let (bytes, direction) = (0..PAGE_SIZE, Direction::ToDevice);
///     map_for_call(device, memory, bytes, MapCall::Single, direction, |mapping| {
///         Some(mapping.segment_at(0)?.bus)
///     })
/// }
/// ```
///
/// The mapping does not outlive the call:
///
/// ```compile_fail
/// # use kernel::{page::PAGE_SIZE, prelude::*};
/// # use mapkit::{
/// #     dma::{device::InUse, direction::Direction, mapping::MapCall},
/// #     dma::streaming::{map_for_call, ScopedMapping},
/// #     memory::backing::Backing,
/// # };
/// fn keep<'a>(device: &'a InUse<'_>, memory: &'a dyn Backing) -> Result<&'a mut ScopedMapping<'a>> {
///     let (bytes, direction) = (0..PAGE_SIZE, Direction::ToDevice);
///     map_for_call(device, memory, bytes, MapCall::Single, direction, |mapping| mapping)
/// }
/// ```
#[inline]
pub fn map_for_call<R>(
    device: &InUse<'_>,
    memory: &dyn Backing,
    range: Range<usize>,
    call: MapCall,
    direction: Direction,
    f: impl for<'a> FnOnce(&mut ScopedMapping<'a>) -> R,
) -> Result<R> {
    let mut scoped = ScopedMapping {
        // SAFETY: The device may be used for DMA and the memory stays for as long as they are borrowed. This is
        // dropped before, as `f` cannot keep it.
        mapping: unsafe { Mapping::new(device, memory, range, call, direction)? },
        memory,
    };
    Ok(f(&mut scoped))
}

impl ScopedMapping<'_> {
    /// Where the device finds byte `offset` of the range, and how many bytes follow there.
    pub fn segment_at(&self, offset: usize) -> Option<Segment> {
        self.mapping.segment_at(offset)
    }

    /// Syncs the memory for the CPU, calls `f`, and syncs it for the device again.
    #[inline]
    pub fn with_cpu_access<R>(&mut self, f: impl FnOnce(&dyn Backing) -> R) -> R {
        self.mapping.sync_for_cpu();
        let result = f(self.memory);
        self.mapping.sync_for_device();
        result
    }
}
