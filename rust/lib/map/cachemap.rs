// SPDX-License-Identifier: GPL-2.0-only

//! A VMA of a page cache: an ordinary one, whose file is another than the one that was mapped.
//!
//! # Why
//!
//! `vm_insert_pages()` counts each page by itself: a reference, the folio's and the page's mapcount, statistics. The page cache
//! does it for all pages of a folio that a page table has room for (`filemap_map_pages()`, `set_pte_range()`), and so does who
//! unmaps them. But it only does that for what is in the cache of the VMA's file.
//!
//! # How
//!
//! [`PageCache`](crate::memory::page_cache::PageCache) is memory in a cache of its own. In `mmap(2)`, the VMA gets a new file
//! (`vma_set_file()`), with that cache (`f_mapping`) and no inode that a program could reach; its offset becomes that in the cache. The
//! file keeps the cache's inode until the kernel has let go of the VMA, and this module loaded until after that, when `close` of the VMA
//! has returned. Whoever looks for VMAs of the device's file, to take something back, does not find this one: it is found in the
//! [`Space`](crate::revoke::space::Space) of the cache.
//!
//! A fault maps what its page table has room for and the VMA and the memory have, in one call of `filemap_map_pages()`: for a load,
//! as the kernel does around a fault, for a store, which it does so for no file. The kernel prepares both alike: `__do_fault()` has
//! allocated a page table, and `finish_fault()` inserts all of a folio for a store, too. Where a folio is as large as an entry of the middle
//! level maps and lies as that needs, it is mapped by one such entry, whatever is set for transparent huge pages.
//! Unlike `vmf_insert_folio_pmd()`, this needs no alignment of the file, and a part of a folio is mapped at once, too.
//!
//! What `filemap_map_pages()` leaves out, the kernel gets as a page (`vmf->page`): a page to be copied for a private mapping, where
//! userfaultfd waits, and a folio that another fault has locked just then. `filemap_fault()`, which drops locks to wait, is not needed: no folio
//! is ever read in.
//!
//! C headers: [`include/linux/mm.h`](srctree/include/linux/mm.h), [`include/linux/pagemap.h`](srctree/include/linux/pagemap.h)

use crate::{
    base::levels::PMD_PAGES,
    ffi,
    map::{
        fault::{
            Fault,
            FaultResult,
            NOPAGE,
            SIGBUS, //
        },
        filler::WithCache,
        filling::Filling,
        vma::{
            Mapped,
            NewVma, //
        }, //
    },
    memory::mappable::{
        Mappable,
        MappingEvents, //
    }, //
};
use core::{
    cmp::{
        max,
        min, //
    },
    ops::Range, //
};
use kernel::{
    error::to_result,
    page::PAGE_SIZE,
    prelude::*,
    sync::Arc, //
};

impl<'a> NewVma<'a> {
    /// Makes it a VMA of a page cache, to be filled from `mappable`.
    ///
    /// `EINVAL` if that is not in a [page cache](crate::memory::page_cache::PageCache), or the VMA reaches beyond the memory.
    #[inline(always)]
    pub fn into_cachemap<T: MappingEvents>(
        self,
        mappable: Arc<Mappable<T>>,
    ) -> Result<CacheMapVma<'a, T>> {
        if mappable.memory().page_cache().is_none() {
            return Err(EINVAL);
        }
        self.vma.set_dontexpand();
        self.vma.set_dontdump();
        Ok(CacheMapVma(Filling::new(self, mappable)?))
    }
}

/// A VMA of a page cache.
///
/// For an example, see [`PageCache`](crate::memory::page_cache::PageCache).
pub struct CacheMapVma<'a, T: MappingEvents>(Filling<'a, T>);

impl<'a, T: MappingEvents> CacheMapVma<'a, T> {
    /// Maps nothing now, and with each fault as many pages as the page table has room for. The window of
    /// [`fault_around`](MappingEvents::fault_around) does not matter.
    ///
    /// `ENOMEM` or `ENFILE` if the kernel has no file.
    pub fn map_cache_on_fault(self) -> Result<Mapped<'a>> {
        let Self(filling) = self;
        let cache = filling.mappable.memory().page_cache().ok_or(EINVAL)?;
        // SAFETY: The VMA is undergoing initialization in an `f_op->mmap()`. The inode is that of a page cache whose page
        // numbers are those of the memory. Nothing is looked for by the offset in the file that the VMA had before.
        to_result(unsafe {
            ffi::mapkit_cache_map(cache.space().inode(), filling.vma(), filling.pages.start)
        })?;
        Ok(filling.finish::<WithCache>())
    }
}

impl<T: MappingEvents> Fault<'_, T> {
    /// Maps pages of the page cache. The VMA must be one of [`CacheMapVma`], or a copy of one.
    ///
    /// A page that the kernel maps after this returns stays mapped if the memory is taken back at that very moment.
    pub(super) fn map_cache(&self) -> FaultResult {
        self.while_there(|| self.map_cache_now())
    }

    fn map_cache_now(&self) -> FaultResult {
        // The offset of such a VMA is that in the memory.
        let touched = self.pgoff();
        let Some(page) = self.mappable.memory().struct_page(touched) else {
            return self.done(SIGBUS, 0);
        };
        let table = self.in_table(touched);
        let last = table.end.wrapping_sub(1);
        // SAFETY: By the type invariant this is the argument of a fault handler, whose VMA is locked for reading, and the kernel
        // has allocated a page table. By the requirement of this function, the page cache of its file is that of the memory.
        // `in_table` made sure that the page table and the VMA have these pages.
        match unsafe { ffi::mapkit_cache_map_pages(self.vmf, table.start, last) } {
            0 => {
                // SAFETY: By the type invariant. By the promise of `Backing` the page is allocated, and has a reference count
                // that keeps it so.
                unsafe { ffi::mapkit_vmf_give_page(self.vmf, page) };
                self.done(0, 1)
            }
            _ => self.done(NOPAGE, table.len()),
        }
    }

    /// The pages that the page table of the page `touched` has, and the VMA.
    fn in_table(&self, touched: usize) -> Range<usize> {
        const BYTES: usize = PMD_PAGES * PAGE_SIZE;
        let (start, end) = self.bounds();
        let table = self.address() & !(BYTES - 1);
        let from = max(table, start);
        // As a number of bytes, as the last page table ends where numbers do.
        let bytes = min(
            end.wrapping_sub(from),
            BYTES.wrapping_sub(from.wrapping_sub(table)),
        );
        let first = touched.wrapping_sub(self.address().wrapping_sub(from) / PAGE_SIZE);
        first..first.wrapping_add(bytes / PAGE_SIZE)
    }
}
