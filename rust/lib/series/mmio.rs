// SPDX-License-Identifier: GPL-2.0-only

//! Mapped registers: a view that is copied and names its region, or a reference; and what unmaps them when
//! the device loses its driver.

use kernel::io::{
    mem::IoMem,
    Mmio, //
};
#[cfg(CONFIG_PCI)]
use kernel::pci::Bar;

#[cfg(kernel_has = "mmio_views")]
mod views {
    use super::*;
    use kernel::io::{
        IoBase,
        Region, //
    };

    pub(crate) use kernel::io::mem::DevresIoMem;
    #[cfg(CONFIG_PCI)]
    pub(crate) use kernel::pci::DevresBar;

    /// Mapped registers, `SIZE` bytes of them: what the methods of [`kernel::io::Io`] are called on.
    pub type Registers<'a, const SIZE: usize> = Mmio<'a, Region<SIZE>>;

    #[cfg(CONFIG_PCI)]
    #[inline]
    pub(crate) fn of_bar<'a, const SIZE: usize>(bar: &'a Bar<'_, SIZE>) -> Registers<'a, SIZE> {
        bar.as_view()
    }

    #[inline]
    pub(crate) fn of_memory<'a, const SIZE: usize>(
        memory: &'a IoMem<'_, SIZE>,
    ) -> Registers<'a, SIZE> {
        memory.as_view()
    }
}

#[cfg(not(kernel_has = "mmio_views"))]
mod views {
    use super::*;
    use kernel::devres::Devres;

    /// Mapped registers, `SIZE` bytes of them: what the methods of [`kernel::io::Io`] are called on.
    pub type Registers<'a, const SIZE: usize> = &'a Mmio<SIZE>;

    pub(crate) type DevresIoMem<const SIZE: usize> = Devres<IoMem<'static, SIZE>>;
    #[cfg(CONFIG_PCI)]
    pub(crate) type DevresBar<const SIZE: usize> = Devres<Bar<'static, SIZE>>;

    #[cfg(CONFIG_PCI)]
    #[inline]
    pub(crate) fn of_bar<'a, const SIZE: usize>(bar: &'a Bar<'_, SIZE>) -> Registers<'a, SIZE> {
        bar
    }

    #[inline]
    pub(crate) fn of_memory<'a, const SIZE: usize>(
        memory: &'a IoMem<'_, SIZE>,
    ) -> Registers<'a, SIZE> {
        memory
    }
}

pub use views::*;
