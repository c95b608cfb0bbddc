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
//!
//! # Examples
//!
//! An `mmap` hook that gives a buffer to programs, by its frame numbers where that can be:
//!
//! ```
//! use kernel::{prelude::*, sync::Arc};
//! use mapkit::{
//!     backing::{Mappable, MappingEvents},
//!     vma::{Mapped, NewVma},
//! };
//!
//! fn mmap<'a>(vma: NewVma<'a>, buffer: &Arc<Mappable<impl MappingEvents>>) -> Result<Mapped<'a>> {
//!     vma.deny_exec()?;
//!     if vma.is_copy_on_write() {
//!         // The kernel must be able to copy a page when it is written to.
//!         vma.into_mixedmap(buffer.clone())?.insert_pages_on_fault()
//!     } else {
//!         vma.into_pfnmap(buffer.clone())?.remap_pfn_range()
//!     }
//! }
//! ```
//!
//! A VMA of frame numbers has no way to take a page:
//!
//! ```compile_fail,E0599
//! # use kernel::{prelude::*, sync::Arc};
//! # use mapkit::{
//! #     backing::{Mappable, MappingEvents},
//! #     vma::{Mapped, NewVma},
//! # };
//! fn mmap<'a>(vma: NewVma<'a>, buffer: Arc<Mappable<impl MappingEvents>>) -> Result<Mapped<'a>> {
//!     vma.into_pfnmap(buffer)?.vm_insert_pages()
//! }
//! ```

