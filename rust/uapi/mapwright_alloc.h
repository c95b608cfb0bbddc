/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * The interface of /dev/mapwright-alloc: allocation plans, run by the kernel's
 * allocators.
 *
 * A plan says which allocator gives how many objects of what size, with which
 * flags and in which pattern; MAPWRIGHT_ALLOC_RUN runs it in the calling
 * thread, on the CPU that it is pinned to, and reports what came of it. A
 * signal ends it with EINTR. Whatever happens, everything is freed, unless the
 * plan holds its objects (MAPWRIGHT_ALLOC_HOLD): then they live until
 * MAPWRIGHT_ALLOC_RELEASE, or until the file is closed.
 *
 * Nothing but the memory of such objects is ever used, and all plans together
 * take no more of the machine's memory than the module's budget: what is
 * counted is what the allocators really take (see docs/allocators.md), not what
 * was asked for. Neither warns the kernel, nor calls the OOM killer:
 * __GFP_NOWARN and (unless MAPWRIGHT_ALLOC_MODIFIER_RETRY_MAYFAIL is asked for)
 * __GFP_NORETRY are always added, where the allocator takes flags: vmalloc on a
 * node does not.
 *
 * The rules for the structures are those of /dev/mapwright.
 *
 * Written by make header, from rust/uapi/alloc.rs: change that.
 */
#ifndef _UAPI_MAPWRIGHT_ALLOC_H
#define _UAPI_MAPWRIGHT_ALLOC_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* Name of the device node below /dev. */
#define MAPWRIGHT_ALLOC_NAME "mapwright-alloc"

/* Name of the module's directory in debugfs. */
#define MAPWRIGHT_ALLOC_DEBUGFS_NAME "mapwright_alloc"

/*
 * Version of the interface that this file describes. It grows by one with each
 * addition.
 */
#define MAPWRIGHT_ALLOC_VERSION 1

/* mapwright_alloc_run.node: any node, the nearest first. */
#define MAPWRIGHT_ALLOC_ANY_NODE -1

/* mapwright_alloc_record.dma_addr of what is mapped for no device. */
#define MAPWRIGHT_ALLOC_NO_DMA_ADDR 0xffffffffffffffffULL

/*
 * Buckets of a histogram. Bucket n counts what took less than 2^n nanoseconds
 * and at least half of that; the last one also counts all that took longer.
 */
#define MAPWRIGHT_ALLOC_BUCKETS 32

/*
 * mapwright_alloc_run.flags: what is allocated at the end stays so, see struct
 * mapwright_alloc_release.
 */
#define MAPWRIGHT_ALLOC_HOLD 1

/*
 * mapwright_alloc_run.flags: a size of 0 is meant
 * (MAPWRIGHT_ALLOC_ALLOCATOR_KMALLOC, MAPWRIGHT_ALLOC_ALLOCATOR_KZALLOC and
 * MAPWRIGHT_ALLOC_ALLOCATOR_KVMALLOC have an answer to it).
 */
#define MAPWRIGHT_ALLOC_SIZE_ZERO 2

/*
 * mapwright_alloc_run.flags: a struct mapwright_alloc_record per page rather
 * than per object.
 */
#define MAPWRIGHT_ALLOC_EACH_PAGE 4

/*
 * mapwright_alloc_run.flags: each recorded object is filled with
 * MAPWRIGHT_ALLOC_FILL_BYTE, after it was looked at.
 */
#define MAPWRIGHT_ALLOC_FILL 8

/*
 * mapwright_alloc_run.flags: blocks of pages are split with split_page() and
 * freed page by page.
 */
#define MAPWRIGHT_ALLOC_SPLIT 16

/*
 * mapwright_alloc_run.flags: at the end a null pointer is freed, too, which has
 * to be harmless.
 */
#define MAPWRIGHT_ALLOC_FREE_NULL 32

/*
 * mapwright_alloc_run.flags: each operation is timed, for the histograms. Its
 * cost is part of the empty loop's.
 */
#define MAPWRIGHT_ALLOC_HISTOGRAM 64

/* All of mapwright_alloc_run.flags. */
#define MAPWRIGHT_ALLOC_FLAGS 127

/* See MAPWRIGHT_ALLOC_FILL. */
#define MAPWRIGHT_ALLOC_FILL_BYTE 165

/* mapwright_alloc_record.flags: all bytes asked for were zero. */
#define MAPWRIGHT_ALLOC_ZEROED 1

/*
 * mapwright_alloc_record.flags: krealloc() gave another address than the object
 * had before.
 */
