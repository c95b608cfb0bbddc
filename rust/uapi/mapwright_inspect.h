/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * The interface of a device of mapwright. Made from inspect.rs by `make header`: do not edit.
 * What the ioctls do and how they fail is said there.
 */
#ifndef MAPWRIGHT_INSPECT_H
#define MAPWRIGHT_INSPECT_H

#include <linux/ioctl.h>
#include <stdint.h>

/* Name of the device node below `/dev`. */
#define MAPWRIGHT_INSPECT_NAME "mapwright-inspect"

/* Ioctl request taking Walk. */
#define MAPWRIGHT_INSPECT_WALK _IO(0xe7, 0x40)

/* Ioctl request taking Frame. */
#define MAPWRIGHT_INSPECT_FRAME _IO(0xe7, 0x41)

/* Ioctl request taking Layout. */
#define MAPWRIGHT_INSPECT_LAYOUT _IO(0xe7, 0x42)

/* Walk::flags: through the kernel's own tables. Walk::pid must be 0. */
#define MAPWRIGHT_INSPECT_WALK_KERNEL 1

/* Walk::flags: through the tables that the CPU uses in user mode, where the kernel hides itself (page-table isolation); `EOPNOTSUPP` elsewhere. */
#define MAPWRIGHT_INSPECT_WALK_USER_MODE 2

/* Walk::flags: also asks `get_user_pages()`, see Walk::counted. */
#define MAPWRIGHT_INSPECT_WALK_COUNTED 4

/* Walk::flags: also loads a byte as the kernel does, see Walk::probe. Only with WALK_KERNEL. */
#define MAPWRIGHT_INSPECT_WALK_PROBE 8

/* Walk::physical, Walk::counted when there is none. */
#define MAPWRIGHT_INSPECT_NO_ADDRESS 0xffffffffffffffffULL

/* Walk::probe: the address maps something other than memory, which was left alone. */
#define MAPWRIGHT_INSPECT_NOT_PROBED 2147483647

enum mapwright_inspect_level {
	MAPWRIGHT_INSPECT_LEVEL_PGD = 0,
	MAPWRIGHT_INSPECT_LEVEL_P4D = 1,
	MAPWRIGHT_INSPECT_LEVEL_PUD = 2,
	MAPWRIGHT_INSPECT_LEVEL_PMD = 3,
	MAPWRIGHT_INSPECT_LEVEL_PTE = 4,
};

enum mapwright_inspect_entry_kind {
	MAPWRIGHT_INSPECT_ENTRY_KIND_FOLDED = 0,
	MAPWRIGHT_INSPECT_ENTRY_KIND_EMPTY = 1,
	MAPWRIGHT_INSPECT_ENTRY_KIND_TABLE = 2,
	MAPWRIGHT_INSPECT_ENTRY_KIND_PAGE = 3,
	MAPWRIGHT_INSPECT_ENTRY_KIND_BLOCKED = 4,
	MAPWRIGHT_INSPECT_ENTRY_KIND_NOT_PRESENT = 5,
};

enum mapwright_inspect_entry_flag {
	MAPWRIGHT_INSPECT_ENTRY_FLAG_PRESENT = 0,
	MAPWRIGHT_INSPECT_ENTRY_FLAG_WRITABLE = 1,
	MAPWRIGHT_INSPECT_ENTRY_FLAG_USER = 2,
	MAPWRIGHT_INSPECT_ENTRY_FLAG_NO_EXECUTE = 3,
	MAPWRIGHT_INSPECT_ENTRY_FLAG_ACCESSED = 4,
	MAPWRIGHT_INSPECT_ENTRY_FLAG_DIRTY = 5,
	MAPWRIGHT_INSPECT_ENTRY_FLAG_GLOBAL = 6,
	MAPWRIGHT_INSPECT_ENTRY_FLAG_LARGE = 7,
	MAPWRIGHT_INSPECT_ENTRY_FLAG_SPECIAL = 8,
	MAPWRIGHT_INSPECT_ENTRY_FLAG_SOFT_DIRTY = 9,
	MAPWRIGHT_INSPECT_ENTRY_FLAG_UFFD_WP = 10,
	MAPWRIGHT_INSPECT_ENTRY_FLAG_SHARED = 11,
	MAPWRIGHT_INSPECT_ENTRY_FLAG_CONTIGUOUS = 12,
	MAPWRIGHT_INSPECT_ENTRY_FLAG_USER_NO_EXECUTE = 13,
	MAPWRIGHT_INSPECT_ENTRY_FLAG_KERNEL_NO_EXECUTE = 14,
};

