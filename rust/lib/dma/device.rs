// SPDX-License-Identifier: GPL-2.0-only

//! The device that memory is allocated or mapped for.
//!
//! C headers: [`include/linux/dma-mapping.h`](srctree/include/linux/dma-mapping.h), [`include/linux/platform_device.h`](srctree/include/linux/platform_device.h)
//!
//! Documentation: [`Documentation/core-api/dma-api-howto.rst`](srctree/Documentation/core-api/dma-api-howto.rst)

use crate::{
    base::errno::to_result,
    dma::{
        driven::Driven,
        reach::Reach, //
    },
    ffi,
    revoke::unbind::{
        at_unbind,
        Revoke, //
    }, //
};
use core::{
    ops::Deref,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    device::{
        self,
        Core, //
    },
    dma::DmaMask,
    error::from_err_ptr,
    ffi::c_int,
    prelude::*,
    sync::{
        aref::ARef,
        Arc, //
    }, //
};

/// A device that memory is allocated or mapped for.
///
/// If it has a driver, what was allocated and mapped for it is taken back when it loses that:
/// [`revoke`](crate::revoke::unbind) has it revoked, which
///
/// 1. lets nobody [use](Self::in_use) it any more, which is `ENODEV` from then on;
/// 2. has the driver stop it, by the function that [`of`](Self::of) was given;
/// 3. waits for those who use it now, whom the driver has stopped;
/// 4. frees and unmaps what is there.
///
/// # Invariants
///
/// `raw` is a valid device. It may be used for DMA, by its driver or because it has none and is owned, while it is
/// [`in_use`](Self::in_use), and until `Driven::revoke` has revoked what is registered.
///
/// # Examples
///
/// ```
/// use kernel::{device::Core, dma::DmaMask, pci, prelude::*, sync::Arc};
/// use mapkit::{
///     dma::{coherent::Coherent, device::DmaDevice},
///     memory::backing::Backing,
/// };
///
/// /// In `probe`: a device with 32 address lines, which `stop` stops.
/// fn of(
///     device: &pci::Device<Core<'_>>,
///     stop: impl Fn() + Send + Sync + 'static,
/// ) -> Result<Arc<DmaDevice>> {
///     DmaDevice::of(device, DmaMask::try_new(32)?, stop)
/// }
///
/// /// Has the device move something. `ENODEV` if it has lost its driver, which it does not meanwhile.
/// fn run(device: &DmaDevice, memory: &Coherent, begin: impl FnOnce(u64)) -> Result {
///     device.in_use(|_| {
///         begin(memory.dma_addr(0).ok_or(ENODEV)?);
///         // … and wait until it is done, or the device was stopped …
///         Ok(())
///     })?
/// }
/// ```
pub struct DmaDevice {
    pub(super) raw: *mut bindings::device,
    pub(super) kind: Kind,
    pub(super) reach: Reach,
}

pub(super) enum Kind {
    /// A registered platform device, which is owned.
    Own(NonNull<bindings::platform_device>),
    /// A device with a driver.
    Driven(Pin<KBox<Driven>>),
}

// SAFETY: A platform device may be used and unregistered by any thread.
unsafe impl Send for DmaDevice {}
// SAFETY: The DMA functions that are called with `&self` may be called by several threads at once.
unsafe impl Sync for DmaDevice {}

impl DmaDevice {
    /// Registers a platform device `name` of one's own, with no hardware behind it. It can reach all
    /// memory.
    pub fn new(name: &'static CStr) -> Result<Self> {
        let info = bindings::platform_device_info {
            name: name.as_char_ptr(),
            id: bindings::PLATFORM_DEVID_NONE as c_int,
            dma_mask: u64::MAX,
            ..Default::default()
        };
        // SAFETY: `info` is valid and its name a string, both of which are copied.
        let device = from_err_ptr(unsafe { bindings::platform_device_register_full(&info) })?;
        let device = NonNull::new(device).ok_or(ENOMEM)?;
        // SAFETY: It is valid; no reference is made.
        let raw = unsafe { &raw mut (*device.as_ptr()).dev };
        // SAFETY: It was just registered, with a mask.
        let reach = unsafe { Reach::of(raw) };
        // INVARIANT: It was just registered.
        Ok(Self {
            raw,
            kind: Kind::Own(device),
            reach,
        })
    }

