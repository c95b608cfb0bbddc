// SPDX-License-Identifier: GPL-2.0-only

//! Zeroed memory of the page allocator, in the largest blocks that it has.
//!
//! C header: [`include/linux/gfp.h`](srctree/include/linux/gfp.h)
//!
//! Documentation: [`Documentation/core-api/memory-allocation.rst`](srctree/Documentation/core-api/memory-allocation.rst)

use crate::{
    base::{
        gfp::{
            self,
            GFP_FOR_ATTEMPT,
            GFP_FOR_CALLER, //
        },
        task::{
            between_pieces,
            let_others_run, //
        }, //
    },
    ffi,
    memory::direct_map::DirectMapped, //
};
use core::{
    cmp::min,
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

/// How much is done for a block that is not there at once.
#[derive(Clone, Copy)]
pub enum Effort {
    /// Only what is free: nothing is reclaimed or moved for it, as a program whose page is moved waits for that, however urgent
    /// it is. For what can be had in smaller blocks.
    IfFree,
    /// All that can be done without the OOM killer.
    Full,
}

impl Effort {
    /// The flags of an allocation with this effort, which is zeroed and charged to the memory cgroup of the caller, who
    /// may sleep. None warns or calls the OOM killer.
    pub(crate) const fn gfp(self) -> bindings::gfp_t {
        match self {
            Self::IfFree => gfp::FOR_ATTEMPT & !ffi::__GFP_RECLAIM | bindings::__GFP_ZERO,
            Self::Full => GFP_FOR_PROGRAMS,
        }
    }
}

/// A way to allocate blocks.
///
/// # Safety
///
/// An implementation makes the promises of what its methods say.
pub unsafe trait Allocator {
    /// Whether a block may have any number of pages up to [`MAX_BLOCK_PAGES`], and not only a power of two.
    const ANY_NUMBER: bool;

    /// Allocates a zeroed block of `nr_pages` pages, which is not zero and as above, in the direct map.
    /// Each page has a reference count that `vm_insert_page()` may take from, which keeps the page
    /// allocated.
    fn alloc(nr_pages: usize, effort: Effort) -> Option<NonNull<c_void>>;

    /// The same for a block of more than [`MAX_BLOCK_PAGES`] pages, of any number. `ENOMEM` if there is none, `EINTR` if the
    /// caller is killed meanwhile.
    fn alloc_long(_nr_pages: usize) -> Result<NonNull<c_void>> {
        Err(ENOMEM)
    }

    /// Frees a block, or leaves what somebody else holds a reference of to the last one who does.
    ///
    /// # Safety
    ///
    /// `block` must come from [`alloc`](Self::alloc) or [`alloc_long`](Self::alloc_long) with the same `nr_pages`, or, unless
    /// it may have [any number](Self::ANY_NUMBER), with that rounded up to a power of two; and be used no more.
    unsafe fn free(block: NonNull<c_void>, nr_pages: usize);
}

/// Blocks of one size, from one of them on.
#[derive(Clone, Copy)]
struct Level {
    /// The page with which the first of them begins.
    first_page: usize,
    /// Its place.
    first_block: usize,
    /// Each has 2^`order` pages, but the last block of all may have fewer.
    order: u32,
}

/// Pages of the page allocator, charged to the memory cgroup of who allocated them.
///
/// The blocks are as large as the page allocator has them, and none is larger than the one before: what a block
/// begins with is a page whose number is a multiple of the block's pages, rounded up to a power of two.
///
/// # Invariants
///
/// `blocks` holds the blocks of `nr_pages` pages, in their order, and each is owned: it was allocated with `A::alloc()`,
/// of 2^`order` pages if it has one of the first `nr_largest` pages, else of the size that `smaller` says; only the last of
/// all may have less. The levels of `smaller` begin where the largest blocks end, and are sorted by both of their fields by which
/// the first begins, and by `order`, the largest first.
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
/// /// Memory whose blocks are of the caller's choice: `ExactPages` or `CompoundPages`; in one, if the device
/// /// takes no list.
/// fn boxed<A: Allocator + 'static>(nr_pages: usize, takes_list: bool) -> Result<KBox<dyn Backing>> {
///     let blocks = match takes_list {
///         true => Blocks::<A>::new(nr_pages)?,
///         false => Blocks::<A>::contiguous(nr_pages)?,
///     };
///     Ok(KBox::new(blocks, GFP_KERNEL)?)
/// }
/// ```
pub struct Blocks<A: Allocator> {
    blocks: KVVec<NonNull<c_void>>,
    /// As a rule these are all blocks, which are found without a look at the others.
    order: u32,
    nr_largest: usize,
    smaller: KVec<Level>,
    nr_pages: usize,
    _allocator: PhantomData<A>,
}

// SAFETY: Page allocations are not tied to a thread.
unsafe impl<A: Allocator> Send for Blocks<A> {}
// SAFETY: All methods that take `&self` only read what never changes.
unsafe impl<A: Allocator> Sync for Blocks<A> {}

impl<A: Allocator> Blocks<A> {
    /// Allocates `nr_pages` pages in the largest blocks that there are, the largest first: where memory is in pieces,
    /// in smaller ones, down to single pages.
    ///
    /// `EINVAL` if that is none, `ENOMEM` if there is not enough memory; the OOM killer
    /// is never asked for help. `EINTR` if the caller is killed meanwhile.
    pub fn new(nr_pages: usize) -> Result<Self> {
        Self::up_to(MAX_BLOCK_PAGES, nr_pages)
    }

    /// The same, in blocks of at most `most` pages: a power of two up to [`MAX_BLOCK_PAGES`], else `EINVAL`.
    pub fn up_to(most: usize, nr_pages: usize) -> Result<Self> {
        Self::up_to_each(most, nr_pages, |_, _| Ok(()))
    }

    /// The same, with a call of `each` for each block once it is allocated: of which page it is the first, and the block. If
    /// that fails, so does this.
    pub(crate) fn up_to_each(
        most: usize,
        nr_pages: usize,
        each: impl Fn(usize, NonNull<c_void>) -> Result,
    ) -> Result<Self> {
        if nr_pages == 0 || !most.is_power_of_two() || most > MAX_BLOCK_PAGES {
            return Err(EINVAL);
        }
        let mut blocks = Self::empty();
        let mut size = most;
        while blocks.nr_pages < nr_pages {
            between_pieces()?;
            let left = nr_pages.wrapping_sub(blocks.nr_pages);
            while !A::ANY_NUMBER && size > left {
                size /= 2;
            }
            let pages = min(size, left);
            let effort = match pages {
                1 => Effort::Full,
                _ => Effort::IfFree,
            };
            match blocks.add(pages, size, effort) {
                Err(err) if err == ENOMEM && pages > 1 => size = half(pages),
                Err(err) => return Err(err),
                Ok(block) => each(blocks.nr_pages.wrapping_sub(pages), block)?,
            }
        }
        Ok(blocks)
    }

    /// Allocates `nr_pages` pages in one physically contiguous block.
    ///
    /// `EINVAL` if that is none; `ENOMEM` if there is no such block, `EINTR` if the caller is killed meanwhile. One of more
    /// than [`MAX_BLOCK_PAGES`] pages is had of [`Pages`](crate::memory::pages::Pages) only.
    pub fn contiguous(nr_pages: usize) -> Result<Self> {
        if nr_pages == 0 {
            return Err(EINVAL);
        }
        let size = nr_pages.checked_next_power_of_two().ok_or(ENOMEM)?;
        let pages = if A::ANY_NUMBER { nr_pages } else { size };
        let mut blocks = Self::empty();
        blocks.add(pages, size, Effort::Full)?;
        // INVARIANT: What the block was rounded up by is not used.
        blocks.nr_largest = nr_pages;
        blocks.nr_pages = nr_pages;
        Ok(blocks)
    }

    fn empty() -> Self {
        // INVARIANT: No pages, no blocks.
        Self {
            blocks: KVVec::new(),
            order: 0,
            nr_largest: 0,
            smaller: KVec::new(),
            nr_pages: 0,
            _allocator: PhantomData,
        }
    }

    /// Allocates the next block, of `pages` pages, which is `size`, a power of two, or, of the last one, less.
    fn add(&mut self, pages: usize, size: usize, effort: Effort) -> Result<NonNull<c_void>> {
        // A list of many is made of single pages, if there is no larger room for it at once.
        self.blocks
            .reserve(1, GFP_FOR_ATTEMPT)
            .or_else(|_| self.blocks.reserve(1, GFP_FOR_CALLER))?;
        self.smaller.reserve(1, GFP_FOR_CALLER)?;
        let block = match pages > MAX_BLOCK_PAGES {
            true => A::alloc_long(pages)?,
            false => A::alloc(pages, effort).ok_or(ENOMEM)?,
        };
        let place = self.blocks.len();
        // Cannot fail: there is room.
        if self.blocks.push_within_capacity(block).is_err() {
            // SAFETY: The block was just allocated with this size and nobody else has it.
            unsafe { A::free(block, pages) };
            return Err(ENOMEM);
        }
        self.note_size(place, pages, size.trailing_zeros());
        // INVARIANT: The block was just added, and its size is noted. Sizes only become smaller.
        self.nr_pages = self.nr_pages.wrapping_add(pages);
        Ok(block)
    }

    /// Notes that block `place`, the next one, has `pages` pages, of 2^`order` that the size is. There is room in `smaller`.
    fn note_size(&mut self, place: usize, pages: usize, order: u32) {
        if place == 0 {
            self.order = order;
        }
        if self.smaller.is_empty() && self.order == order {
            self.nr_largest = self.nr_largest.wrapping_add(pages);
        } else if self.smaller.last().is_none_or(|level| level.order != order) {
            let level = Level {
                first_page: self.nr_pages,
                first_block: place,
                order,
            };
            let _ = self.smaller.push_within_capacity(level);
        }
    }

    /// Page `page`, which is one of a level's, and how many pages its block has from there on.
    #[inline(always)]
    fn locate_in(&self, level: Level, page: usize) -> Option<(NonNull<u8>, usize)> {
        let from = page.wrapping_sub(level.first_page);
        let size = 1usize.wrapping_shl(level.order);
        let within = from & size.wrapping_sub(1);
        let place = level
            .first_block
            .wrapping_add(from.wrapping_shr(level.order));
        let block = self.blocks.get(place)?.as_ptr().cast::<u8>();
        let addr = block.wrapping_add(within.wrapping_mul(PAGE_SIZE));
        let left = self.nr_pages.wrapping_sub(page);
        Some((NonNull::new(addr)?, min(size.wrapping_sub(within), left)))
    }
}

/// The largest power of two below `pages`, which is more than one.
fn half(pages: usize) -> usize {
    pages.next_power_of_two() / 2
}

// SAFETY: By the promises of `Allocator` the pages are zeroed, in the direct map and have a reference
// count; by the type invariant they are owned. They live until `drop`, and `locate` stays inside them. A block that is a
// folio begins with a page whose number is a multiple of its pages, as no block before it is smaller.
unsafe impl<A: Allocator> DirectMapped for Blocks<A> {
    const REFCOUNTED: bool = true;

    fn nr_pages(&self) -> usize {
        self.nr_pages
    }

    #[inline]
    fn locate(&self, page: usize) -> Option<(NonNull<u8>, usize)> {
        if page < self.nr_largest {
            let level = Level {
                first_page: 0,
                first_block: 0,
                order: self.order,
            };
            return self.locate_in(level, page);
        }
        if page >= self.nr_pages {
            return None;
        }
        let begins = |level: &&Level| level.first_page <= page;
        let level = self.smaller.iter().rev().find(begins)?;
        self.locate_in(*level, page)
    }
}

impl<A: Allocator> Drop for Blocks<A> {
    fn drop(&mut self) {
        let mut page = 0usize;
        while let Some((block, nr_pages)) = self.locate(page) {
            // SAFETY: By the type invariant the block that begins here is owned and has this size, or was rounded up to a
            // power of two; `self` is going away, so it is used no more.
            unsafe { A::free(block.cast(), nr_pages) };
            #[cfg(planted_double_free)]
            if page > 0 {
                // SAFETY: None: it is the mistake.
                unsafe { A::free(block.cast(), nr_pages) };
            }
            let_others_run();
            page = page.wrapping_add(nr_pages);
        }
    }
}
