// SPDX-License-Identifier: GPL-2.0-only

//! Buffers that drivers share: a `struct dma_buf` that somebody exported.
//!
//! C header: [`include/linux/dma-buf.h`](srctree/include/linux/dma-buf.h)
//!
//! Documentation: [`Documentation/driver-api/dma-buf.rst`](srctree/Documentation/driver-api/dma-buf.rst)

use crate::{
    base::{
        errno,
        gfp::GFP_FOR_CALLER, //
    },
    dma::{
        device::{
            DmaDevice,
            InUse,
            Registered, //
        },
        direction::Direction,
        export::is_exported,
        scatter::Segments,
        segment::Segment, //
    },
    ffi,
    revoke::unbind::Revoke, //
};
use core::{
    cmp::min,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    error::from_err_ptr,
    ffi::c_int,
    fs::File,
    new_mutex,
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    }, //
};

/// A buffer that somebody exported, with a device attached to it until that loses its driver.
///
/// # Examples
///
/// ```
/// use kernel::{prelude::*, sync::Arc};
/// use mapkit::dma::{device::DmaDevice, direction::Direction, import::Import};
///
/// /// Has the device read a buffer that somebody else has exported.
/// fn read_from(fd: i32, device: &Arc<DmaDevice>, begin: impl FnOnce(u64, usize)) -> Result {
///     let import = Import::new(fd, device)?;
///     device.in_use(|in_use| {
///         import.map(in_use, Direction::ToDevice, |mapped| {
///             let first = mapped.segment_at(0).ok_or(EINVAL)?;
///             begin(first.bus, first.bytes);
///             // … and wait until it is done: after this call, the device has no address of it …
///             Ok(())
///         })?
///     })?
/// }
/// ```
pub struct Import {
    attached: Arc<Attached>,
    device: Arc<DmaDevice>,
    bytes: usize,
    writable: bool,
    _registered: Registered,
}

impl Import {
    /// Attaches `device` to the buffer of the calling program's file descriptor `fd`.
    ///
    /// `EBADF` if there is none, `EINVAL` if it is no buffer; what its exporter says. `EADDRNOTAVAIL` if the device
    /// does not reach all of it, or if it does not reach all memory, nothing helps, and this module has not made
    /// the buffer: only when it is mapped is it known where it is, and the kernel warns of what is beyond reach.
    /// `ENODEV` if the device has lost its driver.
    pub fn new(fd: c_int, device: &Arc<DmaDevice>) -> Result<Self> {
        device.in_use(|in_use| {
            let attachment = Attachment::new(fd, in_use)?;
            let buffer = attachment.buffer.as_ptr();
            // SAFETY: It is valid; its size and its file never change.
            let (bytes, file) = unsafe { ((*buffer).size, File::from_raw_file((*buffer).file)) };
            let writable = file.flags() & bindings::O_ACCMODE != bindings::O_RDONLY;
            let attached = Arc::pin_init(
                pin_init!(Attached { attachment <- new_mutex!(Some(attachment)) }),
                GFP_FOR_CALLER,
            )?;
            Ok(Self {
                _registered: in_use.register(device, attached.clone())?,
                attached,
                device: device.clone(),
                bytes,
                writable,
            })
        })?
    }

    /// Size in bytes.
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Whether it is empty, which it never is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether its file was opened for writing.
    pub fn is_writable(&self) -> bool {
        self.writable
    }

