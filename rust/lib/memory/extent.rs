// SPDX-License-Identifier: GPL-2.0-only

//! Pages at consecutive kernel addresses.

use crate::{
    ffi,
    memory::backing::{
        AddressClass,
        KernelRange, //
    }, //
};
use core::ptr::NonNull;
use kernel::{
    bindings,
    ffi::c_void,
    page::PAGE_SIZE,
    prelude::*, //
};

/// Whole pages, one after the other from an address on.
#[derive(Clone, Copy)]
pub(crate) struct Extent {
    addr: NonNull<u8>,
    nr_pages: usize,
}

impl Extent {
    /// `nr_pages` pages from `addr` on. `ENOMEM` if that is null, as after an allocation that failed.
    pub(crate) fn new(addr: *mut c_void, nr_pages: usize) -> Result<Self> {
        let addr = NonNull::new(addr.cast()).ok_or(ENOMEM)?;
        Ok(Self { addr, nr_pages })
    }

    /// The first address.
    pub(crate) fn as_ptr(&self) -> *mut c_void {
        self.addr.as_ptr().cast()
    }

    /// How many pages.
    pub(crate) fn nr_pages(&self) -> usize {
        self.nr_pages
    }

    /// How many bytes: that many were allocated.
    pub(crate) fn bytes(&self) -> usize {
        self.nr_pages.wrapping_mul(PAGE_SIZE)
    }

    /// The address of page `page`, and how many pages there are from there on, if it is one of them.
    #[inline]
    pub(crate) fn locate(&self, page: usize) -> Option<(NonNull<u8>, usize)> {
        let left = self.nr_pages.checked_sub(page).filter(|left| *left > 0)?;
        let within = page.wrapping_mul(PAGE_SIZE);
        let addr = NonNull::new(self.addr.as_ptr().wrapping_add(within))?;
        Some((addr, left))
    }

    /// Where they lie.
    pub(crate) fn address_class(&self) -> AddressClass {
        // SAFETY: Any pointer may be asked about.
        match unsafe { bindings::is_vmalloc_addr(self.as_ptr()) } {
            true => AddressClass::Vmalloc,
            false => AddressClass::DirectMap,
        }
    }

    /// The frame of page `page`, if it is one of them.
    ///
    /// # Safety
    ///
    /// The pages must be mapped: in the direct map, if they are not in the vmalloc area.
    pub(crate) unsafe fn pfn_of(&self, page: usize) -> Option<usize> {
        let (addr, _) = self.locate(page)?;
        let addr = addr.as_ptr().cast::<c_void>();
        Some(match self.address_class() {
            // SAFETY: It is one of the pages, which are mapped by the requirement of this function.
            AddressClass::Vmalloc => unsafe { bindings::vmalloc_to_pfn(addr) },
            // SAFETY: By the requirement of this function it is in the direct map.
            AddressClass::DirectMap => unsafe { ffi::mapkit_virt_to_pfn(addr) },
        })
    }

    /// The addresses from page `page` on, if it is one of them.
    pub(crate) fn range_at(&self, page: usize) -> Option<KernelRange> {
        let (addr, left) = self.locate(page)?;
        let len = left.wrapping_mul(PAGE_SIZE);
        Some(KernelRange { addr, len })
    }

    /// The address of page `page` for a device that finds the first of them at `first`, if it is one of them.
    pub(crate) fn dma_addr(&self, first: bindings::dma_addr_t, page: usize) -> Option<u64> {
        #[allow(
            clippy::unnecessary_cast,
            reason = "`dma_addr_t` has 32 bits on some machines"
        )]
        let first = first as u64;
        let offset = u64::try_from(page).ok()?.checked_mul(PAGE_SIZE as u64)?;
        first.checked_add(offset).filter(|_| page < self.nr_pages)
    }
}
