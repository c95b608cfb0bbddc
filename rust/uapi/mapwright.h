/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * The interface of a device of mapwright. Made from mapwright_uapi.rs by `make header`: do not edit.
 * What the ioctls do and how they fail is said there.
 */
#ifndef MAPWRIGHT_H
#define MAPWRIGHT_H

#include <linux/ioctl.h>
#include <stdint.h>

/* Name of the device node below `/dev` and of the directory in debugfs. */
#define MAPWRIGHT_NAME "mapwright"

/* Version of the interface that this file describes. It grows by one with each addition. */
#define MAPWRIGHT_VERSION 2

/* Lowest offset, in bytes, of a region made with Create. Lower ones belong to the default region. */
#define MAPWRIGHT_FIRST_OFFSET 0x40000000ULL

/* Bytes of the default region when `read(2)` or `write(2)` makes it. When `mmap(2)` does, it is as long as that mapping reaches. */
#define MAPWRIGHT_DEFAULT_BYTES 0x100000ULL

/* The most bytes of a default region that `mmap(2)` makes. It holds the lock of the caller's address space, so that no thread can map, unmap or fault meanwhile; larger regions are made with Create, without. */
#define MAPWRIGHT_DEFAULT_MMAP_BYTES 0x1000000ULL

/* PageInfo::dma_addr of a page that is mapped for no device. */
#define MAPWRIGHT_NO_DMA_ADDR 0xffffffffffffffffULL

/* Ioctl request taking Info. */
#define MAPWRIGHT_INFO _IO(0xe7, 0x0)

/* Ioctl request taking Create. */
#define MAPWRIGHT_CREATE _IO(0xe7, 0x1)

/* Ioctl request taking Destroy. */
#define MAPWRIGHT_DESTROY _IO(0xe7, 0x2)

/* Ioctl request taking Query. */
#define MAPWRIGHT_QUERY _IO(0xe7, 0x3)

/* Ioctl request taking Pages. */
#define MAPWRIGHT_PAGES _IO(0xe7, 0x4)

/* Ioctl request taking Sync. */
#define MAPWRIGHT_SYNC _IO(0xe7, 0x5)

/* Create::flags: all of the memory in one physically contiguous run, or none. */
#define MAPWRIGHT_CREATE_CONTIGUOUS 1

/* Sync::flags: what a device wrote is to be seen by the CPU. */
#define MAPWRIGHT_SYNC_FOR_CPU 1

/* Sync::flags: what the CPU wrote is to be seen by a device. */
#define MAPWRIGHT_SYNC_FOR_DEVICE 2
#define MAPWRIGHT_DEVICE "/dev/" MAPWRIGHT_NAME

enum mapwright_backing {
	MAPWRIGHT_BACKING_KMALLOC = 0,
	MAPWRIGHT_BACKING_PAGES = 1,
	MAPWRIGHT_BACKING_FOLIO = 2,
	MAPWRIGHT_BACKING_VMALLOC = 3,
	MAPWRIGHT_BACKING_COHERENT = 4,
};

enum mapwright_method {
	MAPWRIGHT_METHOD_REMAP = 0,
	MAPWRIGHT_METHOD_INSERT = 1,
	MAPWRIGHT_METHOD_FAULT = 2,
	MAPWRIGHT_METHOD_FAULT_PFN = 3,
	MAPWRIGHT_METHOD_HUGE = 4,
	MAPWRIGHT_METHOD_VMALLOC_REMAP = 5,
	MAPWRIGHT_METHOD_DMA = 6,
	MAPWRIGHT_METHOD_HUGE_FOLIO = 7,
};

enum mapwright_caching {
	MAPWRIGHT_CACHING_WB = 0,
	MAPWRIGHT_CACHING_WC = 1,
	MAPWRIGHT_CACHING_UC = 2,
};

