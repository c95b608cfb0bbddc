// SPDX-License-Identifier: GPL-2.0-only

//! Memory that a device has for a while: streaming mappings.

use crate::{
    dma::{
        device::{
            DmaDevice,
            InUse,
            Registered, //
        },
        direction::Direction,
        mapping::{
            Mapped,
            Shape, //
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
    marker::PhantomData,
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
pub fn cache_lines(range: &Range<usize>) -> Range<usize> {
    // SAFETY: It is a number of the machine.
    let granule = unsafe { ffi::mapkit_dma_cache_alignment() } as usize;
    let line = max(granule, bindings::L1_CACHE_BYTES as usize);
    let end = range.end.checked_next_multiple_of(line);
    range.start.wrapping_sub(range.start % line)..end.unwrap_or(usize::MAX)
}

/// The device has the memory: the CPU must leave it alone.
pub enum DeviceOwned {}
/// The CPU has the memory: the device must leave it alone.
pub enum CpuOwned {}

/// Shared memory that can be lent to a device.
///
/// # Safety
///
/// An implementation promises that [`backing`](Self::backing) returns the same every time, and that it
/// lives as long as `self`.
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

/// A range of memory lent to a device, in direction `D`, that belongs to `Owner` now. It is unmapped
/// when dropped, or when the device loses its driver.
///
/// It holds references to the memory and the device, and so may be kept. [`lend`] lends memory for a function
/// call, and borrows both.
///
/// ```
/// use kernel::{page::PAGE_SIZE, prelude::*, sync::Arc};
/// use mapkit::dma::{
///     device::DmaDevice,
///     direction::FromDevice,
///     mapping::Shape,
///     streaming::{
///         Memory,
///         Streaming,
///     },
/// };
/// # const __LOG_PREFIX: &[u8] = b"example\0";
/// # fn main() {}
///
/// /// Looks at what a device wrote, and lends it the memory again.
/// fn receive<M: Memory + 'static>(
///     device: &Arc<DmaDevice>,
///     memory: M,
/// ) -> Result<Streaming<M, FromDevice>> {
///     let bytes = 0..PAGE_SIZE;
///     let mut lent = Streaming::<M, FromDevice>::map(device, memory, bytes, Shape::Single)?;
///     // … the device writes to `lent.segment_at(0)` …
///     let back = lent.borrow_for_cpu();
///     pr_info!("the device wrote to {} pages\n", back.memory().nr_pages());
///     drop(back);
///     Ok(lent)
/// }
/// ```
///
/// What the device has, the CPU cannot touch:
///
/// ```compile_fail,E0599
/// # use kernel::{prelude::*, sync::Arc};
/// # use mapkit::dma::{
/// #     device::DmaDevice,
/// #     direction::FromDevice,
/// #     mapping::Shape,
/// #     streaming::{
/// #         Memory,
/// #         Streaming,
/// #     },
/// # };
/// fn peek<M: Memory + 'static>(lent: &Streaming<M, FromDevice>) {
///     lent.memory();
/// }
/// ```
///
/// And what the CPU has, the device cannot be sent to:
///
/// ```compile_fail,E0502
/// # use kernel::{prelude::*, sync::Arc};
/// # use mapkit::dma::{
/// #     device::DmaDevice,
/// #     direction::FromDevice,
/// #     mapping::Shape,
/// #     streaming::{
/// #         Memory,
/// #         Streaming,
/// #     },
/// # };
/// fn send<M: Memory + 'static>(lent: &mut Streaming<M, FromDevice>) {
///     let back = lent.borrow_for_cpu();
///     lent.segment_at(0);
///     drop(back);
/// }
/// ```
///
/// ```compile_fail,E0599
/// # use kernel::{prelude::*, sync::Arc};
/// # use mapkit::dma::{
/// #     device::DmaDevice,
/// #     direction::FromDevice,
/// #     mapping::Shape,
/// #     streaming::{
/// #         CpuOwned,
/// #         Memory,
/// #         Streaming,
/// #     },
/// # };
/// fn send<M: Memory + 'static>(back: &Streaming<M, FromDevice, CpuOwned>) {
///     back.segment_at(0);
/// }
/// ```
#[must_use = "it is unmapped when dropped"]
pub struct Streaming<M: Memory + 'static, D: Direction, Owner = DeviceOwned> {
    kept: Kept<M, D>,
    _state: PhantomData<fn(Owner)>,
}

/// What is mapped until it is dropped, whoever owns it.
struct Kept<M: Memory + 'static, D: Direction> {
    lending: Arc<Lending<M, D>>,
    _registered: Registered,
}

impl<M: Memory + 'static, D: Direction> Drop for Kept<M, D> {
    fn drop(&mut self) {
        self.lending.revoke();
    }
}

