// SPDX-License-Identifier: GPL-2.0-only

//! Folios in a page cache of their own, as a [`Backing`](crate::memory::backing::Backing).
//!
//! # Who may do what to them
//!
//! The cache is that of an inode without a name, a superblock's list or a file that a program could open. Its folios are those
//! of [`CompoundPages`](crate::memory::folios::CompoundPages), but for the charge. Read in the source of Linux 7.2.12 and 7.3.4, and tried:
//!
//! - **Reclaim, `MADV_PAGEOUT`, `drop_caches`**: the mapping is unevictable (`folio_evictable()`), the inode on no list of its
//!   superblock (`new_inode_pseudo()`), and each folio has a reference of ours, beside the cache's.
//! - **Migration, compaction, splits**: neither moves nor splits a folio that has a reference which it cannot explain
//!   (`folio_expected_ref_count()`), and compaction passes by what is `AS_INACCESSIBLE`. So the kernel's own address stays.
//! - **Writeback**: the superblock has none (`noop_backing_dev_info`), so that nothing waits for pages that are dirty, nothing
//!   is told of a first store, and entries are writable at once (`vma_wants_writenotify()`). Folios are dirty from the beginning: no
//!   entry has to become so.
//! - **Truncation**: nobody has a file descriptor, `/proc/PID/map_files` opens nothing (`no_open_fops`), and the inode's
//!   `setattr` is `EOPNOTSUPP`. The cache is emptied when this is dropped, which only happens when no VMA maps it.
//! - **Pins**: a pinned page stays what it is; after truncation it is nobody's but the pin's, as that of any file.
//! - **Stealing** (`splice(2)`, `SPLICE_F_GIFT`): takes a page with one reference only.
//! - **Memory cgroups**: `filemap_add_folio()` charges the caller, and so the folios are not charged when they are allocated. They
//!   count as `file` and `unevictable` in `memory.stat`, and as `Cached` in `/proc/meminfo`.
//! - **A memory failure** unmaps the page and kills who uses it, as it does for a file; the folio stays, as it has our reference.
//!
//! C headers: [`include/linux/pagemap.h`](srctree/include/linux/pagemap.h), [`include/linux/anon_inodes.h`](srctree/include/linux/anon_inodes.h)

pub mod inode;

use crate::{
    base::levels::PMD_PAGES,
    ffi,
    memory::{
        blocks::{
            Allocator,
            Blocks,
            Effort,
            MAX_BLOCK_PAGES, //
        },
        direct_map::DirectMapped,
        page_cache::inode::InodeCache, //
    }, //
};
use core::ptr::NonNull;
use kernel::{
    ffi::c_void,
    prelude::*, //
};

/// Pages of the largest folio that a page cache takes.
const MAX_FOLIO_PAGES: usize = if cfg!(not(CONFIG_TRANSPARENT_HUGEPAGE)) {
    1
} else if PMD_PAGES < MAX_BLOCK_PAGES {
    PMD_PAGES
} else {
    MAX_BLOCK_PAGES
};

/// Zeroed folios in a page cache of their own, which the kernel maps as it maps those of a file: many at once. They are
/// charged to the caller's memory cgroup.
///
/// # Examples
///
/// ```
/// use kernel::{prelude::*, sync::Arc};
/// use mapkit::{
///     map::vma::{Mapped, NewVma},
///     memory::{mappable::Mappable, page_cache::PageCache},
/// };
///
/// fn buffer(nr_pages: usize) -> Result<Arc<Mappable<()>>> {
///     let memory = KBox::new(PageCache::new(nr_pages)?, GFP_KERNEL)?;
///     Ok(Arc::new(Mappable::new(memory, 0, ()), GFP_KERNEL)?)
/// }
///
/// fn mmap<'a>(vma: NewVma<'a>, buffer: &Arc<Mappable<()>>) -> Result<Mapped<'a>> {
///     vma.deny_exec()?;
///     vma.into_cachemap(buffer.clone())?.map_cache_on_fault()
/// }
/// ```
pub struct PageCache {
    /// Dropped first, which empties it.
    cache: InodeCache,
    folios: Blocks<UnchargedPages>,
}

impl PageCache {
    /// Allocates `nr_pages` pages in the largest folios that there are, up to what an entry of the middle level maps.
    ///
    /// `EINVAL` if that is none, `ENOMEM` without memory or beyond the limit of the memory cgroup; the OOM killer is never asked
    /// for help. `EINTR` if the caller is killed meanwhile.
    pub fn new(nr_pages: usize) -> Result<Self> {
        let cache = InodeCache::new(nr_pages)?;
        // SAFETY: It is one of `UnchargedPages`, just allocated. Its pages begin at a multiple of their number, as blocks do.
        let add = |first, block| unsafe { cache.add(first, block) };
        let folios = Blocks::up_to_each(MAX_FOLIO_PAGES, nr_pages, add)?;
        Ok(Self { cache, folios })
    }

    /// The same in one folio. `ENOMEM` if there is no such folio, as there is none for more than what an entry of the middle
    /// level maps; on kernels without huge pages, for more than a page.
    pub fn contiguous(nr_pages: usize) -> Result<Self> {
        if nr_pages > MAX_FOLIO_PAGES {
            return Err(ENOMEM);
        }
        let cache = InodeCache::new(nr_pages)?;
        let folios = Blocks::contiguous(nr_pages)?;
        let (block, _) = folios.locate(0).ok_or(EINVAL)?;
        // SAFETY: It is one of `UnchargedPages`, just allocated, and 0 a multiple of any number.
        unsafe { cache.add(0, block.cast())? };
        Ok(Self { cache, folios })
    }
}

// SAFETY: As those of `Blocks`. A page of a page cache is one that `vm_insert_page()` takes.
unsafe impl DirectMapped for PageCache {
    const REFCOUNTED: bool = true;

    fn nr_pages(&self) -> usize {
        DirectMapped::nr_pages(&self.folios)
    }

    #[inline]
    fn locate(&self, page: usize) -> Option<(NonNull<u8>, usize)> {
        self.folios.locate(page)
    }

    fn page_cache(&self) -> Option<&InodeCache> {
        Some(&self.cache)
    }
}

/// Blocks that are folios which a page cache charges.
enum UnchargedPages {}

// SAFETY: As for `CompoundPages`.
unsafe impl Allocator for UnchargedPages {
    const ANY_NUMBER: bool = false;

    fn alloc(nr_pages: usize, effort: Effort) -> Option<NonNull<c_void>> {
        let gfp = effort.gfp() & !ffi::__GFP_ACCOUNT;
        // SAFETY: Any order up to the largest and these flags are fine; the function may sleep, as may its callers.
        NonNull::new(unsafe { ffi::mapkit_folio_alloc(gfp, nr_pages.trailing_zeros()) })
    }

    unsafe fn free(block: NonNull<c_void>, _nr_pages: usize) {
        // SAFETY: By the requirement of this function. If somebody else still holds a reference (a cache, a pin), the folio
        // is only freed with the last one.
        unsafe { ffi::mapkit_folio_put(block.as_ptr()) };
    }
}
