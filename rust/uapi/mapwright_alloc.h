/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * The interface of a device of mapwright. Made from alloc.rs by `make header`: do not edit.
 * What the ioctls do and how they fail is said there.
 */
#ifndef MAPWRIGHT_ALLOC_H
#define MAPWRIGHT_ALLOC_H

#include <linux/ioctl.h>
#include <stdint.h>

/* Name of the device node below `/dev`. */
#define MAPWRIGHT_ALLOC_NAME "mapwright-alloc"

/* Name of the module's directory in debugfs. */
#define MAPWRIGHT_ALLOC_DEBUGFS_NAME "mapwright_alloc"

/* Version of the interface that this file describes. It grows by one with each addition. */
#define MAPWRIGHT_ALLOC_VERSION 1

/* Ioctl request taking Info. */
#define MAPWRIGHT_ALLOC_INFO _IO(0xe7, 0x20)

/* Ioctl request taking Run. */
#define MAPWRIGHT_ALLOC_RUN _IO(0xe7, 0x21)

/* Ioctl request taking Release. */
#define MAPWRIGHT_ALLOC_RELEASE _IO(0xe7, 0x22)

/* Run::node: any node, the nearest first. */
#define MAPWRIGHT_ALLOC_ANY_NODE -1

/* Record::dma_addr of what is mapped for no device. */
#define MAPWRIGHT_ALLOC_NO_DMA_ADDR 0xffffffffffffffffULL

/* Buckets of a histogram. Bucket `n` counts what took less than `2^n` nanoseconds and at least half of that; the last one also counts all that took longer. */
#define MAPWRIGHT_ALLOC_BUCKETS 32

/* Run::flags: what is allocated at the end stays so, see Release. */
#define MAPWRIGHT_ALLOC_HOLD 1

/* Run::flags: a size of 0 is meant (Allocator::Kmalloc, Kzalloc(Allocator::Kzalloc) and Kvmalloc(Allocator::Kvmalloc) have an answer to it). */
#define MAPWRIGHT_ALLOC_SIZE_ZERO 2

/* Run::flags: a Record per page rather than per object. */
#define MAPWRIGHT_ALLOC_EACH_PAGE 4

/* Run::flags: each recorded object is filled with FILL_BYTE, after it was looked at. */
#define MAPWRIGHT_ALLOC_FILL 8

/* Run::flags: blocks of pages are split with `split_page()` and freed page by page. */
#define MAPWRIGHT_ALLOC_SPLIT 16

/* Run::flags: at the end a null pointer is freed, too, which has to be harmless. */
#define MAPWRIGHT_ALLOC_FREE_NULL 32

/* Run::flags: each operation is timed, for the histograms. Its cost is part of the empty loop's. */
#define MAPWRIGHT_ALLOC_HISTOGRAM 64

/* All of Run::flags. */
#define MAPWRIGHT_ALLOC_FLAGS 127

/* See FILL. */
#define MAPWRIGHT_ALLOC_FILL_BYTE 165

/* Record::flags: all bytes asked for were zero. */
#define MAPWRIGHT_ALLOC_ZEROED 1

/* Record::flags: `krealloc()` gave another address than the object had before. */
#define MAPWRIGHT_ALLOC_MOVED 2

/* Record::flags: what `krealloc()` gave begins with the bytes of the object before. */
#define MAPWRIGHT_ALLOC_KEPT 4

enum mapwright_alloc_allocator {
	MAPWRIGHT_ALLOC_ALLOCATOR_KMALLOC = 0,
	MAPWRIGHT_ALLOC_ALLOCATOR_KZALLOC = 1,
	MAPWRIGHT_ALLOC_ALLOCATOR_KREALLOC = 2,
	MAPWRIGHT_ALLOC_ALLOCATOR_KVMALLOC = 3,
	MAPWRIGHT_ALLOC_ALLOCATOR_VMALLOC = 4,
	MAPWRIGHT_ALLOC_ALLOCATOR_VZALLOC = 5,
	MAPWRIGHT_ALLOC_ALLOCATOR_PAGES = 6,
	MAPWRIGHT_ALLOC_ALLOCATOR_KMEM_CACHE = 7,
	MAPWRIGHT_ALLOC_ALLOCATOR_PERCPU = 8,
	MAPWRIGHT_ALLOC_ALLOCATOR_COHERENT = 9,
};

enum mapwright_alloc_gfp {
	MAPWRIGHT_ALLOC_GFP_KERNEL = 0,
	MAPWRIGHT_ALLOC_GFP_ATOMIC = 1,
	MAPWRIGHT_ALLOC_GFP_NOWAIT = 2,
	MAPWRIGHT_ALLOC_GFP_NOIO = 3,
	MAPWRIGHT_ALLOC_GFP_NOFS = 4,
	MAPWRIGHT_ALLOC_GFP_USER = 5,
	MAPWRIGHT_ALLOC_GFP_HIGHUSER = 6,
	MAPWRIGHT_ALLOC_GFP_DMA = 7,
	MAPWRIGHT_ALLOC_GFP_DMA32 = 8,
};

