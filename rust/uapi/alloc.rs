// SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note

//! The interface of `/dev/mapwright-alloc`: allocation plans, run by the kernel's allocators.
//!
//! A plan says which allocator gives how many objects of what size, with which flags and in which
//! pattern; [`IOCTL_RUN`] runs it in the calling thread, on the CPU that it is pinned to, and reports
//! what came of it. A signal ends it with `EINTR`. Whatever happens, everything is freed, unless the
//! plan holds its objects ([`HOLD`]): then they live until [`IOCTL_RELEASE`], or until the file is
//! closed.
//!
//! Nothing but the memory of such objects is ever used, and all plans together take no more of the machine's
//! memory than the module's budget: what is counted is what the allocators really take (see
//! [`bytes_needed`]), not what was asked for. Neither warns the kernel, nor calls the OOM killer:
//! `__GFP_NOWARN` and (unless [`Modifier::RetryMayfail`] is asked for) `__GFP_NORETRY` are always added,
//! where the allocator takes flags: `vmalloc` on a node does not.
//!
//! The rules for the structures are those of `/dev/mapwright`.

use crate::{
    io,
    Request, //
};
use zerocopy_derive::{
    FromBytes,
    Immutable,
    IntoBytes,
    KnownLayout, //
};

mod cost;
mod rules;

pub use cost::{
    bytes_needed,
    bytes_of_object,
    PLACE, //
};
pub use rules::reason_against;

/// Name of the device node below `/dev`.
pub const NAME: &str = "mapwright-alloc";

/// Name of the module's directory in debugfs.
pub const DEBUGFS_NAME: &str = "mapwright_alloc";

/// Version of the interface that this file describes. It grows by one with each addition.
pub const VERSION: u32 = 1;

/// Ioctl request taking [`Info`].
pub const IOCTL_INFO: u32 = io(0x20);
/// Ioctl request taking [`Run`].
pub const IOCTL_RUN: u32 = io(0x21);
/// Ioctl request taking [`Release`].
pub const IOCTL_RELEASE: u32 = io(0x22);

/// [`Run::node`]: any node, the nearest first.
pub const ANY_NODE: i32 = -1;

/// [`Record::dma_addr`] of what is mapped for no device.
pub const NO_DMA_ADDR: u64 = u64::MAX;

/// Buckets of a histogram. Bucket `n` counts what took less than `2^n` nanoseconds and at least half of
/// that; the last one also counts all that took longer.
pub const BUCKETS: usize = 32;

/// [`Run::flags`]: what is allocated at the end stays so, see [`Release`].
pub const HOLD: u32 = 1;
/// [`Run::flags`]: a size of 0 is meant ([`Allocator::Kmalloc`], [`Kzalloc`](Allocator::Kzalloc) and
/// [`Kvmalloc`](Allocator::Kvmalloc) have an answer to it).
pub const SIZE_ZERO: u32 = 2;
/// [`Run::flags`]: a [`Record`] per page rather than per object.
pub const EACH_PAGE: u32 = 4;
/// [`Run::flags`]: each recorded object is filled with [`FILL_BYTE`], after it was looked at.
pub const FILL: u32 = 8;
/// [`Run::flags`]: blocks of pages are split with `split_page()` and freed page by page.
pub const SPLIT: u32 = 16;
/// [`Run::flags`]: at the end a null pointer is freed, too, which has to be harmless.
pub const FREE_NULL: u32 = 32;
/// [`Run::flags`]: each operation is timed, for the histograms. Its cost is part of the empty loop's.
pub const HISTOGRAM: u32 = 64;

/// All of [`Run::flags`].
pub const FLAGS: u32 = HOLD | SIZE_ZERO | EACH_PAGE | FILL | SPLIT | FREE_NULL | HISTOGRAM;

/// See [`FILL`].
pub const FILL_BYTE: u8 = 0xA5;

