// SPDX-License-Identifier: GPL-2.0-only

//! A `kmalloc()` object, as a [`Backing`](crate::memory::backing::Backing).
//!
//! C header: [`include/linux/slab.h`](srctree/include/linux/slab.h)
//!
//! Documentation: [`Documentation/core-api/memory-allocation.rst`](srctree/Documentation/core-api/memory-allocation.rst)

use crate::{
    ffi,
    memory::{
        blocks::GFP_FOR_PROGRAMS,
        direct_map::DirectMapped,
        extent::Extent, //
    }, //
};
use core::ptr::NonNull;
use kernel::{
    bindings,
    page::PAGE_SIZE,
    prelude::*, //
};

/// A zeroed object of whole pages from `kmalloc()`, which takes a slab of a size class or, when it is
/// large, pages. It is charged to the caller's memory cgroup.
///
/// # Invariants
///
/// `extent` is an object of `kmalloc()`, aligned to a page, and owned.
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
/// use mapkit::memory::{backing::Backing, slab::SlabObject};
///
/// /// It can be mapped by page frame numbers only: its pages are the slab allocator's.
/// fn object() -> Result<SlabObject> {
///     let object = SlabObject::new(2)?;
///     assert!(!object.refcounted());
///     Ok(object)
/// }
/// ```
pub struct SlabObject {
    extent: Extent,
}

// SAFETY: A `kmalloc()` object is not tied to a thread.
unsafe impl Send for SlabObject {}
// SAFETY: All methods that take `&self` only read what never changes.
unsafe impl Sync for SlabObject {}

impl SlabObject {
    /// Allocates `nr_pages` pages.
    ///
    /// `EINVAL` if that is none, `ENOMEM` if there is not enough contiguous memory or that is more
    /// than `kmalloc()` ever gives; the OOM killer is never asked for help.
    pub fn new(nr_pages: usize) -> Result<Self> {
        if nr_pages == 0 {
            return Err(EINVAL);
        }
        let bytes = nr_pages.checked_mul(PAGE_SIZE).ok_or(ENOMEM)?;
        // SAFETY: Any size and these flags are fine; the function may sleep, as may its callers.
        let addr = unsafe { ffi::mapkit_kmalloc(bytes, GFP_FOR_PROGRAMS) };
        let object = Self {
            extent: Extent::new(addr, nr_pages)?,
        };
        // `kmalloc()` aligns to the largest power of two that divides the size. Were it not so, the
        // first and last page would hold somebody else's data.
        if addr as usize % PAGE_SIZE != 0 {
            return Err(ENOMEM);
        }
        // INVARIANT: Allocated with this size and aligned.
        Ok(object)
    }
}

// SAFETY: The object is owned, zeroed and aligned to pages, so that its pages hold nothing else. It
// lives until `drop`, and `locate` stays inside it.
unsafe impl DirectMapped for SlabObject {
    // Slab pages belong to the slab allocator, which does not look at their reference count.
    const REFCOUNTED: bool = false;

    fn nr_pages(&self) -> usize {
        self.extent.nr_pages()
    }

    #[inline]
    fn locate(&self, page: usize) -> Option<(NonNull<u8>, usize)> {
        self.extent.locate(page)
    }
}

impl Drop for SlabObject {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the object is owned; `self` is going away, so it is used no
        // more.
        unsafe { bindings::kfree(self.extent.as_ptr()) };
    }
}
