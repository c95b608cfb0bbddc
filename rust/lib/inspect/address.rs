// SPDX-License-Identifier: GPL-2.0-only

//! Which virtual addresses there are, and whether anything is at one of the kernel's.
//!
//! C header: [`include/linux/pgtable.h`](srctree/include/linux/pgtable.h)

use crate::ffi;
use kernel::{
    error::to_result,
    ffi::c_int,
    prelude::*, //
};

/// Loads a byte at a kernel address and forgets it. The caller must know that the load has no side
/// effect: that memory is there, or nothing.
///
/// `EFAULT` if the load faults, `ERANGE` if it is no address of the kernel.
pub fn probe_kernel(addr: usize) -> Result {
    // SAFETY: It loads with faults caught.
    to_result(unsafe { ffi::mapkit_probe_kernel(addr) } as c_int)
}

/// Bits of a virtual address that are translated.
pub fn bits() -> u32 {
    // SAFETY: May be called at any time.
    unsafe { ffi::mapkit_address_bits() }
}

/// Which addresses are user mode's, and which the kernel's. Where those in between cannot be translated, both
/// are.
///
/// # Examples
///
/// ```
/// use mapkit::inspect::address::Halves;
///
/// fn is_kernels(address: u64) -> bool {
///     address >= Halves::new().kernel_first
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Halves {
    /// The last address of user mode.
    pub user_last: u64,
    /// The first address of the kernel.
    pub kernel_first: u64,
    /// What is added to a physical address, and wraps, is its address in the direct map.
    pub phys_to_virt: u64,
}

impl Halves {
    /// Asks the kernel.
    pub fn new() -> Self {
        let mut halves = ffi::mapkit_halves::default();
        // SAFETY: It is valid for writing.
        unsafe { ffi::mapkit_halves(&mut halves) };
        Self {
            user_last: halves.user_last,
            kernel_first: halves.kernel_first,
            phys_to_virt: halves.phys_to_virt,
        }
    }
}

impl Default for Halves {
    fn default() -> Self {
        Self::new()
    }
}
