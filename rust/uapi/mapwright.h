/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * The interface of /dev/mapwright, the one definition for kernel and user
 * space.
 *
 * A program opens the device (a session), creates regions of kernel memory with
 * struct mapwright_create and maps them with mmap(2) at the offset that came
 * back. pread(2) and pwrite(2) at the same offsets go through the kernel's own
 * pointer to the memory.
 *
 * mmap(2) gives EINVAL where no region is or beyond its end, and for a private
 * mapping of page frame numbers; EPERM for PROT_EXEC. A mapping can neither
 * grow (EFAULT) nor become executable (EACCES). read(2) gives 0 at a region's
 * end and write(2) ENOSPC, as for a block device; where no region is, read(2)
 * gives ENXIO and write(2) ENOSPC. splice(2) and sendfile(2) work both ways;
 * fsync(2) and msync(2) have nothing to do. O_APPEND means nothing, as for a
 * block device.
 *
 * With no ioctl at all, mmap(2), read(2) or write(2) at an offset below
 * MAPWRIGHT_FIRST_OFFSET makes the session's default region at offset 0. The
 * module's parameters say what it is made of; in a file opened with O_SYNC it
 * is uncached, or these give EOPNOTSUPP if it cannot be, and EPERM if the
 * caller may not have such memory.
 *
 * The default region has the bytes that the first of these calls needs, and
 * grows to what mmap(2) and write(2) need later, up to
 * MAPWRIGHT_DEFAULT_MAX_BYTES. While it is mapped it keeps its length, and for
 * good when an ioctl has named it (struct mapwright_query, too), or when it was
 * mapped and its pages are counted. Then, and beyond that many bytes, a mapping
 * is EINVAL and a write ENOSPC. Its end is the end of the file, for SEEK_END
 * and for read(2); before there is one, the end is at MAPWRIGHT_DEFAULT_BYTES.
 * A region that grows gets another number.
 *
 * The ioctls
 *
 * Each takes a pointer to its structure, whose first field size is sizeof the
 * structure as the caller knows it. The rules are those of the kernel's
 * copy_struct_from_user(): a shorter structure (an older program) is filled up
 * with zeros, a longer one (a newer program) is taken as long as what this
 * module does not know is zero, and gets E2BIG otherwise. A size below the
 * first version of the structure is EINVAL. flags and reserved fields must be
 * zero (EINVAL). An unknown ioctl number is ENOTTY. All fields have the same
 * size and place for 32-bit callers.
 *
 * Which backings can be mapped how:
 *   kmalloc: remap, fault-pfn, huge
 *   pages: remap, insert, fault, fault-pfn, huge
 *   folio: remap, insert, fault, fault-pfn, huge, huge-folio, page-cache
 *   vmalloc: insert, fault, fault-pfn, vmalloc-remap
 *   coherent: dma
 *
 * Written by make header, from rust/uapi/mapwright_uapi.rs: change that.
 */
#ifndef _UAPI_MAPWRIGHT_H
#define _UAPI_MAPWRIGHT_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* Name of the device node below /dev and of the directory in debugfs. */
#define MAPWRIGHT_NAME "mapwright"

/*
 * Version of the interface that this file describes. It grows by one with each
 * addition.
 */
#define MAPWRIGHT_VERSION 2

/*
 * Lowest offset, in bytes, of a region made with struct mapwright_create. Lower
 * ones belong to the default region.
 */
#define MAPWRIGHT_FIRST_OFFSET 0x40000000ULL

/*
 * Bytes of the default region when read(2) makes it, and the fewest when
 * write(2) does. When mmap(2) does, it is as long as that mapping reaches.
 */
#define MAPWRIGHT_DEFAULT_BYTES 0x100000ULL

/*
 * The most bytes of a default region. mmap(2) holds the lock of the caller's
 * address space while it makes one, so that no thread can map, unmap or fault
 * meanwhile; larger regions are made with struct mapwright_create, without.
 */
#define MAPWRIGHT_DEFAULT_MAX_BYTES 0x1000000ULL

/* mapwright_page_info.dma_addr of a page that is mapped for no device. */
#define MAPWRIGHT_NO_DMA_ADDR 0xffffffffffffffffULL

/*
 * mapwright_create.flags: all of the memory in one physically contiguous run,
 * or none.
 */
#define MAPWRIGHT_CREATE_CONTIGUOUS 1

