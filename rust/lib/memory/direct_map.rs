// SPDX-License-Identifier: GPL-2.0-only

//! Backings whose memory is in the direct map, where addresses and frames go in parallel.

use crate::{
    ffi,
    memory::{
        backing::{
            AddressClass,
            Backing,
            KernelRange,
            Run,
            StructPage, //
        },
        page_cache::inode::InodeCache, //
    }, //
};
use core::{
    mem::MaybeUninit,
    ptr::NonNull, //
};
use kernel::{
    ffi::c_void,
    page::PAGE_SIZE, //
};

/// Memory that was allocated as blocks of the direct map.
///
/// # Safety
///
/// An implementation makes the promises of [`Backing`], of what
/// [`nr_pages`](Self::nr_pages), [`locate`](Self::locate) and [`REFCOUNTED`](Self::REFCOUNTED) say.
pub(crate) unsafe trait DirectMapped: Send + Sync {
    /// See [`Backing::refcounted`].
    const REFCOUNTED: bool;

    /// See [`Backing::nr_pages`].
    fn nr_pages(&self) -> usize;

    /// The address of page `page`, and how many pages are in its block from there on.
    fn locate(&self, page: usize) -> Option<(NonNull<u8>, usize)>;

    /// See [`Backing::page_cache`].
    fn page_cache(&self) -> Option<&InodeCache> {
        None
    }
}

/// Fills `slots` with the `struct page`s from `page` on: those of a block follow each other.
fn fill(slots: &mut [MaybeUninit<StructPage>], page: StructPage) {
    // In eights, which the compiler unrolls: this loop is most of what a mapping costs here.
    const TURN: usize = 8;
    let mut page = page;
    let mut turns = slots.chunks_exact_mut(TURN);
    for turn in &mut turns {
        for (i, slot) in turn.iter_mut().enumerate() {
            slot.write(page.wrapping_add(i));
        }
        page = page.wrapping_add(TURN);
    }
    for (i, slot) in turns.into_remainder().iter_mut().enumerate() {
        slot.write(page.wrapping_add(i));
    }
}

// SAFETY: By the promise of `DirectMapped`. A block is contiguous in the direct map, and so are its
// frames.
unsafe impl<T: DirectMapped> Backing for T {
    fn nr_pages(&self) -> usize {
        DirectMapped::nr_pages(self)
    }

    fn run_at(&self, page: usize) -> Option<Run> {
        let (addr, nr_pages) = self.locate(page)?;
        // SAFETY: `addr` is an address of the direct map, inside an allocated block.
        let pfn = unsafe { ffi::mapkit_virt_to_pfn(addr.as_ptr().cast::<c_void>()) };
        Some(Run { pfn, nr_pages })
    }

    fn struct_pages(&self, first: usize, slots: &mut [MaybeUninit<StructPage>]) -> usize {
        let mut nr_filled = 0usize;
        while let Some(rest) = slots.get_mut(nr_filled..).filter(|_| T::REFCOUNTED) {
            let Some((addr, nr_pages)) = self.locate(first.wrapping_add(nr_filled)) else {
                break;
            };
            // SAFETY: `addr` is an address of the direct map, inside an allocated block.
            let page = unsafe { ffi::mapkit_virt_to_page(addr.as_ptr().cast::<c_void>()) };
            // As a rule, a block has them all.
            if nr_pages >= rest.len() {
                fill(rest, page);
                return slots.len();
            }
            let Some(of_block) = rest.get_mut(..nr_pages) else {
                break;
            };
            fill(of_block, page);
            nr_filled = nr_filled.wrapping_add(nr_pages);
        }
        nr_filled
    }

    fn struct_page(&self, page: usize) -> Option<StructPage> {
        let (addr, _) = self.locate(page).filter(|_| T::REFCOUNTED)?;
        // SAFETY: `addr` is an address of the direct map, inside an allocated block.
        Some(unsafe { ffi::mapkit_virt_to_page(addr.as_ptr().cast::<c_void>()) })
    }

    fn range_at(&self, page: usize) -> Option<KernelRange> {
        let (addr, nr_pages) = self.locate(page)?;
        let len = nr_pages.wrapping_mul(PAGE_SIZE);
        Some(KernelRange { addr, len })
    }

    fn refcounted(&self) -> bool {
        T::REFCOUNTED
    }

    fn page_cache(&self) -> Option<&InodeCache> {
        DirectMapped::page_cache(self)
    }

    fn address_class(&self) -> AddressClass {
        AddressClass::DirectMap
    }
}