    /// Maps it for the device, which moves data in direction `direction` and may move any part of it, while `f`
    /// runs, and returns what that does. `EINVAL` if it is another device.
    pub fn map<R>(
        &self,
        device: &InUse<'_>,
        direction: Direction,
        f: impl FnOnce(&MappedImport<'_>) -> R,
    ) -> Result<R> {
        if !core::ptr::eq(&*self.device, &**device) {
            return Err(EINVAL);
        }
        let attached = self.attached.attachment.lock();
        let attachment = attached.as_ref().ok_or(ENODEV)?.attachment;
        // Nobody detaches it meanwhile: the device has its driver, and `self` is borrowed.
        drop(attached);
        // What a device writes to is read, too, where it is copied: what the device does not write stays as it is.
        let direction = match direction {
            Direction::ToDevice => direction.as_raw(),
            _ => Direction::Bidirectional.as_raw(),
        };
        // SAFETY: It is attached.
        let table = from_err_ptr(unsafe {
            bindings::dma_buf_map_attachment_unlocked(attachment.as_ptr(), direction)
        })?;
        // INVARIANT: It was just mapped, and stays attached as said above.
        let mapped = MappedImport {
            device,
            attachment,
            table: NonNull::new(table).ok_or(ENOMEM)?,
            direction,
        };
        mapped.sync(ffi::mapkit_dma_sync_single_for_device);
        Ok(f(&mapped))
    }
}

impl Drop for Import {
    fn drop(&mut self) {
        self.attached.revoke();
    }
}

/// An attachment until it is revoked.
#[pin_data]
struct Attached {
    #[pin]
    attachment: Mutex<Option<Attachment>>,
}

impl Revoke for Attached {
    fn revoke(&self) {
        // With the lock held: who drops it the usual way waits until it is gone, too.
        *self.attachment.lock() = None;
    }
}

/// # Invariants
///
/// `attachment` was made by `dma_buf_attach()` for `buffer`, of which a reference is held, and nothing of it is
/// mapped when this is dropped.
struct Attachment {
    buffer: NonNull<bindings::dma_buf>,
    attachment: NonNull<bindings::dma_buf_attachment>,
}

// SAFETY: An attachment is not tied to a thread.
unsafe impl Send for Attachment {}

impl Attachment {
    fn new(fd: c_int, device: &InUse<'_>) -> Result<Self> {
        // SAFETY: Any number may be asked for.
        let buffer = from_err_ptr(unsafe { bindings::dma_buf_get(fd) })?;
        let buffer = NonNull::new(buffer).ok_or(EINVAL)?;
        let attachment = attach(buffer, device).inspect_err(|_| {
            // SAFETY: The reference that `dma_buf_get()` gave.
            unsafe { bindings::dma_buf_put(buffer.as_ptr()) };
        })?;
        // INVARIANT: It was just attached.
        Ok(Self { buffer, attachment })
    }
}

/// Attaches `device` to `buffer`, of which a reference is held.
fn attach(
    buffer: NonNull<bindings::dma_buf>,
    device: &InUse<'_>,
) -> Result<NonNull<bindings::dma_buf_attachment>> {
    // SAFETY: It is valid as long as the reference is held, and `is_exported` reads what never changes.
    let is_ours = unsafe { is_exported(buffer.as_ref()) };
    if device.reach.is_limited() && !is_ours {
        return Err(errno::eaddrnotavail());
    }
    // SAFETY: The buffer is valid, as is the device, which may be used for DMA.
    let attaching = unsafe { bindings::dma_buf_attach(buffer.as_ptr(), device.as_raw()) };
    NonNull::new(from_err_ptr(attaching)?).ok_or(EINVAL)
}

impl Drop for Attachment {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe {
            bindings::dma_buf_detach(self.buffer.as_ptr(), self.attachment.as_ptr());
            bindings::dma_buf_put(self.buffer.as_ptr());
        }
    }
}

/// An imported buffer that the device has during a call of [`Import::map`].
///
/// # Invariants
///
/// `table` was made by `dma_buf_map_attachment_unlocked()` for `attachment`, which is attached, and
/// `direction`, and is owned.
///
/// For an example, see [`Import`].
pub struct MappedImport<'a> {
    device: &'a DmaDevice,
    attachment: NonNull<bindings::dma_buf_attachment>,
    table: NonNull<bindings::sg_table>,
    direction: bindings::dma_data_direction,
}

/// `dma_sync_single_for_cpu()` or its counterpart.
type SyncSingleFn = unsafe extern "C" fn(
    *mut bindings::device,
    bindings::dma_addr_t,
    usize,
    bindings::dma_data_direction,
);

impl MappedImport<'_> {
    /// Passes all of it to one side. Some exporters (udmabuf, for one) leave that to others when they map
    /// and unmap a buffer, so that what is in a bounce buffer would be lost.
    fn sync(&self, sync: SyncSingleFn) {
        let device = self.device.as_raw();
        // SAFETY: By the type invariant.
        for segment in unsafe { Segments::new(self.table.as_ptr()) } {
            let (mut bus, mut left) = (segment.bus, segment.bytes);
            // Page by page: what an IOMMU has put together is contiguous for the device only.
            while left > 0 {
                let within = (bus as usize) & (PAGE_SIZE - 1);
                let bytes = min(left, PAGE_SIZE - within);
                // The cast is to the type of the DMA API's own addresses.
                // SAFETY: By the type invariant this is mapped for the device in this direction.
                unsafe { sync(device, bus as bindings::dma_addr_t, bytes, self.direction) };
                bus = bus.wrapping_add(bytes as u64);
                left = left.wrapping_sub(bytes);
            }
        }
    }

    /// Where the device finds byte `offset`, and how many bytes follow there.
    pub fn segment_at(&self, offset: usize) -> Option<Segment> {
        // SAFETY: By the type invariant.
        unsafe { Segments::new(self.table.as_ptr()) }.at(offset)
    }
}

impl Drop for MappedImport<'_> {
    fn drop(&mut self) {
        self.sync(ffi::mapkit_dma_sync_single_for_cpu);
        // SAFETY: By the type invariant; it is used no more.
        unsafe {
            bindings::dma_buf_unmap_attachment_unlocked(
                self.attachment.as_ptr(),
                self.table.as_ptr(),
                self.direction,
            );
        }
    }
}