/* mapwright_sync.flags: what a device wrote is to be seen by the CPU. */
#define MAPWRIGHT_SYNC_FOR_CPU 1

/* mapwright_sync.flags: what the CPU wrote is to be seen by a device. */
#define MAPWRIGHT_SYNC_FOR_DEVICE 2
#define MAPWRIGHT_DEVICE "/dev/" MAPWRIGHT_NAME

/**
 * enum mapwright_backing - Where a region's memory comes from.
 * @MAPWRIGHT_BACKING_KMALLOC: kmalloc(): a slab object, or whole pages when it
 *	is large.
 * @MAPWRIGHT_BACKING_PAGES: Pages of the page allocator, in physically
 *	contiguous blocks of up to its largest order, as large as it has.
 * @MAPWRIGHT_BACKING_FOLIO: Compound pages, in blocks like these.
 * @MAPWRIGHT_BACKING_VMALLOC: vmalloc(): single pages, contiguous only in the
 *	kernel's virtual addresses.
 * @MAPWRIGHT_BACKING_COHERENT: dma_alloc_coherent().
 */
enum mapwright_backing {
	MAPWRIGHT_BACKING_KMALLOC = 0,
	MAPWRIGHT_BACKING_PAGES = 1,
	MAPWRIGHT_BACKING_FOLIO = 2,
	MAPWRIGHT_BACKING_VMALLOC = 3,
	MAPWRIGHT_BACKING_COHERENT = 4,
};

/**
 * enum mapwright_method - How a region gets into a process's address space.
 * @MAPWRIGHT_METHOD_REMAP: remap_pfn_range() at mmap(2).
 * @MAPWRIGHT_METHOD_INSERT: vm_insert_page() for each page at mmap(2).
 * @MAPWRIGHT_METHOD_FAULT: A fault handler that gives the page.
 * @MAPWRIGHT_METHOD_FAULT_PFN: A fault handler that inserts the page frame
 *	number (vmf_insert_pfn()).
 * @MAPWRIGHT_METHOD_HUGE: A fault handler that inserts a block of the middle
 *	level at once where it can: 2 MiB with pages of 4 KiB, 32 MiB with
 *	pages of 16 KiB.
 * @MAPWRIGHT_METHOD_VMALLOC_REMAP: remap_vmalloc_range() at mmap(2), which
 *	takes 1 GiB at most (E2BIG): it cannot be interrupted.
 * @MAPWRIGHT_METHOD_DMA: dma_mmap_attrs() at mmap(2).
 * @MAPWRIGHT_METHOD_HUGE_FOLIO: A fault handler that inserts a folio at once
 *	where it can, as huge does, with its reference count, and the one
 *	behind it: vmf_insert_folio_pmd(). Pages, as fault gives them,
 *	elsewhere.
 * @MAPWRIGHT_METHOD_PAGE_CACHE: A fault handler that maps the folios of a page
 *	cache, as many pages as a page table has room for:
 *	filemap_map_pages(). A folio at once where it can, as huge-folio does.
 */
enum mapwright_method {
	MAPWRIGHT_METHOD_REMAP = 0,
	MAPWRIGHT_METHOD_INSERT = 1,
	MAPWRIGHT_METHOD_FAULT = 2,
	MAPWRIGHT_METHOD_FAULT_PFN = 3,
	MAPWRIGHT_METHOD_HUGE = 4,
	MAPWRIGHT_METHOD_VMALLOC_REMAP = 5,
	MAPWRIGHT_METHOD_DMA = 6,
	MAPWRIGHT_METHOD_HUGE_FOLIO = 7,
	MAPWRIGHT_METHOD_PAGE_CACHE = 8,
};

/**
 * enum mapwright_caching - The memory type that a region is mapped with.
 * @MAPWRIGHT_CACHING_WB: Write-back: ordinary memory.
 * @MAPWRIGHT_CACHING_WC: Write-combining. On 64-bit ARM: Normal memory that is
 *	not cached.
 * @MAPWRIGHT_CACHING_UC: Uncached. On 64-bit ARM it is Device memory (nGnRnE):
 *	what is not aligned to its own size cannot be accessed (SIGBUS), and
 *	memset() and memcpy() may do that.
 */
enum mapwright_caching {
	MAPWRIGHT_CACHING_WB = 0,
	MAPWRIGHT_CACHING_WC = 1,
	MAPWRIGHT_CACHING_UC = 2,
};

