// SPDX-License-Identifier: GPL-2.0-only

//! `kmalloc()` and its relatives.

use super::{
    Change,
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

/// Bytes of an object of `kmalloc()`; none if it is `ZERO_SIZE_PTR`.
///
/// # Safety
///
/// `object` must have been allocated with `kmalloc()` and not been freed.
unsafe fn actual_bytes(object: NonNull<u8>, asked: usize) -> usize {
    match asked {
        0 => 0,
        // SAFETY: By the requirement of this function.
        _ => unsafe { bindings::ksize(object.as_ptr().cast::<c_void>()) },
    }
}

/// `kmalloc()`, also of 0 bytes.
///
/// For an example, see [`pairs`](crate::source::pairs).
pub struct Kmalloc {
    bytes: usize,
    gfp: bindings::gfp_t,
}

impl Kmalloc {
    /// Objects of `bytes` bytes.
    pub fn new(bytes: usize, gfp: Gfp) -> Self {
        let gfp = gfp.for_objects();
        Self { bytes, gfp }
    }
}

// SAFETY: What `kmalloc()` gives is the caller's until `kfree()`, and as long as asked for.
unsafe impl Source for Kmalloc {
    type Object = NonNull<u8>;

    #[inline]
    fn allocate(&self) -> Option<NonNull<u8>> {
        // SAFETY: Any size is fine, and so are these flags; callers may sleep.
        NonNull::new(unsafe { bindings::__kmalloc_noprof(self.bytes, self.gfp) }.cast())
    }

    #[inline]
    unsafe fn free(&self, object: NonNull<u8>) {
        // SAFETY: By the requirement of this function; `ZERO_SIZE_PTR` may be freed, too.
        unsafe { bindings::kfree(object.as_ptr().cast::<c_void>()) };
    }

    fn free_null(&self) {
        // SAFETY: That is what is allowed.
        unsafe { bindings::kfree(ptr::null()) };
    }

    unsafe fn span(&self, object: NonNull<u8>) -> Span<'_> {
        // SAFETY: By the requirement of this function.
        unsafe { Span::of(object, self.bytes, actual_bytes(object, self.bytes)) }
    }
}

/// `kmalloc_node()`.
pub struct KmallocOnNode {
    of: Kmalloc,
    node: c_int,
}

impl KmallocOnNode {
    /// Objects of `bytes` bytes, from `node` if it has any.
    pub fn new(bytes: usize, gfp: Gfp, node: OnlineNode) -> Self {
        Self {
            of: Kmalloc::new(bytes, gfp),
            node: node.number(),
        }
    }
}

// SAFETY: As of `Kmalloc`.
unsafe impl Source for KmallocOnNode {
    type Object = NonNull<u8>;

    #[inline]
    fn allocate(&self) -> Option<NonNull<u8>> {
        // SAFETY: As in `Kmalloc`, and the node exists.
        NonNull::new(unsafe { ffi::kmalloc_node(self.of.bytes, self.of.gfp, self.node) }.cast())
    }

    #[inline]
    unsafe fn free(&self, object: NonNull<u8>) {
        // SAFETY: By the requirement of this function.
        unsafe { self.of.free(object) };
    }

    fn free_null(&self) {
        self.of.free_null();
    }

    unsafe fn span(&self, object: NonNull<u8>) -> Span<'_> {
        // SAFETY: By the requirement of this function.
        unsafe { self.of.span(object) }
    }
}

/// `krealloc()` of an object of `kmalloc()`.
///
/// # Examples
///
/// ```
/// use mapkit::source::{pairs, Gfp, Krealloc, Unwatched};
///
/// /// Each object has 64 bytes at first and 4096 then.
/// fn grow() -> usize {
///     pairs(&Krealloc::new(64, 4096, Gfp::KERNEL), 100, &mut Unwatched)
/// }
/// ```
pub struct Krealloc {
    old: Kmalloc,
    new: Kmalloc,
}

impl Krealloc {
    /// What the former object is filled with for one who looks.
    const PATTERN: u8 = 0x5A;

    /// Objects of `bytes` bytes that had `old_bytes` bytes before.
    pub fn new(old_bytes: usize, bytes: usize, gfp: Gfp) -> Self {
        Self {
            old: Kmalloc::new(old_bytes, gfp),
            new: Kmalloc::new(bytes, gfp),
        }
    }

