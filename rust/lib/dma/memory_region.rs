// SPDX-License-Identifier: GPL-2.0-only

//! Reserved memory of a device tree, for a device whose node names it by its property `memory-region`.
//!
//! C header: [`include/linux/of_reserved_mem.h`](srctree/include/linux/of_reserved_mem.h)
//!
//! Documentation: [`Documentation/devicetree/bindings/reserved-memory/shared-dma-pool.yaml`](srctree/Documentation/devicetree/bindings/reserved-memory/shared-dma-pool.yaml)

use crate::{
    base::{
        errno::to_result,
        gfp::GFP_FOR_CALLER, //
    },
    device::mem_region::MemRegion,
    dma::{
        coherent::Coherent,
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
        extent::Extent, //
    }, //
};
use kernel::{
    bindings,
    device::{
        Core,
        Device, //
    },
    dma::DmaMask,
    error::from_err_ptr,
    io::{
        resource::ResourceSize,
        PhysAddr, //
    },
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    platform,
    prelude::*,
    sync::Arc, //
};

/// Memory that the administrator's device tree reserves, and that a device's node names.
///
/// A *pool* (`shared-dma-pool`) is what the DMA API allocates the device's coherent memory of: CMA if it is `reusable`,
/// and else memory that the kernel has not mapped (`no-map`). Other memory that the kernel has not mapped is
/// [kept](Self::keep), with its contents.
///
/// # Examples
///
/// ```
/// use kernel::{device::Core, dma::DmaMask, page::PAGE_SIZE, platform, prelude::*};
/// use mapkit::dma::{coherent::Coherent, device::DmaDevice};
///
/// /// In `probe`: a page for the device, of the memory that its node names, if it does.
/// fn page(device: &platform::Device<Core<'_>>) -> Result<Coherent> {
///     let (dma, region) = DmaDevice::of_node(device, DmaMask::try_new(32)?, || {})?;
///     match region {
///         Some(region) if region.is_pool() => region.allocate(&dma, PAGE_SIZE as u64),
///         Some(region) => region.keep(&dma, PAGE_SIZE as u64, c"example"),
///         None => Coherent::new(&dma, 1),
///     }
/// }
/// ```
pub struct MemoryRegion(ffi::mapkit_memory_region);

impl MemoryRegion {
    /// The first one that the node of `device` names, or `None` if it names none.
    ///
    /// `EINVAL`, `ENODEV` if it names one that is not there.
    fn of(device: &platform::Device<Core<'_>>) -> Result<Option<Self>> {
        let mut region = ffi::mapkit_memory_region::default();
        // SAFETY: The device is valid, and the structure may be written to.
        let status = unsafe { ffi::mapkit_memory_region(as_raw(device.as_ref()), &mut region) };
        match to_result(status) {
            Ok(()) => Ok(Some(Self(region))),
            Err(err) if err == ENOENT => Ok(None),
            Err(err) => Err(err),
        }
    }

    /// Its size in bytes.
    pub fn bytes(&self) -> u64 {
        self.0.bytes
    }

    /// Whether it is what the DMA API allocates the device's coherent memory of.
    pub fn is_pool(&self) -> bool {
        self.0.is_pool
    }

    /// Has the DMA API allocate coherent memory for a device of the region, which its node names, until the resources
    /// of its driver are released.
    fn assign(&self, device: &Device<Core<'_>>) -> Result {
        // The kernel would warn of it.
        if !self.0.is_reusable && !self.0.is_unmapped {
            return Err(EINVAL);
        }
        // SAFETY: The device is valid, and its driver is being bound to it.
        to_result(unsafe { ffi::mapkit_use_memory_region(as_raw(device), &self.0) })
    }

    /// Allocates `bytes` zeroed bytes of the pool, rounded up to whole pages, for `device`, which
    /// [is the one](DmaDevice::of_node) whose node names it.
    ///
    /// `EINVAL` if that is none, or it is no pool, `ENOMEM` if the pool has not as much in one piece: of memory that is
    /// not mapped, a power of two of pages. `ENODEV` if the device has lost its driver.
    pub fn allocate(&self, device: &Arc<DmaDevice>, bytes: u64) -> Result<Coherent> {
        if !self.is_pool() {
            return Err(EINVAL);
        }
        let memory = Coherent::new(device, nr_pages(bytes)?)?;
        // Where CMA has none left, the DMA API takes other memory, which may be of no use for the device.
        match self.contains(&memory)? {
            true => Ok(memory),
            false => Err(ENOMEM),
        }
    }

    /// Whether all of `memory` is in it.
    fn contains(&self, memory: &Coherent) -> Result<bool> {
        let memory = memory.revocable().ok_or(EINVAL)?.hold()?;
        let last = self.0.base.saturating_add(self.0.bytes).wrapping_sub(1);
        let frames = (self.0.base >> PAGE_SHIFT)..=(last >> PAGE_SHIFT);
        let mut runs = memory.runs(0, memory.nr_pages());
        Ok(runs.all(|run| {
            let first = run.pfn as u64;
            let last = first.wrapping_add(run.nr_pages as u64).wrapping_sub(1);
            frames.contains(&first) && frames.contains(&last)
        }))
    }

