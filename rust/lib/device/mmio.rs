// SPDX-License-Identifier: GPL-2.0-only

//! Registers of a device, mapped for as long as it has its driver.
//!
//! C header: [`include/linux/io.h`](srctree/include/linux/io.h)
//!
//! Documentation: [`Documentation/driver-api/device-io.rst`](srctree/Documentation/driver-api/device-io.rst)

#[cfg(CONFIG_PCI)]
use crate::series::mmio::DevresBar;
use crate::series::mmio::{
    self,
    DevresIoMem, //
};
#[cfg(CONFIG_PCI)]
use kernel::pci;
use kernel::{
    device::{
        Bound,
        Device, //
    },
    platform,
    prelude::*, //
};

pub use crate::series::mmio::Registers;

/// The first `SIZE` bytes of a device's registers, or all of them.
///
/// They are unmapped when the device loses its driver, after which nobody accesses them any more. What has
/// them mapped is given to the methods of [`kernel::io::Io`] as [`Registers`].
///
/// # Examples
///
/// ```
/// use kernel::{
///     io::{register, Io},
///     pci,
///     prelude::*,
/// };
/// use mapkit::device::mmio::Window;
///
/// register! {
///     /// What the device is.
///     IDENTIFICATION(u32) @ 0x00 {
///         31:0 value;
///     }
/// }
///
/// /// In `probe`: the first register, which is all that the driver uses.
/// fn map(device: &pci::Device<kernel::device::Core<'_>>) -> Result<Window<4>> {
///     Window::of_bar(device, 0, c"example")
/// }
///
/// /// At any time later. `ENODEV` once the device has lost its driver.
/// fn identification(registers: &Window<4>) -> Result<u32> {
///     let read = registers.with(|io| io.read(IDENTIFICATION));
///     Ok(read.ok_or(ENODEV)?.into_raw())
/// }
/// # fn main() {}
/// ```
pub struct Window<const SIZE: usize>(Kind<SIZE>);

enum Kind<const SIZE: usize> {
    #[cfg(CONFIG_PCI)]
    Bar(DevresBar<SIZE>),
    Resource(DevresIoMem<SIZE>),
}

impl<const SIZE: usize> Window<SIZE> {
    /// The memory of the base address register `bar` of a PCI function, requested as `name` in `/proc/iomem`.
    ///
    /// `EINVAL` if it has fewer bytes, `EBUSY` if somebody else has requested it.
    #[cfg(CONFIG_PCI)]
    pub fn of_bar(device: &pci::Device<Bound>, bar: u32, name: &'static CStr) -> Result<Self> {
        let bar = device.iomap_region_sized::<SIZE>(bar, name)?;
        Ok(Self(Kind::Bar(bar.into_devres()?)))
    }

    /// The memory resource number `index` of a platform device, which is not requested.
    ///
    /// `ENXIO` if there is no such one, `EINVAL` if it has fewer bytes.
    pub fn of_resource(device: &platform::Device<Bound>, index: u32) -> Result<Self> {
        let request = device.io_request_by_index(index).ok_or(ENXIO)?;
        Ok(Self(Kind::Resource(
            request.iomap_sized::<SIZE>()?.into_devres()?,
        )))
    }

    /// Does something with the registers, which must not sleep. `None` if the device has lost its driver.
    #[inline]
    pub fn with<R>(&self, f: impl FnOnce(Registers<'_, SIZE>) -> R) -> Option<R> {
        match &self.0 {
            #[cfg(CONFIG_PCI)]
            Kind::Bar(bar) => bar.try_access_with(|bar| f(mmio::of_bar(bar))),
            Kind::Resource(memory) => memory.try_access_with(|memory| f(mmio::of_memory(memory))),
        }
    }

    /// The registers of `device`, which has its driver. `EINVAL` if they are another device's.
    #[inline]
    pub fn of<'a>(&'a self, device: &'a Device<Bound>) -> Result<Registers<'a, SIZE>> {
        match &self.0 {
            #[cfg(CONFIG_PCI)]
            Kind::Bar(bar) => Ok(mmio::of_bar(bar.access(device)?)),
            Kind::Resource(memory) => Ok(mmio::of_memory(memory.access(device)?)),
        }
    }

    /// The device that they belong to.
    pub fn device(&self) -> &Device {
        match &self.0 {
            #[cfg(CONFIG_PCI)]
            Kind::Bar(bar) => bar.device(),
            Kind::Resource(memory) => memory.device(),
        }
    }
}
