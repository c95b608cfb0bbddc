// SPDX-License-Identifier: GPL-2.0-only

//! A VMA of folios with their reference counts, huge ones by one entry: an ordinary VMA, as that of a file is.
//!
//! # Which VMA
//!
//! `vmf_insert_folio_pmd()` inserts an entry of the middle level for all of a folio, counts it (`folio_get()`,
//! `folio_add_file_rmap_pmd()`, Rss), and trusts its caller that the kernel will drop all that with the entry. Read in
//! `mm/huge_memory.c` and `mm/memory.c` of Linux 7.2.12 and 7.3.4, that depends on the VMA:
//!
//! - With `VM_PFNMAP` or `VM_MIXEDMAP` a VMA is *special* (`vma_is_special_huge()`). Where the entry is split, by `munmap(2)`,
//!   `mprotect(2)`, `mremap(2)` or `madvise(2)` of a part, `__split_huge_pmd_locked()` takes it out of such a VMA without dropping
//!   anything: the folio would never be freed, and never be counted as unmapped.
//! - Of an ordinary VMA it drops the reference and the counts and leaves the place empty. The next touch is a fault, which
//!   maps pages, or the folio again if the VMA still has all of it. `zap_huge_pmd()` does the same for all of the entry.
//! - `fork(2)` copies nothing of an ordinary VMA that a fault can bring back (`vma_needs_copy()`, `copy_huge_pmd()`), and
//!   `mremap(2)` moves the entry as it is.
//! - `get_user_pages()` finds the folio by the entry, as it is not special (`pmd_special()`), and takes a reference to it for each
//!   page.
//! - A private mapping gets the entry without the right to write; the first store splits it, and a page is copied. That fault is
//!   retried with another lock (`vmf_can_call_fault()`), when the entry is gone: the handler must not insert it again for a store.
//! - Memory of a driver is on no LRU list and has no `mapping`. So it is not reclaimed, migrated or split, `MADV_COLD` and
//!   `MADV_PAGEOUT` find nothing to do, and a memory failure is not handled: `get_hwpoison_page()` takes only pages of a list.
//!   `VM_DONTEXPAND` keeps khugepaged, KSM and `mlock(2)` away, as it makes the VMA one of `VM_SPECIAL`.
//! - The folio must be as large as the entry maps, not larger: `vmf_insert_folio_pmd()` warns, and the counts of a folio know entries
//!   for a page and for all of it.
//!
//! `vmf_insert_folio_pud()` has no place here: of an ordinary VMA, the kernel asks for a huge page of the upper level never
//! (`THP_ORDERS_ALL_FILE_DEFAULT`), and special VMAs lose the counts as above. What there is of that level, `gigabyte.rs` has: frame
//! numbers.
//!
//! The other way is a fault handler that returns a page of such a folio (`vmf->page`). For files of a file system, `finish_fault()`
//! then maps all of it (`do_set_pmd()`), but only as far as the file's size reaches (`i_size_read()`), which is 0 for a device. So
//! it maps a page of a device's at a time. It is what is done here where no huge page fits, as the kernel then copies the page for a
//! private mapping at once, and knows what to do where a program has marked the place (userfaultfd).
//!
//! Linux asks a handler for a huge page only where transparent huge pages are on (`always` in
//! `/sys/kernel/mm/transparent_hugepage/enabled`, or `madvise`, as the VMA gets `VM_HUGEPAGE`), and the program has not refused
//! them (`MADV_NOHUGEPAGE`, `PR_SET_THP_DISABLE`). Frame numbers (`VM_PFNMAP`) are huge whatever is set.
//!
//! C headers: [`include/linux/huge_mm.h`](srctree/include/linux/huge_mm.h), [`include/linux/mm.h`](srctree/include/linux/mm.h)
//!
//! Documentation: [`Documentation/mm/transhuge.rst`](srctree/Documentation/mm/transhuge.rst)

use crate::{
    base::levels::PMD_PAGES,
    map::{
        filler::WithFolios,
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
#[cfg(CONFIG_TRANSPARENT_HUGEPAGE)]
use kernel::mm::virt::flags;
use kernel::{
    prelude::*,
    sync::Arc, //
};

impl<'a> NewVma<'a> {
    /// Makes it a VMA of folios, to be filled from `mappable`.
    ///
    /// `EINVAL` if these pages have no reference count of their own, as memory has none that is not cached as
    /// usual; if memory with room for a huge page is not at a multiple of that in its file; or if the VMA reaches beyond the memory.
    #[inline(always)]
    pub fn into_foliomap<T: MappingEvents>(
        self,
        mappable: Arc<Mappable<T>>,
    ) -> Result<FolioMapVma<'a, T>> {
        // The kernel takes it for granted that folios are aligned in their file.
        let is_aligned = mappable.base_pgoff() % PMD_PAGES == 0;
        if !mappable.refcounted() || (mappable.nr_pages() >= PMD_PAGES && !is_aligned) {
            return Err(EINVAL);
        }
        self.vma.set_dontexpand();
        self.vma.set_dontdump();
        Ok(FolioMapVma(Filling::new(self, mappable)?))
    }
}

/// A VMA of folios.
///
/// # Examples
///
/// ```
/// use kernel::{prelude::*, sync::Arc};
/// use mapkit::{
///     base::levels::PMD_PAGES,
///     map::vma::{Mapped, NewVma},
///     memory::{folios::Folios, mappable::{Mappable, MappingEvents}},
/// };
///
/// /// Memory that one entry can map for each of its blocks.
/// fn memory(blocks: usize) -> Result<Folios> {
///     Folios::up_to(PMD_PAGES, blocks.checked_mul(PMD_PAGES).ok_or(EINVAL)?)
/// }
///
/// /// For programs that have a device read from it or write to it, by `O_DIRECT` or io_uring.
/// fn mmap<'a, T: MappingEvents>(vma: NewVma<'a>, buffer: &Arc<Mappable<T>>) -> Result<Mapped<'a>> {
///     vma.into_foliomap(buffer.clone())?.insert_folios_on_fault()
/// }
/// ```
pub struct FolioMapVma<'a, T: MappingEvents>(Filling<'a, T>);

impl<'a, T: MappingEvents> FolioMapVma<'a, T> {
    /// Maps a folio with one entry when it is touched, with `vmf_insert_folio_pmd()`, where the memory has an aligned one that
    /// large and the VMA room for it, and the folio behind it by the next entry, as a fault costs more than an entry.
    /// Elsewhere, and on kernels without huge pages, maps the page that was touched and those around it.
    pub fn insert_folios_on_fault(self) -> Result<Mapped<'a>> {
        let Self(filling) = self;
        // As a program says with `MADV_HUGEPAGE`, which some kernels are set to wait for.
        #[cfg(CONFIG_TRANSPARENT_HUGEPAGE)]
        filling.set_flags(flags::HUGEPAGE);
        Ok(filling.finish::<WithFolios>())
    }
}
