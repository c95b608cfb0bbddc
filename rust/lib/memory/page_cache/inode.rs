// SPDX-License-Identifier: GPL-2.0-only

//! An inode without a name, for the page cache that it has.
//!
//! C header: [`include/linux/pagemap.h`](srctree/include/linux/pagemap.h)

use crate::{
    base::gfp,
    ffi,
    revoke::space::Space, //
};
use core::ptr::NonNull;
use kernel::{
    bindings,
    error::to_result,
    ffi::c_void,
    page::PAGE_SIZE,
    prelude::*,
    sync::Arc, //
};

/// The flags of an allocation that is charged later, or by others.
const UNCHARGED: bindings::gfp_t = gfp::FOR_CALLER & !ffi::__GFP_ACCOUNT;

/// The page cache of an inode of its own, emptied when dropped.
///
/// For an example, see [`PageCache`](super::PageCache).
///
/// # Invariants
///
/// `space` has an inode, whose page cache has only what `add` put there.
pub struct InodeCache {
    space: Arc<Space>,
}

impl InodeCache {
    /// One for so many pages, without any.
    pub(super) fn new(nr_pages: usize) -> Result<Self> {
        let bytes = nr_pages.checked_mul(PAGE_SIZE).ok_or(ENOMEM)?;
        let bytes = i64::try_from(bytes).map_err(|_| ENOMEM)?;
        let space = Space::of_many()?;
        // SAFETY: The inode was just made, so that nobody else has it.
        unsafe { ffi::mapkit_cache_init(space.inode(), bytes) };
        // INVARIANT: `of_many` gives a space with an inode, which is new.
        Ok(Self { space })
    }

    /// Adds a folio as the pages from `first` on. `ENOMEM` without memory.
    ///
    /// # Safety
    ///
    /// `folio` must be a folio that is in no cache yet, and not charged. `first` must be a multiple of the number of its pages.
    pub(super) unsafe fn add(&self, first: usize, folio: NonNull<c_void>) -> Result {
        // SAFETY: By the type invariant there is an inode, which `mapkit_cache_init` was called for. The rest is required of
        // the caller.
        to_result(unsafe {
            ffi::mapkit_cache_add(self.space.inode(), folio.as_ptr(), first, UNCHARGED)
        })
    }

    /// Where the VMAs are found that map it.
    pub(crate) fn space(&self) -> &Arc<Space> {
        &self.space
    }
}

impl Drop for InodeCache {
    fn drop(&mut self) {
        // SAFETY: By the type invariant. What maps it holds a reference to its owner, so that nothing does; the caller may sleep.
        unsafe { ffi::mapkit_cache_clear(self.space.inode()) };
    }
}
