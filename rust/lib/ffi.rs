// SPDX-License-Identifier: GPL-2.0-only

//! C functions that the `bindings` crate does not have: exported ones that no kernel header of it
//! declares, and the wrappers in `helpers.c`.

use kernel::{
    bindings,
    ffi::{
        c_int,
        c_uint,
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

    /// `virt_to_page()`, as a pointer to a `struct page`.
    pub(crate) fn mapkit_virt_to_page(addr: *const c_void) -> *mut c_void;

    /// `PHYS_PFN(__pa(addr))`.
    pub(crate) fn mapkit_virt_to_pfn(addr: *const c_void) -> c_ulong;

    /// `folio_alloc()` and `folio_address()`; null without memory.
    pub(crate) fn mapkit_folio_alloc(gfp: bindings::gfp_t, order: c_uint) -> *mut c_void;

    /// `folio_put()` of the folio at a kernel address.
    pub(crate) fn mapkit_folio_put(addr: *const c_void);

    /// `fatal_signal_pending(current)`.
    pub(crate) fn mapkit_fatal_signal_pending() -> bool;

    /// `kmalloc()`.
    pub(crate) fn mapkit_kmalloc(size: usize, gfp: bindings::gfp_t) -> *mut c_void;

    /// `arch/x86/mm/pat/set_memory.c`: changes the memory type of pages of the direct map.
    #[cfg(CONFIG_X86)]
    pub(crate) fn set_memory_wb(addr: c_ulong, nr_pages: c_int) -> c_int;
    /// See [`set_memory_wb`].
    #[cfg(CONFIG_X86)]
    pub(crate) fn set_memory_wc(addr: c_ulong, nr_pages: c_int) -> c_int;
    /// See [`set_memory_wb`].
    #[cfg(CONFIG_X86)]
    pub(crate) fn set_memory_uc(addr: c_ulong, nr_pages: c_int) -> c_int;

    /// `mm/vmalloc.c`: zeroed pages in the vmalloc area that may be shown to user space.
    pub(crate) fn vmalloc_user_noprof(size: c_ulong) -> *mut c_void;

    /// `mm/vmalloc.c`: maps all of a VMA (a `struct vm_area_struct`) to such an area
    /// from page `pgoff` on.
    pub(crate) fn remap_vmalloc_range(vma: *mut c_void, addr: *mut c_void, pgoff: c_ulong)
        -> c_int;

    /// `pgprot_writecombine()`.
    pub(crate) fn mapkit_pgprot_writecombine(prot: bindings::pgprot_t) -> bindings::pgprot_t;

    /// `pgprot_noncached()`.
    pub(crate) fn mapkit_pgprot_noncached(prot: bindings::pgprot_t) -> bindings::pgprot_t;

    /// `this_cpu_add()`, where `percpu.rs` has none of its own.
    #[cfg(not(all(CONFIG_X86_64, CONFIG_SMP, not(CONFIG_UML))))]
    pub(crate) fn mapkit_this_cpu_add(counter: *mut c_ulong, n: c_ulong);

    /// The sum of a per-CPU counter over all possible CPUs.
    pub(crate) fn mapkit_percpu_sum(counter: *const c_ulong) -> c_ulong;
}