enum mapwright_address {
	MAPWRIGHT_ADDRESS_DIRECT_MAP = 0,
	MAPWRIGHT_ADDRESS_VMALLOC = 1,
};

/**
 * [`IOCTL_INFO`]: what the loaded module can do, and its limits. Everything but `size` is output.
 */
struct mapwright_info {
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
         * Regions that one session may hold.
         */
        uint32_t session_regions;
        /**
         * Bytes that the regions of one session may hold together.
         */
        uint64_t session_bytes;
        /**
         * Bytes that all regions may hold together.
         */
        uint64_t total_bytes;
        /**
         * For each [`Backing`], as a number, the mask of the [`Method`]s that it can be mapped with.
         */
        uint32_t methods[8];
        /**
         * Mask of the [`Caching`] modes.
         */
        uint32_t cachings;
        /**
         * Backing of the default region.
         */
        uint32_t default_backing;
        /**
         * Mapping method of the default region.
         */
        uint32_t default_method;
        /**
         * Memory type of the default region, unless the file was opened with `O_SYNC`.
         */
        uint32_t default_caching;
};

/**
 * [`IOCTL_CREATE`]: makes a region of zeroed memory.
 *
 * `pages` and `folio` memory comes in the largest blocks that the page allocator has, and where memory is in
 * pieces, in smaller ones, down to pages: [`IOCTL_QUERY`] tells in how many runs, [`IOCTL_PAGES`] where they are. Who needs
 * one run (a device without a scatter list) asks for it with [`CREATE_CONTIGUOUS`], and then gets it or `ENOMEM`. Longer
 * than the page allocator's largest block (4 MiB with pages of 4 KiB), only `coherent` memory can be: where the kernel has
 * an area for contiguous memory (CMA, boot parameter `cma=128M`).
 *
 * Errors: `EINVAL` (`bytes` is 0; unknown backing, method or caching; flags), `EOPNOTSUPP` (the
 * backing cannot be mapped that way or have that memory type, see [`reason_against`] and
 * [`reason_against_caching`]; one run of `vmalloc` memory), `EPERM` (a memory type other than write-back without
 * `CAP_SYS_ADMIN`, unless the module's parameter `caching_for_all` is 1), `ENOSPC` (over a limit of [`Info`]), `ENOMEM` (also
 * no run that long, where one is asked for, or is all that there can be: `kmalloc`, `coherent`), `EINTR` (the caller is being
 * killed).
 */
struct mapwright_create {
        /**
         * Bytes of this structure.
         */
        uint32_t size;
        /**
         * [`CREATE_CONTIGUOUS`] or zero.
         */
        uint32_t flags;
        /**
         * A [`Backing`].
         */
        uint32_t backing;
        /**
         * A [`Method`].
         */
        uint32_t method;
        /**
         * A [`Caching`].
         */
        uint32_t caching;
        /**
         * Zero.
         */
        uint32_t reserved;
        /**
         * Bytes wanted. On return: bytes made, which is rounded up to whole pages.
         */
        uint64_t bytes;
        /**
         * On return: the region's number. No two regions ever have the same.
         */
        uint64_t id;
        /**
         * On return: where to `mmap(2)`, `pread(2)` and `pwrite(2)` it.
         */
        uint64_t offset;
};

/**
 * [`IOCTL_DESTROY`]: frees a region of this session.
 *
 * Errors: `ENOENT` (this session has no such region), `EBUSY` (it is mapped), `EINVAL` (flags).
 */
struct mapwright_destroy {
        /**
         * Bytes of this structure.
         */
        uint32_t size;
        /**
         * Zero.
         */
        uint32_t flags;
        /**
         * The region's number.
         */
        uint64_t id;
};

/**
 * [`IOCTL_QUERY`]: all about a region of this session. Everything but `size`, `flags` and `id` is
 * output.
 *
 * Errors: `ENOENT` (this session has no such region), `EINVAL` (flags).
 */