enum mapwright_alloc_modifier {
	MAPWRIGHT_ALLOC_MODIFIER_ZERO = 0,
	MAPWRIGHT_ALLOC_MODIFIER_ACCOUNT = 1,
	MAPWRIGHT_ALLOC_MODIFIER_THISNODE = 2,
	MAPWRIGHT_ALLOC_MODIFIER_COMP = 3,
	MAPWRIGHT_ALLOC_MODIFIER_MOVABLE = 4,
	MAPWRIGHT_ALLOC_MODIFIER_RECLAIMABLE = 5,
	MAPWRIGHT_ALLOC_MODIFIER_RETRY_MAYFAIL = 6,
};

enum mapwright_alloc_cache_flag {
	MAPWRIGHT_ALLOC_CACHE_FLAG_HWCACHE_ALIGN = 0,
	MAPWRIGHT_ALLOC_CACHE_FLAG_DMA = 1,
	MAPWRIGHT_ALLOC_CACHE_FLAG_DMA32 = 2,
	MAPWRIGHT_ALLOC_CACHE_FLAG_RECLAIM_ACCOUNT = 3,
	MAPWRIGHT_ALLOC_CACHE_FLAG_ACCOUNT = 4,
	MAPWRIGHT_ALLOC_CACHE_FLAG_NO_MERGE = 5,
	MAPWRIGHT_ALLOC_CACHE_FLAG_RED_ZONE = 6,
	MAPWRIGHT_ALLOC_CACHE_FLAG_POISON = 7,
	MAPWRIGHT_ALLOC_CACHE_FLAG_STORE_USER = 8,
	MAPWRIGHT_ALLOC_CACHE_FLAG_CONSISTENCY_CHECKS = 9,
};

enum mapwright_alloc_pattern {
	MAPWRIGHT_ALLOC_PATTERN_PAIRS = 0,
	MAPWRIGHT_ALLOC_PATTERN_BATCHES = 1,
	MAPWRIGHT_ALLOC_PATTERN_RANDOM = 2,
};

enum mapwright_alloc_zone {
	MAPWRIGHT_ALLOC_ZONE_DMA = 0,
	MAPWRIGHT_ALLOC_ZONE_DMA32 = 1,
	MAPWRIGHT_ALLOC_ZONE_NORMAL = 2,
	MAPWRIGHT_ALLOC_ZONE_HIGHMEM = 3,
	MAPWRIGHT_ALLOC_ZONE_MOVABLE = 4,
	MAPWRIGHT_ALLOC_ZONE_DEVICE = 5,
};

/**
 * [`IOCTL_INFO`]: what the loaded module can do, and its limits. Everything but `size` is output.
 */
struct mapwright_alloc_info {
        /**
         * Bytes of this structure.
         */
        uint32_t size;
        /**
         * Version of the interface that the module speaks, see [`VERSION`].
         */
        uint32_t version;
        /**
         * Bytes of a page.
         */
        uint32_t page_size;
        /**
         * Largest order of a block of pages: `MAX_PAGE_ORDER`.
         */
        uint32_t max_order;
        /**
         * Bytes that all plans may take together, see [`bytes_needed`].
         */
        uint64_t budget_bytes;
        /**
         * Bytes that they may take now.
         */
        uint64_t used_bytes;
        /**
         * Largest `kmalloc()` that comes from a slab: `KMALLOC_MAX_CACHE_SIZE`.
         */
        uint64_t slab_max_bytes;
        /**
         * Largest `kmalloc()`: `KMALLOC_MAX_SIZE`.
         */
        uint64_t kmalloc_max_bytes;
        /**
         * Largest per-CPU object: `PCPU_MIN_UNIT_SIZE`.
         */
        uint32_t percpu_max_bytes;
        /**
         * CPUs that each have their own copy of a per-CPU object.
         */
        uint32_t possible_cpus;
        /**
         * Mask of the first 64 nodes: those that are online.
         */
        uint64_t online_nodes;
};

/**
 * What all turns of a loop cost, and those of the same loop with no allocator in it.
 */
struct mapwright_alloc_cost {
        /**
         * Nanoseconds.
         */
        uint64_t ns;
        /**
         * Nanoseconds of the empty loop.
         */
        uint64_t empty_ns;
        /**
         * Cycles of the CPU's time-stamp counter; 0 where there is none.
         */
        uint64_t cycles;
        /**
         * Cycles of the empty loop.
         */
        uint64_t empty_cycles;
};

/**
 * [`IOCTL_RUN`]: a plan, and what came of it.
 *
 * Errors: `EINVAL` (see [`reason_against`]), `ENOSPC` (it could need more than what is left of the
 * budget, see [`bytes_needed`]), `EPERM` (records without `CAP_SYS_ADMIN`), `ENOMEM` (no memory for what
 * the plan itself needs: its cache, room for pointers), `EINTR` (a signal came), `EFAULT`. That an
 * allocation fails is no error of the plan's: it is counted.
 */
