// SPDX-License-Identifier: GPL-2.0-only

//! C functions that the `bindings` crate does not have: exported ones that no kernel header of it
//! declares, and the wrappers in `helpers.c`.

use kernel::{
    bindings,
    ffi::{
        c_int,
        c_long,
        c_uint,
        c_ulong,
        c_void, //
    },
};

/// Try hard, but fail rather than call the OOM killer.
pub(crate) const __GFP_RETRY_MAYFAIL: bindings::gfp_t = 1 << bindings::___GFP_RETRY_MAYFAIL_BIT;

extern "C" {
    /// `mm/vmalloc.c`: pages mapped contiguously into the vmalloc area, or null.
    pub(crate) fn __vmalloc_noprof(size: c_ulong, gfp: bindings::gfp_t) -> *mut c_void;

    /// `mm/vmalloc.c`: frees the former. May sleep.
    pub(crate) fn vfree(addr: *const c_void);

    /// `mb()`.
    pub(crate) fn mapkit_mb();

    /// `virt_to_page()`, as a pointer to a `struct page`.
    pub(crate) fn mapkit_virt_to_page(addr: *const c_void) -> *mut c_void;

    /// `PHYS_PFN(__pa(addr))`.
    pub(crate) fn mapkit_virt_to_pfn(addr: *const c_void) -> c_ulong;

    /// `folio_alloc()` and `folio_address()`; null without memory.
    pub(crate) fn mapkit_folio_alloc(gfp: bindings::gfp_t, order: c_uint) -> *mut c_void;

    /// `folio_put()` of the folio at a kernel address.
    pub(crate) fn mapkit_folio_put(addr: *const c_void);

    /// `fatal_signal_pending(current)`.
    pub(crate) fn mapkit_fatal_signal_pending() -> bool;

    /// `signal_pending(current)`.
    pub(crate) fn mapkit_signal_pending() -> bool;

    /// `cond_resched()`.
    pub(crate) fn mapkit_cond_resched();

    /// `node_online(node)`.
    pub(crate) fn mapkit_node_online(node: c_uint) -> bool;

    /// `num_possible_cpus()`.
    pub(crate) fn mapkit_num_possible_cpus() -> c_uint;

    /// `per_cpu_ptr()` of the first possible CPU.
    pub(crate) fn mapkit_first_cpu_ptr(object: *mut c_void) -> *mut c_void;

    /// `get_cycles()`.
    pub(crate) fn mapkit_get_cycles() -> u64;

    /// `page_address()` of a `struct page`; null if it has none.
    pub(crate) fn mapkit_page_address(page: *const c_void) -> *mut c_void;

    /// `page_to_pfn()` of a `struct page`.
    pub(crate) fn mapkit_page_to_pfn(page: *const c_void) -> c_ulong;

    /// `page_zonenum()` of a `struct page`.
    pub(crate) fn mapkit_page_zonenum(page: *const c_void) -> c_uint;

    /// `page_to_nid()` of a `struct page`.
    pub(crate) fn mapkit_page_to_nid(page: *const c_void) -> c_uint;

    /// `mm/vmalloc.c`: pages mapped contiguously, from a node if it has any, or null.
    pub(crate) fn vmalloc_node_noprof(size: c_ulong, node: c_int) -> *mut c_void;

    /// `mm/vmalloc.c`: the same, zeroed.
    pub(crate) fn vzalloc_node_noprof(size: c_ulong, node: c_int) -> *mut c_void;

    /// `kmalloc()`.
    pub(crate) fn mapkit_kmalloc(size: usize, gfp: bindings::gfp_t) -> *mut c_void;

    /// `arch/x86/mm/pat/set_memory.c`: changes the memory type of pages of the direct map.
    #[cfg(CONFIG_X86)]
    pub(crate) fn set_memory_wb(addr: c_ulong, nr_pages: c_int) -> c_int;
    /// See [`set_memory_wb`].
    #[cfg(CONFIG_X86)]
    pub(crate) fn set_memory_wc(addr: c_ulong, nr_pages: c_int) -> c_int;
    /// See [`set_memory_wb`].
    #[cfg(CONFIG_X86)]
    pub(crate) fn set_memory_uc(addr: c_ulong, nr_pages: c_int) -> c_int;

    /// `vmap()` of pages into an area that `remap_vmalloc_range()` takes. If it is not null, `pages`, which
    /// must be memory of kmalloc or vmalloc, and the pages belong to it, and `vfree()` frees all.
    pub(crate) fn mapkit_vmap_user(pages: *mut c_void, nr_pages: c_uint) -> *mut c_void;

    /// `vmap()` of pages as Normal memory that is not cached.
    #[cfg(CONFIG_ARM64)]
    pub(crate) fn mapkit_vmap_noncached(pages: *mut c_void, nr_pages: c_uint) -> *mut c_void;

    /// `mm/vmalloc.c`: undoes `vmap()`. May sleep.
    #[cfg(CONFIG_ARM64)]
    pub(crate) fn vunmap(addr: *const c_void);

    /// Cleans and invalidates the data caches for addresses of the direct map, to the point of coherency.
    #[cfg(CONFIG_ARM64)]
    pub(crate) fn mapkit_dcache_clean_inval_poc(addr: *mut c_void, bytes: usize);

    /// `mm/vmalloc.c`: maps all of a VMA (a `struct vm_area_struct`) to such an area
    /// from page `pgoff` on.
    pub(crate) fn remap_vmalloc_range(vma: *mut c_void, addr: *mut c_void, pgoff: c_ulong)
        -> c_int;

    /// `pgprot_writecombine()`.
    pub(crate) fn mapkit_pgprot_writecombine(prot: bindings::pgprot_t) -> bindings::pgprot_t;

    /// `pgprot_noncached()`.
    pub(crate) fn mapkit_pgprot_noncached(prot: bindings::pgprot_t) -> bindings::pgprot_t;

    /// `this_cpu_add()`, where `percpu.rs` has none of its own.
    #[cfg(not(all(CONFIG_X86_64, CONFIG_SMP, not(CONFIG_UML))))]
    pub(crate) fn mapkit_this_cpu_add(counter: *mut c_ulong, n: c_ulong);

    /// The sum of a per-CPU counter over all possible CPUs.
    pub(crate) fn mapkit_percpu_sum(counter: *const c_ulong) -> c_ulong;

    /// `raw_spin_lock_init()` of a `raw_spinlock_t`.
    pub(crate) fn mapkit_raw_spin_lock_init(lock: *mut c_void);

    /// `raw_spin_lock_irqsave()`: the flags.
    pub(crate) fn mapkit_raw_spin_lock_irqsave(lock: *mut c_void) -> c_ulong;

    /// `raw_spin_unlock_irqrestore()`.
    pub(crate) fn mapkit_raw_spin_unlock_irqrestore(lock: *mut c_void, flags: c_ulong);

    /// `pfn_to_page()`, as a pointer to a `struct page`.
    pub(crate) fn mapkit_pfn_to_page(pfn: c_ulong) -> *mut c_void;

    /// `dma_mapping_error()`, for what it tells the checker of the DMA API.
    pub(crate) fn mapkit_dma_mapping_error(device: *mut c_void, bus: bindings::dma_addr_t);

    /// `use_dma_iommu()`: whether an IOMMU translates what the DMA API maps for a device.
    pub(crate) fn mapkit_use_dma_iommu(device: *mut c_void) -> bool;

    /// Whether the DMA API gives a device physical addresses.
    pub(crate) fn mapkit_dma_is_direct(device: *mut c_void) -> bool;

    /// The last bus address that a device reaches, by its mask and its bus.
    pub(crate) fn mapkit_dma_limit(device: *mut c_void) -> u64;

    /// The last physical address of the bounce buffers (swiotlb) for a device; 0 if there are none.
    pub(crate) fn mapkit_swiotlb_last(device: *mut c_void) -> u64;

    /// `dma_get_cache_alignment()`.
    pub(crate) fn mapkit_dma_cache_alignment() -> c_uint;

    /// `dma_get_max_seg_size()`.
    #[cfg(CONFIG_DMA_SHARED_BUFFER)]
    pub(crate) fn mapkit_dma_max_seg_size(device: *mut c_void) -> c_uint;

    /// Succeeds once for each time that a device is bound; then `-EBUSY`.
    pub(crate) fn mapkit_claim_dma(device: *mut c_void) -> c_int;

    /// `dma_sync_single_for_cpu()`.
    pub(crate) fn mapkit_dma_sync_single_for_cpu(
        device: *mut c_void,
        bus: bindings::dma_addr_t,
        bytes: usize,
        direction: bindings::dma_data_direction,
    );

    /// `dma_sync_single_for_device()`.
    pub(crate) fn mapkit_dma_sync_single_for_device(
        device: *mut c_void,
        bus: bindings::dma_addr_t,
        bytes: usize,
        direction: bindings::dma_data_direction,
    );

    /// `dma_sync_sgtable_for_cpu()`.
    pub(crate) fn mapkit_dma_sync_sgtable_for_cpu(
        device: *mut c_void,
        table: *mut c_void,
        direction: bindings::dma_data_direction,
    );

    /// `dma_sync_sgtable_for_device()`.
    pub(crate) fn mapkit_dma_sync_sgtable_for_device(
        device: *mut c_void,
        table: *mut c_void,
        direction: bindings::dma_data_direction,
    );

    /// `alloc_ordered_workqueue()`.
    pub(crate) fn mapkit_alloc_ordered_workqueue(name: *const kernel::ffi::c_char) -> *mut c_void;
}

