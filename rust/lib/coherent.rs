// SPDX-License-Identifier: GPL-2.0-only

//! Coherent DMA memory, as a [`Backing`].

use crate::{
    backing::{
        AddressClass,
        Backing,
        KernelRange,
        Run, //
    },
    blocks::GFP_FOR_PROGRAMS,
    dma::DmaDevice,
    extent::Extent,
    ffi, //
};
use kernel::{
    bindings,
    ffi::{
        c_int,
        c_void, //
    },
    page::PAGE_SIZE,
    prelude::*,
    sync::Arc, //
};

/// Zeroed memory of `dma_alloc_coherent()`.
///
/// # Invariants
///
/// `extent`, which is not empty, and `dma_handle` were given by `dma_alloc_attrs()` for `device`, and are
/// owned.
///
/// # Examples
///
/// ```
/// use kernel::{prelude::*, sync::Arc};
/// use mapkit::{
///     backing::Backing,
///     coherent::Coherent,
///     dma::DmaDevice,
/// };
///
/// /// Where a device finds 16 pages that the CPU has, too.
/// fn for_device() -> Result<(Coherent, u64)> {
///     let device = Arc::new(DmaDevice::new(c"example")?, GFP_KERNEL)?;
///     let memory = Coherent::new(&device, 16)?;
///     let dma_addr = memory.dma_addr(0).ok_or(EINVAL)?;
///     Ok((memory, dma_addr))
/// }
/// ```
pub struct Coherent {
    device: Arc<DmaDevice>,
    extent: Extent,
    dma_handle: bindings::dma_addr_t,
}

// SAFETY: DMA memory is not tied to a thread.
unsafe impl Send for Coherent {}
// SAFETY: All methods that take `&self` only read what never changes.
unsafe impl Sync for Coherent {}

impl Coherent {
    /// Allocates `nr_pages` pages for `device`.
    ///
    /// `EINVAL` if that is none, `ENOMEM` if there is not enough contiguous memory.
    pub fn new(device: &Arc<DmaDevice>, nr_pages: usize) -> Result<Self> {
        if nr_pages == 0 {
            return Err(EINVAL);
        }
        let bytes = nr_pages.checked_mul(PAGE_SIZE).ok_or(ENOMEM)?;
        let mut dma_handle = 0;
        // SAFETY: The device may be used for DMA while `device` is held. Any size and these
        // flags are fine; the function may sleep, as may its callers.
        let addr = unsafe {
            bindings::dma_alloc_attrs(device.as_raw(), bytes, &mut dma_handle, GFP_FOR_PROGRAMS, 0)
        };
        // INVARIANT: The memory was just allocated with this size.
        Ok(Self {
            device: device.clone(),
            extent: Extent::new(addr, nr_pages)?,
            dma_handle,
        })
    }
}

// SAFETY: The memory is owned and zeroed, lives until `drop`, and `extent` stays inside it. The CPU
// address is valid for all of it.
unsafe impl Backing for Coherent {
    fn nr_pages(&self) -> usize {
        self.extent.nr_pages()
    }

    fn run_at(&self, page: usize) -> Option<Run> {
        let (addr, _) = self.extent.locate(page)?;
        let addr = addr.as_ptr().cast::<c_void>();
        let pfn = match self.address_class() {
            // SAFETY: `addr` is inside an allocated area of the vmalloc area, where every page is
            // mapped.
            AddressClass::Vmalloc => unsafe { bindings::vmalloc_to_pfn(addr) },
            // SAFETY: What the DMA API gives is in the direct map if it is not in the vmalloc area.
            AddressClass::DirectMap => unsafe { ffi::mapkit_virt_to_pfn(addr) },
        };
        Some(Run { pfn, nr_pages: 1 })
    }

    fn range_at(&self, page: usize) -> Option<KernelRange> {
        self.extent.range_at(page)
    }

    fn refcounted(&self) -> bool {
        // The DMA API may take its memory from anywhere.
        false
    }

    fn address_class(&self) -> AddressClass {
        // SAFETY: Any pointer may be asked about.
        match unsafe { bindings::is_vmalloc_addr(self.extent.as_ptr()) } {
            true => AddressClass::Vmalloc,
            false => AddressClass::DirectMap,
        }
    }

    #[allow(
        clippy::unnecessary_cast,
        reason = "`dma_addr_t` has 32 bits on some machines"
    )]
    fn dma_addr(&self, page: usize) -> Option<u64> {
        let offset = u64::try_from(page).ok()?.checked_mul(PAGE_SIZE as u64)?;
        (self.dma_handle as u64)
            .checked_add(offset)
            .filter(|_| page < self.extent.nr_pages())
    }

    fn is_dma(&self) -> bool {
        true
    }

    unsafe fn dma_mmap(&self, vma: *mut bindings::vm_area_struct) -> Option<c_int> {
        // SAFETY: By the requirement of this function, and the type invariant.
        Some(unsafe {
            bindings::dma_mmap_attrs(
                self.device.as_raw(),
                vma,
                self.extent.as_ptr(),
                self.dma_handle,
                self.extent.bytes(),
                0,
            )
        })
    }
}

impl Drop for Coherent {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the memory is owned; `self` is going away, so it is used no
        // more. The device may still be used for DMA, as a reference to it is held.
        unsafe {
            bindings::dma_free_attrs(
                self.device.as_raw(),
                self.extent.bytes(),
                self.extent.as_ptr(),
                self.dma_handle,
                0,
            )
        };
    }
}
