// SPDX-License-Identifier: GPL-2.0-only

//! What both kinds of VMAs are filled with, and the operations that keep it alive.

use crate::{
    map::{
        access::access,
        batch::Batch,
        filler::Filler,
        vma::{
            addresses,
            Mapped,
            NewVma,
            ZapOnDrop, //
        }, //
    },
    memory::mappable::{
        Mappable,
        MappingEvents, //
    }, //
};
use core::{
    marker::PhantomData,
    ops::Range, //
};
use kernel::{
    bindings,
    error::to_result,
    mm::virt::vm_flags_t,
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        Arc,
        ArcBorrow, //
    }, //
};

/// A VMA that is being filled. Until [`finish`](Self::finish), dropping it takes out what was mapped,
/// and only then the reference to the memory.
///
/// # Invariants
///
/// What is mapped in the VMA is memory of `mappable`.
pub(super) struct Filling<'a, T: MappingEvents> {
    // Before `mappable`, so that it is dropped first.
    pub(super) vma: ZapOnDrop<'a>,
    pub(super) mappable: Arc<Mappable<T>>,
    /// The pages of the memory that fill the VMA.
    pub(super) pages: Range<usize>,
    /// The address to map next.
    pub(super) next: usize,
}

impl<'a, T: MappingEvents> Filling<'a, T> {
    /// `EINVAL` if the memory does not reach from the VMA's offset to its end.
    #[inline(always)]
    pub(super) fn new(vma: NewVma<'a>, mappable: Arc<Mappable<T>>) -> Result<Self> {
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

    pub(super) fn vma(&self) -> *mut bindings::vm_area_struct {
        self.vma.0.vma.as_ptr()
    }

    /// `EINVAL` if only the DMA API knows what memory type its mappings must have.
    pub(super) fn expect_no_dma(&self) -> Result {
        match self.mappable.is_dma() {
            true => Err(EINVAL),
            false => Ok(()),
        }
    }

    pub(super) fn set_flags(&self, set: vm_flags_t) {
        // SAFETY: The VMA is undergoing initialization and nobody else changes it.
        unsafe { (*self.vma()).__bindgen_anon_2.vm_flags |= set };
    }

    /// Inserts a batch of pages of `mappable` at `next`. The VMA must have `VM_MIXEDMAP`.
    pub(super) fn insert(&mut self, batch: &mut Batch) -> Result {
        // SAFETY: The VMA is undergoing initialization. `self` holds a reference to the memory and
        // either hands it to the VMA or clears the mapping.
        let (err, inserted) = unsafe { batch.insert(self.vma(), self.next) };
        self.next = self.next.wrapping_add(inserted.wrapping_mul(PAGE_SIZE));
        // It also says EFAULT when it gets no page for a page table of a higher level. What else that
        // means, an address outside of the VMA, cannot be.
        to_result(err).map_err(|err| if err == EFAULT { ENOMEM } else { err })
    }

    /// The VMA has all that it gets at `mmap(2)`; `F` does the rest.
    pub(super) fn finish<F: Filler<T> + 'static>(self) -> Mapped<'a> {
        self.mappable.vma_opened(self.vma.0.addresses());
        let vma = self.vma.into_inner();
        let private = Arc::into_raw(self.mappable).cast_mut().cast();
        // SAFETY: The operations are those for a pointer of `Arc::into_raw()` of this type, which nobody else
        // has; by the type invariant, what is mapped is memory of it.
        unsafe { Mapped::new(vma, private, Operations::<T, F>::TABLE) }
    }
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
        may_split: F::MAY_SPLIT,
        access: Some(access::<T>),
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
        if cfg!(not(planted_fork_reference)) {
            let _ = Arc::into_raw(Arc::from(mappable));
        }
        // SAFETY: By the requirement of this function; nothing is mapped in it yet.
        unsafe { F::copied(vma) };
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
