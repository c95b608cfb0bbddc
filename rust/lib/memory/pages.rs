// SPDX-License-Identifier: GPL-2.0-only

//! Physically contiguous pages of the page allocator, as a [`Backing`](crate::memory::backing::Backing).
//!
//! C header: [`include/linux/gfp.h`](srctree/include/linux/gfp.h)
//!
//! Documentation: [`Documentation/core-api/memory-allocation.rst`](srctree/Documentation/core-api/memory-allocation.rst)

use crate::{
    base::{
        levels::PMD_PAGES,
        task::{
            between_pieces,
            check_not_killed,
            let_others_run,
            PIECE_PAGES, //
        }, //
    },
    ffi,
    memory::blocks::{
        Allocator,
        Blocks,
        Effort, //
    }, //
};
use core::{
    cmp::min,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    ffi::c_void,
    page::PAGE_SIZE,
    prelude::*, //
};

pub use crate::memory::blocks::MAX_BLOCK_PAGES;

/// Zeroed pages: one physically contiguous block, or several of up to [`MAX_BLOCK_PAGES`], as large as there are.
///
/// The blocks come from `alloc_pages_exact()`, which splits them: each page has its own reference
/// count, and exactly the pages asked for are kept. They are charged to the caller's memory cgroup.
///
/// One block that is longer comes from `alloc_contig_pages()`, which makes room for it where it has to, by moving what others
/// have: that takes long, and disturbs them. No memory cgroup is charged for it. It begins at a multiple of the largest power of
/// two that its pages, rounded up to what an entry of the middle level maps, are a multiple of.
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

    fn alloc_long(nr_pages: usize) -> Result<NonNull<c_void>> {
        // So that huge pages fit.
        let taken = nr_pages.checked_next_multiple_of(PMD_PAGES).ok_or(ENOMEM)?;
        // SAFETY: Any number is fine; the function may sleep, as may its callers.
        let page = unsafe { ffi::mapkit_alloc_contig_pages(taken) };
        if page.is_null() {
            check_not_killed()?;
            return Err(ENOMEM);
        }
        // SAFETY: It is an allocated page of `GFP_KERNEL`, which is in the direct map.
        let block = NonNull::new(unsafe { ffi::mapkit_page_address(page) }).ok_or(ENOMEM)?;
        let more = taken.wrapping_sub(nr_pages);
        // Of no pages, the kernel would look at the first all the same, which is somebody else's.
        if more > 0 {
            // SAFETY: So many pages from `page` on were just allocated, each with its own reference count, and nobody has
            // these.
            unsafe { ffi::mapkit_free_contig_range(page.wrapping_add(nr_pages), more) };
        }
        // SAFETY: The others were just allocated, and nobody has them.
        unsafe { clear(block, nr_pages) }.inspect_err(|_| {
            // SAFETY: As above; they are not used any more.
            unsafe { Self::free(block, nr_pages) }
        })?;
        Ok(block)
    }

    unsafe fn free(block: NonNull<c_void>, nr_pages: usize) {
        let mut page = 0usize;
        while page < nr_pages {
            let piece = min(nr_pages.wrapping_sub(page), MAX_BLOCK_PAGES);
            let addr = block
                .as_ptr()
                .wrapping_byte_add(page.wrapping_mul(PAGE_SIZE));
            // SAFETY: By the requirement of this function, so many pages from here on are owned, each with its own
            // reference count.
            unsafe { ffi::mapkit_free_contig_range(ffi::mapkit_virt_to_page(addr), piece) };
            page = page.wrapping_add(piece);
            if page < nr_pages {
                let_others_run();
            }
        }
    }
}

/// Clears `nr_pages` pages from `block` on, unless the kernel has done that already. `EINTR` if the caller is killed meanwhile.
///
/// # Safety
///
/// They must be allocated and in the direct map, and nobody else may use them.
unsafe fn clear(block: NonNull<c_void>, nr_pages: usize) -> Result {
    // SAFETY: Only reads.
    if unsafe { ffi::mapkit_all_is_allocated_zeroed() } {
        return check_not_killed();
    }
    let mut page = 0usize;
    while page < nr_pages {
        between_pieces()?;
        let piece = min(nr_pages.wrapping_sub(page), PIECE_PAGES);
        let addr = block
            .as_ptr()
            .wrapping_byte_add(page.wrapping_mul(PAGE_SIZE));
        // SAFETY: By the requirement of this function; it is inside.
        unsafe {
            addr.cast::<u8>()
                .write_bytes(0, piece.wrapping_mul(PAGE_SIZE))
        };
        page = page.wrapping_add(piece);
    }
    Ok(())
}
