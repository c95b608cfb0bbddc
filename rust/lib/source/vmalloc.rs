// SPDX-License-Identifier: GPL-2.0-only

//! `vmalloc()`.

use super::{
    span,
    Gfp,
    Source,
    Span, //
};
use crate::{
    base::sysinfo::OnlineNode,
    ffi, //
};
use core::{
    ptr,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    ffi::{
        c_int,
        c_void, //
    }, //
};

/// Frees what any of the functions here allocated.
///
/// # Safety
///
/// `object` must be from one of them and be used no more.
#[inline]
unsafe fn free(object: NonNull<u8>) {
    // SAFETY: By the requirement of this function. Callers may sleep.
    unsafe { ffi::vfree(object.as_ptr().cast::<c_void>()) };
}

/// `__vmalloc()`.
///
/// # Examples
///
/// ```
/// use mapkit::source::{pairs, Gfp, Unwatched, Vmalloc};
///
/// fn exercise() -> usize {
///     pairs(&Vmalloc::new(1 << 20, Gfp::KERNEL), 10, &mut Unwatched)
/// }
/// ```
pub struct Vmalloc {
    bytes: usize,
    gfp: bindings::gfp_t,
}

impl Vmalloc {
    /// Objects of `bytes` bytes.
    pub fn new(bytes: usize, gfp: Gfp) -> Self {
        let gfp = gfp.for_vmalloc();
        Self { bytes, gfp }
    }
}

// SAFETY: What `__vmalloc()` gives is the caller's until `vfree()`, and as long as asked for.
unsafe impl Source for Vmalloc {
    type Object = NonNull<u8>;

    #[inline]
    fn allocate(&self) -> Option<NonNull<u8>> {
        // SAFETY: Any size is fine, and so are these flags; callers may sleep.
        NonNull::new(unsafe { ffi::__vmalloc_noprof(self.bytes, self.gfp) }.cast())
    }

    #[inline]
    unsafe fn free(&self, object: NonNull<u8>) {
        // SAFETY: By the requirement of this function.
        unsafe { free(object) };
    }

    fn free_null(&self) {
        // SAFETY: That is what is allowed.
        unsafe { ffi::vfree(ptr::null()) };
    }

    unsafe fn span(&self, object: NonNull<u8>) -> Span<'_> {
        // SAFETY: By the requirement of this function.
        unsafe { Span::of(object, self.bytes, span::whole_pages(self.bytes)) }
    }
}

/// `vmalloc_node()` or `vzalloc_node()`, which take no flags.
pub struct VmallocOnNode {
    bytes: usize,
    allocate: unsafe extern "C" fn(usize, c_int) -> *mut c_void,
    node: c_int,
}

impl VmallocOnNode {
    /// Objects of `bytes` bytes, zeroed or not, from `node` if it has any.
    pub fn new(bytes: usize, zeroed: bool, node: OnlineNode) -> Self {
        Self {
            bytes,
            allocate: match zeroed {
                true => ffi::vzalloc_node_noprof,
                false => ffi::vmalloc_node_noprof,
            },
            node: node.number(),
        }
    }
}

// SAFETY: As of `Vmalloc`.
unsafe impl Source for VmallocOnNode {
    type Object = NonNull<u8>;

    #[inline]
    fn allocate(&self) -> Option<NonNull<u8>> {
        // SAFETY: Any size is fine, and the node exists; callers may sleep.
        NonNull::new(unsafe { (self.allocate)(self.bytes, self.node) }.cast())
    }

    #[inline]
    unsafe fn free(&self, object: NonNull<u8>) {
        // SAFETY: By the requirement of this function.
        unsafe { free(object) };
    }

    fn free_null(&self) {
        // SAFETY: That is what is allowed.
        unsafe { ffi::vfree(ptr::null()) };
    }

    unsafe fn span(&self, object: NonNull<u8>) -> Span<'_> {
        // SAFETY: By the requirement of this function.
        unsafe { Span::of(object, self.bytes, span::whole_pages(self.bytes)) }
    }
}
