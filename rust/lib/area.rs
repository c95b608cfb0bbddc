// SPDX-License-Identifier: GPL-2.0-only

//! The areas of the kernel's address space.

use crate::ffi;

/// An area. The numbers are the positions of `inspect.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Area {
    /// All memory, one after the other.
    DirectMap = 0,
    /// `vmalloc()` and `ioremap()`.
    Vmalloc = 1,
    /// The array of `struct page`.
    Vmemmap = 2,
    /// Loaded modules.
    Modules = 3,
    /// Where the kernel's own code and data may be.
    KernelImage = 4,
    /// Addresses fixed when the kernel was built.
    Fixmap = 5,
    /// Entry code and stacks of each CPU.
    CpuEntry = 6,
    /// KASAN's shadow memory.
    Kasan = 7,
    /// Local descriptor tables.
    Ldt = 8,
    /// High memory, mapped for a moment.
    Pkmap = 9,
    /// I/O ports of PCI.
    PciIo = 10,
}

/// The areas that this kernel has, each with its first and last address.
pub struct Areas([ffi::AreaBounds; ffi::AREAS]);

impl Areas {
    /// Asks the kernel.
    pub fn new() -> Self {
        let mut bounds = [ffi::AreaBounds::default(); ffi::AREAS];
        // SAFETY: There is room for the `MAPKIT_AREAS` elements that it fills.
        unsafe { ffi::mapkit_areas(bounds.as_mut_ptr()) };
        Self(bounds)
    }

    /// First and last address of an area, if this kernel has it.
    pub fn bounds(&self, area: Area) -> Option<(usize, usize)> {
        let bounds = self.0.get(area as usize)?;
        (bounds.last != 0).then_some((bounds.start, bounds.last))
    }
}

impl Default for Areas {
    fn default() -> Self {
        Self::new()
    }
}
