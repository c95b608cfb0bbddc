// SPDX-License-Identifier: GPL-2.0-only

//! A range of physical addresses that a driver has for itself: a line of `/proc/iomem`.
//!
//! C header: [`include/linux/ioport.h`](srctree/include/linux/ioport.h)

use core::ptr;
use kernel::{
    bindings,
    device::Core,
    io::{
        resource::ResourceSize,
        PhysAddr, //
    },
    platform,
    prelude::*, //
};

/// A requested range of memory, released when dropped.
///
/// The `kernel` crate requests a part of a device's resource, and releases it as a part of all memory.
/// For a device of a device tree, whose resource is not in the list of all memory, that warns and
/// leaves the region requested.
///
/// # Examples
///
/// ```
/// use kernel::{device::Core, platform, prelude::*};
/// use mapkit::device::{mem_region::MemRegion, mmio::Window};
///
/// /// In `probe`: the first 4 KiB of the device's registers, which nobody else has.
/// fn registers(device: &platform::Device<Core<'_>>) -> Result<(MemRegion, Window<0x1000>)> {
///     let region = MemRegion::of_resource(device, 0, c"example")?;
///     Ok((region, Window::of_resource(device, 0)?))
/// }
/// ```
pub struct MemRegion {
    start: PhysAddr,
    size: ResourceSize,
}

impl MemRegion {
    /// Requests the memory resource `index` of `device`, as `name`.
    ///
    /// `ENXIO` if there is no such resource, `EBUSY` if somebody else has a part of it.
    pub fn of_resource(
        device: &platform::Device<Core<'_>>,
        index: u32,
        name: &'static CStr,
    ) -> Result<Self> {
        let resource = device.resource_by_index(index).ok_or(ENXIO)?;
        Self::of_range(resource.start(), resource.size(), name)
    }

    /// Requests `size` bytes from the physical address `start` on, as `name`. `EBUSY` if somebody else has a part of them.
    ///
    /// Not for drivers, which could name any address.
    pub(crate) fn of_range(
        start: PhysAddr,
        size: ResourceSize,
        name: &'static CStr,
    ) -> Result<Self> {
        // SAFETY: The list is the kernel's own; the name lives as long as the module, which the region
        // does not outlive.
        let requested = unsafe {
            bindings::__request_region(
                ptr::addr_of_mut!(bindings::iomem_resource),
                start,
                size,
                name.as_char_ptr(),
                0,
            )
        };
        if requested.is_null() {
            return Err(EBUSY);
        }
        Ok(Self { start, size })
    }
}

impl Drop for MemRegion {
    fn drop(&mut self) {
        // SAFETY: This range was requested in `of_resource`, from this list.
        unsafe {
            bindings::__release_region(
                ptr::addr_of_mut!(bindings::iomem_resource),
                self.start,
                self.size,
            )
        };
    }
}
