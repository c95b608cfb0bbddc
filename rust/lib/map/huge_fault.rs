// SPDX-License-Identifier: GPL-2.0-only

//! Page faults that are answered by one entry of the middle level, which maps a block of pages.
//!
//! C header: [`include/linux/huge_mm.h`](srctree/include/linux/huge_mm.h)
//!
//! Documentation: [`Documentation/admin-guide/mm/transhuge.rst`](srctree/Documentation/admin-guide/mm/transhuge.rst)

use crate::{
    base::levels::PMD_PAGES,
    ffi,
    map::fault::{
        Fault,
        FaultResult,
        ERROR,
        FALLBACK, //
    },
    memory::mappable::MappingEvents, //
};
use kernel::{
    bindings,
    mm::virt::flags,
    page::PAGE_SIZE, //
};

impl<T: MappingEvents> Fault<'_, T> {
    /// Inserts the folio that was touched by one entry, if it is that large and the VMA has all of it, and the one behind
    /// it by another. The VMA must have neither `VM_PFNMAP` nor `VM_MIXEDMAP`.
    ///
    /// For a store to a private mapping, the kernel takes the entry out to copy a page, and begins again when it has another
    /// lock: were the entry back in its place, that would never end.
    pub(super) fn insert_folios(&self) -> FaultResult {
        self.while_there(|| self.insert_folios_now())
    }

    fn insert_folios_now(&self) -> FaultResult {
        // SAFETY: By the type invariant; the flags do not change while the VMA is locked.
        let is_shared = unsafe { (*self.vma()).__bindgen_anon_2.vm_flags & flags::SHARED != 0 };
        let wanted = !self.is_write() || is_shared;
        let Some(first) = self.huge_page(PMD_PAGES).filter(|_| wanted) else {
            return FALLBACK;
        };
        let Some(page) = self.mappable.memory().struct_page(first) else {
            return FALLBACK;
        };
        // SAFETY: By the type invariant this is a huge fault that is being answered; the VMA is locked for reading, and
        // `huge_page` made sure that all of the huge page is inside it. By the promise of `Backing` the page is allocated,
        // and its folio may be shown to programs and has a reference count, of which the entry takes one: the kernel drops
        // that with the entry, as the VMA is an ordinary one. Where the kernel asks for a store to what is mapped, the VMA
        // is shared.
        match unsafe { ffi::mapkit_vmf_insert_folio_pmd(self.vmf, page, self.is_write()) } {
            FALLBACK => FALLBACK,
            result if result & ERROR != 0 => self.done(result, 0),
            result if self.insert_next_folio(first) => self.done(result, 2 * PMD_PAGES),
            result => self.done(result, PMD_PAGES),
        }
    }

    /// Inserts the folio behind the one that was touched, which begins with page `first` of the memory: whether that was
    /// possible, and there was nothing in its place.
    fn insert_next_folio(&self, first: usize) -> bool {
        const BYTES: usize = PMD_PAGES * PAGE_SIZE;
        let from = self.address() & !(BYTES - 1);
        if self.bounds().1.wrapping_sub(from) < 2 * BYTES {
            return false;
        }
        let Some(page) = self
            .mappable
            .memory()
            .struct_page(first.wrapping_add(PMD_PAGES))
        else {
            return false;
        };
        // SAFETY: As for the folio that was touched; that the VMA has all of this one as well was just made sure.
        unsafe { ffi::mapkit_vmf_insert_next_folio_pmd(self.vmf, page) }
    }

    /// Inserts the huge page that was touched, if the memory and the VMA have all of it.
    pub(super) fn insert_pmd(&self) -> FaultResult {
        self.while_there(|| self.insert_pmd_now())
    }

    fn insert_pmd_now(&self) -> FaultResult {
        let Some(pfn) = self.huge_pfn(PMD_PAGES) else {
            return FALLBACK;
        };
        // SAFETY: The VMA is locked for reading, has `VM_PFNMAP` and is not copy-on-write, and
        // `huge_pfn` made sure that all of the huge page is inside it, and that the frames are an
        // aligned block of the backing. They may be shown to programs and stay allocated while the
        // VMA holds its reference.
        let result = unsafe { bindings::vmf_insert_pfn_pmd(self.vmf, pfn, self.is_write()) };
        let is_mapped = result & (ERROR | FALLBACK) == 0;
        self.done(result, if is_mapped { PMD_PAGES } else { 0 })
    }

    /// The first frame of the aligned block of frames for the huge page of `nr_pages` pages that was touched.
    #[inline]
    pub(super) fn huge_pfn(&self, nr_pages: usize) -> Option<usize> {
        let run = self.mappable.memory().run_at(self.huge_page(nr_pages)?)?;
        (run.nr_pages >= nr_pages && run.pfn % nr_pages == 0).then_some(run.pfn)
    }

    /// The page of the backing that the huge page of `nr_pages` pages that was touched begins with, if the VMA has all of
    /// that.
    #[inline]
    fn huge_page(&self, nr_pages: usize) -> Option<usize> {
        let within = nr_pages.wrapping_mul(PAGE_SIZE).wrapping_sub(1);
        let from = self.address() & !within;
        let last = from | within;
        let (start, end) = self.bounds();
        if from < start || last >= end {
            return None;
        }
        let within = self.address().wrapping_sub(from) / PAGE_SIZE;
        self.page()?.checked_sub(within)
    }
}