use crate::{
    backing::{
        Mappable,
        MappingEvents, //
    },
    batch::Batch,
    caching::Caching,
    fault::{
        Eager,
        Filler,
        WithHeldPfns,
        WithHugePages,
        WithPages,
        WithPfns, //
    },
    ffi,
    register_page::{
        self,
        RegisterPage, //
    },
    space::Space,
    task::between_pieces, //
};
use core::{
    marker::PhantomData,
    ops::Range, //
};
use kernel::{
    bindings,
    error::to_result,
    ffi::c_void,
    mm::virt::{
        flags,
        vm_flags_t,
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
/// is mapped in it. It is found in `space`, if there is one.
pub struct NewVma<'a> {
    vma: &'a VmaNew,
    space: Option<&'a Arc<Space>>,
}

impl<'a> NewVma<'a> {
    /// Wraps the argument of an `f_ops->mmap()` hook, for a file that has adopted `space`, or none.
    ///
    /// # Safety
    ///
    /// `vma` must be the argument of an `f_ops->mmap()` hook that does not return before the end of
    /// `'a` and that uses it in no other way, and `space` that of its file.
    pub(crate) unsafe fn from_raw(
        vma: *mut bindings::vm_area_struct,
        space: Option<&'a Arc<Space>>,
    ) -> Self {
        // INVARIANT: By the requirement of this function; a fresh VMA is empty.
        Self {
            // SAFETY: By the requirement of this function it is undergoing initialization.
            vma: unsafe { VmaNew::from_raw(vma) },
            space,
        }
    }

    /// Pages that it covers.
    #[inline]
    pub fn nr_pages(&self) -> usize {
        self.vma.end().wrapping_sub(self.vma.start()) / PAGE_SIZE
    }

    /// Offset that the program asked for, in pages.
    #[inline]
    pub fn pgoff(&self) -> usize {
        // SAFETY: By the type invariant the VMA is valid, and nobody else changes it.
        unsafe { (*self.vma.as_ptr()).vm_pgoff }
    }

    /// Whether the program asked for `PROT_WRITE`.
    pub fn is_writable(&self) -> bool {
        self.vma.writable()
    }

    /// Whether a store would make a private copy of a page: `MAP_PRIVATE` with a chance to write.
    ///
    /// The condition of `is_cow_mapping()` in `include/linux/mm.h`.
    #[inline]
    pub fn is_copy_on_write(&self) -> bool {
        self.vma.flags() & (flags::SHARED | flags::MAYWRITE) == flags::MAYWRITE
    }

    /// Sets the memory type of the pages that will be mapped.
    #[inline]
    fn set_caching(&self, caching: Caching) {
        let vma = self.vma.as_ptr();
        // SAFETY: The VMA is undergoing initialization and nobody else changes it.
        unsafe {
            let prot = (*vma).vm_page_prot;
            (*vma).vm_page_prot = match caching {
                Caching::WriteBack => return,
                Caching::WriteCombine => ffi::mapkit_pgprot_writecombine(prot),
                Caching::Uncached => ffi::mapkit_pgprot_noncached(prot),
            };
        }
    }

    /// Takes out all that is mapped.
    ///
    /// The threads of this process see page-table entries at once, even before the VMA is in place.
    /// They must be gone before the memory can be.
    fn zap(&self) {
        let Range { start, end } = self.addresses();
        self.vma.zap_vma_range(start, end.wrapping_sub(start));
    }

    /// The addresses that it covers.
    fn addresses(&self) -> Range<usize> {
        self.vma.start()..self.vma.end()
    }

    /// Makes sure that it is not and never becomes executable.
    ///
    /// `EPERM` if the program asked for `PROT_EXEC`; a later `mprotect(2)` that does gets `EACCES`.
    #[inline]
    pub fn deny_exec(&self) -> Result {
        self.vma.try_clear_mayexec().map_err(|_| EPERM)
    }

    /// Makes it a VMA of page frame numbers, to be filled from `mappable`.
    ///
    /// `EINVAL` if it is copy-on-write, or reaches beyond the memory.
    pub fn into_pfnmap<T: MappingEvents>(
        self,
        mappable: Arc<Mappable<T>>,
    ) -> Result<PfnMapVma<'a, T>> {
        if self.is_copy_on_write() {
            return Err(EINVAL);
        }
        // `remap_pfn_range()` would set these, and `VM_PFNMAP` and `VM_IO`; a fault handler would not.
        self.vma.set_dontexpand();
        self.vma.set_dontdump();
        Ok(PfnMapVma(Filling::new(self, mappable)?))
    }

    /// Makes it a VMA of the page of registers `page`, mapped uncached when it is touched and for as
    /// long as its device is there; after that, touching it is `SIGBUS`.
    ///
    /// `EINVAL` if it is copy-on-write, longer than the page or at another offset than 0; `EACCES` if
    /// it is writable and `writable` is not; `ENODEV` if the device is gone; `EXDEV` if its file has no
    /// [`Space`].
    pub fn into_register_page(self, page: Arc<RegisterPage>, writable: bool) -> Result<Mapped<'a>> {
        if self.is_copy_on_write() || self.nr_pages() != 1 || self.pgoff() != 0 {
            return Err(EINVAL);
        }
        if !writable {
            self.vma.try_clear_maywrite().map_err(|_| EACCES)?;
        }
        let vma = self.vma.as_ptr();
        page.vma_begins(self.space.ok_or(EXDEV)?)?;
        self.vma.set_dontexpand();
        self.vma.set_dontdump();
        self.set_caching(Caching::Uncached);
        // SAFETY: The VMA is undergoing initialization and nobody else changes it.
        unsafe { (*vma).__bindgen_anon_2.vm_flags |= flags::PFNMAP | flags::IO };
        // INVARIANT: The operations are those for a pointer of `Arc::into_raw()` of this type, which
        // nobody else has, of a VMA that was counted.
        Ok(Mapped {
            vma: self,
            private: Arc::into_raw(page).cast_mut().cast(),
            operations: register_page::OPERATIONS,
        })
    }

    /// Makes it a VMA of counted pages, to be filled from `mappable`.
    ///
    /// `EINVAL` if these pages have no reference count of their own, as memory has none that is not cached as
    /// usual, or it reaches beyond the memory.
    pub fn into_mixedmap<T: MappingEvents>(
        self,
        mappable: Arc<Mappable<T>>,
    ) -> Result<MixedMapVma<'a, T>> {
        if !mappable.refcounted() {
            return Err(EINVAL);
        }
        self.vma.set_mixedmap();
        self.vma.set_dontexpand();
        self.vma.set_dontdump();
        Ok(MixedMapVma(Filling::new(self, mappable)?))
    }
}

