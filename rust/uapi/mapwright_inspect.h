/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * The interface of /dev/mapwright-inspect: page tables, page frames and the
 * layout of the kernel's address space, as they are. All of it needs
 * CAP_SYS_ADMIN (EPERM), and changes nothing.
 *
 * The rules for the structures are those of /dev/mapwright.
 *
 * Written by make header, from rust/uapi/inspect.rs: change that.
 */
#ifndef _UAPI_MAPWRIGHT_INSPECT_H
#define _UAPI_MAPWRIGHT_INSPECT_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* Name of the device node below /dev. */
#define MAPWRIGHT_INSPECT_NAME "mapwright-inspect"

/*
 * mapwright_inspect_walk.flags: through the kernel's own tables.
 * mapwright_inspect_walk.pid must be 0.
 */
#define MAPWRIGHT_INSPECT_WALK_KERNEL 1

/*
 * mapwright_inspect_walk.flags: through the tables that the CPU uses in user
 * mode, where the kernel hides itself (page-table isolation); EOPNOTSUPP
 * elsewhere.
 */
#define MAPWRIGHT_INSPECT_WALK_USER_MODE 2

/*
 * mapwright_inspect_walk.flags: also asks get_user_pages(), see
 * mapwright_inspect_walk.counted.
 */
#define MAPWRIGHT_INSPECT_WALK_COUNTED 4

/*
 * mapwright_inspect_walk.flags: also loads a byte as the kernel does, see
 * mapwright_inspect_walk.probe. Only with MAPWRIGHT_INSPECT_WALK_KERNEL.
 */
#define MAPWRIGHT_INSPECT_WALK_PROBE 8

/*
 * mapwright_inspect_walk.physical, mapwright_inspect_walk.counted when there is
 * none.
 */
#define MAPWRIGHT_INSPECT_NO_ADDRESS 0xffffffffffffffffULL

/*
 * mapwright_inspect_walk.probe: the address maps something other than memory,
 * which was left alone.
 */
#define MAPWRIGHT_INSPECT_NOT_PROBED 2147483647

/**
 * enum mapwright_inspect_level - A level of the page tables, from the top.
 * @MAPWRIGHT_INSPECT_LEVEL_PGD: Page global directory.
 * @MAPWRIGHT_INSPECT_LEVEL_P4D: Fourth level, only with five-level paging.
 * @MAPWRIGHT_INSPECT_LEVEL_PUD: Page upper directory.
 * @MAPWRIGHT_INSPECT_LEVEL_PMD: Page middle directory.
 * @MAPWRIGHT_INSPECT_LEVEL_PTE: Page table: its entries are page-table entries.
 */
enum mapwright_inspect_level {
	MAPWRIGHT_INSPECT_LEVEL_PGD = 0,
	MAPWRIGHT_INSPECT_LEVEL_P4D = 1,
	MAPWRIGHT_INSPECT_LEVEL_PUD = 2,
	MAPWRIGHT_INSPECT_LEVEL_PMD = 3,
	MAPWRIGHT_INSPECT_LEVEL_PTE = 4,
};

/**
 * enum mapwright_inspect_entry_kind - What a level does for an address.
 * @MAPWRIGHT_INSPECT_ENTRY_KIND_FOLDED: The machine does not have this level:
 *	its one entry is the table above.
 * @MAPWRIGHT_INSPECT_ENTRY_KIND_EMPTY: The entry is zero: nothing is mapped.
 * @MAPWRIGHT_INSPECT_ENTRY_KIND_TABLE: The entry points to the next level's
 *	table.
 * @MAPWRIGHT_INSPECT_ENTRY_KIND_PAGE: The entry maps memory: the walk ends
 *	here.
 * @MAPWRIGHT_INSPECT_ENTRY_KIND_BLOCKED: The entry has a page, but the CPU must
 *	not use it (PROT_NONE, NUMA hinting).
 * @MAPWRIGHT_INSPECT_ENTRY_KIND_NOT_PRESENT: The entry is for the kernel's own
 *	use: swapped out, being migrated, a marker.
 */
enum mapwright_inspect_entry_kind {
	MAPWRIGHT_INSPECT_ENTRY_KIND_FOLDED = 0,
	MAPWRIGHT_INSPECT_ENTRY_KIND_EMPTY = 1,
	MAPWRIGHT_INSPECT_ENTRY_KIND_TABLE = 2,
	MAPWRIGHT_INSPECT_ENTRY_KIND_PAGE = 3,
	MAPWRIGHT_INSPECT_ENTRY_KIND_BLOCKED = 4,
	MAPWRIGHT_INSPECT_ENTRY_KIND_NOT_PRESENT = 5,
};

