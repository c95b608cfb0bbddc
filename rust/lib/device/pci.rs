// SPDX-License-Identifier: GPL-2.0-only

//! What the `kernel` crate's `pci` lacks.
//!
//! C header: [`include/linux/pci.h`](srctree/include/linux/pci.h)
//!
//! Documentation: [`Documentation/PCI/pci.rst`](srctree/Documentation/PCI/pci.rst)

use crate::ffi;
use kernel::{
    bindings,
    device::Core,
    devres::Devres,
    pci,
    prelude::*,
    sync::aref::ARef, //
};

/// A device's permission to read and write memory by itself, as the master of its bus. It ends when this
/// is dropped, at the latest when the device loses its driver.
///
/// # Invariants
///
/// As long as this exists, the device has the driver that it was permitted for.
///
/// # Examples
///
/// ```
/// use kernel::{device::Core, devres::Devres, pci, prelude::*};
/// use mapkit::device::pci::BusMaster;
///
/// /// In `probe`: the device may use the bus until what is returned is dropped.
/// fn begin(device: &pci::Device<Core<'_>>) -> Result<Devres<BusMaster>> {
///     device.enable_device_mem()?;
///     BusMaster::permit(device)
/// }
///
/// /// When the device does not answer any more.
/// fn stop(master: &Devres<BusMaster>) {
///     if let Some(master) = master.try_access() {
///         master.forbid();
///     }
/// }
/// ```
pub struct BusMaster(ARef<pci::Device>);

impl BusMaster {
    /// Permits it to `device` until it loses its driver.
    pub fn permit(device: &pci::Device<Core<'_>>) -> Result<Devres<Self>> {
        device.set_master();
        // INVARIANT: It is bound now, and `Devres` drops this before it no longer is.
        Devres::new(device.as_ref(), Self(device.into()))
    }

    /// Forbids it: the device moves no byte from now on, and the messages of its interrupts do not
    /// arrive any more either.
    pub fn forbid(&self) {
        // SAFETY: A `pci::Device` is a transparent wrapper of a valid `struct pci_dev`, and by the type
        // invariant no other driver's permission is taken away. The function does not sleep.
        unsafe { bindings::pci_clear_master(core::ptr::from_ref(&*self.0).cast_mut().cast()) };
    }
}

impl Drop for BusMaster {
    fn drop(&mut self) {
        self.forbid();
    }
}

pub use crate::series::pci::Matched;

/// The entry of a table of device IDs for `vendor` and `device`. The `kernel` crate has only the
/// vendors that the kernel has a name for.
///
/// # Examples
///
/// ```
/// use kernel::pci;
/// use mapkit::device::pci::device_id;
///
/// /// QEMU's `edu`.
/// const EDU: pci::DeviceId = device_id(0x1234, 0x11e8);
/// ```
pub const fn device_id(vendor: u16, device: u16) -> pci::DeviceId {
    let id = bindings::pci_device_id {
        vendor: vendor as u32,
        device: device as u32,
        subvendor: ffi::PCI_ANY_ID,
        subdevice: ffi::PCI_ANY_ID,
        class: 0,
        class_mask: 0,
        driver_data: 0,
        override_only: 0,
    };
    // SAFETY: A `pci::DeviceId` is a transparent wrapper of it, for which any value is valid.
    unsafe { core::mem::transmute::<bindings::pci_device_id, pci::DeviceId>(id) }
}