/// `struct mapkit_frame` of `inspect.h`.
#[repr(C)]
#[derive(Default)]
pub(crate) struct Frame {
    pub(crate) page: c_ulong,
    pub(crate) head_pfn: c_ulong,
    pub(crate) flags: c_ulong,
    pub(crate) refcount: c_int,
    pub(crate) mapcount: c_int,
    pub(crate) order: c_uint,
    pub(crate) node: c_uint,
    pub(crate) zone: c_uint,
    pub(crate) migratetype: bindings::migratetype,
    pub(crate) zone_name: [u8; 8],
}

/// `struct mapkit_area` of `inspect.h`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct AreaBounds {
    pub(crate) start: c_ulong,
    pub(crate) last: c_ulong,
}

/// `MAPKIT_AREAS` of `inspect.h`.
pub(crate) const AREAS: usize = 11;

/// `struct mapkit_halves` of `inspect.h`.
#[repr(C)]
#[derive(Default)]
pub(crate) struct Halves {
    pub(crate) user_last: u64,
    pub(crate) kernel_first: u64,
    pub(crate) phys_to_virt: u64,
}

extern "C" {
    /// `local_irq_save()`.
    #[cfg(CONFIG_MMU_GATHER_RCU_TABLE_FREE)]
    pub(crate) fn mapkit_local_irq_save() -> c_ulong;

    /// `local_irq_restore()`.
    #[cfg(CONFIG_MMU_GATHER_RCU_TABLE_FREE)]
    pub(crate) fn mapkit_local_irq_restore(flags: c_ulong);

    /// `mmap_write_lock_killable()` of a `struct mm_struct`.
    #[cfg(not(CONFIG_MMU_GATHER_RCU_TABLE_FREE))]
    pub(crate) fn mapkit_mmap_write_lock_killable(mm: *mut c_void) -> c_int;

    /// `mmap_write_unlock()` of a `struct mm_struct`.
    #[cfg(not(CONFIG_MMU_GATHER_RCU_TABLE_FREE))]
    pub(crate) fn mapkit_mmap_write_unlock(mm: *mut c_void);

    /// Copies `size` bytes at a physical address that are in one page of memory.
    pub(crate) fn mapkit_read_memory(phys: u64, to: *mut c_void, size: usize) -> c_int;

    /// Whether a frame has the `struct page` of memory in use.
    pub(crate) fn mapkit_is_memory(pfn: c_ulong) -> bool;

    /// `copy_from_kernel_nofault()` of one byte.
    pub(crate) fn mapkit_probe_kernel(addr: c_ulong) -> c_long;

    /// `get_user_pages_remote()` of one page of a `struct mm_struct`, let go at once: its frame.
    pub(crate) fn mapkit_counted_pfn(mm: *mut c_void, addr: c_ulong) -> c_long;

    /// What the `struct page` of a frame says, if it has one.
    pub(crate) fn mapkit_frame_of(pfn: c_ulong, frame: *mut Frame) -> bool;

    /// Where the areas of the kernel's address space are; fills `AREAS` elements.
    pub(crate) fn mapkit_areas(areas: *mut AreaBounds);

    /// Bits of a virtual address that are translated.
    pub(crate) fn mapkit_address_bits() -> c_uint;

    /// Which addresses are user mode's and which the kernel's.
    pub(crate) fn mapkit_halves(halves: *mut Halves);

    /// Physical address of the top table that the CPU uses for an address while the process of a
    /// `struct mm_struct` is in the kernel.
    pub(crate) fn mapkit_top_table(mm: *mut c_void, addr: u64) -> u64;

    /// Physical address of a top table with all of the kernel's entries.
    pub(crate) fn mapkit_kernel_table(mm: *mut c_void) -> u64;

    /// Physical address of the top table that the CPU uses for an address in user mode, if the kernel hides
    /// itself there, else 0.
    pub(crate) fn mapkit_user_mode_table(mm: *mut c_void, addr: u64) -> u64;

    /// CR3, TTBR0.
    pub(crate) fn mapkit_table_register() -> u64;

    /// The physical address that an entry holds.
    pub(crate) fn mapkit_entry_phys(entry: u64) -> u64;

    /// Whether CPUs share coherently what an entry maps.
    #[cfg(CONFIG_ARM64)]
    pub(crate) fn mapkit_entry_is_shared(entry: u64) -> bool;

    /// The CPU's table of memory types.
    pub(crate) fn mapkit_memory_types() -> u64;

    /// Whether entries hold physical addresses as the kernel counts them.
    pub(crate) fn mapkit_tables_are_physical() -> bool;
}