/**
 * enum mapwright_inspect_entry_flag - A flag of an entry: its number is that of
 *	its bit in mapwright_inspect_walk_level.flags.
 * @MAPWRIGHT_INSPECT_ENTRY_FLAG_PRESENT: The CPU may use it.
 * @MAPWRIGHT_INSPECT_ENTRY_FLAG_WRITABLE: Stores are allowed.
 * @MAPWRIGHT_INSPECT_ENTRY_FLAG_USER: User mode may use it.
 * @MAPWRIGHT_INSPECT_ENTRY_FLAG_NO_EXECUTE: Code cannot be run there.
 * @MAPWRIGHT_INSPECT_ENTRY_FLAG_ACCESSED: It was used since this was last
 *	cleared.
 * @MAPWRIGHT_INSPECT_ENTRY_FLAG_DIRTY: It was written to since this was last
 *	cleared.
 * @MAPWRIGHT_INSPECT_ENTRY_FLAG_GLOBAL: It stays in the TLB when the address
 *	space changes.
 * @MAPWRIGHT_INSPECT_ENTRY_FLAG_LARGE: The walk ends at this level, above the
 *	last.
 * @MAPWRIGHT_INSPECT_ENTRY_FLAG_SPECIAL: The kernel: it is not to look at this
 *	page's struct page.
 * @MAPWRIGHT_INSPECT_ENTRY_FLAG_SOFT_DIRTY: The kernel: written since a
 *	checkpoint.
 * @MAPWRIGHT_INSPECT_ENTRY_FLAG_UFFD_WP: The kernel: userfaultfd wants to know
 *	of stores.
 * @MAPWRIGHT_INSPECT_ENTRY_FLAG_SHARED: CPUs share it coherently (ARM).
 * @MAPWRIGHT_INSPECT_ENTRY_FLAG_CONTIGUOUS: One of several neighbours that go
 *	on contiguously in memory, for which one entry of the TLB will do
 *	(64-bit ARM).
 * @MAPWRIGHT_INSPECT_ENTRY_FLAG_USER_NO_EXECUTE: User mode cannot run code
 *	there, the kernel can (64-bit ARM). Neither can:
 *	MAPWRIGHT_INSPECT_ENTRY_FLAG_NO_EXECUTE.
 * @MAPWRIGHT_INSPECT_ENTRY_FLAG_KERNEL_NO_EXECUTE: The kernel cannot run code
 *	there, user mode can (64-bit ARM).
 */
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

/**
 * enum mapwright_inspect_memory_type - How the CPU caches a page, as its
 *	page-table entry and the CPU's table of types say.
 * @MAPWRIGHT_INSPECT_MEMORY_TYPE_WB: Write-back: ordinary memory.
 * @MAPWRIGHT_INSPECT_MEMORY_TYPE_WC: Write-combining; ARM: Normal memory that
 *	is not cached.
 * @MAPWRIGHT_INSPECT_MEMORY_TYPE_UC: Uncached; ARM: Device-nGnRnE, once called
 *	strongly ordered.
 * @MAPWRIGHT_INSPECT_MEMORY_TYPE_UNCACHED_MINUS: Uncached, unless a range
 *	register says write-combining (x86).
 * @MAPWRIGHT_INSPECT_MEMORY_TYPE_WT: Write-through.
 * @MAPWRIGHT_INSPECT_MEMORY_TYPE_WP: Write-protected (x86).
 * @MAPWRIGHT_INSPECT_MEMORY_TYPE_DEVICE: Device memory of another kind than
 *	MAPWRIGHT_INSPECT_MEMORY_TYPE_UC (ARM).
 * @MAPWRIGHT_INSPECT_MEMORY_TYPE_WB_TAGGED: Write-back, with a tag for every 16
 *	bytes (64-bit ARM).
 */
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