struct mapwright_alloc_run {
        /**
         * Bytes of this structure.
         */
        uint32_t size;
        /**
         * [`HOLD`] and the others.
         */
        uint32_t flags;
        /**
         * An [`Allocator`].
         */
        uint32_t allocator;
        /**
         * A [`Pattern`].
         */
        uint32_t pattern;
        /**
         * A [`Gfp`].
         */
        uint32_t gfp;
        /**
         * Mask of [`Modifier`]s.
         */
        uint32_t modifiers;
        /**
         * Bytes of an object; 0 with [`Allocator::Pages`].
         */
        uint64_t bytes;
        /**
         * [`Allocator::Krealloc`]: bytes of the object before; 0 with others.
         */
        uint64_t old_bytes;
        /**
         * [`Allocator::Pages`]: the order; 0 with others.
         */
        uint32_t order;
        /**
         * [`Allocator::KmemCache`]: mask of [`CacheFlag`]s; 0 with others.
         */
        uint32_t cache_flags;
        /**
         * [`Allocator::KmemCache`] and [`Allocator::PerCpu`]: a power of two up to a page that an object's
         * address is a multiple of, or 0 for what is usual; 0 with others.
         */
        uint32_t align;
        /**
         * The node to allocate from, or [`ANY_NODE`].
         */
        int32_t node;
        /**
         * Allocations to make; of [`Pattern::Random`], operations in all.
         */
        uint32_t count;
        /**
         * Objects that are alive at the same time, see [`Pattern`]; 0 with [`Pattern::Pairs`].
         */
        uint32_t batch;
        /**
         * What [`Pattern::Random`] draws from: the same seed gives the same operations.
         */
        uint64_t seed;
        /**
         * Address of an array of [`Record`]s for the first allocations, in their order. With records,
         * nothing is timed. Needs `CAP_SYS_ADMIN`.
         */
        uint64_t records;
        /**
         * Records that the array has room for, or 0. On return: records written.
         */
        uint32_t nr_records;
        /**
         * On return: the number in the name of the plan's cache, `mapwright_alloc-NUMBER`.
         */
        uint32_t cache_number;
        /**
         * On return: allocations that succeeded.
         */
        uint64_t allocated;
        /**
         * On return: objects that were freed, without those that still lived at the end.
         */
        uint64_t freed;
        /**
         * On return: allocations that failed for lack of memory.
         */
        uint64_t failed_memory;
        /**
         * On return: allocations that failed because the allocator never gives so much at once.
         */
        uint64_t failed_size;
        /**
         * On return: the CPU that the plan began on.
         */
        uint32_t first_cpu;
        /**
         * On return: the CPU that the plan ended on.
         */
        uint32_t last_cpu;
        /**
         * On return: what allocating cost; with [`Pattern::Pairs`] and [`Pattern::Random`], all operations.
         */
        struct mapwright_alloc_cost allocating;
        /**
         * On return: what freeing cost; with [`Pattern::Pairs`] and [`Pattern::Random`], nothing.
         */
        struct mapwright_alloc_cost freeing;
        /**
         * On return, with [`HISTOGRAM`]: how long allocations took.
         */
        uint32_t allocating_histogram[MAPWRIGHT_ALLOC_BUCKETS];
        /**
         * On return, with [`HISTOGRAM`]: how long it took to free.
         */
        uint32_t freeing_histogram[MAPWRIGHT_ALLOC_BUCKETS];
};

/**
 * [`IOCTL_RELEASE`]: frees everything that plans of this file hold. Everything but `size` and `flags`
 * is output.
 *
 * Errors: `EINVAL` (flags).
 */
struct mapwright_alloc_release {
        /**
         * Bytes of this structure.
         */
        uint32_t size;
        /**
         * Zero.
         */
        uint32_t flags;
        /**
         * Objects freed.
         */
        uint64_t freed;
};

/**
 * What an allocation gave, or a page of it ([`EACH_PAGE`]).
 */
struct mapwright_alloc_record {
        /**
         * The kernel's address: of a per-CPU object, the copy of the first possible CPU; 0 of a page in
         * high memory. A size of 0 gives `ZERO_SIZE_PTR`.
         */
        uint64_t address;
        /**
         * Page frame number of its first page.
         */
        uint64_t pfn;
        /**
         * The address a device uses for it, or [`NO_DMA_ADDR`].
         */
        uint64_t dma_addr;
        /**
         * Bytes that were given, which may be more than were asked for: `ksize()`, or whole pages.
         */
        uint64_t actual_bytes;
        /**
         * Which allocation of the plan, from 0.
         */
        uint32_t index;
        /**
         * Pages that it touches.
         */
        uint32_t pages;
        /**
         * Physically contiguous runs that these make up.
         */
        uint32_t runs;
        /**
         * Pages of the longest run.
         */
        uint32_t longest_run;
        /**
         * A [`Zone`]: of its first page.
         */
        uint32_t zone;
        /**
         * Number of the node of its first page.
         */
        uint32_t node;
        /**
         * An [`AddressClass`](crate::AddressClass).
         */
        uint32_t address_class;
        /**
         * [`ZEROED`] and the others; 0 with [`EACH_PAGE`].
         */
        uint32_t flags;
};

#endif /* MAPWRIGHT_ALLOC_H */