    /// The first `bytes` bytes, rounded up to whole pages, for `device`: as they are, with what the firmware or another
    /// processor has left there. The device tree says that it is memory, and whoever reads it gets what is there. `/proc/iomem` calls
    /// it `name`. For the CPU it is write-back if the device sees what is in the caches, and else not cached.
    ///
    /// `EINVAL` if it is a pool, if the kernel has mapped it (it has no `no-map`), or if it has not as many bytes in whole
    /// pages; `EBUSY` if somebody has it already, `EIO` if the device does not reach it,
    /// `EOPNOTSUPP` if an IOMMU translates the device's addresses, `ENODEV` if the device has lost its driver.
    pub fn keep(
        &self,
        device: &Arc<DmaDevice>,
        bytes: u64,
        name: &'static CStr,
    ) -> Result<Coherent> {
        let nr_pages = nr_pages(bytes)?;
        let size = nr_pages.checked_mul(PAGE_SIZE).ok_or(EINVAL)?;
        let is_whole = self.0.base % PAGE_SIZE as u64 == 0 && size as u64 <= self.0.bytes;
        if self.is_pool() || !self.0.is_unmapped || !is_whole || nr_pages == 0 {
            return Err(EINVAL);
        }
        device.in_use(|in_use| {
            let base = PhysAddr::try_from(self.0.base).map_err(|_| EINVAL)?;
            // SAFETY: The device may be used for DMA now, and the kernel has not mapped this range, which is in one
            // that the device tree reserves.
            let kept = unsafe { Kept::new(in_use, base, nr_pages, name)? };
            Coherent::of_driver(in_use, device, KBox::new(kept, GFP_FOR_CALLER)?)
        })?
    }
}

impl DmaDevice {
    /// As [`of`](Self::of), for a device of a device tree. If its node has a `memory-region`, that is returned, too, and
    /// if that is [a pool](MemoryRegion::is_pool), all coherent memory for the device is allocated of it.
    ///
    /// `EINVAL` also for a region that is not there, or a pool that is neither CMA nor unmapped; `EIO` for a pool that
    /// the device does not reach; `EOPNOTSUPP` for a pool if an IOMMU translates the device's addresses, as the pool is unknown to that.
    pub fn of_node(
        device: &platform::Device<Core<'_>>,
        mask: DmaMask,
        stop: impl Fn() + Send + Sync + 'static,
    ) -> Result<(Arc<Self>, Option<MemoryRegion>)> {
        let region = MemoryRegion::of(device)?;
        let pool = region.as_ref().filter(|region| region.is_pool());
        let this = Self::with_memory(device, mask, stop, |device| match pool {
            Some(pool) => pool.assign(device),
            None => Ok(()),
        })?;
        Ok((this, region))
    }
}

fn as_raw(device: &Device<Core<'_>>) -> *mut bindings::device {
    // A `Device` is a transparent wrapper.
    core::ptr::from_ref::<Device<Core<'_>>>(device)
        .cast_mut()
        .cast()
}

fn nr_pages(bytes: u64) -> Result<usize> {
    usize::try_from(bytes.div_ceil(PAGE_SIZE as u64)).map_err(|_| ENOMEM)
}

/// Memory that was there before.
///
/// # Invariants
///
/// `extent` is a mapping by `mapkit_map_memory_region()` of the memory from the frame `pfn` on, which `_claimed` is, and
/// is owned. It is not empty. A device finds it from `dma_addr` on.
struct Kept {
    device: *mut bindings::device,
    extent: Extent,
    pfn: usize,
    dma_addr: bindings::dma_addr_t,
    _claimed: MemRegion,
}

// SAFETY: A mapping is not tied to a thread.
unsafe impl Send for Kept {}
// SAFETY: All methods that take `&self` only read what never changes.
unsafe impl Sync for Kept {}

impl Kept {
    /// # Safety
    ///
    /// The device must be one that may be used for DMA, and outlive what is returned. These pages must be reserved
    /// memory that the kernel has not mapped, and not be none.
    unsafe fn new(
        device: &DmaDevice,
        base: PhysAddr,
        nr_pages: usize,
        name: &'static CStr,
    ) -> Result<Self> {
        let bytes = nr_pages.checked_mul(PAGE_SIZE).ok_or(EINVAL)?;
        let claimed = MemRegion::of_range(base, bytes as ResourceSize, name)?;
        let device = device.as_raw();
        let mut dma_addr = 0;
        // SAFETY: By the requirement of this function.
        let mapped = unsafe { ffi::mapkit_map_memory_region(device, base, bytes, &mut dma_addr) };
        // INVARIANT: It was just mapped.
        Ok(Self {
            device,
            extent: Extent::new(from_err_ptr(mapped)?, nr_pages)?,
            pfn: (base >> PAGE_SHIFT) as usize,
            dma_addr,
            _claimed: claimed,
        })
    }
}

// SAFETY: The memory is reserved, claimed, and mapped until `drop`; `extent` stays inside it. The administrator's device
// tree says that programs may see what it holds.
unsafe impl Backing for Kept {
    fn nr_pages(&self) -> usize {
        self.extent.nr_pages()
    }

    fn run_at(&self, page: usize) -> Option<Run> {
        let (_, nr_pages) = self.extent.locate(page)?;
        let pfn = self.pfn.wrapping_add(page);
        Some(Run { pfn, nr_pages })
    }

    fn range_at(&self, page: usize) -> Option<KernelRange> {
        self.extent.range_at(page)
    }

    fn refcounted(&self) -> bool {
        // It may have no `struct page`.
        false
    }

    fn address_class(&self) -> AddressClass {
        AddressClass::Vmalloc
    }

    fn dma_addr(&self, page: usize) -> Option<u64> {
        self.extent.dma_addr(self.dma_addr, page)
    }

    fn is_dma(&self) -> bool {
        true
    }

    fn dma_prot(&self, prot: bindings::pgprot_t) -> Result<bindings::pgprot_t> {
        // SAFETY: The device is valid, as it was when this was mapped for it.
        unsafe { super::coherent::prot_for(self.device, prot) }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // SAFETY: By the type invariant it is owned; `self` is going away, so it is used no more.
        unsafe { ffi::memunmap(self.extent.as_ptr()) };
    }
}