/**
 * enum mapwright_inspect_migrate_type - What a block of pages is for, so that
 *	what cannot be moved stays together.
 * @MAPWRIGHT_INSPECT_MIGRATE_TYPE_UNMOVABLE: The kernel's own, which cannot be
 *	moved.
 * @MAPWRIGHT_INSPECT_MIGRATE_TYPE_MOVABLE: Pages of programs and files.
 * @MAPWRIGHT_INSPECT_MIGRATE_TYPE_RECLAIMABLE: Caches of the kernel that can be
 *	shrunk.
 * @MAPWRIGHT_INSPECT_MIGRATE_TYPE_HIGHATOMIC: Kept for urgent allocations of
 *	several pages.
 * @MAPWRIGHT_INSPECT_MIGRATE_TYPE_CMA: The contiguous memory allocator's.
 * @MAPWRIGHT_INSPECT_MIGRATE_TYPE_ISOLATE: Being taken out of use.
 */
enum mapwright_inspect_migrate_type {
	MAPWRIGHT_INSPECT_MIGRATE_TYPE_UNMOVABLE = 0,
	MAPWRIGHT_INSPECT_MIGRATE_TYPE_MOVABLE = 1,
	MAPWRIGHT_INSPECT_MIGRATE_TYPE_RECLAIMABLE = 2,
	MAPWRIGHT_INSPECT_MIGRATE_TYPE_HIGHATOMIC = 3,
	MAPWRIGHT_INSPECT_MIGRATE_TYPE_CMA = 4,
	MAPWRIGHT_INSPECT_MIGRATE_TYPE_ISOLATE = 5,
};

/**
 * enum mapwright_inspect_area - An area of the kernel's address space.
 * @MAPWRIGHT_INSPECT_AREA_DIRECT_MAP: All memory, one after the other:
 *	virt_to_phys() holds here.
 * @MAPWRIGHT_INSPECT_AREA_VMALLOC: vmalloc() and ioremap().
 * @MAPWRIGHT_INSPECT_AREA_VMEMMAP: The array of struct page.
 * @MAPWRIGHT_INSPECT_AREA_MODULES: Loaded modules.
 * @MAPWRIGHT_INSPECT_AREA_KERNEL_IMAGE: Where the kernel's own code and data
 *	may be.
 * @MAPWRIGHT_INSPECT_AREA_FIXMAP: Addresses fixed when the kernel was built.
 * @MAPWRIGHT_INSPECT_AREA_CPU_ENTRY: Entry code and stacks of each CPU.
 * @MAPWRIGHT_INSPECT_AREA_KASAN_SHADOW: KASAN's shadow memory.
 * @MAPWRIGHT_INSPECT_AREA_LDT: Local descriptor tables.
 * @MAPWRIGHT_INSPECT_AREA_PKMAP: High memory, mapped for a moment (32-bit).
 * @MAPWRIGHT_INSPECT_AREA_PCI_IO: I/O ports of PCI (64-bit ARM).
 */
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
 * struct mapwright_inspect_walk_level - One level of a struct
 *	mapwright_inspect_walk.
 * @level: An enum mapwright_inspect_level.
 * @kind: An enum mapwright_inspect_entry_kind.
 * @shift: Lowest bit of the address that selects the entry.
 * @bits: Number of bits that do. 0 when folded.
 * @index: Number of the entry in its table.
 * @flags: Mask of enum mapwright_inspect_entry_flag.
 * @entry: Physical address of the entry.
 * @value: What the entry holds.
 */
struct mapwright_inspect_walk_level {
	__u32 level;
	__u32 kind;
	__u32 shift;
	__u32 bits;
	__u32 index;
	__u32 flags;
	__u64 entry;
	__u64 value;
};

/**
 * struct mapwright_inspect_area_range - An area of struct
 *	mapwright_inspect_layout.
 * @area: An enum mapwright_inspect_area.
 * @reserved: Zero.
 * @start: First address.
 * @last: Last address.
 */
struct mapwright_inspect_area_range {
	__u32 area;
	__u32 reserved;
	__u64 start;
	__u64 last;
};

