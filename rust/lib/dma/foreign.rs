// SPDX-License-Identifier: GPL-2.0-only

//! Memory for a device that another module's driver drives.
//!
//! Its driver knows nothing of that memory. So it is taken back when the bus says that the device loses the driver,
//! which is before the driver's own `remove()`: after that, the DMA API may not be used for the device any more. A
//! device-managed resource would come too late, being released after `remove()`; a device link would need a driver of
//! one's own.

use crate::{
    base::errno::to_result,
    dma::{
        device::{
            DmaDevice,
            Kind, //
        },
        driven::Driven,
        reach::Reach, //
    },
    ffi,
    revoke::unbind::Notifier, //
};
use core::ops::Deref;
use kernel::{
    bindings,
    device::Device,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    }, //
};

/// A device with a driver, whose mask, IOMMU and NUMA node memory is allocated for until this is dropped, or the device
/// loses the driver. Then that memory is taken back.
///
/// When it loses the driver, a PCI device loses its right to use the bus before that, as it may be writing to that memory.
/// A device of another bus must be idle then, and any device when this is dropped.
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
/// use mapkit::{
///     device::find::find,
///     dma::{coherent::Coherent, foreign::ForeignDevice},
///     memory::backing::Backing,
/// };
///
/// /// What a device must be told to find a page of memory, as long as both are kept.
/// fn page_for(name: &str) -> Result<(Coherent, ForeignDevice, Option<u64>)> {
///     let foreign = ForeignDevice::new(find(name)?)?;
///     let page = Coherent::new(&foreign, 1)?;
///     let dma_addr = page.dma_addr(0);
///     Ok((page, foreign, dma_addr))
/// }
/// ```
pub struct ForeignDevice {
    // Dropped first: it takes back what there is.
    _notifier: Pin<KBox<Notifier<DmaDevice>>>,
    dma: Arc<DmaDevice>,
    /// Whether this is being dropped.
    is_ending: Arc<Atomic<bool>>,
}

/// The lock of a device, with which it neither gets nor loses a driver.
struct Locked<'a>(&'a Device);

impl<'a> Locked<'a> {
    fn new(device: &'a Device) -> Self {
        let this = Self(device);
        // SAFETY: It is a valid device.
        unsafe { ffi::mapkit_device_lock(this.as_raw()) };
        this
    }

    fn as_raw(&self) -> *mut bindings::device {
        // A `Device` is a transparent wrapper.
        core::ptr::from_ref::<Device>(self.0).cast_mut().cast()
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // SAFETY: `new` has locked it.
        unsafe { ffi::mapkit_device_unlock(self.as_raw()) };
    }
}

impl ForeignDevice {
    /// A device of one of the buses of [`find`](crate::device::find::find).
    ///
    /// `ENODEV` if it has no driver, `EIO` if it is not for DMA, `EBUSY` if its driver gives it to programs.
    pub fn new(device: ARef<Device>) -> Result<Self> {
        let locked = Locked::new(&device);
        let raw = locked.as_raw();
        // SAFETY: It is a valid device, and locked.
        to_result(unsafe { ffi::mapkit_dma_may_use_foreign(raw) })?;
        let is_ending = Arc::new(Atomic::new(false), GFP_KERNEL)?;
        let (kept, is_dropped) = (device.clone(), is_ending.clone());
        let stop = move || {
            if is_dropped.load(Relaxed) {
                return;
            }
            let raw = core::ptr::from_ref::<Device>(&kept).cast_mut().cast();
            // SAFETY: It is a valid device.
            unsafe { ffi::mapkit_forbid_bus(raw) };
        };
        let driven = Driven::new(device.clone(), KBox::new(stop, GFP_KERNEL)?);
        // INVARIANT: It is bound, and stays so until the notifier has had it revoked, which is registered before
        // the lock is released.
        let dma = DmaDevice {
            raw,
            kind: Kind::Driven(KBox::pin_init(driven, GFP_KERNEL)?),
            // SAFETY: It is bound, and has a mask.
            reach: unsafe { Reach::of(raw) },
        };
        let dma = Arc::new(dma, GFP_KERNEL)?;
        // SAFETY: It is a valid device. The buses are the kernel's own, which stay.
        let notifier = unsafe { Notifier::new(raw, dma.clone()) };
        let notifier = KBox::pin_init(notifier, GFP_KERNEL)?;
        drop(locked);
        Ok(Self {
            _notifier: notifier,
            dma,
            is_ending,
        })
    }
}

impl Drop for ForeignDevice {
    fn drop(&mut self) {
        // The device keeps what it has of its driver.
        self.is_ending.store(true, Relaxed);
    }
}

impl Deref for ForeignDevice {
    type Target = Arc<DmaDevice>;

    fn deref(&self) -> &Arc<DmaDevice> {
        &self.dma
    }
}
