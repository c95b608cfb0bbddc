// SPDX-License-Identifier: GPL-2.0-only

//! Physically contiguous pages of the page allocator, as a [`Backing`](crate::memory::backing::Backing).
//!
//! C header: [`include/linux/gfp.h`](srctree/include/linux/gfp.h)
//!
//! Documentation: [`Documentation/core-api/memory-allocation.rst`](srctree/Documentation/core-api/memory-allocation.rst)

use crate::{
    ffi,
    memory::blocks::{
        Allocator,
        Blocks,
        Effort, //
    }, //
};
use core::ptr::NonNull;
use kernel::{
    bindings,
    ffi::c_void,
    page::PAGE_SIZE, //
};

pub use crate::memory::blocks::MAX_BLOCK_PAGES;

/// Zeroed pages: one physically contiguous block, or several of up to [`MAX_BLOCK_PAGES`], as large as there are.
///
/// The blocks come from `alloc_pages_exact()`, which splits them: each page has its own reference
/// count, and exactly the pages asked for are kept. They are charged to the caller's memory cgroup.
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
/// use mapkit::memory::{backing::Backing, pages::Pages};
///
/// /// The first frame of 16 pages.
/// fn frame() -> Result<usize> {
///     let pages = Pages::contiguous(16)?;
///     let run = pages.run_at(0).ok_or(EINVAL)?;
///     // One block: all of its frames follow each other.
///     assert!(run.nr_pages == 16);
///     Ok(run.pfn)
/// }
/// ```
pub type Pages = Blocks<ExactPages>;

/// Blocks of single pages.
pub enum ExactPages {}

// SAFETY: `alloc_pages_exact()` splits what it allocates, so that each page has its own reference count,
// of which `free` drops one. `GFP_KERNEL` memory is in the direct map.
unsafe impl Allocator for ExactPages {
    const ANY_NUMBER: bool = true;

    fn alloc(nr_pages: usize, effort: Effort) -> Option<NonNull<c_void>> {
        let bytes = nr_pages.wrapping_mul(PAGE_SIZE);
        // SAFETY: Any size and these flags are fine; the function may sleep, as may its callers.
        NonNull::new(unsafe { bindings::alloc_pages_exact_noprof(bytes, effort.gfp()) })
    }

    unsafe fn free(block: NonNull<c_void>, nr_pages: usize) {
        // SAFETY: By the requirement of this function, so many pages from here on are owned, each with its own
        // reference count.
        unsafe {
            ffi::mapkit_free_contig_range(ffi::mapkit_virt_to_page(block.as_ptr()), nr_pages)
        };
    }
}
