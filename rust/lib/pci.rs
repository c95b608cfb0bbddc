// SPDX-License-Identifier: GPL-2.0-only

//! What the `kernel` crate's `pci` lacks.

use kernel::{
    bindings,
    device::Core,
    pci, //
};

/// Forbids a device to use the bus by itself: it moves no byte by DMA from now on.
pub fn clear_master(device: &pci::Device<Core<'_>>) {
    // SAFETY: A `pci::Device` is a transparent wrapper of a valid `struct pci_dev`, which has a driver
    // now.
    unsafe { bindings::pci_clear_master(core::ptr::from_ref(device).cast_mut().cast()) };
}

/// The entry of a table of device IDs for `vendor` and `device`. The `kernel` crate has only the
/// vendors that the kernel has a name for.
pub const fn device_id(vendor: u16, device: u16) -> pci::DeviceId {
    let id = bindings::pci_device_id {
        vendor: vendor as u32,
        device: device as u32,
        subvendor: ANY,
        subdevice: ANY,
        class: 0,
        class_mask: 0,
        driver_data: 0,
        override_only: 0,
    };
    // SAFETY: A `pci::DeviceId` is a transparent wrapper of it, for which any value is valid.
    unsafe { core::mem::transmute::<bindings::pci_device_id, pci::DeviceId>(id) }
}

/// `PCI_ANY_ID`.
const ANY: u32 = !0;
