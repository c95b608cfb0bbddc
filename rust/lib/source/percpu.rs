// SPDX-License-Identifier: GPL-2.0-only

//! `__alloc_percpu()`: an object for each possible CPU.

use super::{
    Gfp,
    Source,
    Span, //
};
use crate::ffi;
use core::{
    ptr,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    ffi::c_void,
    prelude::*, //
};

/// `__alloc_percpu_gfp()`.
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
/// use mapkit::source::{pairs, Gfp, PerCpu, Unwatched};
///
/// /// 8 bytes for each CPU.
/// fn exercise() -> Result<usize> {
///     Ok(pairs(&PerCpu::new(8, 8, Gfp::KERNEL)?, 100, &mut Unwatched))
/// }
/// ```
pub struct PerCpu {
    bytes: usize,
    align: usize,
    gfp: bindings::gfp_t,
}

impl PerCpu {
    /// Largest object: `PCPU_MIN_UNIT_SIZE`.
    pub const MAX_BYTES: usize = ffi::PCPU_MIN_UNIT_SIZE;

    /// Objects of `bytes` bytes for each CPU, aligned to `align`, or to 8 if that is 0. `EINVAL` if there
    /// are no such.
    pub fn new(bytes: usize, align: usize, gfp: Gfp) -> Result<Self> {
        let align = if align == 0 { 8 } else { align };
        let fits = bytes > 0 && bytes <= Self::MAX_BYTES;
        if !fits || !align.is_power_of_two() || align > kernel::page::PAGE_SIZE {
            return Err(EINVAL);
        }
        let gfp = gfp.for_vmalloc();
        Ok(Self { bytes, align, gfp })
    }
}

// SAFETY: What the function gives is the caller's until `free_percpu()`, and so is the first CPU's copy,
// which is as long as asked for.
unsafe impl Source for PerCpu {
    /// A per-CPU pointer, which cannot be used as it is.
    type Object = NonNull<c_void>;

    #[inline]
    fn allocate(&self) -> Option<NonNull<c_void>> {
        // SAFETY: The size and the alignment are such as there are; callers may sleep.
        NonNull::new(unsafe {
            bindings::pcpu_alloc_noprof(self.bytes, self.align, false, self.gfp)
        })
    }

    #[inline]
    unsafe fn free(&self, object: NonNull<c_void>) {
        // SAFETY: By the requirement of this function.
        unsafe { bindings::free_percpu(object.as_ptr()) };
    }

    fn free_null(&self) {
        // SAFETY: That is what is allowed.
        unsafe { bindings::free_percpu(ptr::null_mut()) };
    }

    unsafe fn span(&self, object: NonNull<c_void>) -> Span<'_> {
        // SAFETY: By the requirement of this function.
        let first = unsafe { ffi::mapkit_first_cpu_ptr(object.as_ptr()) };
        match NonNull::new(first.cast::<u8>()) {
            // SAFETY: It is as long as was asked for. Its pages are in the direct map or the vmalloc
            // area.
            Some(first) => unsafe { Span::of(first, self.bytes, self.bytes) },
            None => Span::nothing(object.cast()),
        }
    }
}
