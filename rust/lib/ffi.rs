// SPDX-License-Identifier: GPL-2.0-only

//! C functions, structures and numbers that the `bindings` crate does not have, as bindgen finds them in
//! `bindings.h`: `mapkit.h` describes mapkit's own.

use kernel::{
    bindings,
    ffi::{
        c_int,
        c_void, //
    },
};

pub(crate) use generated::*;

mod generated {
    // Which of it is used depends on the kernel's configuration. A lock class, deep inside a tracepoint, has
    // no members on kernels without lockdep.
    #![allow(
        clippy::all,
        clippy::undocumented_unsafe_blocks,
        dead_code,
        improper_ctypes,
        missing_docs,
        non_camel_case_types,
        non_upper_case_globals,
        unreachable_pub,
        unused_imports
    )]

    include!(env!("MAPKIT_BINDINGS"));
}

/// `kmalloc_node()`, whose parameters depend on the kernel's configuration.
///
/// # Safety
///
/// The node must exist.
#[inline]
pub(crate) unsafe fn kmalloc_node(bytes: usize, gfp: bindings::gfp_t, node: c_int) -> *mut c_void {
    // SAFETY: Any size is fine; no buckets are the usual ones.
    #[cfg(CONFIG_SLAB_BUCKETS)]
    let object =
        unsafe { bindings::__kmalloc_node_noprof(bytes, core::ptr::null_mut(), gfp, node) };
    // SAFETY: Any size is fine.
    #[cfg(not(CONFIG_SLAB_BUCKETS))]
    let object = unsafe { bindings::__kmalloc_node_noprof(bytes, gfp, node) };
    object
}

/// `kvmalloc_node()`, whose parameters depend on the kernel's configuration.
///
/// # Safety
///
/// The node must exist or be `NUMA_NO_NODE`.
#[inline]
pub(crate) unsafe fn kvmalloc_node(bytes: usize, gfp: bindings::gfp_t, node: c_int) -> *mut c_void {
    // SAFETY: Any size is fine; no buckets are the usual ones.
    #[cfg(CONFIG_SLAB_BUCKETS)]
    let object =
        unsafe { bindings::__kvmalloc_node_noprof(bytes, core::ptr::null_mut(), 1, gfp, node) };
    // SAFETY: Any size is fine.
    #[cfg(not(CONFIG_SLAB_BUCKETS))]
    let object = unsafe { bindings::__kvmalloc_node_noprof(bytes, 1, gfp, node) };
    object
}