/**
 * struct mapwright_inspect_walk - walks the page tables for an address. All but
 *	size, flags, pid and address is output.
 * @size: Bytes of this structure.
 * @flags: Mask of WALK_ flags.
 * @pid: Number of the process, in the caller's pid namespace; 0 for the caller.
 * @nr_levels: Levels told in levels, from the top to where the walk ended.
 * @address: The virtual address.
 * @root: Physical address of the top table.
 * @register_: The register that the CPU of this call finds its own top table
 *	with: CR3, TTBR0.
 * @physical: Physical address that address is at, or
 *	MAPWRIGHT_INSPECT_NO_ADDRESS.
 * @page_size: Bytes that the last entry maps, or 0.
 * @counted: Page frame number that get_user_pages() gave, or
 *	MAPWRIGHT_INSPECT_NO_ADDRESS.
 * @counted_errno: Why get_user_pages() gave none: an error number.
 * @memory_type: An enum mapwright_inspect_memory_type of the page, or
 *	0xffffffff.
 * @probe: 0 if the load worked, EFAULT if it faulted, or
 *	MAPWRIGHT_INSPECT_NOT_PROBED.
 * @reserved: Zero.
 * @levels: The levels.
 *
 * Errors: EPERM, ESRCH (no such process, or it is exiting), EINVAL (a kernel
 * thread, which has no address space; an address that the page tables cannot
 * map, such as one with a tag in its highest bits or, on 64-bit ARM, one of
 * user mode with MAPWRIGHT_INSPECT_WALK_KERNEL; flags), EOPNOTSUPP (see
 * MAPWRIGHT_INSPECT_WALK_USER_MODE; the tables do not hold physical addresses,
 * or are of a kind that is not known), EAGAIN (the tables changed all the
 * time), EINTR (killed while waiting).
 */
struct mapwright_inspect_walk {
	__u32 size;
	__u32 flags;
	__u32 pid;
	__u32 nr_levels;
	__u64 address;
	__u64 root;
	__u64 register_;
	__u64 physical;
	__u64 page_size;
	__u64 counted;
	__u32 counted_errno;
	__u32 memory_type;
	__s32 probe;
	__u32 reserved;
	struct mapwright_inspect_walk_level levels[5];
};
#define MAPWRIGHT_INSPECT_WALK _IO(0xe7, 0x40)

/**
 * struct mapwright_inspect_frame - what struct page says of a page frame. All
 *	but size, flags and pfn is output. Nothing is locked: what is told may
 *	mix two moments of a page in use.
 * @size: Bytes of this structure.
 * @flags: Zero.
 * @pfn: The page frame number.
 * @head: First frame of the compound page that it is part of; itself if of
 *	none.
 * @page_flags: The flags that do not change between kernels: bit numbers KPF_
 *	of linux/kernel-page-flags.h.
 * @raw_flags: The kernel's own flags word.
 * @struct_page: Address of its struct page.
 * @refcount: References to the page, or to the compound page.
 * @mapcount: Page-table entries of programs that map it.
 * @order: The compound page has 2 to the power of this pages.
 * @node: NUMA node.
 * @migrate_type: An enum mapwright_inspect_migrate_type: that of its block.
 * @zone: Number of its zone.
 * @zone_name: Name of its zone, filled up with zeros.
 *
 * Errors: EPERM, ENXIO (no memory with a struct page is there), EINVAL (flags).
 */
struct mapwright_inspect_frame {
	__u32 size;
	__u32 flags;
	__u64 pfn;
	__u64 head;
	__u64 page_flags;
	__u64 raw_flags;
	__u64 struct_page;
	__s32 refcount;
	__s32 mapcount;
	__u32 order;
	__u32 node;
	__u32 migrate_type;
	__u32 zone;
	__u8 zone_name[8];
};
#define MAPWRIGHT_INSPECT_FRAME _IO(0xe7, 0x41)

/**
 * struct mapwright_inspect_layout - where the areas of the kernel's address
 *	space are. All but size and flags is output.
 * @size: Bytes of this structure.
 * @flags: Zero.
 * @address_bits: Bits of a virtual address that are translated: on 64-bit ARM
 *	of each half, elsewhere of both together.
 * @nr_areas: Areas told in areas.
 * @areas: The areas. On 64-bit ARM one is inside another: the kernel's image in
 *	the vmalloc area.
 * @user_last: The last address of user mode.
 * @kernel_first: The first address of the kernel. On 64-bit machines, what is
 *	between these two cannot be translated.
 * @phys_to_virt: What is added to a physical address, and wraps, is its address
 *	in the direct map.
 *
 * Errors: EPERM, EINVAL (flags).
 */
struct mapwright_inspect_layout {
	__u32 size;
	__u32 flags;
	__u32 address_bits;
	__u32 nr_areas;
	struct mapwright_inspect_area_range areas[16];
	__u64 user_last;
	__u64 kernel_first;
	__u64 phys_to_virt;
};
#define MAPWRIGHT_INSPECT_LAYOUT _IO(0xe7, 0x42)

#endif /* _UAPI_MAPWRIGHT_INSPECT_H */