    /// Makes an object of the former size one of the new.
    #[inline]
    fn reallocate(&self, old: NonNull<u8>) -> Option<NonNull<u8>> {
        let new = &self.new;
        // SAFETY: `old` is an object of `kmalloc()` that nobody uses. Any size is fine, and so are the
        // flags.
        let object = unsafe {
            bindings::krealloc_node_align_noprof(
                old.as_ptr().cast::<c_void>(),
                new.bytes,
                1,
                new.gfp,
                bindings::NUMA_NO_NODE,
            )
        };
        let object = NonNull::new(object.cast());
        if object.is_none() {
            // SAFETY: If `krealloc()` fails, the object is as it was.
            unsafe { self.old.free(old) };
        }
        object
    }
}

// SAFETY: What `krealloc()` gives is an object of `kmalloc()` of the new size.
unsafe impl Source for Krealloc {
    type Object = NonNull<u8>;

    #[inline]
    fn allocate(&self) -> Option<NonNull<u8>> {
        self.reallocate(self.old.allocate()?)
    }

    fn allocate_looking(&self) -> Option<(NonNull<u8>, Change)> {
        let old = self.old.allocate()?;
        // SAFETY: The object is ours and has so many bytes.
        unsafe { ptr::write_bytes(old.as_ptr(), Self::PATTERN, self.old.bytes) };
        let before = old.as_ptr() as usize;
        let object = self.reallocate(old)?;
        let common = self.old.bytes.min(self.new.bytes);
        // SAFETY: The object is ours and has so many bytes, to which `krealloc()` copied the former.
        let kept = unsafe { core::slice::from_raw_parts(object.as_ptr(), common) };
        let change = Change {
            moved: object.as_ptr() as usize != before,
            kept: kept.iter().all(|byte| *byte == Self::PATTERN),
        };
        Some((object, change))
    }

    #[inline]
    unsafe fn free(&self, object: NonNull<u8>) {
        // SAFETY: By the requirement of this function.
        unsafe { self.new.free(object) };
    }

    fn free_null(&self) {
        self.new.free_null();
    }

    unsafe fn span(&self, object: NonNull<u8>) -> Span<'_> {
        // SAFETY: By the requirement of this function.
        unsafe { self.new.span(object) }
    }
}

/// `kvmalloc()`.
pub struct Kvmalloc {
    bytes: usize,
    gfp: bindings::gfp_t,
    node: c_int,
}

impl Kvmalloc {
    /// Objects of `bytes` bytes, from `node` if it has any.
    pub fn new(bytes: usize, gfp: Gfp, node: Option<OnlineNode>) -> Self {
        Self {
            bytes,
            gfp: gfp.for_vmalloc(),
            node: node.map_or(bindings::NUMA_NO_NODE, OnlineNode::number),
        }
    }
}

// SAFETY: What `kvmalloc()` gives is the caller's until `kvfree()`, and as long as asked for.
unsafe impl Source for Kvmalloc {
    type Object = NonNull<u8>;

    #[inline]
    fn allocate(&self) -> Option<NonNull<u8>> {
        // SAFETY: Any size is fine, and so are these flags; callers may sleep.
        NonNull::new(unsafe { ffi::kvmalloc_node(self.bytes, self.gfp, self.node) }.cast())
    }

    #[inline]
    unsafe fn free(&self, object: NonNull<u8>) {
        // SAFETY: By the requirement of this function.
        unsafe { bindings::kvfree(object.as_ptr().cast::<c_void>()) };
    }

    fn free_null(&self) {
        // SAFETY: That is what is allowed.
        unsafe { bindings::kvfree(ptr::null()) };
    }

    unsafe fn span(&self, object: NonNull<u8>) -> Span<'_> {
        // SAFETY: Any pointer may be asked about.
        let actual = match unsafe { bindings::is_vmalloc_addr(object.as_ptr().cast::<c_void>()) } {
            true => super::span::whole_pages(self.bytes),
            // SAFETY: By the requirement of this function; what is not in the vmalloc area is from
            // `kmalloc()`.
            false => unsafe { actual_bytes(object, self.bytes) },
        };
        // SAFETY: By the requirement of this function.
        unsafe { Span::of(object, self.bytes, actual) }
    }
}
