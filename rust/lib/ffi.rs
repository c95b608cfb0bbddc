// SPDX-License-Identifier: GPL-2.0-only

//! C functions that the `bindings` crate does not have: exported ones that no kernel header of it
//! declares, and the wrappers in `helpers.c`.

use kernel::{
    bindings,
    ffi::{
        c_ulong,
        c_void, //
    },
};

/// Try hard, but fail rather than call the OOM killer.
pub(crate) const __GFP_RETRY_MAYFAIL: bindings::gfp_t = 1 << bindings::___GFP_RETRY_MAYFAIL_BIT;

extern "C" {
    /// `mm/vmalloc.c`: pages mapped contiguously into the vmalloc area, or null.
    pub(crate) fn __vmalloc_noprof(size: c_ulong, gfp: bindings::gfp_t) -> *mut c_void;

    /// `mm/vmalloc.c`: frees the former. May sleep.
    pub(crate) fn vfree(addr: *const c_void);

    /// `pfn_to_page()`, as a pointer to a `struct page`.
    pub(crate) fn mapkit_pfn_to_page(pfn: c_ulong) -> *mut c_void;

    /// `page_to_pfn(virt_to_page(addr))`.
    pub(crate) fn mapkit_virt_to_pfn(addr: *const c_void) -> c_ulong;

    /// `this_cpu_add()`.
    pub(crate) fn mapkit_this_cpu_add(counter: *mut c_ulong, n: c_ulong);

    /// The sum of a per-CPU counter over all possible CPUs.
    pub(crate) fn mapkit_percpu_sum(counter: *const c_ulong) -> c_ulong;
}