enum mapwright_inspect_memory_type {
	MAPWRIGHT_INSPECT_MEMORY_TYPE_WB = 0,
	MAPWRIGHT_INSPECT_MEMORY_TYPE_WC = 1,
	MAPWRIGHT_INSPECT_MEMORY_TYPE_UC = 2,
	MAPWRIGHT_INSPECT_MEMORY_TYPE_UNCACHED_MINUS = 3,
	MAPWRIGHT_INSPECT_MEMORY_TYPE_WT = 4,
	MAPWRIGHT_INSPECT_MEMORY_TYPE_WP = 5,
	MAPWRIGHT_INSPECT_MEMORY_TYPE_DEVICE = 6,
	MAPWRIGHT_INSPECT_MEMORY_TYPE_WB_TAGGED = 7,
};

enum mapwright_inspect_migrate_type {
	MAPWRIGHT_INSPECT_MIGRATE_TYPE_UNMOVABLE = 0,
	MAPWRIGHT_INSPECT_MIGRATE_TYPE_MOVABLE = 1,
	MAPWRIGHT_INSPECT_MIGRATE_TYPE_RECLAIMABLE = 2,
	MAPWRIGHT_INSPECT_MIGRATE_TYPE_HIGHATOMIC = 3,
	MAPWRIGHT_INSPECT_MIGRATE_TYPE_CMA = 4,
	MAPWRIGHT_INSPECT_MIGRATE_TYPE_ISOLATE = 5,
};

enum mapwright_inspect_area {
	MAPWRIGHT_INSPECT_AREA_DIRECT_MAP = 0,
	MAPWRIGHT_INSPECT_AREA_VMALLOC = 1,
	MAPWRIGHT_INSPECT_AREA_VMEMMAP = 2,
	MAPWRIGHT_INSPECT_AREA_MODULES = 3,
	MAPWRIGHT_INSPECT_AREA_KERNEL_IMAGE = 4,
	MAPWRIGHT_INSPECT_AREA_FIXMAP = 5,
	MAPWRIGHT_INSPECT_AREA_CPU_ENTRY = 6,
	MAPWRIGHT_INSPECT_AREA_KASAN_SHADOW = 7,
	MAPWRIGHT_INSPECT_AREA_LDT = 8,
	MAPWRIGHT_INSPECT_AREA_PKMAP = 9,
	MAPWRIGHT_INSPECT_AREA_PCI_IO = 10,
};

/**
 * One level of a [`Walk`].
 */
struct mapwright_inspect_walk_level {
        /**
         * A [`Level`].
         */
        uint32_t level;
        /**
         * An [`EntryKind`].
         */
        uint32_t kind;
        /**
         * Lowest bit of the address that selects the entry.
         */
        uint32_t shift;
        /**
         * Number of bits that do. 0 when folded.
         */
        uint32_t bits;
        /**
         * Number of the entry in its table.
         */
        uint32_t index;
        /**
         * Mask of [`EntryFlag`]s.
         */
        uint32_t flags;
        /**
         * Physical address of the entry.
         */
        uint64_t entry;
        /**
         * What the entry holds.
         */
        uint64_t value;
};

/**
 * [`IOCTL_WALK`]: walks the page tables for an address. All but `size`, `flags`, `pid` and
 * `address` is output.
 *
 * Errors: `EPERM`, `ESRCH` (no such process, or it is exiting), `EINVAL` (a kernel thread, which has
 * no address space; an address that the page tables cannot map, such as one with a tag in its highest bits
 * or, on 64-bit ARM, one of user mode with [`WALK_KERNEL`]; flags), `EOPNOTSUPP` (see [`WALK_USER_MODE`]; the
 * tables do not hold physical addresses, or are of a kind that is not known), `EAGAIN` (the tables changed
 * all the time), `EINTR` (killed while waiting).
 */
