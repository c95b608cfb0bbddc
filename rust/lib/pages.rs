// SPDX-License-Identifier: GPL-2.0-only

//! Physically contiguous pages of the page allocator, as a [`Backing`](crate::backing::Backing).

use crate::{
    direct_map::DirectMapped,
    ffi,
    task::check_not_killed, //
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

/// Pages of the largest block that the page allocator gives.
pub const MAX_BLOCK_PAGES: usize = 1 << bindings::MAX_PAGE_ORDER;

/// Zeroed pages: one physically contiguous block, or several of [`MAX_BLOCK_PAGES`] and one for the
/// rest.
///
/// The blocks come from `alloc_pages_exact()`, which splits them: each page has its own reference
/// count, and exactly the pages asked for are kept. They are charged to the caller's memory cgroup.
///
/// # Invariants
///
/// `nr_pages` is not zero. `blocks` has as many blocks as that takes; all but the last are of
/// [`MAX_BLOCK_PAGES`], and each is owned and was allocated with `alloc_pages_exact()`.
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
/// use mapkit::{backing::Backing, pages::Pages};
///
/// /// The first frame of 64 KiB.
/// fn frame() -> Result<usize> {
///     let pages = Pages::new(16)?;
///     let run = pages.run_at(0).ok_or(EINVAL)?;
///     // One block: all of its frames follow each other.
///     assert!(run.nr_pages == 16);
///     Ok(run.pfn)
/// }
/// ```
pub struct Pages {
    blocks: KVec<NonNull<c_void>>,
    nr_pages: usize,
}

// SAFETY: Page allocations are not tied to a thread.
unsafe impl Send for Pages {}
// SAFETY: All methods that take `&self` only read what never changes.
unsafe impl Sync for Pages {}

impl Pages {
    /// Allocates `nr_pages` pages.
    ///
    /// `EINVAL` if that is none, `ENOMEM` if there is not enough contiguous memory; the OOM killer
    /// is never asked for help. `EINTR` if the caller is killed meanwhile.
    pub fn new(nr_pages: usize) -> Result<Self> {
        if nr_pages == 0 {
            return Err(EINVAL);
        }
        let nr_blocks = nr_pages.div_ceil(MAX_BLOCK_PAGES);
        // The invariant holds for the pages allocated so far, so that an early return frees them.
        let mut pages = Self {
            blocks: KVec::with_capacity(nr_blocks, GFP_KERNEL_ACCOUNT | __GFP_NOWARN)?,
            nr_pages: 0,
        };
        while pages.nr_pages < nr_pages {
            check_not_killed()?;
            let block_pages = min(MAX_BLOCK_PAGES, nr_pages.wrapping_sub(pages.nr_pages));
            let block = Self::alloc_block(block_pages)?;
            if pages.blocks.push_within_capacity(block).is_err() {
                // SAFETY: The block was just allocated with this size and nobody else has it.
                unsafe { Self::free_block(block, block_pages) };
                return Err(ENOMEM);
            }
            pages.nr_pages = pages.nr_pages.wrapping_add(block_pages);
        }
        Ok(pages)
    }

    fn alloc_block(nr_pages: usize) -> Result<NonNull<c_void>> {
        let gfp = bindings::GFP_KERNEL_ACCOUNT
            | bindings::__GFP_ZERO
            | bindings::__GFP_NOWARN
            | ffi::__GFP_RETRY_MAYFAIL;
        // SAFETY: Any size and these flags are fine; the function may sleep, as may its callers.
        let addr =
            unsafe { bindings::alloc_pages_exact_noprof(nr_pages.wrapping_mul(PAGE_SIZE), gfp) };
        NonNull::new(addr).ok_or(ENOMEM)
    }

    /// # Safety
    ///
    /// `block` must come from [`Self::alloc_block`] with the same `nr_pages`, and be used no more.
    unsafe fn free_block(block: NonNull<c_void>, nr_pages: usize) {
        // SAFETY: By the requirement of this function. A page that somebody else still holds a
        // reference of (a pin) is only freed with the last one.
        unsafe { bindings::free_pages_exact(block.as_ptr(), nr_pages.wrapping_mul(PAGE_SIZE)) };
    }

    /// Pages of block `index`.
    fn block_pages(&self, index: usize) -> usize {
        let before = index.wrapping_mul(MAX_BLOCK_PAGES);
        min(MAX_BLOCK_PAGES, self.nr_pages.saturating_sub(before))
    }
}

// SAFETY: The pages are owned and zeroed, live until `drop`, and `locate` stays inside them. They are
// split, so each has its own reference count, of which `free_pages_exact()` drops one.
unsafe impl DirectMapped for Pages {
    const REFCOUNTED: bool = true;

    fn nr_pages(&self) -> usize {
        self.nr_pages
    }

    #[inline]
    fn locate(&self, page: usize) -> Option<(NonNull<u8>, usize)> {
        if page >= self.nr_pages {
            return None;
        }
        let (index, within) = (page / MAX_BLOCK_PAGES, page % MAX_BLOCK_PAGES);
        let block = self.blocks.get(index)?;
        let addr = block
            .as_ptr()
            .cast::<u8>()
            .wrapping_add(within.wrapping_mul(PAGE_SIZE));
        Some((
            NonNull::new(addr)?,
            self.block_pages(index).saturating_sub(within),
        ))
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        for (index, block) in self.blocks.iter().enumerate() {
            // SAFETY: By the type invariant the block is owned and has this size; `self` is going
            // away, so it is used no more.
            unsafe { Self::free_block(*block, self.block_pages(index)) };
        }
    }
}