/// Pages that one call of `remap_pfn_range()` maps at most: 64 MiB with pages of 4 KiB, which takes some milliseconds.
const REMAP_PIECE: usize = 1 << 14;

/// A VMA of page frame numbers.
pub struct PfnMapVma<'a, T: MappingEvents>(Filling<'a, T>);

impl<'a, T: MappingEvents> PfnMapVma<'a, T> {
    /// Maps all of it now, with a call of `remap_pfn_range()` per physically contiguous run, or more of a long
    /// one.
    ///
    /// `ENOMEM` if a page table could not be allocated, `EINVAL` for memory of the DMA API, `EINTR` if the
    /// caller is killed meanwhile.
    pub fn remap_pfn_range(self) -> Result<Mapped<'a>> {
        let Self(mut filling) = self;
        filling.expect_no_dma()?;
        let vma = filling.vma();
        let mut pages = filling.pages.clone();
        while !pages.is_empty() {
            let piece = pages.start..pages.end.min(pages.start.saturating_add(REMAP_PIECE));
            // The first run of the piece, which is not empty.
            let run = filling.mappable.runs(piece).next().ok_or(EINVAL)?;
            let bytes = run.nr_pages.wrapping_mul(PAGE_SIZE);
            // SAFETY: The VMA is undergoing initialization, so this has its lock. The frames may be
            // shown to programs by the promise of `Backing`. They stay allocated while they are
            // mapped: `filling` holds a reference and either hands it to the VMA or clears the
            // mapping. The VMA is not copy-on-write and nothing but frame numbers is inserted.
            // The runs together are as long as the VMA, so the range is inside.
            to_result(unsafe {
                bindings::remap_pfn_range(vma, filling.next, run.pfn, bytes, (*vma).vm_page_prot)
            })?;
            filling.next = filling.next.wrapping_add(bytes);
            pages.start = pages.start.saturating_add(run.nr_pages);
            if !pages.is_empty() {
                between_pieces()?;
            }
        }
        Ok(filling.finish::<Eager>())
    }

    /// Maps all of it now, with a call of `dma_mmap_attrs()`; or, if the memory can be
    /// [taken back](crate::backing::Backing::revocable), a page when it is touched, and those around it, with
    /// `vmf_insert_pfn()`: only a page fault finds out whether it was. Either way with the memory type of the DMA
    /// API, and with no page counted.
    ///
    /// `EINVAL` if the memory is not DMA memory, or cannot be mapped so. `ENODEV` if it was taken back, `EXDEV` if
    /// the file of the VMA has no [`Space`].
    pub fn dma_mmap(self) -> Result<Mapped<'a>> {
        let Self(filling) = self;
        match filling.mappable.memory().revocable() {
            Some(_) => Self::insert_dma_pfns_on_fault(filling),
            None => Self::dma_mmap_attrs(filling),
        }
    }

    fn dma_mmap_attrs(filling: Filling<'a, T>) -> Result<Mapped<'a>> {
        let vma = filling.vma();
        // SAFETY: The VMA is undergoing initialization and nobody else changes it. It is not
        // copy-on-write, and `filling.pages` are pages of the backing, as many as the VMA has.
        let (mapped, now) = unsafe {
            // The DMA API takes the offset in the buffer from where others have that in the file.
            let pgoff = (*vma).vm_pgoff;
            (*vma).vm_pgoff = filling.pages.start;
            let mapped = filling.mappable.memory().dma_mmap(vma);
            (*vma).vm_pgoff = pgoff;
            (mapped, (*vma).__bindgen_anon_2.vm_flags)
        };
        to_result(mapped.ok_or(EINVAL)?)?;
        // What an IOMMU has put together is mapped as counted pages, which this type promises not to do.
        if now & flags::MIXEDMAP != 0 {
            return Err(EINVAL);
        }
        Ok(filling.finish::<Eager>())
    }

    fn insert_dma_pfns_on_fault(filling: Filling<'a, T>) -> Result<Mapped<'a>> {
        let mappable = &filling.mappable;
        let space = filling.vma.0.space.ok_or(EXDEV)?;
        let revocable = mappable.memory().revocable().ok_or(EINVAL)?;
        revocable.map_in(space, mappable.base_pgoff())?;
        let vma = filling.vma();
        // SAFETY: The VMA is undergoing initialization and nobody else changes it.
        unsafe { (*vma).vm_page_prot = mappable.hold()?.dma_prot((*vma).vm_page_prot)? };
        filling.set_flags(flags::PFNMAP | flags::IO);
        Ok(filling.finish::<WithHeldPfns>())
    }

    /// Maps a page when it is touched, and those around it, with `vmf_insert_pfn()`.
    ///
    /// `EINVAL` for memory of the DMA API.
    pub fn insert_pfns_on_fault(self) -> Result<Mapped<'a>> {
        let Self(filling) = self;
        filling.expect_no_dma()?;
        filling.set_flags(flags::PFNMAP | flags::IO);
        Ok(filling.finish::<WithPfns>())
    }

    /// Maps a huge page when it is touched, with `vmf_insert_pfn_pmd()`, where the memory has an
    /// aligned block that large and the VMA room for it. Elsewhere, and on kernels without huge
    /// pages, as [`insert_pfns_on_fault`](Self::insert_pfns_on_fault).
    ///
    /// `EINVAL` for memory of the DMA API.
    pub fn insert_huge_pages_on_fault(self) -> Result<Mapped<'a>> {
        let Self(filling) = self;
        filling.expect_no_dma()?;
        filling.set_flags(flags::PFNMAP | flags::IO);
        Ok(filling.finish::<WithHugePages>())
    }
}

