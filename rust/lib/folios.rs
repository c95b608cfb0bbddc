// SPDX-License-Identifier: GPL-2.0-only

//! Compound pages, as a [`Backing`](crate::backing::Backing).

use crate::{
    direct_map::DirectMapped,
    ffi,
    pages::MAX_BLOCK_PAGES,
    task::check_not_killed, //
};
use core::{
    cmp::min,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    ffi::{
        c_uint,
        c_void, //
    },
    page::PAGE_SIZE,
    prelude::*, //
};

/// Zeroed folios: as many of the largest order as fit, then one of each smaller order that the rest
/// takes. They are charged to the caller's memory cgroup.
///
/// Whoever maps or pins a page of a folio holds all of it.
///
/// # Invariants
///
/// `nr_pages` is not zero. `blocks` holds the kernel address of each folio, in the order and of the
/// orders that `block_pages` tells; each is owned with one reference.
pub struct Folios {
    blocks: KVec<NonNull<c_void>>,
    nr_pages: usize,
}

// SAFETY: Page allocations are not tied to a thread.
unsafe impl Send for Folios {}
// SAFETY: All methods that take `&self` only read what never changes.
unsafe impl Sync for Folios {}

/// Pages of the next folio when `left` pages are left: the largest power of two that fits.
fn block_pages(left: usize) -> usize {
    let mut pages = MAX_BLOCK_PAGES;
    while pages > left {
        pages /= 2;
    }
    pages
}

impl Folios {
    /// Allocates `nr_pages` pages.
    ///
    /// `EINVAL` if that is none, `ENOMEM` if there is not enough contiguous memory; the OOM killer
    /// is never asked for help. `EINTR` if the caller is killed meanwhile.
    pub fn new(nr_pages: usize) -> Result<Self> {
        if nr_pages == 0 {
            return Err(EINVAL);
        }
        // The invariant holds for the pages allocated so far, so that an early return frees them.
        let mut folios = Self {
            blocks: KVec::new(),
            nr_pages: 0,
        };
        while folios.nr_pages < nr_pages {
            check_not_killed()?;
            let pages = block_pages(nr_pages.wrapping_sub(folios.nr_pages));
            folios
                .blocks
                .reserve(1, GFP_KERNEL_ACCOUNT | __GFP_NOWARN)?;
            let block = Self::alloc_block(pages.trailing_zeros())?;
            // Cannot fail: there is room.
            if folios.blocks.push_within_capacity(block).is_err() {
                // SAFETY: The folio was just allocated and nobody else has it.
                unsafe { Self::free_block(block) };
                return Err(ENOMEM);
            }
            folios.nr_pages = folios.nr_pages.wrapping_add(pages);
        }
        Ok(folios)
    }

    fn alloc_block(order: c_uint) -> Result<NonNull<c_void>> {
        let gfp = bindings::GFP_KERNEL_ACCOUNT
            | bindings::__GFP_ZERO
            | bindings::__GFP_NOWARN
            | ffi::__GFP_RETRY_MAYFAIL;
        // SAFETY: Any order up to the largest and these flags are fine; the function may sleep, as
        // may its callers. `GFP_KERNEL` memory is in the direct map.
        let addr = unsafe { ffi::mapkit_folio_alloc(gfp, order) };
        NonNull::new(addr).ok_or(ENOMEM)
    }

    /// # Safety
    ///
    /// `block` must come from [`Self::alloc_block`], and be used no more.
    unsafe fn free_block(block: NonNull<c_void>) {
        // SAFETY: By the requirement of this function. If somebody else still holds a reference (a
        // pin), the folio is only freed with the last one.
        unsafe { ffi::mapkit_folio_put(block.as_ptr()) };
    }
}

// SAFETY: The folios are owned and zeroed, live until `drop`, and `locate` stays inside them. A
// reference to a page of a folio is one to the folio, of which `drop` only drops its own.
unsafe impl DirectMapped for Folios {
    const REFCOUNTED: bool = true;

    fn nr_pages(&self) -> usize {
        self.nr_pages
    }

    #[inline]
    fn locate(&self, page: usize) -> Option<(NonNull<u8>, usize)> {
        if page >= self.nr_pages {
            return None;
        }
        let mut index = page / MAX_BLOCK_PAGES;
        let mut within = page % MAX_BLOCK_PAGES;
        let mut left = self.nr_pages.wrapping_sub(page.wrapping_sub(within));
        // Behind the folios of the largest order, one of each smaller order.
        let mut size = block_pages(left);
        while within >= size {
            within = within.wrapping_sub(size);
            left = left.wrapping_sub(size);
            index = index.wrapping_add(1);
            size = block_pages(left);
        }
        let block = self.blocks.get(index)?;
        let addr = block
            .as_ptr()
            .cast::<u8>()
            .wrapping_add(within.wrapping_mul(PAGE_SIZE));
        Some((NonNull::new(addr)?, min(size, left).wrapping_sub(within)))
    }
}

impl Drop for Folios {
    fn drop(&mut self) {
        for block in &self.blocks {
            // SAFETY: By the type invariant the folio is owned; `self` is going away, so it is used
            // no more.
            unsafe { Self::free_block(*block) };
        }
    }
}