#define MAPWRIGHT_ALLOC_MOVED 2

/*
 * mapwright_alloc_record.flags: what krealloc() gave begins with the bytes of
 * the object before.
 */
#define MAPWRIGHT_ALLOC_KEPT 4

/**
 * enum mapwright_alloc_allocator - Who gives the memory.
 * @MAPWRIGHT_ALLOC_ALLOCATOR_KMALLOC: kmalloc(): from a slab of the next size
 *	class, or whole pages above the largest.
 * @MAPWRIGHT_ALLOC_ALLOCATOR_KZALLOC: kzalloc(): the same, zeroed.
 * @MAPWRIGHT_ALLOC_ALLOCATOR_KREALLOC: krealloc() of an object of
 *	mapwright_alloc_run.old_bytes bytes.
 * @MAPWRIGHT_ALLOC_ALLOCATOR_KVMALLOC: kvmalloc(): kmalloc(), or vmalloc() if
 *	that fails.
 * @MAPWRIGHT_ALLOC_ALLOCATOR_VMALLOC: vmalloc(): single pages, contiguous only
 *	in the kernel's virtual addresses.
 * @MAPWRIGHT_ALLOC_ALLOCATOR_VZALLOC: vzalloc(): the same, zeroed.
 * @MAPWRIGHT_ALLOC_ALLOCATOR_PAGES: alloc_pages(): 2^mapwright_alloc_run.order
 *	pages, physically contiguous.
 * @MAPWRIGHT_ALLOC_ALLOCATOR_KMEM_CACHE: kmem_cache_alloc() from a cache made
 *	for the plan.
 * @MAPWRIGHT_ALLOC_ALLOCATOR_PERCPU: __alloc_percpu(): an object for each
 *	possible CPU.
 * @MAPWRIGHT_ALLOC_ALLOCATOR_COHERENT: dma_alloc_coherent().
 */
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

/**
 * enum mapwright_alloc_gfp - What an allocation may do and where its memory may
 *	be: the GFP flags that are used alone.
 * @MAPWRIGHT_ALLOC_GFP_KERNEL: GFP_KERNEL: may sleep, reclaim, start I/O and
 *	call into file systems.
 * @MAPWRIGHT_ALLOC_GFP_ATOMIC: GFP_ATOMIC: may not sleep, but use reserves.
 * @MAPWRIGHT_ALLOC_GFP_NOWAIT: GFP_NOWAIT: may not sleep.
 * @MAPWRIGHT_ALLOC_GFP_NOIO: GFP_NOIO: may sleep, but not start I/O.
 * @MAPWRIGHT_ALLOC_GFP_NOFS: GFP_NOFS: may sleep, but not call into file
 *	systems.
 * @MAPWRIGHT_ALLOC_GFP_USER: GFP_USER: for user space, obeying cpusets.
 * @MAPWRIGHT_ALLOC_GFP_HIGHUSER: GFP_HIGHUSER: the same, and may be in high
 *	memory.
 * @MAPWRIGHT_ALLOC_GFP_DMA: GFP_KERNEL | GFP_DMA: in the lowest zone.
 * @MAPWRIGHT_ALLOC_GFP_DMA32: GFP_KERNEL | GFP_DMA32: below 4 GiB.
 */
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

/**
 * enum mapwright_alloc_modifier - GFP flags that are used beside one of enum
 *	mapwright_alloc_gfp.
 * @MAPWRIGHT_ALLOC_MODIFIER_ZERO: __GFP_ZERO: zeroed.
 * @MAPWRIGHT_ALLOC_MODIFIER_ACCOUNT: __GFP_ACCOUNT: charged to the caller's
 *	memory cgroup.
 * @MAPWRIGHT_ALLOC_MODIFIER_THISNODE: __GFP_THISNODE: from the node asked for
 *	or not at all.
 * @MAPWRIGHT_ALLOC_MODIFIER_COMP: __GFP_COMP: a compound page.
 * @MAPWRIGHT_ALLOC_MODIFIER_MOVABLE: __GFP_MOVABLE: from the blocks for pages
 *	that can be moved.
 * @MAPWRIGHT_ALLOC_MODIFIER_RECLAIMABLE: __GFP_RECLAIMABLE: from the blocks for
 *	caches that can be shrunk.
 * @MAPWRIGHT_ALLOC_MODIFIER_RETRY_MAYFAIL: __GFP_RETRY_MAYFAIL: tries harder,
 *	but fails rather than call the OOM killer.
 */
