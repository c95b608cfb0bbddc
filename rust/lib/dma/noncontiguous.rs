// SPDX-License-Identifier: GPL-2.0-only

//! Pages that a device finds at one address, cached as usual, as a [`Backing`].
//!
//! What the CPU stores may be in its caches when a device that does not see these reads the memory, and the other way round: see
//! [`sync`](Backing::sync). In return the CPU is fast, which on such machines it is not with coherent memory.
//!
//! C header: [`include/linux/dma-mapping.h`](srctree/include/linux/dma-mapping.h)
//!
//! Documentation: [`Documentation/core-api/dma-api.rst`](srctree/Documentation/core-api/dma-api.rst)

use crate::{
    base::{
        errno,
        gfp::GFP_FOR_CALLER, //
    },
    dma::{
        coherent::OfDriver,
        device::DmaDevice, //
    },
    ffi,
    memory::{
        backing::{
            AddressClass,
            Backing,
            KernelRange,
            Run, //
        },
        blocks::GFP_FOR_PROGRAMS,
        direction::{
            Direction,
            Owner, //
        },
        extent::Extent, //
    },
    revoke::revocable::Revocable, //
};
use core::ops::Range;
use kernel::{
    bindings,
    page::PAGE_SIZE,
    prelude::*,
    sync::Arc, //
};

/// Zeroed memory of `dma_alloc_noncontiguous()`, for a device with a driver: it is taken back when the device loses
/// that, so it is [`revocable`](Backing::revocable). Behind an IOMMU its pages may lie anywhere, elsewhere they are one run.
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
/// use mapkit::{
///     dma::noncontiguous::Noncontiguous,
///     memory::{
///         backing::Backing,
///         direction::{Direction, Owner},
///     },
/// };
///
/// /// Has the device store to the first bytes, and the CPU see what.
/// fn store(memory: &Noncontiguous, begin: impl FnOnce(u64)) -> Result {
///     let memory = memory.revocable().ok_or(EINVAL)?.hold()?;
///     memory.sync(0..8, Direction::FromDevice, Owner::Device);
///     begin(memory.dma_addr(0).ok_or(ENODEV)?);
///     memory.sync(0..8, Direction::FromDevice, Owner::Cpu);
///     Ok(())
/// }
/// ```
pub struct Noncontiguous(OfDriver);

impl Noncontiguous {
    /// Allocates `nr_pages` pages for `device`.
    ///
    /// `EINVAL` if that is none, or the device is one [of one's own](DmaDevice::new), `ENOMEM` if there is not enough memory
    /// that the device reaches: without an IOMMU, in one piece. `EOPNOTSUPP` where memory is encrypted, `ENODEV` if the device
    /// has lost its driver.
    pub fn new(device: &Arc<DmaDevice>, nr_pages: usize) -> Result<Self> {
        if !device.has_driver() {
            return Err(EINVAL);
        }
        // SAFETY: May be called by anybody.
        if unsafe { ffi::mapkit_memory_is_encrypted() } {
            return Err(errno::eopnotsupp());
        }
        device.in_use(|in_use| {
            // SAFETY: The device may be used for DMA now, and the memory is freed before that ends.
            let memory = unsafe { Allocation::new(in_use, nr_pages)? };
            let memory = KBox::new(memory, GFP_FOR_CALLER)?;
            Ok(Self(OfDriver::new(in_use, device, memory)?))
        })?
    }
}

// SAFETY: It shows nothing but what can be taken back.
unsafe impl Backing for Noncontiguous {
    fn nr_pages(&self) -> usize {
        self.0.nr_pages
    }

    fn run_at(&self, _page: usize) -> Option<Run> {
        None
    }

    fn range_at(&self, _page: usize) -> Option<KernelRange> {
        None
    }

    fn refcounted(&self) -> bool {
        false
    }

    fn address_class(&self) -> AddressClass {
        AddressClass::Vmalloc
    }

    fn dma_addr(&self, page: usize) -> Option<u64> {
        self.0.memory.hold().ok()?.dma_addr(page)
    }

    fn is_dma(&self) -> bool {
        true
    }

    fn revocable(&self) -> Option<&Revocable<dyn Backing>> {
        Some(&self.0.memory)
    }
}

/// What `dma_alloc_noncontiguous()` gave.
///
/// # Invariants
///
/// `table` was given by `dma_alloc_noncontiguous()` for `device`, which may be used for DMA, with the size of `extent`, which
/// is not empty, and is owned. `extent` is what `dma_vmap_noncontiguous()` gave for it.
struct Allocation {
    device: *mut bindings::device,
    /// Whether the device sees what is in the caches.
    is_coherent: bool,
    table: *mut bindings::sg_table,
    extent: Extent,
    dma_handle: bindings::dma_addr_t,
}

// SAFETY: DMA memory is not tied to a thread.
unsafe impl Send for Allocation {}
// SAFETY: All methods that take `&self` only read what never changes, or pass memory on, which any thread may.
unsafe impl Sync for Allocation {}

