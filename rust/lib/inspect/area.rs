// SPDX-License-Identifier: GPL-2.0-only

//! The areas of the kernel's address space.
//!
//! C header: [`include/linux/pgtable.h`](srctree/include/linux/pgtable.h)
//!
//! Documentation: [`Documentation/arch/x86/x86_64/mm.rst`](srctree/Documentation/arch/x86/x86_64/mm.rst), [`Documentation/arch/arm64/memory.rst`](srctree/Documentation/arch/arm64/memory.rst), [`Documentation/arch/arm/memory.rst`](srctree/Documentation/arch/arm/memory.rst)

use crate::ffi;

/// An area.
///
/// For an example, see [`Areas`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Area {
    /// All memory, one after the other.
    DirectMap = ffi::MAPKIT_DIRECT_MAP as usize,
    /// `vmalloc()` and `ioremap()`.
    Vmalloc = ffi::MAPKIT_VMALLOC as usize,
    /// The array of `struct page`.
    Vmemmap = ffi::MAPKIT_VMEMMAP as usize,
    /// Loaded modules.
    Modules = ffi::MAPKIT_MODULES as usize,
    /// Where the kernel's own code and data may be.
    KernelImage = ffi::MAPKIT_KERNEL_IMAGE as usize,
    /// Addresses fixed when the kernel was built.
    Fixmap = ffi::MAPKIT_FIXMAP as usize,
    /// Entry code and stacks of each CPU.
    CpuEntry = ffi::MAPKIT_CPU_ENTRY as usize,
    /// KASAN's shadow memory.
    Kasan = ffi::MAPKIT_KASAN as usize,
    /// Local descriptor tables.
    Ldt = ffi::MAPKIT_LDT as usize,
    /// High memory, mapped for a moment.
    Pkmap = ffi::MAPKIT_PKMAP as usize,
    /// I/O ports of PCI.
    PciIo = ffi::MAPKIT_PCI_IO as usize,
}

const COUNT: usize = ffi::MAPKIT_AREAS as usize;

/// The areas that this kernel has, each with its first and last address.
///
/// # Examples
///
/// ```
/// use mapkit::inspect::area::{Area, Areas};
///
/// fn is_in_vmalloc_area(address: usize) -> bool {
///     let bounds = Areas::new().bounds(Area::Vmalloc);
///     bounds.is_some_and(|(first, last)| (first..=last).contains(&address))
/// }
/// ```
pub struct Areas([ffi::mapkit_area; COUNT]);

impl Areas {
    /// Asks the kernel.
    pub fn new() -> Self {
        let mut bounds = [ffi::mapkit_area::default(); COUNT];
        // SAFETY: It fills the array, whose length is part of its type.
        unsafe { ffi::mapkit_areas(&mut bounds) };
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