enum mapwright_alloc_modifier {
	MAPWRIGHT_ALLOC_MODIFIER_ZERO = 0,
	MAPWRIGHT_ALLOC_MODIFIER_ACCOUNT = 1,
	MAPWRIGHT_ALLOC_MODIFIER_THISNODE = 2,
	MAPWRIGHT_ALLOC_MODIFIER_COMP = 3,
	MAPWRIGHT_ALLOC_MODIFIER_MOVABLE = 4,
	MAPWRIGHT_ALLOC_MODIFIER_RECLAIMABLE = 5,
	MAPWRIGHT_ALLOC_MODIFIER_RETRY_MAYFAIL = 6,
};

/**
 * enum mapwright_alloc_cache_flag - Flags of a
 *	MAPWRIGHT_ALLOC_ALLOCATOR_KMEM_CACHE plan's cache.
 * @MAPWRIGHT_ALLOC_CACHE_FLAG_HWCACHE_ALIGN: SLAB_HWCACHE_ALIGN: objects begin
 *	at cache lines.
 * @MAPWRIGHT_ALLOC_CACHE_FLAG_DMA: SLAB_CACHE_DMA: in the lowest zone.
 * @MAPWRIGHT_ALLOC_CACHE_FLAG_DMA32: SLAB_CACHE_DMA32: below 4 GiB.
 * @MAPWRIGHT_ALLOC_CACHE_FLAG_RECLAIM_ACCOUNT: SLAB_RECLAIM_ACCOUNT: objects
 *	can be reclaimed.
 * @MAPWRIGHT_ALLOC_CACHE_FLAG_ACCOUNT: SLAB_ACCOUNT: charged to the caller's
 *	memory cgroup.
 * @MAPWRIGHT_ALLOC_CACHE_FLAG_NO_MERGE: SLAB_NO_MERGE: a cache of its own, even
 *	if there is one like it.
 * @MAPWRIGHT_ALLOC_CACHE_FLAG_RED_ZONE: SLAB_RED_ZONE: guarded on both sides.
 *	Like the next three it turns on the kernel's slab debugging until the
 *	next boot, for such caches only.
 * @MAPWRIGHT_ALLOC_CACHE_FLAG_POISON: SLAB_POISON: filled with a pattern while
 *	free.
 * @MAPWRIGHT_ALLOC_CACHE_FLAG_STORE_USER: SLAB_STORE_USER: remembers who
 *	allocated and freed.
 * @MAPWRIGHT_ALLOC_CACHE_FLAG_CONSISTENCY_CHECKS: SLAB_CONSISTENCY_CHECKS:
 *	checked whenever one is allocated or freed.
 */
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

/**
 * enum mapwright_alloc_pattern - In which order objects are allocated and
 *	freed.
 * @MAPWRIGHT_ALLOC_PATTERN_PAIRS: Each is freed before the next is allocated.
 * @MAPWRIGHT_ALLOC_PATTERN_BATCHES: mapwright_alloc_run.batch are allocated,
 *	then these are freed in the same order; and again.
 * @MAPWRIGHT_ALLOC_PATTERN_RANDOM: One of mapwright_alloc_run.batch places is
 *	drawn, and what is there is freed, or an object allocated there if it
 *	is empty.
 */
enum mapwright_alloc_pattern {
	MAPWRIGHT_ALLOC_PATTERN_PAIRS = 0,
	MAPWRIGHT_ALLOC_PATTERN_BATCHES = 1,
	MAPWRIGHT_ALLOC_PATTERN_RANDOM = 2,
};

/**
 * enum mapwright_alloc_zone - A zone of a node's memory.
 * @MAPWRIGHT_ALLOC_ZONE_DMA: ZONE_DMA: on x86, below 16 MiB.
 * @MAPWRIGHT_ALLOC_ZONE_DMA32: ZONE_DMA32: below 4 GiB.
 * @MAPWRIGHT_ALLOC_ZONE_NORMAL: ZONE_NORMAL: all that the direct map has
 *	beyond.
 * @MAPWRIGHT_ALLOC_ZONE_HIGHMEM: ZONE_HIGHMEM: what the direct map does not
 *	have.
 * @MAPWRIGHT_ALLOC_ZONE_MOVABLE: ZONE_MOVABLE: what can be taken out.
 * @MAPWRIGHT_ALLOC_ZONE_DEVICE: ZONE_DEVICE: memory of a device.
 */