/// What is mapped until it is revoked.
#[pin_data]
struct Lending<M: Memory + 'static, D: Direction> {
    #[pin]
    mapped: Mutex<Option<Mapped<D>>>,
    // Kept until it is unmapped.
    memory: M,
}

impl<M: Memory + 'static, D: Direction> Revoke for Lending<M, D> {
    fn revoke(&self) {
        // With the lock held: who drops it the usual way waits until it is gone, too.
        *self.mapped.lock() = None;
    }
}

impl<M: Memory + 'static, D: Direction> Lending<M, D> {
    fn with<R>(&self, f: impl FnOnce(&Mapped<D>) -> R) -> Option<R> {
        self.mapped.lock().as_ref().map(f)
    }
}

impl<M: Memory + 'static, D: Direction> Streaming<M, D> {
    /// Lends the bytes `range` of `memory` to `device`.
    ///
    /// `EINVAL` if the range is empty or not inside the memory, or that is
    /// [`revocable`](Backing::revocable); for [`Shape::Page`] if it is not in one page. `EOPNOTSUPP` for
    /// [`Shape::Single`] of memory that is not in the direct map, not in one stretch, or more than a bounce
    /// buffer takes. `EADDRNOTAVAIL` if some of the memory is beyond the device's reach, and nothing helps.
    /// `ENOMEM` or `EIO` if the device cannot be given an address now, `ENODEV` if it has lost its driver.
    pub fn map(
        device: &Arc<DmaDevice>,
        memory: M,
        range: Range<usize>,
        shape: Shape,
    ) -> Result<Self> {
        device.in_use(|in_use| {
            // SAFETY: The device may be used for DMA now. It is unmapped before the device goes, by being
            // registered if it has a driver and by the reference to it if not, and before `memory` goes.
            let mapped = unsafe { Mapped::new(in_use, memory.backing(), range, shape)? };
            let lending = Arc::pin_init(
                pin_init!(Lending {
                    mapped <- new_mutex!(Some(mapped)),
                    memory,
                }),
                GFP_KERNEL_ACCOUNT,
            )?;
            Ok(Self {
                kept: Kept {
                    _registered: in_use.register(device, lending.clone())?,
                    lending,
                },
                _state: PhantomData,
            })
        })?
    }

    /// Where the device finds byte `offset` of the range, and how many bytes follow there. `None` if the
    /// device has lost its driver.
    pub fn segment_at(&self, offset: usize) -> Option<Segment> {
        self.kept.lending.with(|mapped| mapped.segment_at(offset))?
    }

    /// Calls `f` for each contiguous stretch of the device's addresses.
    pub fn for_each_segment(&self, f: impl FnMut(Segment)) {
        self.kept.lending.with(|mapped| mapped.for_each_segment(f));
    }

    /// Entries of the list that was given to the DMA API, which may have merged some. One if it was
    /// no list.
    pub fn entries(&self) -> usize {
        self.kept.lending.with(Mapped::entries).unwrap_or(0)
    }

    /// Takes the memory back for a while.
    pub fn borrow_for_cpu(&mut self) -> Borrowed<'_, Self> {
        self.kept.lending.with(Mapped::sync_for_cpu);
        Borrowed(self)
    }

    /// Takes the memory back without unmapping it.
    pub fn sync_for_cpu(self) -> Streaming<M, D, CpuOwned> {
        self.kept.lending.with(Mapped::sync_for_cpu);
        Streaming {
            kept: self.kept,
            _state: PhantomData,
        }
    }
}

impl<M: Memory + 'static, D: Direction> Streaming<M, D, CpuOwned> {
    /// The memory, which the device leaves alone.
    pub fn memory(&self) -> &dyn Backing {
        self.kept.lending.memory.backing()
    }

    /// Lends the memory to the device again.
    pub fn sync_for_device(self) -> Streaming<M, D> {
        self.kept.lending.with(Mapped::sync_for_device);
        Streaming {
            kept: self.kept,
            _state: PhantomData,
        }
    }
}