/**
 * enum mapwright_address - Part of the kernel's address space that an address
 *	lies in.
 * @MAPWRIGHT_ADDRESS_DIRECT_MAP: The direct map of all memory, where
 *	virt_to_phys() holds.
 * @MAPWRIGHT_ADDRESS_VMALLOC: The vmalloc area, where each page has a
 *	page-table entry of its own.
 */
enum mapwright_address {
	MAPWRIGHT_ADDRESS_DIRECT_MAP = 0,
	MAPWRIGHT_ADDRESS_VMALLOC = 1,
};

/**
 * struct mapwright_info - what the loaded module can do, and its limits.
 *	Everything but size is output.
 * @size: Bytes of this structure.
 * @version: Version of the interface that the module speaks, see
 *	MAPWRIGHT_VERSION.
 * @page_size: Bytes of a page.
 * @session_regions: Regions that one session may hold.
 * @session_bytes: Bytes that the regions of one session may hold together.
 * @total_bytes: Bytes that all regions may hold together.
 * @methods: For each enum mapwright_backing, as a number, the mask of the enum
 *	mapwright_method that it can be mapped with.
 * @cachings: Mask of the enum mapwright_caching modes.
 * @default_backing: Backing of the default region.
 * @default_method: Mapping method of the default region.
 * @default_caching: Memory type of the default region, unless the file was
 *	opened with O_SYNC.
 */
struct mapwright_info {
	__u32 size;
	__u32 version;
	__u32 page_size;
	__u32 session_regions;
	__u64 session_bytes;
	__u64 total_bytes;
	__u32 methods[8];
	__u32 cachings;
	__u32 default_backing;
	__u32 default_method;
	__u32 default_caching;
};
#define MAPWRIGHT_INFO _IO(0xe7, 0x0)

/**
 * struct mapwright_create - makes a region of zeroed memory.
 * @size: Bytes of this structure.
 * @flags: MAPWRIGHT_CREATE_CONTIGUOUS or zero.
 * @backing: An enum mapwright_backing.
 * @method: An enum mapwright_method.
 * @caching: An enum mapwright_caching.
 * @reserved: Zero.
 * @bytes: Bytes wanted. On return: bytes made, which is rounded up to whole
 *	pages.
 * @id: On return: the region's number. No two regions ever have the same.
 * @offset: On return: where to mmap(2), pread(2) and pwrite(2) it.
 *
 * pages and folio memory comes in the largest blocks that the page allocator
 * has, and where memory is in pieces, in smaller ones, down to pages:
 * MAPWRIGHT_QUERY tells in how many runs, MAPWRIGHT_PAGES where they are. Who
 * needs one run (a device without a scatter list) asks for it with
 * MAPWRIGHT_CREATE_CONTIGUOUS, and then gets it or ENOMEM. Longer than the page
 * allocator's largest block (4 MiB with pages of 4 KiB) can be pages memory,
 * for CAP_SYS_ADMIN: the kernel moves what is in the way, which may take
 * seconds. Whole gigabytes of it begin at a multiple of one, and the method
 * huge maps each by one entry where the CPU has such entries. coherent memory
 * can be longer where the kernel has an area for contiguous memory (CMA, boot
 * parameter cma=128M).
 *
 * Errors: EINVAL (bytes is 0; unknown backing, method or caching; flags),
 * EOPNOTSUPP (the backing cannot be mapped that way or have that memory type,
 * see docs/mapping.md; one run of vmalloc memory), EPERM (without
 * CAP_SYS_ADMIN: a memory type other than write-back, unless the module's
 * parameter caching_for_all is 1; a run of pages beyond the largest block),
 * ENOSPC (over a limit of struct mapwright_info), ENOMEM (also no run that
 * long, where one is asked for, or is all that there can be: kmalloc,
 * coherent), EINTR (the caller is being killed).
 */
struct mapwright_create {
	__u32 size;
	__u32 flags;
	__u32 backing;
	__u32 method;
	__u32 caching;
	__u32 reserved;
	__u64 bytes;
	__u64 id;
	__u64 offset;
};
#define MAPWRIGHT_CREATE _IO(0xe7, 0x1)

/**
 * struct mapwright_destroy - frees a region of this session.
 * @size: Bytes of this structure.
 * @flags: Zero.
 * @id: The region's number.
 *
 * Errors: ENOENT (this session has no such region), EBUSY (it is mapped),
 * EINVAL (flags).
 */