/// A VMA of counted pages.
pub struct MixedMapVma<'a, T: MappingEvents>(Filling<'a, T>);

impl<'a, T: MappingEvents> MixedMapVma<'a, T> {
    /// Maps all of it now, with a call of `vm_insert_pages()` for a batch of pages.
    ///
    /// `ENOMEM` if a page table could not be allocated, `EINTR` if the caller is killed meanwhile.
    pub fn vm_insert_pages(self) -> Result<Mapped<'a>> {
        let Self(mut filling) = self;
        let mut batch = Batch::new();
        let mut pages = filling.pages.clone();
        while !pages.is_empty() {
            between_pieces()?;
            batch.fill(filling.mappable.memory(), pages.clone());
            if batch.is_empty() {
                return Err(EINVAL);
            }
            filling.insert(&mut batch)?;
            pages.start = pages.start.saturating_add(batch.len());
        }
        Ok(filling.finish::<Eager>())
    }

    /// Maps all of it now, with a call of `remap_vmalloc_range()`.
    ///
    /// `EINVAL` if the memory is not vmalloc memory for user space.
    pub fn remap_vmalloc_range(self) -> Result<Mapped<'a>> {
        let Self(filling) = self;
        let (vma, first) = (filling.vma(), filling.pages.start);
        // SAFETY: The VMA is undergoing initialization, and `filling.pages` are pages of the backing,
        // as many as the VMA has.
        let mapped = unsafe { filling.mappable.memory().remap_vmalloc_range(vma, first) };
        to_result(mapped.ok_or(EINVAL)?)?;
        Ok(filling.finish::<Eager>())
    }

    /// Maps a page when it is touched, and those around it.
    pub fn insert_pages_on_fault(self) -> Result<Mapped<'a>> {
        let Self(filling) = self;
        Ok(filling.finish::<WithPages>())
    }
}