impl Allocation {
    /// Allocates `nr_pages` pages for `device`.
    ///
    /// # Safety
    ///
    /// What is returned must be dropped while the device may still be used for DMA.
    unsafe fn new(device: &DmaDevice, nr_pages: usize) -> Result<Self> {
        if nr_pages == 0 {
            return Err(EINVAL);
        }
        let bytes = nr_pages.checked_mul(PAGE_SIZE).ok_or(ENOMEM)?;
        let device = device.as_raw();
        let both = Direction::Bidirectional.as_raw();
        // SAFETY: The device may be used for DMA. Any size and direction is fine, and so are these flags, which have no
        // `__GFP_COMP`; with `__GFP_ZERO`, all pages are zeroed. The function may sleep, as may its callers.
        let table =
            unsafe { bindings::dma_alloc_noncontiguous(device, bytes, both, GFP_FOR_PROGRAMS, 0) };
        if table.is_null() {
            return Err(ENOMEM);
        }
        // SAFETY: It was just allocated for the device with this size.
        let addr = unsafe { bindings::dma_vmap_noncontiguous(device, bytes, table) };
        let Ok(extent) = Extent::new(addr, nr_pages) else {
            // SAFETY: As above; nobody has it.
            unsafe { bindings::dma_free_noncontiguous(device, bytes, table, both) };
            return Err(ENOMEM);
        };
        // INVARIANT: Both were just made, with this size, and by the requirement of this function the device may be used
        // as long as this exists.
        let this = Self {
            device,
            // SAFETY: By the requirement of this function it is a valid device.
            is_coherent: unsafe { ffi::mapkit_dma_is_coherent(device) },
            table,
            extent,
            // SAFETY: The table is valid and not empty. The DMA API has mapped all of it at one address.
            dma_handle: unsafe { (*(*table).sgl).dma_address },
        };
        // The zeroes may be in the caches only. A sync for the CPU would throw them away, and show what was there before.
        this.sync(0..bytes, Direction::Bidirectional, Owner::Device);
        Ok(this)
    }

    /// Calls `f` with the address and the size of each physically contiguous part of `bytes`.
    fn parts(&self, bytes: Range<usize>, mut f: impl FnMut(bindings::dma_addr_t, usize)) {
        let mut at = bytes.start;
        let end = bytes.end.min(self.extent.bytes());
        while at < end {
            let page = at / PAGE_SIZE;
            let memory: &dyn Backing = self;
            let Some(run) = memory.runs(page, end.div_ceil(PAGE_SIZE)).next() else {
                return;
            };
            let last = page.saturating_add(run.nr_pages).saturating_mul(PAGE_SIZE);
            let part = last.min(end).saturating_sub(at);
            f(
                self.dma_handle.wrapping_add(at as bindings::dma_addr_t),
                part,
            );
            at = at.saturating_add(part);
        }
    }
}

// SAFETY: The memory is owned, zeroed, and cached as usual, and lives until `drop`. `extent` stays inside the kernel's
// mapping of all of it.
unsafe impl Backing for Allocation {
    fn nr_pages(&self) -> usize {
        self.extent.nr_pages()
    }

    fn run_at(&self, page: usize) -> Option<Run> {
        let (_, left) = self.extent.locate(page)?;
        // SAFETY: What the DMA API gives is in the direct map if it is not mapped in the vmalloc area.
        let pfn = unsafe { self.extent.pfn_of(page)? };
        let nr_pages = match self.address_class() {
            AddressClass::Vmalloc => 1,
            AddressClass::DirectMap => left,
        };
        Some(Run { pfn, nr_pages })
    }

    fn range_at(&self, page: usize) -> Option<KernelRange> {
        self.extent.range_at(page)
    }

    fn refcounted(&self) -> bool {
        // The DMA API may take its memory from anywhere.
        false
    }

    fn address_class(&self) -> AddressClass {
        self.extent.address_class()
    }

    fn dma_addr(&self, page: usize) -> Option<u64> {
        self.extent.dma_addr(self.dma_handle, page)
    }

    fn is_dma(&self) -> bool {
        true
    }

    fn sync(&self, bytes: Range<usize>, direction: Direction, owner: Owner) {
        if self.is_coherent {
            return;
        }
        let pass = match owner {
            Owner::Cpu => ffi::mapkit_dma_sync_single_for_cpu,
            Owner::Device => ffi::mapkit_dma_sync_single_for_device,
        };
        self.parts(bytes, |address, bytes| {
            // SAFETY: By the type invariant the device may be used for DMA, and this is part of memory that is mapped for
            // it in both directions, with frames that follow each other.
            unsafe { pass(self.device, address, bytes, direction.as_raw()) };
        });
    }

    fn dma_prot(&self, prot: bindings::pgprot_t) -> Result<bindings::pgprot_t> {
        Ok(prot)
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        let both = Direction::Bidirectional.as_raw();
        // SAFETY: By the type invariant both are owned, and the device may be used for DMA; `self` is going away, so the
        // memory is used no more.
        unsafe {
            bindings::dma_vunmap_noncontiguous(self.device, self.extent.as_ptr());
            bindings::dma_free_noncontiguous(self.device, self.extent.bytes(), self.table, both);
        }
    }
}
