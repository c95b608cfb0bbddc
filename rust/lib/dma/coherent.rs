// SPDX-License-Identifier: GPL-2.0-only

//! Coherent DMA memory, as a [`Backing`].
//!
//! C header: [`include/linux/dma-mapping.h`](srctree/include/linux/dma-mapping.h)
//!
//! Documentation: [`Documentation/core-api/dma-api.rst`](srctree/Documentation/core-api/dma-api.rst)

use crate::{
    base::{
        errno,
        gfp::GFP_FOR_CALLER, //
    },
    dma::device::{
        DmaDevice,
        InUse,
        Registered, //
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
        extent::Extent, //
    },
    revoke::{
        revocable::Revocable,
        unbind::Revoke, //
    }, //
};
use core::marker::PhantomData;
use kernel::{
    bindings,
    ffi::c_int,
    page::PAGE_SIZE,
    prelude::*,
    sync::Arc, //
};

/// Zeroed memory of `dma_alloc_coherent()`.
///
/// If the device has a driver, the memory is taken back when it loses that: then it is
/// [`revocable`](Backing::revocable).
///
/// # Examples
///
/// ```
/// use kernel::{prelude::*, sync::Arc};
/// use mapkit::{dma::{coherent::Coherent, device::DmaDevice}, memory::backing::Backing};
///
/// /// Where a device finds 16 pages that the CPU has, too.
/// fn for_device() -> Result<(Coherent, u64)> {
///     let device = Arc::new(DmaDevice::new(c"example")?, GFP_KERNEL)?;
///     let memory = Coherent::new(&device, 16)?;
///     let dma_addr = memory.dma_addr(0).ok_or(EINVAL)?;
///     Ok((memory, dma_addr))
/// }
/// ```
pub struct Coherent(Kind);

/// Fields are dropped in this order.
enum Kind {
    Lasting {
        memory: Allocation<'static>,
        _device: Arc<DmaDevice>,
    },
    Revocable(OfDriver),
}

/// Memory of a device with a driver, freed at the latest when it loses that.
pub(super) struct OfDriver {
    pub(super) memory: Arc<Revocable<dyn Backing>>,
    pub(super) nr_pages: usize,
    _registered: Registered,
}

impl OfDriver {
    /// `memory`, which `device` can use.
    pub(super) fn new(
        in_use: &InUse<'_>,
        device: &Arc<DmaDevice>,
        memory: KBox<dyn Backing>,
    ) -> Result<Self> {
        let nr_pages = memory.nr_pages();
        let memory = Revocable::new(memory)?;
        Ok(Self {
            nr_pages,
            _registered: in_use.register(device, memory.clone())?,
            memory,
        })
    }
}

impl Drop for OfDriver {
    fn drop(&mut self) {
        self.memory.revoke();
    }
}

/// Calls `f` with `nr_pages` pages that are allocated for `device` meanwhile, and returns what it does. It
/// fails as [`Coherent::new`] does.
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
/// use mapkit::{
///     dma::{coherent::allocate_for, device::DmaDevice},
///     memory::backing::Backing,
/// };
///
/// /// Has the device write its status to a page, and looks at that.
/// fn status(device: &DmaDevice, ask: impl FnOnce(u64) -> Result) -> Result {
///     device.in_use(|in_use| {
///         allocate_for(in_use, 1, |page: &dyn Backing| ask(page.dma_addr(0).ok_or(EINVAL)?))?
///     })?
/// }
/// ```
pub fn allocate_for<R>(
    device: &InUse<'_>,
    nr_pages: usize,
    f: impl FnOnce(&dyn Backing) -> R,
) -> Result<R> {
    // SAFETY: The device may be used for DMA as long as it is borrowed, and this is dropped before.
    let memory = unsafe { Allocation::new(device, nr_pages)? };
    Ok(f(&memory))
}

impl Coherent {
    /// Allocates `nr_pages` pages for `device`.
    ///
    /// `EINVAL` if that is none, `ENOMEM` if there is not enough contiguous memory, `EIO` if the device does not reach
    /// what there is, `ENODEV` if the device has lost its driver.
    pub fn new(device: &Arc<DmaDevice>, nr_pages: usize) -> Result<Self> {
        device.in_use(|in_use| {
            // SAFETY: The device may be used for DMA now. As long as it has a driver, the memory is freed
            // before it loses that, and else before it goes itself.
            let memory = unsafe { Allocation::new(in_use, nr_pages)? };
            if !device.has_driver() {
                let _device = device.clone();
                return Ok(Self(Kind::Lasting { memory, _device }));
            }
            Self::of_driver(in_use, device, KBox::new(memory, GFP_FOR_CALLER)?)
        })?
    }

    /// `memory`, which a device can use until it is dropped or the device, which is `device`, loses its driver.
    pub(super) fn of_driver(
        in_use: &InUse<'_>,
        device: &Arc<DmaDevice>,
        memory: KBox<dyn Backing>,
    ) -> Result<Self> {
        let memory = OfDriver::new(in_use, device, memory)?;
        Ok(Self(Kind::Revocable(memory)))
    }

    fn lasting(&self) -> Option<&Allocation<'static>> {
        match &self.0 {
            Kind::Lasting { memory, .. } => Some(memory),
            Kind::Revocable(_) => None,
        }
    }
}

// SAFETY: What is not revocable is an `Allocation`, and all methods are passed on to that. What is shows nothing.
unsafe impl Backing for Coherent {
    fn nr_pages(&self) -> usize {
        match &self.0 {
            Kind::Lasting { memory, .. } => memory.nr_pages(),
            Kind::Revocable(memory) => memory.nr_pages,
        }
    }