/// A VMA that is being filled. Until [`finish`](Self::finish), dropping it takes out what was mapped,
/// and only then the reference to the memory.
///
/// # Invariants
///
/// What is mapped in the VMA is memory of `mappable`.
struct Filling<'a, T: MappingEvents> {
    // Before `mappable`, so that it is dropped first.
    vma: ZapOnDrop<'a>,
    mappable: Arc<Mappable<T>>,
    /// The pages of the memory that fill the VMA.
    pages: Range<usize>,
    /// The address to map next.
    next: usize,
}

impl<'a, T: MappingEvents> Filling<'a, T> {
    /// `EINVAL` if the memory does not reach from the VMA's offset to its end.
    #[inline(always)]
    fn new(vma: NewVma<'a>, mappable: Arc<Mappable<T>>) -> Result<Self> {
        let first = mappable.page_at(vma.pgoff()).ok_or(EINVAL)?;
        let end = first.checked_add(vma.nr_pages()).ok_or(EINVAL)?;
        if end > mappable.nr_pages() {
            return Err(EINVAL);
        }
        let next = vma.vma.start();
        vma.set_caching(mappable.caching());
        // INVARIANT: Nothing is mapped in a `NewVma`.
        Ok(Self {
            vma: ZapOnDrop(vma),
            mappable,
            pages: first..end,
            next,
        })
    }

    fn vma(&self) -> *mut bindings::vm_area_struct {
        self.vma.0.vma.as_ptr()
    }

    /// `EINVAL` if only the DMA API knows what memory type its mappings must have.
    fn expect_no_dma(&self) -> Result {
        match self.mappable.is_dma() {
            true => Err(EINVAL),
            false => Ok(()),
        }
    }

    fn set_flags(&self, set: vm_flags_t) {
        // SAFETY: The VMA is undergoing initialization and nobody else changes it.
        unsafe { (*self.vma()).__bindgen_anon_2.vm_flags |= set };
    }

    /// Inserts a batch of pages of `mappable` at `next`. The VMA must have `VM_MIXEDMAP`.
    fn insert(&mut self, batch: &mut Batch) -> Result {
        // SAFETY: The VMA is undergoing initialization. `self` holds a reference to the memory and
        // either hands it to the VMA or clears the mapping.
        let (err, inserted) = unsafe { batch.insert(self.vma(), self.next) };
        self.next = self.next.wrapping_add(inserted.wrapping_mul(PAGE_SIZE));
        // It also says EFAULT when it gets no page for a page table of a higher level. What else that
        // means, an address outside of the VMA, cannot be.
        to_result(err).map_err(|err| if err == EFAULT { ENOMEM } else { err })
    }

    /// The VMA has all that it gets at `mmap(2)`; `F` does the rest.
    fn finish<F: Filler<T> + 'static>(self) -> Mapped<'a> {
        self.mappable.vma_opened(self.vma.0.addresses());
        // INVARIANT: The operations are those for a pointer of `Arc::into_raw()` of this type, which
        // nobody else has.
        Mapped {
            vma: self.vma.into_inner(),
            private: Arc::into_raw(self.mappable).cast_mut().cast(),
            operations: Operations::<T, F>::TABLE,
        }
    }
}

/// A VMA from which all that is mapped is taken out if it is dropped.
struct ZapOnDrop<'a>(NewVma<'a>);

impl Drop for ZapOnDrop<'_> {
    fn drop(&mut self) {
        self.0.zap();
    }
}

impl<'a> ZapOnDrop<'a> {
    /// The VMA, with what is mapped in it.
    fn into_inner(self) -> NewVma<'a> {
        let NewVma { vma, space } = self.0;
        let vma = NewVma { vma, space };
        core::mem::forget(self);
        vma
    }
}