struct mapwright_destroy {
	__u32 size;
	__u32 flags;
	__u64 id;
};
#define MAPWRIGHT_DESTROY _IO(0xe7, 0x2)

/**
 * struct mapwright_query - all about a region of this session. Everything but
 *	size, flags and id is output.
 * @size: Bytes of this structure.
 * @flags: Zero.
 * @id: The region's number, or 0 for the region at offset.
 * @offset: Where it is mapped, read and written. Input when id is 0: any offset
 *	inside the region.
 * @bytes: Its size in bytes.
 * @backing: An enum mapwright_backing.
 * @method: An enum mapwright_method.
 * @caching: An enum mapwright_caching.
 * @address_class: An enum mapwright_address: where the kernel's own pointer to
 *	the memory lies.
 * @runs: Number of physically contiguous runs that make it up.
 * @longest_run: Pages of the longest run.
 * @vmas: VMAs that map it now, in all processes.
 * @mmaps: Successful mmap(2) calls on it so far.
 * @faults_read: Page faults answered for a load so far.
 * @faults_write: Page faults answered for a store so far.
 * @pages_faulted: Pages that these mapped.
 * @dma_addr: The bus address of its first byte, if a device finds it at one all
 *	its life, as with coherent regions, and the caller has CAP_SYS_ADMIN;
 *	otherwise MAPWRIGHT_NO_DMA_ADDR. The other bytes follow.
 *
 * Errors: ENOENT (this session has no such region), EINVAL (flags).
 */
struct mapwright_query {
	__u32 size;
	__u32 flags;
	__u64 id;
	__u64 offset;
	__u64 bytes;
	__u32 backing;
	__u32 method;
	__u32 caching;
	__u32 address_class;
	__u64 runs;
	__u64 longest_run;
	__u64 vmas;
	__u64 mmaps;
	__u64 faults_read;
	__u64 faults_write;
	__u64 pages_faulted;
	__u64 dma_addr;
};
#define MAPWRIGHT_QUERY _IO(0xe7, 0x3)

/**
 * struct mapwright_pages - which physical page frames a region of this session
 *	has. Needs CAP_SYS_ADMIN.
 * @size: Bytes of this structure.
 * @flags: Zero.
 * @id: The region's number.
 * @first: First page wanted, counted from the region's start.
 * @count: Pages wanted. On return: struct mapwright_page_info written, fewer at
 *	the region's end.
 * @array: Address of an array of count struct mapwright_page_info.
 *
 * Errors: EPERM, ENOENT (this session has no such region), EINVAL (first is
 * beyond its end; flags), EFAULT.
 */
struct mapwright_pages {
	__u32 size;
	__u32 flags;
	__u64 id;
	__u64 first;
	__u64 count;
	__u64 array;
};
#define MAPWRIGHT_PAGES _IO(0xe7, 0x4)

/**
 * struct mapwright_sync - makes what one side wrote to a range of a region
 *	visible to the other.
 * @size: Bytes of this structure.
 * @flags: MAPWRIGHT_SYNC_FOR_CPU, MAPWRIGHT_SYNC_FOR_DEVICE or both.
 * @id: The region's number.
 * @first: First byte of the range, counted from the region's start.
 * @bytes: Bytes of the range.
 *
 * Regions are coherent unless they are mapped for a device: caches need no
 * care, and the call only orders the accesses before it against those after it.
 * Mappings that have some of these bytes are passed, with all that they have,
 * from one side to the other.
 *
 * Errors: ENOENT (this session has no such region), EINVAL (neither or unknown
 * flags; bytes is 0; the range is not inside the region), EBUSY (a transfer
 * uses one of these mappings; then none is passed on), ENODEV (the device is
 * gone).
 */
struct mapwright_sync {
	__u32 size;
	__u32 flags;
	__u64 id;
	__u64 first;
	__u64 bytes;
};
#define MAPWRIGHT_SYNC _IO(0xe7, 0x5)

/**
 * struct mapwright_page_info - One page of a region, see struct
 *	mapwright_pages.
 * @pfn: Page frame number: its physical address in pages.
 * @dma_addr: The address a device uses for it, or MAPWRIGHT_NO_DMA_ADDR.
 */
struct mapwright_page_info {
	__u64 pfn;
	__u64 dma_addr;
};

#endif /* _UAPI_MAPWRIGHT_H */