    fn run_at(&self, page: usize) -> Option<Run> {
        self.lasting()?.run_at(page)
    }

    fn range_at(&self, page: usize) -> Option<KernelRange> {
        self.lasting()?.range_at(page)
    }

    fn refcounted(&self) -> bool {
        false
    }

    fn address_class(&self) -> AddressClass {
        self.lasting()
            .map_or(AddressClass::Vmalloc, Backing::address_class)
    }

    fn dma_addr(&self, page: usize) -> Option<u64> {
        match &self.0 {
            Kind::Lasting { memory, .. } => memory.dma_addr(page),
            Kind::Revocable(memory) => memory.memory.hold().ok()?.dma_addr(page),
        }
    }

    fn is_dma(&self) -> bool {
        true
    }

    fn revocable(&self) -> Option<&Revocable<dyn Backing>> {
        match &self.0 {
            Kind::Lasting { .. } => None,
            Kind::Revocable(memory) => Some(&memory.memory),
        }
    }

    unsafe fn dma_mmap(&self, vma: *mut bindings::vm_area_struct) -> Option<c_int> {
        // SAFETY: By the requirement of this function.
        unsafe { self.lasting()?.dma_mmap(vma) }
    }
}

/// What `dma_alloc_attrs()` gave.
///
/// # Invariants
///
/// `extent`, which is not empty, and `dma_handle` were given by `dma_alloc_attrs()` for `device`, which may be
/// used for DMA, and are owned.
struct Allocation<'a> {
    device: *mut bindings::device,
    extent: Extent,
    dma_handle: bindings::dma_addr_t,
    _device: PhantomData<&'a DmaDevice>,
}

// SAFETY: DMA memory is not tied to a thread.
unsafe impl Send for Allocation<'_> {}
// SAFETY: All methods that take `&self` only read what never changes.
unsafe impl Sync for Allocation<'_> {}

impl<'a> Allocation<'a> {
    /// Allocates `nr_pages` pages for `device`.
    ///
    /// # Safety
    ///
    /// What is returned must be dropped while the device may still be used for DMA.
    #[inline]
    unsafe fn new(device: &DmaDevice, nr_pages: usize) -> Result<Self> {
        if nr_pages == 0 {
            return Err(EINVAL);
        }
        let bytes = nr_pages.checked_mul(PAGE_SIZE).ok_or(ENOMEM)?;
        let device = device.as_raw();
        let mut dma_handle = 0;
        // SAFETY: The device may be used for DMA. Any size and these flags are fine; the function may sleep, as
        // may its callers.
        let addr = unsafe {
            bindings::dma_alloc_attrs(device, bytes, &mut dma_handle, GFP_FOR_PROGRAMS, 0)
        };
        // INVARIANT: The memory was just allocated with this size, and by the requirement of this function the
        // device may be used as long as this exists.
        let this = Self {
            device,
            extent: Extent::new(addr, nr_pages)?,
            dma_handle,
            _device: PhantomData,
        };
        let last = this.dma_addr(nr_pages.wrapping_sub(1)).ok_or(EIO)?;
        // SAFETY: As above. For a device that is not coherent, 32-bit ARM does not look whether it reaches the memory.
        let limit = unsafe { ffi::mapkit_dma_coherent_limit(device) };
        match last.checked_add(PAGE_SIZE as u64 - 1) {
            Some(last) if last <= limit => Ok(this),
            _ => Err(EIO),
        }
    }
}

// SAFETY: The memory is owned and zeroed, lives until `drop`, and `extent` stays inside it. The CPU
// address is valid for all of it.
unsafe impl Backing for Allocation<'_> {
    fn nr_pages(&self) -> usize {
        self.extent.nr_pages()
    }

    fn run_at(&self, page: usize) -> Option<Run> {
        // SAFETY: What the DMA API gives is in the direct map if it is not mapped in the vmalloc area.
        let pfn = unsafe { self.extent.pfn_of(page)? };
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
        self.extent.address_class()
    }

    fn dma_addr(&self, page: usize) -> Option<u64> {
        self.extent.dma_addr(self.dma_handle, page)
    }

    fn is_dma(&self) -> bool {
        true
    }

    fn dma_prot(&self, prot: bindings::pgprot_t) -> Result<bindings::pgprot_t> {
        // SAFETY: By the type invariant the device is valid.
        unsafe { prot_for(self.device, prot) }
    }

    unsafe fn dma_mmap(&self, vma: *mut bindings::vm_area_struct) -> Option<c_int> {
        // SAFETY: By the requirement of this function, and the type invariant.
        Some(unsafe {
            bindings::dma_mmap_attrs(
                self.device,
                vma,
                self.extent.as_ptr(),
                self.dma_handle,
                self.extent.bytes(),
                0,
            )
        })
    }
}

/// The memory type that programs must map a device's coherent memory with, which is otherwise `prot`. `EOPNOTSUPP` if it
/// cannot be told.
///
/// # Safety
///
/// The device must be valid.
pub(super) unsafe fn prot_for(
    device: *mut bindings::device,
    mut prot: bindings::pgprot_t,
) -> Result<bindings::pgprot_t> {
    // SAFETY: By the requirement of this function, and `prot` may be written to.
    match unsafe { ffi::mapkit_dma_prot(device, &mut prot) } {
        true => Ok(prot),
        false => Err(errno::eopnotsupp()),
    }
}

impl Drop for Allocation<'_> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the memory is owned, and the device may be used for DMA; `self` is going
        // away, so the memory is used no more.
        unsafe {
            bindings::dma_free_attrs(
                self.device,
                self.extent.bytes(),
                self.extent.as_ptr(),
                self.dma_handle,
                0,
            )
        };
    }
}