/// A VMA that is as it should be when `mmap(2)` returns. If it is dropped instead of returned from the
/// hook, nothing stays mapped.
///
/// # Invariants
///
/// `operations` are those for VMAs with the private data `private`, which is a reference that keeps
/// alive what is mapped in the VMA. Neither has been given to it yet.
#[must_use = "it has to be returned from the mmap hook"]
pub struct Mapped<'a> {
    vma: NewVma<'a>,
    private: *mut c_void,
    operations: &'static bindings::vm_operations_struct,
}

impl Mapped<'_> {
    /// Gives the VMA its operations and its reference to the memory.
    pub(crate) fn commit(self) {
        self.set_private_data();
        // SAFETY: The VMA is undergoing initialization and nobody else changes it. By the type
        // invariant the operations fit the private data.
        unsafe { (*self.vma.vma.as_ptr()).vm_ops = self.operations };
        // What is mapped stays, and the reference is the VMA's now.
        core::mem::forget(self);
    }

    fn set_private_data(&self) {
        // SAFETY: The VMA is undergoing initialization and nobody else changes it.
        unsafe { (*self.vma.vma.as_ptr()).vm_private_data = self.private };
    }
}

impl Drop for Mapped<'_> {
    fn drop(&mut self) {
        self.vma.zap();
        self.set_private_data();
        if let Some(close) = self.operations.close {
            // SAFETY: By the type invariant the private data is what the operation expects. The VMA has
            // not been given the operation, so that nobody else calls it.
            unsafe { close(self.vma.vma.as_ptr()) };
        }
    }
}

/// The addresses that a VMA covers.
///
/// # Safety
///
/// `vma` must be valid and locked for reading.
unsafe fn addresses(vma: *const bindings::vm_area_struct) -> Range<usize> {
    // SAFETY: By the requirement of this function.
    let bounds = unsafe { (*vma).__bindgen_anon_1.__bindgen_anon_1 };
    bounds.vm_start..bounds.vm_end
}

/// The `vm_operations_struct` of a VMA that holds a reference to a `Mappable<T>` and is filled by
/// `F`.
struct Operations<T, F>(PhantomData<(T, F)>);

impl<T: MappingEvents, F: Filler<T>> Operations<T, F> {
    const TABLE: &'static bindings::vm_operations_struct = &bindings::vm_operations_struct {
        open: Some(Self::open),
        close: Some(Self::close),
        fault: F::FAULT,
        huge_fault: F::HUGE_FAULT,
        ..pin_init::zeroed()
    };

    /// A copy of a VMA came to be, by a fork, a split or a move.
    ///
    /// # Safety
    ///
    /// `vma` must be a VMA that `Mapped::commit` made, or a copy of one.
    unsafe extern "C" fn open(vma: *mut bindings::vm_area_struct) {
        // SAFETY: By the requirement of this function this is a pointer of `Arc::into_raw()`, kept
        // alive by the reference of the VMA that this one is a copy of.
        let mappable =
            unsafe { ArcBorrow::<'_, Mappable<T>>::from_raw((*vma).vm_private_data.cast()) };
        // SAFETY: By the requirement of this function; the VMA is locked.
        mappable.vma_opened(unsafe { addresses(vma) });
        // The reference of the new VMA, dropped in `close`.
        let _ = Arc::into_raw(Arc::from(mappable));
    }

    /// A VMA ends. What it mapped was taken out before.
    ///
    /// # Safety
    ///
    /// `vma` must be valid and locked, and its private data a pointer of `Arc::<Mappable<T>>::into_raw()`
    /// whose reference is not used again.
    unsafe extern "C" fn close(vma: *mut bindings::vm_area_struct) {
        // SAFETY: By the requirement of this function.
        let mappable = unsafe { Arc::<Mappable<T>>::from_raw((*vma).vm_private_data.cast()) };
        // SAFETY: By the requirement of this function.
        mappable.vma_closed(unsafe { addresses(vma) });
    }
}
