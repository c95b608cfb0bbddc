// SPDX-License-Identifier: GPL-2.0-only

//! The VMA of an `mmap(2)` call, as types that only allow what is sound for it.
//!
//! A driver gets a [`NewVma`] and turns it into one of two kinds:
//!
//! - [`PfnMapVma`] takes page frames by number, without looking at their `struct page`
//!   (`VM_PFNMAP`). It has no page insertion, and cannot be had for a copy-on-write mapping, where
//!   the kernel would have to copy pages it must not look at.
//! - [`MixedMapVma`] takes pages that have a reference count (`VM_MIXEDMAP`). The kernel counts and
//!   finds these, so that `O_DIRECT`, pins and copy-on-write work.
//!
//! Both are filled from a [`Mappable`], which the VMA keeps alive until it ends: its `open` and
//! `close` operations count the references of forked, split and moved VMAs.

use crate::{
    backing::{
        Mappable,
        MappingEvents, //
    },
    ffi, //
};
use core::{
    marker::PhantomData,
    ops::Range, //
};
use kernel::{
    bindings,
    error::to_result,
    mm::virt::{
        flags,
        VmaNew, //
    },
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        Arc,
        ArcBorrow, //
    }, //
};

/// A VMA that `mmap(2)` is setting up, of no kind yet.
///
/// # Invariants
///
/// For the duration of `'a`, the VMA is undergoing initialization in an `f_ops->mmap()` hook, and
/// this is the only wrapper that changes it. It has no operations and no private data, and nothing
/// is mapped in it.
pub struct NewVma<'a> {
    vma: &'a VmaNew,
}

impl<'a> NewVma<'a> {
    /// Wraps the argument of an `f_ops->mmap()` hook.
    ///
    /// # Safety
    ///
    /// `vma` must be the argument of an `f_ops->mmap()` hook that does not return before the end of
    /// `'a` and that uses it in no other way.
    pub(crate) unsafe fn from_raw(vma: *mut bindings::vm_area_struct) -> Self {
        // INVARIANT: By the requirement of this function; a fresh VMA is empty.
        Self {
            // SAFETY: By the requirement of this function it is undergoing initialization.
            vma: unsafe { VmaNew::from_raw(vma) },
        }
    }

    /// Pages that it covers.
    pub fn nr_pages(&self) -> usize {
        self.vma.end().wrapping_sub(self.vma.start()) / PAGE_SIZE
    }

    /// Offset that the program asked for, in pages.
    pub fn pgoff(&self) -> usize {
        // SAFETY: By the type invariant the VMA is valid, and nobody else changes it.
        unsafe { (*self.vma.as_ptr()).vm_pgoff }
    }

    /// Whether a store would make a private copy of a page: `MAP_PRIVATE` with a chance to write.
    ///
    /// The condition of `is_cow_mapping()` in `include/linux/mm.h`.
    pub fn is_copy_on_write(&self) -> bool {
        self.vma.flags() & (flags::SHARED | flags::MAYWRITE) == flags::MAYWRITE
    }

    /// Makes sure that it is not and never becomes executable.
    ///
    /// `EPERM` if the program asked for `PROT_EXEC`; a later `mprotect(2)` that does gets `EACCES`.
    pub fn deny_exec(&self) -> Result {
        self.vma.try_clear_mayexec().map_err(|_| EPERM)
    }

    /// Makes it a VMA of page frame numbers, to be filled from `mappable`.
    ///
    /// `EINVAL` if it is copy-on-write.
    pub fn into_pfnmap<T: MappingEvents>(
        self,
        mappable: Arc<Mappable<T>>,
    ) -> Result<PfnMapVma<'a, T>> {
        if self.is_copy_on_write() {
            return Err(EINVAL);
        }
        // What else a PFN map needs (`VM_IO`, `VM_PFNMAP`, `VM_DONTEXPAND`, `VM_DONTDUMP`),
        // `remap_pfn_range()` sets.
        self.vma.set_dontexpand();
        self.vma.set_dontdump();
        Ok(PfnMapVma(Filling::new(self, mappable)))
    }

    /// Makes it a VMA of counted pages, to be filled from `mappable`.
    ///
    /// `EINVAL` if these pages have no reference count of their own.
    pub fn into_mixedmap<T: MappingEvents>(
        self,
        mappable: Arc<Mappable<T>>,
    ) -> Result<MixedMapVma<'a, T>> {
        if !mappable.backing().refcounted() {
            return Err(EINVAL);
        }
        self.vma.set_mixedmap();
        self.vma.set_dontexpand();
        self.vma.set_dontdump();
        Ok(MixedMapVma(Filling::new(self, mappable)))
    }
}

/// A VMA of page frame numbers.
pub struct PfnMapVma<'a, T: MappingEvents>(Filling<'a, T>);

impl<T: MappingEvents> PfnMapVma<'_, T> {
    /// Maps all of the VMA to the pages from `first` on, a call of `remap_pfn_range()` per
    /// physically contiguous run.
    ///
    /// `EINVAL` if there are not enough pages, `ENOMEM` if a page table could not be allocated.
    pub fn remap_pfn_range(self, first: usize) -> Result {
        let Self(mut filling) = self;
        let pages = filling.pages(first)?;
        let vma = filling.vma.vma.as_ptr();
        let mappable = filling.mappable.clone();
        for run in mappable.backing().runs(pages.start, pages.end) {
            let bytes = run.nr_pages.wrapping_mul(PAGE_SIZE);
            // SAFETY: The VMA is undergoing initialization, so this has its lock. The frames may be
            // shown to programs by the promise of `Backing`. They stay allocated while they are
            // mapped: `filling` holds a reference and either hands it to the VMA or clears the
            // mapping. The VMA is not copy-on-write and nothing but frame numbers is inserted.
            // `pages` made sure that the runs together are as long as the VMA, so the range is
            // inside.
            to_result(unsafe {
                bindings::remap_pfn_range(vma, filling.next, run.pfn, bytes, (*vma).vm_page_prot)
            })?;
            filling.next = filling.next.wrapping_add(bytes);
        }
        filling.finish()
    }
}

