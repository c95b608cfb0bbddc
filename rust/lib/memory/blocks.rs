// SPDX-License-Identifier: GPL-2.0-only

//! Zeroed memory of the page allocator, in as few blocks as it gives.
//!
//! C header: [`include/linux/gfp.h`](srctree/include/linux/gfp.h)
//!
//! Documentation: [`Documentation/core-api/memory-allocation.rst`](srctree/Documentation/core-api/memory-allocation.rst)

use crate::{
    base::{
        gfp::{
            self,
            GFP_FOR_CALLER, //
        },
        task::{
            between_pieces,
            let_others_run, //
        }, //
    },
    memory::direct_map::DirectMapped, //
};
use core::{
    marker::PhantomData,
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

/// What zeroed memory for a program is allocated with: charged to the memory cgroup of the caller, who
/// may sleep; the OOM killer is never asked for help.
pub(crate) const GFP_FOR_PROGRAMS: bindings::gfp_t = gfp::FOR_CALLER | bindings::__GFP_ZERO;

/// A way to allocate blocks.
///
/// # Safety
///
/// An implementation makes the promises of what its methods say.
pub unsafe trait Allocator {
    /// Pages of the next block when `left` pages are left, which is not zero: from one to `left`, and
    /// [`MAX_BLOCK_PAGES`] as long as there are so many. The first few blocks of a number of pages are
    /// also the blocks of their own number of pages.
    fn block_pages(left: usize) -> usize;

    /// Allocates a zeroed block of `nr_pages` pages, as `block_pages` returned it, in the direct map.
    /// Each page has a reference count that `vm_insert_page()` may take from, which keeps the page
    /// allocated.
    fn alloc(nr_pages: usize) -> Option<NonNull<c_void>>;

    /// Frees a block, or leaves what somebody else holds a reference of to the last one who does.
    ///
    /// # Safety
    ///
    /// `block` must come from [`alloc`](Self::alloc) with the same `nr_pages`, and be used no more.
    unsafe fn free(block: NonNull<c_void>, nr_pages: usize);
}

/// Pages of the page allocator, charged to the memory cgroup of who allocated them.
///
/// # Invariants
///
/// `blocks` holds the blocks of `nr_pages` pages, in the order and of the sizes that `A::block_pages()`
/// tells. Each was allocated with `A::alloc()` and is owned.
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
/// use mapkit::memory::{
///     backing::Backing,
///     blocks::{Allocator, Blocks},
/// };
///
/// /// Memory whose blocks are of the caller's choice: `ExactPages` or `CompoundPages`.
/// fn boxed<A: Allocator + 'static>(nr_pages: usize) -> Result<KBox<dyn Backing>> {
///     Ok(KBox::new(Blocks::<A>::new(nr_pages)?, GFP_KERNEL)?)
/// }
/// ```
pub struct Blocks<A: Allocator> {
    blocks: KVec<NonNull<c_void>>,
    nr_pages: usize,
    _allocator: PhantomData<A>,
}

// SAFETY: Page allocations are not tied to a thread.
unsafe impl<A: Allocator> Send for Blocks<A> {}
// SAFETY: All methods that take `&self` only read what never changes.
unsafe impl<A: Allocator> Sync for Blocks<A> {}

impl<A: Allocator> Blocks<A> {
    /// Allocates `nr_pages` pages.
    ///
    /// `EINVAL` if that is none, `ENOMEM` if there is not enough contiguous memory; the OOM killer
    /// is never asked for help. `EINTR` if the caller is killed meanwhile.
    pub fn new(nr_pages: usize) -> Result<Self> {
        if nr_pages == 0 {
            return Err(EINVAL);
        }
        // INVARIANT: No pages, no blocks. Each turn adds the next block and its pages, so that an early
        // return frees those.
        let mut blocks = Self {
            blocks: KVec::new(),
            nr_pages: 0,
            _allocator: PhantomData,
        };
        while blocks.nr_pages < nr_pages {
            between_pieces()?;
            let pages = A::block_pages(nr_pages.wrapping_sub(blocks.nr_pages));
            blocks.blocks.reserve(1, GFP_FOR_CALLER)?;
            let block = A::alloc(pages).ok_or(ENOMEM)?;
            // Cannot fail: there is room.
            if blocks.blocks.push_within_capacity(block).is_err() {
                // SAFETY: The block was just allocated with this size and nobody else has it.
                unsafe { A::free(block, pages) };
                return Err(ENOMEM);
            }
            blocks.nr_pages = blocks.nr_pages.wrapping_add(pages);
        }
        Ok(blocks)
    }
}

// SAFETY: By the promises of `Allocator` the pages are zeroed, in the direct map and have a reference
// count; by the type invariant they are owned. They live until `drop`, and `locate` stays inside them.
unsafe impl<A: Allocator> DirectMapped for Blocks<A> {
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
        // Behind the blocks of the largest size.
        let mut size = A::block_pages(left);
        while within >= size {
            within = within.wrapping_sub(size);
            left = left.wrapping_sub(size);
            index = index.wrapping_add(1);
            size = A::block_pages(left);
        }
        let block = self.blocks.get(index)?.as_ptr().cast::<u8>();
        let addr = block.wrapping_add(within.wrapping_mul(PAGE_SIZE));
        Some((NonNull::new(addr)?, size.wrapping_sub(within)))
    }
}

impl<A: Allocator> Drop for Blocks<A> {
    fn drop(&mut self) {
        let mut left = self.nr_pages;
        for block in &self.blocks {
            let nr_pages = A::block_pages(left);
            // SAFETY: By the type invariant the block is owned and has this size; `self` is going away,
            // so it is used no more.
            unsafe { A::free(*block, nr_pages) };
            let_others_run();
            left = left.wrapping_sub(nr_pages);
        }
    }
}
