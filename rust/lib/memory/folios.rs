// SPDX-License-Identifier: GPL-2.0-only

//! Compound pages, as a [`Backing`](crate::memory::backing::Backing).
//!
//! C headers: [`include/linux/gfp.h`](srctree/include/linux/gfp.h), [`include/linux/mm.h`](srctree/include/linux/mm.h)

use crate::{
    ffi,
    memory::blocks::{
        Allocator,
        Blocks,
        Effort, //
    }, //
};
use core::ptr::NonNull;
use kernel::ffi::c_void;

/// Zeroed folios, as large as there are: as many of the largest order as fit, then one of each smaller order that the rest
/// takes. They are charged to the caller's memory cgroup.
///
/// Whoever maps or pins a page of a folio holds all of it.
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
/// use mapkit::{
///     base::levels::PMD_PAGES,
///     memory::{backing::Backing, folios::Folios},
/// };
///
/// /// A block that one page-table entry of the middle level can map: it is contiguous, and aligned to its size.
/// fn block() -> Result<Folios> {
///     let memory = Folios::contiguous(PMD_PAGES)?;
///     let run = memory.run_at(0).ok_or(EINVAL)?;
///     assert!(run.nr_pages == PMD_PAGES && run.pfn % PMD_PAGES == 0);
///     Ok(memory)
/// }
/// ```
pub type Folios = Blocks<CompoundPages>;

/// Blocks that are folios.
pub enum CompoundPages {}

// SAFETY: A reference to a page of a folio is one to the folio, of which `free` only drops its own.
// `GFP_KERNEL` memory is in the direct map.
unsafe impl Allocator for CompoundPages {
    const ANY_NUMBER: bool = false;

    fn alloc(nr_pages: usize, effort: Effort) -> Option<NonNull<c_void>> {
        // SAFETY: Any order up to the largest and these flags are fine; the function may sleep, as
        // may its callers.
        NonNull::new(unsafe { ffi::mapkit_folio_alloc(effort.gfp(), nr_pages.trailing_zeros()) })
    }

    unsafe fn free(block: NonNull<c_void>, _nr_pages: usize) {
        // SAFETY: By the requirement of this function. If somebody else still holds a reference (a
        // pin), the folio is only freed with the last one.
        unsafe { ffi::mapkit_folio_put(block.as_ptr()) };
    }
}