/// A VMA of counted pages.
pub struct MixedMapVma<'a, T: MappingEvents>(Filling<'a, T>);

impl<T: MappingEvents> MixedMapVma<'_, T> {
    /// Maps all of the VMA to the pages from `first` on, a call of `vm_insert_page()` per page.
    ///
    /// `EINVAL` if there are not enough pages, `ENOMEM` if a page table could not be allocated.
    pub fn vm_insert_page(self, first: usize) -> Result {
        let Self(mut filling) = self;
        let pages = filling.pages(first)?;
        let vma = filling.vma.vma.as_ptr();
        let mappable = filling.mappable.clone();
        for page in pages {
            let run = mappable.backing().run_at(page).ok_or(EINVAL)?;
            // SAFETY: The frames of a refcounted backing have a `struct page`.
            let page = unsafe { ffi::mapkit_pfn_to_page(run.pfn) }.cast::<bindings::page>();
            // SAFETY: The VMA is undergoing initialization, so this has its lock, and has
            // `VM_MIXEDMAP`. The page may be shown to programs, is allocated and has a reference
            // count of its own by the promise of `Backing`; the mapping takes a reference.
            to_result(unsafe { bindings::vm_insert_page(vma, filling.next, page) })?;
            filling.next = filling.next.wrapping_add(PAGE_SIZE);
        }
        filling.finish()
    }
}

/// A VMA that is being filled. Until [`finish`](Self::finish) succeeded, dropping it takes out what
/// was mapped, and only then the reference to the memory.
///
/// # Invariants
///
/// What is mapped in the VMA is memory of `mappable`.
struct Filling<'a, T: MappingEvents> {
    vma: NewVma<'a>,
    mappable: Arc<Mappable<T>>,
    /// The address to map next.
    next: usize,
    finished: bool,
}

impl<'a, T: MappingEvents> Filling<'a, T> {
    fn new(vma: NewVma<'a>, mappable: Arc<Mappable<T>>) -> Self {
        let next = vma.vma.start();
        // INVARIANT: Nothing is mapped in a `NewVma`.
        Self {
            vma,
            mappable,
            next,
            finished: false,
        }
    }

    /// The pages that fill the VMA from page `first` of the memory on.
    fn pages(&self, first: usize) -> Result<Range<usize>> {
        let end = first.checked_add(self.vma.nr_pages()).ok_or(EINVAL)?;
        if end > self.mappable.backing().nr_pages() {
            return Err(EINVAL);
        }
        Ok(first..end)
    }

    /// Gives the VMA its operations and its reference to the memory.
    fn finish(mut self) -> Result {
        if self.next != self.vma.vma.end() {
            return Err(EINVAL);
        }
        self.finished = true;
        self.mappable.vma_opened();
        let vma = self.vma.vma.as_ptr();
        // SAFETY: The VMA is undergoing initialization and nobody else changes it. The operations
        // are static. The private data is what they expect: a pointer of `Arc::into_raw()`, with
        // one reference for this VMA.
        unsafe {
            (*vma).vm_private_data = Arc::into_raw(self.mappable.clone()).cast_mut().cast();
            (*vma).vm_ops = &Operations::<T>::TABLE;
        }
        Ok(())
    }
}

impl<T: MappingEvents> Drop for Filling<'_, T> {
    fn drop(&mut self) {
        if !self.finished {
            // The threads of this process see page-table entries at once, even before the VMA is
            // in place. They must be gone before the memory can be.
            let start = self.vma.vma.start();
            self.vma
                .vma
                .zap_vma_range(start, self.next.wrapping_sub(start));
        }
    }
}

/// The `vm_operations_struct` of a VMA that holds a reference to a `Mappable<T>`.
struct Operations<T>(PhantomData<T>);

impl<T: MappingEvents> Operations<T> {
    const TABLE: bindings::vm_operations_struct = bindings::vm_operations_struct {
        open: Some(Self::open),
        close: Some(Self::close),
        ..pin_init::zeroed()
    };

    /// A copy of a VMA came to be, by a fork, a split or a move.
    ///
    /// # Safety
    ///
    /// `vma` must be a VMA that `Filling::finish` made, or a copy of one.
    unsafe extern "C" fn open(vma: *mut bindings::vm_area_struct) {
        // SAFETY: By the requirement of this function this is a pointer of `Arc::into_raw()`, kept
        // alive by the reference of the VMA that this one is a copy of.
        let mappable =
            unsafe { ArcBorrow::<'_, Mappable<T>>::from_raw((*vma).vm_private_data.cast()) };
        mappable.vma_opened();
        // The reference of the new VMA, dropped in `close`.
        let _ = Arc::into_raw(Arc::from(mappable));
    }

    /// A VMA ends. What it mapped was taken out before.
    ///
    /// # Safety
    ///
    /// `vma` must be a VMA that `Filling::finish` made, or a copy of one that `open` saw.
    unsafe extern "C" fn close(vma: *mut bindings::vm_area_struct) {
        // SAFETY: By the requirement of this function this is a pointer of `Arc::into_raw()` with a
        // reference for this VMA, which is closed only once.
        let mappable = unsafe { Arc::<Mappable<T>>::from_raw((*vma).vm_private_data.cast()) };
        mappable.vma_closed();
    }
}