words! {
    /// Who gives the memory.
    Allocator {
        /// `kmalloc()`: from a slab of the next size class, or whole pages above the largest.
        Kmalloc = 0, "kmalloc";
        /// `kzalloc()`: the same, zeroed.
        Kzalloc = 1, "kzalloc";
        /// `krealloc()` of an object of [`Run::old_bytes`] bytes.
        Krealloc = 2, "krealloc";
        /// `kvmalloc()`: `kmalloc()`, or `vmalloc()` if that fails.
        Kvmalloc = 3, "kvmalloc";
        /// `vmalloc()`: single pages, contiguous only in the kernel's virtual addresses.
        Vmalloc = 4, "vmalloc";
        /// `vzalloc()`: the same, zeroed.
        Vzalloc = 5, "vzalloc";
        /// `alloc_pages()`: 2^[`Run::order`] pages, physically contiguous.
        Pages = 6, "pages";
        /// `kmem_cache_alloc()` from a cache made for the plan.
        KmemCache = 7, "kmem_cache";
        /// `__alloc_percpu()`: an object for each possible CPU.
        PerCpu = 8, "percpu";
        /// `dma_alloc_coherent()`.
        Coherent = 9, "coherent";
    }
}

words! {
    /// What an allocation may do and where its memory may be: the GFP flags that are used alone.
    Gfp {
        /// `GFP_KERNEL`: may sleep, reclaim, start I/O and call into file systems.
        Kernel = 0, "kernel";
        /// `GFP_ATOMIC`: may not sleep, but use reserves.
        Atomic = 1, "atomic";
        /// `GFP_NOWAIT`: may not sleep.
        Nowait = 2, "nowait";
        /// `GFP_NOIO`: may sleep, but not start I/O.
        Noio = 3, "noio";
        /// `GFP_NOFS`: may sleep, but not call into file systems.
        Nofs = 4, "nofs";
        /// `GFP_USER`: for user space, obeying cpusets.
        User = 5, "user";
        /// `GFP_HIGHUSER`: the same, and may be in high memory.
        Highuser = 6, "highuser";
        /// `GFP_KERNEL | GFP_DMA`: in the lowest zone.
        Dma = 7, "dma";
        /// `GFP_KERNEL | GFP_DMA32`: below 4 GiB.
        Dma32 = 8, "dma32";
    }
}

words! {
    /// GFP flags that are used beside one of [`Gfp`].
    Modifier {
        /// `__GFP_ZERO`: zeroed.
        Zero = 0, "zero";
        /// `__GFP_ACCOUNT`: charged to the caller's memory cgroup.
        Account = 1, "account";
        /// `__GFP_THISNODE`: from the node asked for or not at all.
        Thisnode = 2, "thisnode";
        /// `__GFP_COMP`: a compound page.
        Comp = 3, "comp";
        /// `__GFP_MOVABLE`: from the blocks for pages that can be moved.
        Movable = 4, "movable";
        /// `__GFP_RECLAIMABLE`: from the blocks for caches that can be shrunk.
        Reclaimable = 5, "reclaimable";
        /// `__GFP_RETRY_MAYFAIL`: tries harder, but fails rather than call the OOM killer.
        RetryMayfail = 6, "retry-mayfail";
    }
}

words! {
    /// Flags of a [`Allocator::KmemCache`] plan's cache.
    CacheFlag {
        /// `SLAB_HWCACHE_ALIGN`: objects begin at cache lines.
        HwcacheAlign = 0, "hwcache-align";
        /// `SLAB_CACHE_DMA`: in the lowest zone.
        Dma = 1, "dma";
        /// `SLAB_CACHE_DMA32`: below 4 GiB.
        Dma32 = 2, "dma32";
        /// `SLAB_RECLAIM_ACCOUNT`: objects can be reclaimed.
        ReclaimAccount = 3, "reclaim-account";
        /// `SLAB_ACCOUNT`: charged to the caller's memory cgroup.
        Account = 4, "account";
        /// `SLAB_NO_MERGE`: a cache of its own, even if there is one like it.
        NoMerge = 5, "no-merge";
        /// `SLAB_RED_ZONE`: guarded on both sides. Like the next three it turns on the kernel's slab
        /// debugging until the next boot, for such caches only.
        RedZone = 6, "red-zone";
        /// `SLAB_POISON`: filled with a pattern while free.
        Poison = 7, "poison";
        /// `SLAB_STORE_USER`: remembers who allocated and freed.
        StoreUser = 8, "store-user";
        /// `SLAB_CONSISTENCY_CHECKS`: checked whenever one is allocated or freed.
        ConsistencyChecks = 9, "consistency-checks";
    }
}