enum mapwright_alloc_zone {
	MAPWRIGHT_ALLOC_ZONE_DMA = 0,
	MAPWRIGHT_ALLOC_ZONE_DMA32 = 1,
	MAPWRIGHT_ALLOC_ZONE_NORMAL = 2,
	MAPWRIGHT_ALLOC_ZONE_HIGHMEM = 3,
	MAPWRIGHT_ALLOC_ZONE_MOVABLE = 4,
	MAPWRIGHT_ALLOC_ZONE_DEVICE = 5,
};

/**
 * struct mapwright_alloc_cost - What all turns of a loop cost, and those of the
 *	same loop with no allocator in it.
 * @ns: Nanoseconds.
 * @empty_ns: Nanoseconds of the empty loop.
 * @cycles: Cycles of the CPU's time-stamp counter; 0 where there is none.
 * @empty_cycles: Cycles of the empty loop.
 */
struct mapwright_alloc_cost {
	__u64 ns;
	__u64 empty_ns;
	__u64 cycles;
	__u64 empty_cycles;
};

/**
 * struct mapwright_alloc_info - what the loaded module can do, and its limits.
 *	Everything but size is output.
 * @size: Bytes of this structure.
 * @version: Version of the interface that the module speaks, see
 *	MAPWRIGHT_ALLOC_VERSION.
 * @page_size: Bytes of a page.
 * @max_order: Largest order of a block of pages: MAX_PAGE_ORDER.
 * @budget_bytes: Bytes that all plans may take together, see
 *	docs/allocators.md.
 * @used_bytes: Bytes that they may take now.
 * @slab_max_bytes: Largest kmalloc() that comes from a slab:
 *	KMALLOC_MAX_CACHE_SIZE.
 * @kmalloc_max_bytes: Largest kmalloc(): KMALLOC_MAX_SIZE.
 * @percpu_max_bytes: Largest per-CPU object: PCPU_MIN_UNIT_SIZE.
 * @possible_cpus: CPUs that each have their own copy of a per-CPU object.
 * @online_nodes: Mask of the first 64 nodes: those that are online.
 */
struct mapwright_alloc_info {
	__u32 size;
	__u32 version;
	__u32 page_size;
	__u32 max_order;
	__u64 budget_bytes;
	__u64 used_bytes;
	__u64 slab_max_bytes;
	__u64 kmalloc_max_bytes;
	__u32 percpu_max_bytes;
	__u32 possible_cpus;
	__u64 online_nodes;
};
#define MAPWRIGHT_ALLOC_INFO _IO(0xe7, 0x20)

/**
 * struct mapwright_alloc_run - a plan, and what came of it.
 * @size: Bytes of this structure.
 * @flags: MAPWRIGHT_ALLOC_HOLD and the others.
 * @allocator: An enum mapwright_alloc_allocator.
 * @pattern: An enum mapwright_alloc_pattern.
 * @gfp: An enum mapwright_alloc_gfp.
 * @modifiers: Mask of enum mapwright_alloc_modifier.
 * @bytes: Bytes of an object; 0 with MAPWRIGHT_ALLOC_ALLOCATOR_PAGES.
 * @old_bytes: MAPWRIGHT_ALLOC_ALLOCATOR_KREALLOC: bytes of the object before; 0
 *	with others.
 * @order: MAPWRIGHT_ALLOC_ALLOCATOR_PAGES: the order; 0 with others.
 * @cache_flags: MAPWRIGHT_ALLOC_ALLOCATOR_KMEM_CACHE: mask of enum
 *	mapwright_alloc_cache_flag; 0 with others.
 * @align: MAPWRIGHT_ALLOC_ALLOCATOR_KMEM_CACHE and
 *	MAPWRIGHT_ALLOC_ALLOCATOR_PERCPU: a power of two up to a page that an
 *	object's address is a multiple of, or 0 for what is usual; 0 with
 *	others.
 * @node: The node to allocate from, or MAPWRIGHT_ALLOC_ANY_NODE.
 * @count: Allocations to make; of MAPWRIGHT_ALLOC_PATTERN_RANDOM, operations in
 *	all.
 * @batch: Objects that are alive at the same time, see enum
 *	mapwright_alloc_pattern; 0 with MAPWRIGHT_ALLOC_PATTERN_PAIRS.
 * @seed: What MAPWRIGHT_ALLOC_PATTERN_RANDOM draws from: the same seed gives
 *	the same operations.
 * @records: Address of an array of struct mapwright_alloc_record for the first
 *	allocations, in their order. With records, nothing is timed. Needs
 *	CAP_SYS_ADMIN.
 * @nr_records: Records that the array has room for, or 0. On return: records
 *	written.
 * @cache_number: On return: the number in the name of the plan's cache,
 *	mapwright_alloc-NUMBER.
 * @allocated: On return: allocations that succeeded.
 * @freed: On return: objects that were freed, without those that still lived at
 *	the end.
 * @failed_memory: On return: allocations that failed for lack of memory.
 * @failed_size: On return: allocations that failed because the allocator never
 *	gives so much at once.
 * @first_cpu: On return: the CPU that the plan began on.
 * @last_cpu: On return: the CPU that the plan ended on.
 * @allocating: On return: what allocating cost; with
 *	MAPWRIGHT_ALLOC_PATTERN_PAIRS and MAPWRIGHT_ALLOC_PATTERN_RANDOM, all
 *	operations.
 * @freeing: On return: what freeing cost; with MAPWRIGHT_ALLOC_PATTERN_PAIRS
 *	and MAPWRIGHT_ALLOC_PATTERN_RANDOM, nothing.
 * @allocating_histogram: On return, with MAPWRIGHT_ALLOC_HISTOGRAM: how long
 *	allocations took.
 * @freeing_histogram: On return, with MAPWRIGHT_ALLOC_HISTOGRAM: how long it
 *	took to free.
 *
 * Errors: EINVAL (see docs/allocators.md), ENOSPC (it could need more than what
 * is left of the budget, see docs/allocators.md), EPERM (records without
 * CAP_SYS_ADMIN), ENOMEM (no memory for what the plan itself needs: its cache,
 * room for pointers), EINTR (a signal came), EFAULT. That an allocation fails
 * is no error of the plan's: it is counted.
 */
