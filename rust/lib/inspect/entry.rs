// SPDX-License-Identifier: GPL-2.0-only

//! What an entry of a page table holds, as far as the kernel must be asked.
//!
//! C header: [`include/linux/pgtable.h`](srctree/include/linux/pgtable.h)

use crate::ffi;

/// The physical address of a page or table that an entry holds.
pub fn phys(entry: u64) -> u64 {
    // SAFETY: It only calculates.
    unsafe { ffi::mapkit_entry_phys(entry) }
}

/// Whether CPUs share coherently what an entry maps.
#[cfg(CONFIG_ARM64)]
pub fn is_shared(entry: u64) -> bool {
    // SAFETY: It only calculates, and reads a register of the CPU.
    unsafe { ffi::mapkit_entry_is_shared(entry) }
}

/// The CPU's table of memory types: on x86 the page attribute table, on ARM the memory attribute
/// registers.
pub fn memory_types() -> u64 {
    // SAFETY: May be called at any time.
    unsafe { ffi::mapkit_memory_types() }
}

/// What Linux uses the bits of an entry for that the CPU ignores, see
/// `arch/x86/include/asm/pgtable_types.h`.
#[cfg(CONFIG_X86_64)]
pub mod linux {
    use crate::ffi;

    /// Number of the bit of a page that is not refcounted.
    pub const SPECIAL_BIT: u32 = ffi::_PAGE_BIT_SPECIAL;
    /// Number of the bit of a page whose stores `userfaultfd(2)` wants to know of.
    pub const UFFD_BIT: u32 = ffi::_PAGE_BIT_UFFD;
    /// Number of the bit of a page that was written to since that was last asked.
    pub const SOFT_DIRTY_BIT: u32 = ffi::_PAGE_BIT_SOFT_DIRTY;
    /// Of an entry that is not present: the page is there, but not to be used.
    pub const PROT_NONE: u64 = ffi::_PAGE_PROTNONE;
}

/// What Linux uses the bits of an entry for that the CPU ignores, see
/// `arch/arm64/include/asm/pgtable-prot.h`.
#[cfg(CONFIG_ARM64)]
pub mod linux {
    use crate::ffi;

    /// It was written to, before it was made read-only.
    pub const DIRTY: u64 = ffi::PTE_DIRTY;
    /// It is a page that is not refcounted.
    pub const SPECIAL: u64 = ffi::PTE_SPECIAL;
    /// `userfaultfd(2)` wants to know of stores; 0 if the kernel has no such bit.
    pub const UFFD: u64 = ffi::PTE_UFFD;
    /// Of an entry that is not valid: the page is there, but not to be used.
    pub const PRESENT_INVALID: u64 = ffi::PTE_PRESENT_INVALID;
}

/// Linux's own table of the second level, see `arch/arm/include/asm/pgtable-2level.h`; with long
/// descriptors it has only one.
#[cfg(CONFIG_ARM)]
pub mod linux {
    use crate::ffi;

    /// Bytes from it to the CPU's.
    pub const BYTES_BEFORE: u64 = ffi::PTE_HWTABLE_OFF;
    /// Of an entry: there is a page.
    pub const PRESENT: u64 = ffi::L_PTE_PRESENT;
    /// Of an entry: it was accessed.
    pub const ACCESSED: u64 = ffi::L_PTE_YOUNG;
    /// Of an entry: it was written to.
    pub const DIRTY: u64 = ffi::L_PTE_DIRTY;
    /// Of an entry: user mode may access it.
    pub const USER: u64 = ffi::L_PTE_USER;
    /// Of an entry: the page is there, but not to be used.
    pub const PROT_NONE: u64 = ffi::L_PTE_NONE;
}