words! {
    /// In which order objects are allocated and freed.
    Pattern {
        /// Each is freed before the next is allocated.
        Pairs = 0, "pairs";
        /// [`Run::batch`] are allocated, then these are freed in the same order; and again.
        Batches = 1, "batches";
        /// One of [`Run::batch`] places is drawn, and what is there is freed, or an object allocated
        /// there if it is empty.
        Random = 2, "random";
    }
}

words! {
    /// A zone of a node's memory.
    Zone {
        /// `ZONE_DMA`: on x86, below 16 MiB.
        Dma = 0, "DMA";
        /// `ZONE_DMA32`: below 4 GiB.
        Dma32 = 1, "DMA32";
        /// `ZONE_NORMAL`: all that the direct map has beyond.
        Normal = 2, "Normal";
        /// `ZONE_HIGHMEM`: what the direct map does not have.
        HighMem = 3, "HighMem";
        /// `ZONE_MOVABLE`: what can be taken out.
        Movable = 4, "Movable";
        /// `ZONE_DEVICE`: memory of a device.
        Device = 5, "Device";
    }
}

/// [`IOCTL_INFO`]: what the loaded module can do, and its limits. Everything but `size` is output.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Info {
    /// Bytes of this structure.
    pub size: u32,
    /// Version of the interface that the module speaks, see [`VERSION`].
    pub version: u32,
    /// Bytes of a page.
    pub page_size: u32,
    /// Largest order of a block of pages: `MAX_PAGE_ORDER`.
    pub max_order: u32,
    /// Bytes that all plans may take together, see [`bytes_needed`].
    pub budget_bytes: u64,
    /// Bytes that they may take now.
    pub used_bytes: u64,
    /// Largest `kmalloc()` that comes from a slab: `KMALLOC_MAX_CACHE_SIZE`.
    pub slab_max_bytes: u64,
    /// Largest `kmalloc()`: `KMALLOC_MAX_SIZE`.
    pub kmalloc_max_bytes: u64,
    /// Largest per-CPU object: `PCPU_MIN_UNIT_SIZE`.
    pub percpu_max_bytes: u32,
    /// CPUs that each have their own copy of a per-CPU object.
    pub possible_cpus: u32,
    /// Mask of the first 64 nodes: those that are online.
    pub online_nodes: u64,
}
request!(Info, IOCTL_INFO, 64);

