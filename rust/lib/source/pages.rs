// SPDX-License-Identifier: GPL-2.0-only

//! `alloc_pages()`: blocks of 2^order physically contiguous pages.

use super::{
    Gfp,
    Source,
    Span, //
};
use crate::{
    base::sysinfo::OnlineNode,
    ffi,
    memory::backing::StructPage,
    series::page_alloc::alloc_pages_node, //
};
use core::ptr::NonNull;
use kernel::{
    bindings,
    error::code::EINVAL,
    error::Result,
    ffi::{
        c_int,
        c_uint, //
    }, //
};

/// A `struct page`.
pub(super) type Block = NonNull<bindings::page>;

/// `alloc_pages()`.
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
/// use mapkit::source::{pairs, Gfp, PageBlocks, Unwatched};
///
/// /// Blocks of 2^3 pages.
/// fn exercise() -> Result<usize> {
///     let source = PageBlocks::new(3, Gfp::KERNEL | Gfp::COMP)?;
///     Ok(pairs(&source, 100, &mut Unwatched))
/// }
/// ```
pub struct PageBlocks {
    order: c_uint,
    gfp: bindings::gfp_t,
}

impl PageBlocks {
    /// Blocks of 2^`order` pages. `EINVAL` if the page allocator has no such blocks.
    pub fn new(order: u32, gfp: Gfp) -> Result<Self> {
        if order > bindings::MAX_PAGE_ORDER {
            return Err(EINVAL);
        }
        let gfp = gfp.for_pages();
        Ok(Self { order, gfp })
    }

    /// # Safety
    ///
    /// `block` must be such a block.
    unsafe fn span_of(&self, block: Block) -> Span<'_> {
        // SAFETY: By the requirement of this function, and the block has so many pages.
        unsafe {
            Span::of_pages(
                block.as_ptr() as StructPage,
                1usize.wrapping_shl(self.order),
            )
        }
    }
}

// SAFETY: What `alloc_pages()` gives is the caller's until `__free_pages()`, and has 2^order pages.
unsafe impl Source for PageBlocks {
    type Object = Block;

    #[inline]
    fn allocate(&self) -> Option<Block> {
        // SAFETY: The order is one that there is, and these flags are fine; callers may sleep.
        #[cfg(CONFIG_NUMA)]
        let page = unsafe { bindings::alloc_pages_noprof(self.gfp, self.order) };
        // SAFETY: As above; node 0 is the only one.
        #[cfg(not(CONFIG_NUMA))]
        let page = unsafe { alloc_pages_node(0, self.gfp, self.order) };
        NonNull::new(page)
    }

    #[inline]
    unsafe fn free(&self, object: Block) {
        // SAFETY: By the requirement of this function.
        unsafe { bindings::__free_pages(object.as_ptr(), self.order) };
    }

    unsafe fn span(&self, object: Block) -> Span<'_> {
        // SAFETY: By the requirement of this function.
        unsafe { self.span_of(object) }
    }
}

/// `alloc_pages_node()`.
pub struct PageBlocksOnNode {
    of: PageBlocks,
    node: c_int,
}

impl PageBlocksOnNode {
    /// Blocks of 2^`order` pages, from `node` if it has any. `EINVAL` as of [`PageBlocks`].
    pub fn new(order: u32, gfp: Gfp, node: OnlineNode) -> Result<Self> {
        Ok(Self {
            of: PageBlocks::new(order, gfp)?,
            node: node.number(),
        })
    }
}

// SAFETY: As of `PageBlocks`.
unsafe impl Source for PageBlocksOnNode {
    type Object = Block;

    #[inline]
    fn allocate(&self) -> Option<Block> {
        let of = &self.of;
        // SAFETY: As of `PageBlocks`, and the node exists.
        NonNull::new(unsafe { alloc_pages_node(self.node, of.gfp, of.order) })
    }

    #[inline]
    unsafe fn free(&self, object: Block) {
        // SAFETY: By the requirement of this function.
        unsafe { self.of.free(object) };
    }

    unsafe fn span(&self, object: Block) -> Span<'_> {
        // SAFETY: By the requirement of this function.
        unsafe { self.of.span(object) }
    }
}

/// Blocks that are split with `split_page()`, so that each page has a reference count of its own, and
/// freed page by page.
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
/// use mapkit::source::{pairs, Gfp, PageBlocks, SplitBlocks, Unwatched};
///
/// /// Blocks of 2^3 pages, which are freed page by page.
/// fn exercise() -> Result<usize> {
///     let source = SplitBlocks::new(PageBlocks::new(3, Gfp::KERNEL)?)?;
///     Ok(pairs(&source, 100, &mut Unwatched))
/// }
/// ```
pub struct SplitBlocks<S>(S, c_uint);

impl SplitBlocks<PageBlocks> {
    /// Splits what `blocks` gives. `EINVAL` if that are compound pages, which cannot be split.
    pub fn new(blocks: PageBlocks) -> Result<Self> {
        let order = splittable(&blocks)?;
        Ok(Self(blocks, order))
    }
}

impl SplitBlocks<PageBlocksOnNode> {
    /// Splits what `blocks` gives. `EINVAL` if that are compound pages, which cannot be split.
    pub fn on_node(blocks: PageBlocksOnNode) -> Result<Self> {
        let order = splittable(&blocks.of)?;
        Ok(Self(blocks, order))
    }
}

/// The order of `blocks`; `EINVAL` if they are compound.
fn splittable(blocks: &PageBlocks) -> Result<c_uint> {
    match blocks.gfp & ffi::__GFP_COMP {
        0 => Ok(blocks.order),
        _ => Err(EINVAL),
    }
}

// SAFETY: As of the source that is split.
unsafe impl<S: Source<Object = Block>> Source for SplitBlocks<S> {
    type Object = Block;

    #[inline]
    fn allocate(&self) -> Option<Block> {
        let block = self.0.allocate()?;
        // SAFETY: It is a block of this order, not compound, that nobody uses.
        unsafe { bindings::split_page(block.as_ptr(), self.1) };
        Some(block)
    }

    #[inline]
    unsafe fn free(&self, object: Block) {
        for i in 0..1usize.wrapping_shl(self.1) {
            // SAFETY: By the requirement of this function. The `struct page`s of a block follow each
            // other, and each has been one of its own since it was split.
            unsafe { bindings::__free_pages(object.as_ptr().wrapping_add(i), 0) };
        }
    }

    unsafe fn span(&self, object: Block) -> Span<'_> {
        // SAFETY: By the requirement of this function.
        unsafe { self.0.span(object) }
    }
}