/// Memory that is lent to a device during a call of [`lend`].
pub struct Lent<'a, D: Direction> {
    mapped: Mapped<D>,
    memory: &'a dyn Backing,
}

/// Lends the bytes `range` of `memory` to `device` while `f` runs, and returns what `f` does.
///
/// It fails as [`Streaming::map`] does. It takes no reference to either, which that has to: what it lends
/// can be forgotten by nobody, and so is unmapped before they can go.
///
/// ```
/// use kernel::{page::PAGE_SIZE, prelude::*};
/// use mapkit::{
///     dma::{
///         device::InUse,
///         direction::ToDevice,
///         mapping::Shape,
///         streaming::lend,
///     },
///     memory::backing::Backing,
/// };
/// # fn main() {}
///
/// /// Where the device finds the first byte, while it has the memory.
/// fn send(device: &InUse<'_>, memory: &dyn Backing) -> Result<Option<u64>> {
///     lend::<ToDevice, _>(device, memory, 0..PAGE_SIZE, Shape::Single, |lent| {
///         Some(lent.segment_at(0)?.bus)
///     })
/// }
/// ```
///
/// What is lent does not outlive the call:
///
/// ```compile_fail
/// # use kernel::{page::PAGE_SIZE, prelude::*};
/// # use mapkit::{
/// #     dma::{
/// #         device::InUse,
/// #         direction::ToDevice,
/// #         mapping::Shape,
/// #         streaming::{
/// #             lend,
/// #             Lent,
/// #         },
/// #     },
/// #     memory::backing::Backing,
/// # };
/// fn keep<'a>(device: &'a InUse<'_>, memory: &'a dyn Backing) -> Result<&'a mut Lent<'a, ToDevice>> {
///     lend::<ToDevice, _>(device, memory, 0..PAGE_SIZE, Shape::Single, |lent| lent)
/// }
/// ```
#[inline]
pub fn lend<D: Direction, R>(
    device: &InUse<'_>,
    memory: &dyn Backing,
    range: Range<usize>,
    shape: Shape,
    f: impl for<'a> FnOnce(&mut Lent<'a, D>) -> R,
) -> Result<R> {
    let mut lent = Lent {
        // SAFETY: The device may be used for DMA and the memory stays for as long as they are borrowed. This is
        // dropped before, as `f` cannot keep it.
        mapped: unsafe { Mapped::new(device, memory, range, shape)? },
        memory,
    };
    Ok(f(&mut lent))
}

impl<D: Direction> Lent<'_, D> {
    /// Where the device finds byte `offset` of the range, and how many bytes follow there.
    pub fn segment_at(&self, offset: usize) -> Option<Segment> {
        self.mapped.segment_at(offset)
    }

    /// Takes the memory back for a while.
    #[inline]
    pub fn borrow_for_cpu(&mut self) -> Borrowed<'_, Self> {
        self.mapped.sync_for_cpu();
        Borrowed(self)
    }
}

/// What the device gave back for as long as this lives. Then it has it again.
#[must_use = "it is the device's again when dropped"]
pub struct Borrowed<'a, L: Loan>(&'a mut L);

/// What can be [`Borrowed`]: a [`Streaming`] mapping, or what is [`Lent`].
pub trait Loan {
    #[doc(hidden)]
    fn backing(&self) -> &dyn Backing;
    #[doc(hidden)]
    fn return_to_device(&self);
}

impl<M: Memory + 'static, D: Direction> Loan for Streaming<M, D> {
    fn backing(&self) -> &dyn Backing {
        self.kept.lending.memory.backing()
    }

    fn return_to_device(&self) {
        self.kept.lending.with(Mapped::sync_for_device);
    }
}

impl<D: Direction> Loan for Lent<'_, D> {
    fn backing(&self) -> &dyn Backing {
        self.memory
    }

    #[inline]
    fn return_to_device(&self) {
        self.mapped.sync_for_device();
    }
}

impl<L: Loan> Borrowed<'_, L> {
    /// The memory, which the device leaves alone.
    pub fn memory(&self) -> &dyn Backing {
        self.0.backing()
    }
}

impl<L: Loan> Drop for Borrowed<'_, L> {
    #[inline]
    fn drop(&mut self) {
        self.0.return_to_device();
    }
}