/// [`IOCTL_RUN`]: a plan, and what came of it.
///
/// Errors: `EINVAL` (see [`reason_against`]), `ENOSPC` (it could need more than what is left of the
/// budget, see [`bytes_needed`]), `EPERM` (records without `CAP_SYS_ADMIN`), `ENOMEM` (no memory for what
/// the plan itself needs: its cache, room for pointers), `EINTR` (a signal came), `EFAULT`. That an
/// allocation fails is no error of the plan's: it is counted.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Run {
    /// Bytes of this structure.
    pub size: u32,
    /// [`HOLD`] and the others.
    pub flags: u32,
    /// An [`Allocator`].
    pub allocator: u32,
    /// A [`Pattern`].
    pub pattern: u32,
    /// A [`Gfp`].
    pub gfp: u32,
    /// Mask of [`Modifier`]s.
    pub modifiers: u32,
    /// Bytes of an object; 0 with [`Allocator::Pages`].
    pub bytes: u64,
    /// [`Allocator::Krealloc`]: bytes of the object before; 0 with others.
    pub old_bytes: u64,
    /// [`Allocator::Pages`]: the order; 0 with others.
    pub order: u32,
    /// [`Allocator::KmemCache`]: mask of [`CacheFlag`]s; 0 with others.
    pub cache_flags: u32,
    /// [`Allocator::KmemCache`] and [`Allocator::PerCpu`]: a power of two up to a page that an object's
    /// address is a multiple of, or 0 for what is usual; 0 with others.
    pub align: u32,
    /// The node to allocate from, or [`ANY_NODE`].
    pub node: i32,
    /// Allocations to make; of [`Pattern::Random`], operations in all.
    pub count: u32,
    /// Objects that are alive at the same time, see [`Pattern`]; 0 with [`Pattern::Pairs`].
    pub batch: u32,
    /// What [`Pattern::Random`] draws from: the same seed gives the same operations.
    pub seed: u64,
    /// Address of an array of [`Record`]s for the first allocations, in their order. With records,
    /// nothing is timed. Needs `CAP_SYS_ADMIN`.
    pub records: u64,
    /// Records that the array has room for, or 0. On return: records written.
    pub nr_records: u32,

    /// On return: the number in the name of the plan's cache, `mapwright_alloc-NUMBER`.
    pub cache_number: u32,
    /// On return: allocations that succeeded.
    pub allocated: u64,
    /// On return: objects that were freed, without those that still lived at the end.
    pub freed: u64,
    /// On return: allocations that failed for lack of memory.
    pub failed_memory: u64,
    /// On return: allocations that failed because the allocator never gives so much at once.
    pub failed_size: u64,
    /// On return: the CPU that the plan began on.
    pub first_cpu: u32,
    /// On return: the CPU that the plan ended on.
    pub last_cpu: u32,
    /// On return: what allocating cost; with [`Pattern::Pairs`] and [`Pattern::Random`], all operations.
    pub allocating: Cost,
    /// On return: what freeing cost; with [`Pattern::Pairs`] and [`Pattern::Random`], nothing.
    pub freeing: Cost,
    /// On return, with [`HISTOGRAM`]: how long allocations took.
    pub allocating_histogram: [u32; BUCKETS],
    /// On return, with [`HISTOGRAM`]: how long it took to free.
    pub freeing_histogram: [u32; BUCKETS],
}
request!(Run, IOCTL_RUN, 448);

/// What all turns of a loop cost, and those of the same loop with no allocator in it.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Cost {
    /// Nanoseconds.
    pub ns: u64,
    /// Nanoseconds of the empty loop.
    pub empty_ns: u64,
    /// Cycles of the CPU's time-stamp counter; 0 where there is none.
    pub cycles: u64,
    /// Cycles of the empty loop.
    pub empty_cycles: u64,
}

/// [`IOCTL_RELEASE`]: frees everything that plans of this file hold. Everything but `size` and `flags`
/// is output.
///
/// Errors: `EINVAL` (flags).
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Release {
    /// Bytes of this structure.
    pub size: u32,
    /// Zero.
    pub flags: u32,
    /// Objects freed.
    pub freed: u64,
}
request!(Release, IOCTL_RELEASE, 16);

/// [`Record::flags`]: all bytes asked for were zero.
pub const ZEROED: u32 = 1;
/// [`Record::flags`]: `krealloc()` gave another address than the object had before.
pub const MOVED: u32 = 2;
/// [`Record::flags`]: what `krealloc()` gave begins with the bytes of the object before.
pub const KEPT: u32 = 4;

/// What an allocation gave, or a page of it ([`EACH_PAGE`]).
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Record {
    /// The kernel's address: of a per-CPU object, the copy of the first possible CPU; 0 of a page in
    /// high memory. A size of 0 gives `ZERO_SIZE_PTR`.
    pub address: u64,
    /// Page frame number of its first page.
    pub pfn: u64,
    /// The address a device uses for it, or [`NO_DMA_ADDR`].
    pub dma_addr: u64,
    /// Bytes that were given, which may be more than were asked for: `ksize()`, or whole pages.
    pub actual_bytes: u64,
    /// Which allocation of the plan, from 0.
    pub index: u32,
    /// Pages that it touches.
    pub pages: u32,
    /// Physically contiguous runs that these make up.
    pub runs: u32,
    /// Pages of the longest run.
    pub longest_run: u32,
    /// A [`Zone`]: of its first page.
    pub zone: u32,
    /// Number of the node of its first page.
    pub node: u32,
    /// An [`AddressClass`](crate::AddressClass).
    pub address_class: u32,
    /// [`ZEROED`] and the others; 0 with [`EACH_PAGE`].
    pub flags: u32,
}