/// `kmalloc_node()`, whose parameters depend on the kernel's configuration.
///
/// # Safety
///
/// The node must exist.
#[inline]
pub(crate) unsafe fn kmalloc_node(bytes: usize, gfp: bindings::gfp_t, node: c_int) -> *mut c_void {
    // SAFETY: Any size is fine; no buckets are the usual ones.
    #[cfg(CONFIG_SLAB_BUCKETS)]
    let object =
        unsafe { bindings::__kmalloc_node_noprof(bytes, core::ptr::null_mut(), gfp, node) };
    // SAFETY: Any size is fine.
    #[cfg(not(CONFIG_SLAB_BUCKETS))]
    let object = unsafe { bindings::__kmalloc_node_noprof(bytes, gfp, node) };
    object
}

/// `kvmalloc_node()`, whose parameters depend on the kernel's configuration.
///
/// # Safety
///
/// The node must exist or be `NUMA_NO_NODE`.
#[inline]
pub(crate) unsafe fn kvmalloc_node(bytes: usize, gfp: bindings::gfp_t, node: c_int) -> *mut c_void {
    // SAFETY: Any size is fine; no buckets are the usual ones.
    #[cfg(CONFIG_SLAB_BUCKETS)]
    let object =
        unsafe { bindings::__kvmalloc_node_noprof(bytes, core::ptr::null_mut(), 1, gfp, node) };
    // SAFETY: Any size is fine.
    #[cfg(not(CONFIG_SLAB_BUCKETS))]
    let object = unsafe { bindings::__kvmalloc_node_noprof(bytes, 1, gfp, node) };
    object
}
