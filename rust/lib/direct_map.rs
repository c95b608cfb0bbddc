// SPDX-License-Identifier: GPL-2.0-only

//! Backings whose memory is in the direct map, where addresses and frames go in parallel.

use crate::{
    backing::{
        AddressClass,
        Backing,
        KernelRange,
        Run,
        StructPage, //
    },
    ffi, //
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
        let mut told = 0usize;
        while let Some(rest) = slots.get_mut(told..).filter(|rest| !rest.is_empty()) {
            let block = match T::REFCOUNTED {
                true => self.locate(first.wrapping_add(told)),
                false => None,
            };
            let Some((addr, nr_pages)) = block else {
                break;
            };
            // SAFETY: `addr` is an address of the direct map, inside an allocated block.
            let page = unsafe { ffi::mapkit_virt_to_page(addr.as_ptr().cast::<c_void>()) };
            let mut page: StructPage = page.cast();
            for slot in rest.iter_mut().take(nr_pages) {
                slot.write(page);
                // The `struct page`s of a block follow each other.
                page = page.wrapping_add(1);
                told = told.wrapping_add(1);
            }
        }
        told
    }

    fn range_at(&self, page: usize) -> Option<KernelRange> {
        let (addr, nr_pages) = self.locate(page)?;
        let len = nr_pages.wrapping_mul(PAGE_SIZE);
        Some(KernelRange { addr, len })
    }

    fn refcounted(&self) -> bool {
        T::REFCOUNTED
    }

    fn address_class(&self) -> AddressClass {
        AddressClass::DirectMap
    }
}