    /// The device that a driver is being bound to, which reaches the addresses of `mask`.
    ///
    /// When it loses the driver, `stop` is called: after it, the device moves no byte, nobody who uses it waits
    /// for it to do so, and nobody makes it begin. It may be called more than once.
    ///
    /// `EBUSY` if this was called before while the device is bound, `EIO` if memory that the device
    /// reaches cannot be had.
    pub fn of<'a>(
        device: &impl kernel::dma::Device<'a>,
        mask: DmaMask,
        stop: impl Fn() + Send + Sync + 'static,
    ) -> Result<Arc<Self>> {
        Self::with_memory(device, mask, stop, |_| Ok(()))
    }

    /// As [`of`](Self::of). `assign` may have the DMA API take coherent memory for the device from elsewhere; it must
    /// undo that by what is released with the resources of the device's driver.
    pub(super) fn with_memory<'a>(
        device: &impl kernel::dma::Device<'a>,
        mask: DmaMask,
        stop: impl Fn() + Send + Sync + 'static,
        assign: impl FnOnce(&device::Device<Core<'a>>) -> Result,
    ) -> Result<Arc<Self>> {
        let bound: &device::Device<Core<'a>> = device.as_ref();
        let raw = core::ptr::from_ref::<device::Device<Core<'a>>>(bound);
        let raw: *mut bindings::device = raw.cast_mut().cast();
        // SAFETY: A `Device` is a transparent wrapper, and this one is bound.
        to_result(unsafe { ffi::mapkit_dma_use_once(raw) })?;
        // SAFETY: Nobody uses the device for DMA yet: its driver is only being bound to it, and what
        // this crate allocates and maps for it needs what is returned, which is made once, as was just
        // made sure of.
        unsafe {
            device.dma_set_mask_and_coherent(mask)?;
            // What it is told of is cut into pieces by its driver.
            device.dma_set_max_seg_size(u32::MAX);
        }
        // Before `at_unbind`: resources are released in the opposite order, so what is allocated is freed first.
        assign(bound)?;
        let driven = Driven::new(ARef::from(&**bound), KBox::new(stop, GFP_KERNEL)?);
        // INVARIANT: It is bound, and stays so until `at_unbind` has had it revoked.
        let this = Self {
            raw,
            kind: Kind::Driven(KBox::pin_init(driven, GFP_KERNEL)?),
            // SAFETY: It is bound, and its mask is set.
            reach: unsafe { Reach::of(raw) },
        };
        let this = Arc::new(this, GFP_KERNEL)?;
        at_unbind(bound, this.clone())?;
        Ok(this)
    }

    #[inline]
    pub(crate) fn as_raw(&self) -> *mut bindings::device {
        self.raw
    }

    /// Whether it is a device with a driver, which it may lose, and not one of [one's own](Self::new).
    pub fn has_driver(&self) -> bool {
        matches!(self.kind, Kind::Driven(_))
    }

    /// `ENODEV` if it has lost its driver.
    pub fn check(&self) -> Result {
        match &self.kind {
            Kind::Driven(driven) => driven.check(),
            Kind::Own(_) => Ok(()),
        }
    }

    /// Calls `f`, during which the device does not lose its driver, and returns what it does. Whoever
    /// takes the driver away waits for it: `f` must not wait for a program, nor for the device when it was
    /// stopped. `ENODEV` if it has lost the driver.
    pub fn in_use<R>(&self, f: impl FnOnce(&InUse<'_>) -> R) -> Result<R> {
        if let Kind::Driven(driven) = &self.kind {
            driven.use_begins()?;
        }
        // Its owner never has it, and so cannot forget it.
        let in_use = InUse(self);
        Ok(f(&in_use))
    }

    /// Whether an IOMMU translates the device's addresses: it then reaches nothing but what is
    /// allocated or mapped for it.
    pub fn is_translated(&self) -> bool {
        // SAFETY: By the type invariant.
        unsafe { ffi::mapkit_use_dma_iommu(self.as_raw()) }
    }

    /// Whether the device sees what is in the CPU's caches. For one that does not, the DMA API writes them back
    /// and invalidates them.
    pub fn is_coherent(&self) -> bool {
        // SAFETY: By the type invariant.
        unsafe { ffi::mapkit_dma_is_coherent(self.as_raw()) }
    }
}

impl Drop for DmaDevice {
    fn drop(&mut self) {
        if let Kind::Own(device) = &self.kind {
            // SAFETY: By the type invariant it is registered; whoever has memory of it holds a
            // reference to `self`.
            unsafe { bindings::platform_device_unregister(device.as_ptr()) };
        }
    }
}

impl Revoke for DmaDevice {
    fn revoke(&self) {
        if let Kind::Driven(driven) = &self.kind {
            driven.revoke();
        }
    }
}

/// A device that does not lose its driver for as long as this is borrowed: see [`DmaDevice::in_use`].
///
/// # Invariants
///
/// It was counted as one of the device's users.
///
/// For an example, see [`DmaDevice`].
pub struct InUse<'a>(&'a DmaDevice);

impl Deref for InUse<'_> {
    type Target = DmaDevice;

    #[inline]
    fn deref(&self) -> &DmaDevice {
        self.0
    }
}

impl InUse<'_> {
    /// Has `holding` revoked when the device, which is `device`, loses its driver, until what is returned is
    /// dropped.
    pub(crate) fn register<T: Revoke>(
        &self,
        device: &Arc<DmaDevice>,
        holding: Arc<T>,
    ) -> Result<Registered> {
        let mut key = 0;
        if let Kind::Driven(driven) = &self.0.kind {
            key = driven.register(holding)?;
        }
        let device = device.clone();
        Ok(Registered { device, key })
    }
}

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        if let Kind::Driven(driven) = &self.0.kind {
            // By the type invariant it was counted.
            driven.use_ends();
        }
    }
}

/// Something that is revoked when a device loses its driver, as long as this exists. It must be revoked before
/// this is dropped.
pub(crate) struct Registered {
    device: Arc<DmaDevice>,
    key: u64,
}

impl Drop for Registered {
    fn drop(&mut self) {
        if let Kind::Driven(driven) = &self.device.kind {
            driven.unregister(self.key);
        }
    }
}