struct mapwright_query {
        /**
         * Bytes of this structure.
         */
        uint32_t size;
        /**
         * Zero.
         */
        uint32_t flags;
        /**
         * The region's number, or 0 for the region at `offset`.
         */
        uint64_t id;
        /**
         * Where it is mapped, read and written. Input when `id` is 0: any offset inside the region.
         */
        uint64_t offset;
        /**
         * Its size in bytes.
         */
        uint64_t bytes;
        /**
         * A [`Backing`].
         */
        uint32_t backing;
        /**
         * A [`Method`].
         */
        uint32_t method;
        /**
         * A [`Caching`].
         */
        uint32_t caching;
        /**
         * An [`AddressClass`]: where the kernel's own pointer to the memory lies.
         */
        uint32_t address_class;
        /**
         * Number of physically contiguous runs that make it up.
         */
        uint64_t runs;
        /**
         * Pages of the longest run.
         */
        uint64_t longest_run;
        /**
         * VMAs that map it now, in all processes.
         */
        uint64_t vmas;
        /**
         * Successful `mmap(2)` calls on it so far.
         */
        uint64_t mmaps;
        /**
         * Page faults answered for a load so far.
         */
        uint64_t faults_read;
        /**
         * Page faults answered for a store so far.
         */
        uint64_t faults_write;
        /**
         * Pages that these mapped.
         */
        uint64_t pages_faulted;
        /**
         * The bus address of its first byte, if a device finds it at one all its life, as with `coherent`
         * regions, and the caller has `CAP_SYS_ADMIN`; otherwise [`NO_DMA_ADDR`]. The other bytes follow.
         */
        uint64_t dma_addr;
};

/**
 * [`IOCTL_PAGES`]: which physical page frames a region of this session has. Needs `CAP_SYS_ADMIN`.
 *
 * Errors: `EPERM`, `ENOENT` (this session has no such region), `EINVAL` (`first` is beyond its
 * end; flags), `EFAULT`.
 */
struct mapwright_pages {
        /**
         * Bytes of this structure.
         */
        uint32_t size;
        /**
         * Zero.
         */
        uint32_t flags;
        /**
         * The region's number.
         */
        uint64_t id;
        /**
         * First page wanted, counted from the region's start.
         */
        uint64_t first;
        /**
         * Pages wanted. On return: [`PageInfo`]s written, fewer at the region's end.
         */
        uint64_t count;
        /**
         * Address of an array of `count` [`PageInfo`]s.
         */
        uint64_t array;
};

/**
 * [`IOCTL_SYNC`]: makes what one side wrote to a range of a region visible to the other.
 *
 * Regions are coherent unless they are mapped for a device: caches need no care, and the call only orders
 * the accesses before it against those after it. Mappings that have some of these bytes are passed, with all
 * that they have, from one side to the other.
 *
 * Errors: `ENOENT` (this session has no such region), `EINVAL` (neither or unknown flags; `bytes` is
 * 0; the range is not inside the region), `EBUSY` (a transfer uses one of these mappings; then none is
 * passed on), `ENODEV` (the device is gone).
 */
struct mapwright_sync {
        /**
         * Bytes of this structure.
         */
        uint32_t size;
        /**
         * [`SYNC_FOR_CPU`], [`SYNC_FOR_DEVICE`] or both.
         */
        uint32_t flags;
        /**
         * The region's number.
         */
        uint64_t id;
        /**
         * First byte of the range, counted from the region's start.
         */
        uint64_t first;
        /**
         * Bytes of the range.
         */
        uint64_t bytes;
};

/**
 * One page of a region, see [`Pages`].
 */
struct mapwright_page_info {
        /**
         * Page frame number: its physical address in pages.
         */
        uint64_t pfn;
        /**
         * The address a device uses for it, or [`NO_DMA_ADDR`].
         */
        uint64_t dma_addr;
};

#endif /* MAPWRIGHT_H */
