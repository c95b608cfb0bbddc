// SPDX-License-Identifier: GPL-2.0-only

//! `alloc_pages_node()`, an inline function around one that is exported, or exported itself.

use kernel::{
    bindings,
    ffi::{
        c_int,
        c_uint, //
    }, //
};

/// 2^`order` pages from `node` if it has any, or null.
///
/// # Safety
///
/// The node must exist and be online; the caller must be in a context that `gfp` allows.
#[inline]
pub(crate) unsafe fn alloc_pages_node(
    node: c_int,
    gfp: bindings::gfp_t,
    order: c_uint,
) -> *mut bindings::page {
    // SAFETY: By the requirement of this function.
    #[cfg(kernel_has = "alloc_pages_node")]
    let page = unsafe { bindings::alloc_pages_node_noprof(node, gfp, order) };
    // SAFETY: By the requirement of this function. No mask means all nodes.
    #[cfg(not(kernel_has = "alloc_pages_node"))]
    let page = unsafe { bindings::__alloc_pages_noprof(gfp, order, node, core::ptr::null_mut()) };
    page
}