struct mapwright_alloc_run {
	__u32 size;
	__u32 flags;
	__u32 allocator;
	__u32 pattern;
	__u32 gfp;
	__u32 modifiers;
	__u64 bytes;
	__u64 old_bytes;
	__u32 order;
	__u32 cache_flags;
	__u32 align;
	__s32 node;
	__u32 count;
	__u32 batch;
	__u64 seed;
	__u64 records;
	__u32 nr_records;
	__u32 cache_number;
	__u64 allocated;
	__u64 freed;
	__u64 failed_memory;
	__u64 failed_size;
	__u32 first_cpu;
	__u32 last_cpu;
	struct mapwright_alloc_cost allocating;
	struct mapwright_alloc_cost freeing;
	__u32 allocating_histogram[MAPWRIGHT_ALLOC_BUCKETS];
	__u32 freeing_histogram[MAPWRIGHT_ALLOC_BUCKETS];
};
#define MAPWRIGHT_ALLOC_RUN _IO(0xe7, 0x21)

/**
 * struct mapwright_alloc_release - frees everything that plans of this file
 *	hold. Everything but size and flags is output.
 * @size: Bytes of this structure.
 * @flags: Zero.
 * @freed: Objects freed.
 *
 * Errors: EINVAL (flags).
 */
struct mapwright_alloc_release {
	__u32 size;
	__u32 flags;
	__u64 freed;
};
#define MAPWRIGHT_ALLOC_RELEASE _IO(0xe7, 0x22)

/**
 * struct mapwright_alloc_record - What an allocation gave, or a page of it
 *	(MAPWRIGHT_ALLOC_EACH_PAGE).
 * @address: The kernel's address: of a per-CPU object, the copy of the first
 *	possible CPU; 0 of a page in high memory. A size of 0 gives
 *	ZERO_SIZE_PTR.
 * @pfn: Page frame number of its first page.
 * @dma_addr: The address a device uses for it, or MAPWRIGHT_ALLOC_NO_DMA_ADDR.
 * @actual_bytes: Bytes that were given, which may be more than were asked for:
 *	ksize(), or whole pages.
 * @index: Which allocation of the plan, from 0.
 * @pages: Pages that it touches.
 * @runs: Physically contiguous runs that these make up.
 * @longest_run: Pages of the longest run.
 * @zone: An enum mapwright_alloc_zone: of its first page.
 * @node: Number of the node of its first page.
 * @address_class: An enum mapwright_address.
 * @flags: MAPWRIGHT_ALLOC_ZEROED and the others; 0 with
 *	MAPWRIGHT_ALLOC_EACH_PAGE.
 */
struct mapwright_alloc_record {
	__u64 address;
	__u64 pfn;
	__u64 dma_addr;
	__u64 actual_bytes;
	__u32 index;
	__u32 pages;
	__u32 runs;
	__u32 longest_run;
	__u32 zone;
	__u32 node;
	__u32 address_class;
	__u32 flags;
};

#endif /* _UAPI_MAPWRIGHT_ALLOC_H */