struct mapwright_inspect_walk {
        /**
         * Bytes of this structure.
         */
        uint32_t size;
        /**
         * Mask of `WALK_` flags.
         */
        uint32_t flags;
        /**
         * Number of the process, in the caller's pid namespace; 0 for the caller.
         */
        uint32_t pid;
        /**
         * Levels told in `levels`, from the top to where the walk ended.
         */
        uint32_t nr_levels;
        /**
         * The virtual address.
         */
        uint64_t address;
        /**
         * Physical address of the top table.
         */
        uint64_t root;
        /**
         * The register that the CPU of this call finds its own top table with: CR3, TTBR0.
         */
        uint64_t register_;
        /**
         * Physical address that `address` is at, or [`NO_ADDRESS`].
         */
        uint64_t physical;
        /**
         * Bytes that the last entry maps, or 0.
         */
        uint64_t page_size;
        /**
         * Page frame number that `get_user_pages()` gave, or [`NO_ADDRESS`].
         */
        uint64_t counted;
        /**
         * Why `get_user_pages()` gave none: an error number.
         */
        uint32_t counted_errno;
        /**
         * A [`MemoryType`] of the page, or `u32::MAX`.
         */
        uint32_t memory_type;
        /**
         * 0 if the load worked, `EFAULT` if it faulted, or [`NOT_PROBED`].
         */
        int32_t probe;
        /**
         * Zero.
         */
        uint32_t reserved;
        /**
         * The levels.
         */
        struct mapwright_inspect_walk_level levels[5];
};

/**
 * [`IOCTL_FRAME`]: what `struct page` says of a page frame. All but `size`, `flags` and `pfn` is
 * output. Nothing is locked: what is told may mix two moments of a page in use.
 *
 * Errors: `EPERM`, `ENXIO` (no memory with a `struct page` is there), `EINVAL` (flags).
 */
struct mapwright_inspect_frame {
        /**
         * Bytes of this structure.
         */
        uint32_t size;
        /**
         * Zero.
         */
        uint32_t flags;
        /**
         * The page frame number.
         */
        uint64_t pfn;
        /**
         * First frame of the compound page that it is part of; itself if of none.
         */
        uint64_t head;
        /**
         * The flags that do not change between kernels: bit numbers `KPF_` of
         * `linux/kernel-page-flags.h`.
         */
        uint64_t page_flags;
        /**
         * The kernel's own flags word.
         */
        uint64_t raw_flags;
        /**
         * Address of its `struct page`.
         */
        uint64_t struct_page;
        /**
         * References to the page, or to the compound page.
         */
        int32_t refcount;
        /**
         * Page-table entries of programs that map it.
         */
        int32_t mapcount;
        /**
         * The compound page has 2 to the power of this pages.
         */
        uint32_t order;
        /**
         * NUMA node.
         */
        uint32_t node;
        /**
         * A [`MigrateType`]: that of its block.
         */
        uint32_t migrate_type;
        /**
         * Number of its zone.
         */
        uint32_t zone;
        /**
         * Name of its zone, filled up with zeros.
         */
        uint8_t zone_name[8];
};

/**
 * An area of [`Layout`].
 */
struct mapwright_inspect_area_range {
        /**
         * An [`Area`].
         */
        uint32_t area;
        /**
         * Zero.
         */
        uint32_t reserved;
        /**
         * First address.
         */
        uint64_t start;
        /**
         * Last address.
         */
        uint64_t last;
};

/**
 * [`IOCTL_LAYOUT`]: where the areas of the kernel's address space are. All but `size` and `flags` is
 * output.
 *
 * Errors: `EPERM`, `EINVAL` (flags).
 */
struct mapwright_inspect_layout {
        /**
         * Bytes of this structure.
         */
        uint32_t size;
        /**
         * Zero.
         */
        uint32_t flags;
        /**
         * Bits of a virtual address that are translated: on 64-bit ARM of each half, elsewhere of both together.
         */
        uint32_t address_bits;
        /**
         * Areas told in `areas`.
         */
        uint32_t nr_areas;
        /**
         * The areas. On 64-bit ARM one is inside another: the kernel's image in the vmalloc area.
         */
        struct mapwright_inspect_area_range areas[16];
        /**
         * The last address of user mode.
         */
        uint64_t user_last;
        /**
         * The first address of the kernel. On 64-bit machines, what is between these two cannot be translated.
         */
        uint64_t kernel_first;
        /**
         * What is added to a physical address, and wraps, is its address in the direct map.
         */
        uint64_t phys_to_virt;
};

#endif /* MAPWRIGHT_INSPECT_H */
