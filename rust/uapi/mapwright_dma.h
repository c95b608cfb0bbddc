/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * The interface of a device of mapwright. Made from dma.rs by `make header`: do not edit.
 * What the ioctls do and how they fail is said there.
 */
#ifndef MAPWRIGHT_DMA_H
#define MAPWRIGHT_DMA_H

#include <linux/ioctl.h>
#include <stdint.h>

/* Name of the device nodes below `/dev` and of the directories in debugfs, before their number. */
#define MAPWRIGHT_DMA_NAME "mapwright-dma"

/* Ioctl request taking DmaInfo. */
#define MAPWRIGHT_DMA_INFO _IO(0xe7, 0x20)

/* Ioctl request taking Transfer. */
#define MAPWRIGHT_DMA_TRANSFER _IO(0xe7, 0x21)

/* Ioctl request taking Done. */
#define MAPWRIGHT_DMA_DONE _IO(0xe7, 0x22)

/* Ioctl request taking DmaMap. */
#define MAPWRIGHT_DMA_MAP _IO(0xe7, 0x23)

/* Ioctl request taking DmaUnmap. */
#define MAPWRIGHT_DMA_UNMAP _IO(0xe7, 0x24)

/* Ioctl request taking Export. */
#define MAPWRIGHT_DMA_EXPORT _IO(0xe7, 0x25)

/* Ioctl request taking Import. */
#define MAPWRIGHT_DMA_IMPORT _IO(0xe7, 0x26)

/* Ioctl request taking Measure. */
#define MAPWRIGHT_DMA_MEASURE _IO(0xe7, 0x27)

/* Measure::flags: coherent memory is allocated and freed, of no region. */
#define MAPWRIGHT_DMA_MEASURE_COHERENT 1

/* Measure::flags: in nanoseconds, instead of ticks of the processor's cycle counter. */
#define MAPWRIGHT_DMA_MEASURE_NS 2

/* Measure::turns at most. */
#define MAPWRIGHT_DMA_MAX_TURNS 64

/* Measure::bytes at most. */
#define MAPWRIGHT_DMA_MAX_MEASURED 0x400000ULL

/* Transfer::flags: do not wait; see Done. */
#define MAPWRIGHT_DMA_TRANSFER_QUEUE 2

/* Transfer::flags, with TRANSFER_QUEUE: add one to the eventfd `Transfer::eventfd` when the transfer has ended. */
#define MAPWRIGHT_DMA_TRANSFER_EVENTFD 4

/* Transfers that a file may have queued, and ended but not asked about. */
#define MAPWRIGHT_DMA_MAX_QUEUED 64

/* Files of a device that may have transfers in their queues at a time. */
#define MAPWRIGHT_DMA_MAX_QUEUES 64

/* Mappings that a file may have at a time, and buffers that it has imported. */
#define MAPWRIGHT_DMA_MAX_MAPPINGS 64

/* DmaMap::direction: the device reads the memory. */
#define MAPWRIGHT_DMA_TO_DEVICE 1

/* DmaMap::direction: the device writes to it. */
#define MAPWRIGHT_DMA_FROM_DEVICE 2

/* Export::flags: the file can only be read. */
#define MAPWRIGHT_DMA_EXPORT_READ_ONLY 1

/* Transfer::flags: `target` is no region, and `target_offset` a bus address. For root only (`CAP_SYS_RAWIO`), and only where an IOMMU translates the device's addresses, so that the device reaches nothing that is not mapped for it: `EPERM` otherwise. It is there to see an IOMMU refuse. */
#define MAPWRIGHT_DMA_TRANSFER_RAW_TARGET 1

enum mapwright_dma_map_call {
	MAPWRIGHT_DMA_MAP_CALL_SCATTER = 0,
	MAPWRIGHT_DMA_MAP_CALL_SCATTER_PAGES = 1,
	MAPWRIGHT_DMA_MAP_CALL_SINGLE = 2,
	MAPWRIGHT_DMA_MAP_CALL_PAGE = 3,
};

enum mapwright_dma_interrupt {
	MAPWRIGHT_DMA_INTERRUPT_INTX = 0,
	MAPWRIGHT_DMA_INTERRUPT_MSI = 1,
};

/**
 * [`IOCTL_DMA_INFO`]: about the device. Everything but `size` is output.
 *
 * Errors: `ENODEV` (the device is gone).
 */
struct mapwright_dma_info {
        /**
         * Bytes of this structure.
         */
        uint32_t size;
        /**
         * What the device says it is: 0x010000ed, a version and `edu`.
         */
        uint32_t identification;
        /**
         * Bytes of the device's buffer.
         */
        uint32_t buffer_bytes;
        /**
         * Bits of the bus addresses that it can give out.
         */
        uint32_t address_bits;
        /**
         * An `Interrupt`.
         */
        uint32_t interrupt;
        /**
         * 1 if an IOMMU translates its addresses, 0 if not.
         */
        uint32_t translated;
        /**
         * 1 if the device sees what is in the CPU's caches. 0 if the kernel writes back and invalidates them
         * for memory that is mapped for it; `coherent` memory is not cached then.
         */
        uint32_t coherent;
};

/**
 * [`IOCTL_TRANSFER`]: moves bytes by DMA, and returns when they have been moved, or with
 * [`TRANSFER_QUEUE`] at once.
 *
 * One of the two sides may be the device's buffer: number 0. Between two regions the bytes go through
 * that buffer, in as many pieces as that takes. It belongs to nobody: what a transfer leaves there
 * lasts until the next one, of whichever program.
 *
 * The engine is used by one file at a time, for as many bytes as its buffer has; the files that want it
 * take turns. Closing a file ends its transfers after the piece that is being moved.
 *
 * A signal, which may also be a stop or a freeze, interrupts the call. Then `bytes` and the offsets are of what is
 * left to move, and the kernel begins the call again when the program goes on: it ends when all is moved. Only
 * after a handler without `SA_RESTART` the program is told `EINTR`, and may begin it again itself.
 *
 * Errors: `EINVAL` (`bytes` is 0; a range is not inside its region or the device's buffer; both sides
 * are that buffer; unknown flags or `map_call`; a range mapped as a page that is not in one), `ENOENT`
 * (this file has no such region or imported buffer), `EACCES` (the target is a buffer that can only be
 * read), `EBUSY` (the region is mapped, but not these bytes in this direction, or the CPU has them now),
 * `EAGAIN` ([`MAX_QUEUED`] are queued), `ENOSPC` ([`MAX_QUEUES`] other files have queued some), `EBADF` (no eventfd), `EOPNOTSUPP` (the region cannot be mapped
 * that way), `EADDRNOTAVAIL` (see [`DmaMap`]), `EPERM` (see [`TRANSFER_RAW_TARGET`]), `ENODEV` (the device
 * is gone), `EINTR` (a signal came, see above), `EIO` (the device has not
 * answered for 5 s: it is kept from memory then, and answers nobody until its driver is unbound and
 * bound again), `ENOMEM`.
 */
struct mapwright_dma_transfer {
        /**
         * Bytes of this structure.
         */
        uint32_t size;
        /**
         * `TRANSFER_…`.
         */
        uint32_t flags;
        /**
         * Number of the region or imported buffer that is read, or 0 for the device's buffer.
         */
        uint64_t source;
        /**
         * Where to begin in it, in bytes.
         */
        uint64_t source_offset;
        /**
         * Number of the region or imported buffer that is written to, or 0 for the device's buffer.
         */
        uint64_t target;
        /**
         * Where to begin in it, in bytes.
         */
        uint64_t target_offset;
        /**
         * How many bytes.
         */
        uint64_t bytes;
        /**
         * A `MapCall`, for regions that are not `coherent` and not mapped already.
         */
        uint32_t map_call;
        /**
         * With [`TRANSFER_EVENTFD`], the file descriptor of an eventfd; otherwise zero.
         */
        uint32_t eventfd;
        /**
         * Whatever the program likes: [`Done::cookie`] of a queued transfer.
         */
        uint64_t cookie;
};

/**
 * [`IOCTL_DONE`]: how a queued transfer ended. Those of a file are done one after the other, and told in that
 * order, each once; if telling fails (`EFAULT`), the next time. `poll(2)` says `POLLIN` when there is one to tell, and `POLLERR` when the device
 * is gone.
 *
 * Errors: `EAGAIN` (none has ended), `EINVAL` (flags), `ENODEV` (the device is gone).
 */
struct mapwright_dma_done {
        /**
         * Bytes of this structure.
         */
        uint32_t size;
        /**
         * Zero.
         */
        uint32_t flags;
        /**
         * On return: [`Transfer::cookie`].
         */
        uint64_t cookie;
        /**
         * On return: 0, or the errno that it failed with.
         */
        uint32_t error;
        /**
         * Zero.
         */
        uint32_t reserved;
};

/**
 * [`IOCTL_DMA_MAP`]: maps a range of a region for the device, until it is unmapped. Transfers of these
 * bytes use the mapping. Between them, `SYNC` of some of it passes all of the mapping to the CPU and back to
 * the device, which is where a device that cannot reach the memory sees what the CPU wrote.
 *
 * Errors: `EINVAL` (the range is empty or not inside the region; unknown direction, `map_call` or
 * flags; a page's range is not in one page), `ENOENT` (this session has no such region), `EBUSY`
 * (some of it is mapped already, or a transfer uses it; the device would write to two mappings that share
 * a cache line), `EOPNOTSUPP` (it cannot be mapped that way: a `single` stretch that is none or more than
 * a bounce buffer takes, or a `coherent` region, which needs no mapping), `EADDRNOTAVAIL` (some of it is
 * beyond the device's address bits, and the machine has neither an IOMMU nor a bounce buffer that the
 * device reaches), `ENOSPC` ([`MAX_MAPPINGS`]), `EIO`, `ENOMEM` (the device cannot be given addresses, or
 * not so many), `ENODEV`.
 */
struct mapwright_dma_map {
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
        uint64_t region;
        /**
         * First byte of the range.
         */
        uint64_t first;
        /**
         * Bytes of the range.
         */
        uint64_t bytes;
        /**
         * A `MapCall`.
         */
        uint32_t map_call;
        /**
         * [`DMA_TO_DEVICE`], [`DMA_FROM_DEVICE`] or both.
         */
        uint32_t direction;
        /**
         * On return: the mapping's number.
         */
        uint64_t id;
        /**
         * On return: the first bus address, if the caller has `CAP_SYS_ADMIN`; otherwise
         * [`NO_DMA_ADDR`](crate::NO_DMA_ADDR).
         */
        uint64_t bus;
        /**
         * On return: entries of the list that was given to the DMA API. 1 without a list.
         */
        uint32_t entries;
        /**
         * On return: contiguous stretches of bus addresses that came of it.
         */
        uint32_t segments;
};

/**
 * [`IOCTL_DMA_UNMAP`]: ends a mapping, or lets go of an imported buffer.
 *
 * Errors: `ENOENT` (this file has no such), `EBUSY` (a transfer uses it), `EINVAL` (flags).
 */
struct mapwright_dma_unmap {
        /**
         * Bytes of this structure.
         */
        uint32_t size;
        /**
         * Zero.
         */
        uint32_t flags;
        /**
         * Number of the mapping or buffer.
         */
        uint64_t id;
};

/**
 * [`IOCTL_EXPORT`]: makes a DMA-buf of whole pages of a region: a file that other drivers and programs
 * can be given. It keeps the memory. What is exported with [`EXPORT_READ_ONLY`] cannot be mapped writable by a
 * program, nor into the kernel's address space, nor for a device unless its driver says that it only reads.
 *
 * Errors: `EINVAL` (the range is empty, not inside the region or not of whole pages; flags), `ENOENT`
 * (this session has no such region), `EBADF` (the session is only for reading, the file would be for writing),
 * `EOPNOTSUPP` (a `coherent` region of a device that may lose its driver, which takes it back; on 64-bit ARM a region
 * that is not write-back), `EMFILE`, `ENOMEM`.
 */
struct mapwright_dma_export {
        /**
         * Bytes of this structure.
         */
        uint32_t size;
        /**
         * [`EXPORT_READ_ONLY`] or 0.
         */
        uint32_t flags;
        /**
         * The region's number.
         */
        uint64_t region;
        /**
         * First byte of the range.
         */
        uint64_t first;
        /**
         * Bytes of the range.
         */
        uint64_t bytes;
        /**
         * On return: the file descriptor, which is closed on `exec`.
         */
        uint32_t fd;
        /**
         * Zero.
         */
        uint32_t reserved;
};

/**
 * [`IOCTL_IMPORT`]: attaches the device to a DMA-buf, so that transfers can name it.
 *
 * Errors: `EBADF`, `EINVAL` (`fd` is no DMA-buf; flags), `EADDRNOTAVAIL` (where the device does not reach all
 * memory, and the machine has neither an IOMMU nor a bounce buffer that it reaches: some of the buffer is beyond
 * the device's address bits, or it is no region of a device of this driver's, and nobody knows where it is),
 * `ENOSPC` ([`MAX_MAPPINGS`]), `ENODEV`, what its exporter says.
 */
struct mapwright_dma_import {
        /**
         * Bytes of this structure.
         */
        uint32_t size;
        /**
         * Zero.
         */
        uint32_t flags;
        /**
         * The file descriptor.
         */
        uint32_t fd;
        /**
         * Zero.
         */
        uint32_t reserved;
        /**
         * On return: the number that transfers call it by. No region has it.
         */
        uint64_t id;
        /**
         * On return: its size in bytes.
         */
        uint64_t bytes;
};

/**
 * [`IOCTL_MEASURE`]: maps a range of a region for the device for both directions and unmaps it again,
 * `turns` times, and tells what that cost at least. Nothing is moved.
 *
 * Errors: `EINVAL` (`turns` is 0 or more than [`MAX_TURNS`], `bytes` more than [`MAX_MEASURED`]; a region
 * with [`MEASURE_COHERENT`]; unknown flags; as [`DmaMap`]), `ENOSPC` (over a limit of the session or the device), `EINTR`, what
 * [`DmaMap`] says.
 */
struct mapwright_dma_measure {
        /**
         * Bytes of this structure.
         */
        uint32_t size;
        /**
         * `MEASURE_…`.
         */
        uint32_t flags;
        /**
         * The region's number.
         */
        uint64_t region;
        /**
         * First byte of the range.
         */
        uint64_t first;
        /**
         * Bytes of the range.
         */
        uint64_t bytes;
        /**
         * A `MapCall`.
         */
        uint32_t map_call;
        /**
         * How often.
         */
        uint32_t turns;
        /**
         * On return: the least that it cost to map the memory or to allocate it, less what reading the
         * clock costs.
         */
        uint64_t map;
        /**
         * On return: to pass it to the CPU.
         */
        uint64_t sync_for_cpu;
        /**
         * On return: to pass it back to the device.
         */
        uint64_t sync_for_device;
        /**
         * On return: to unmap or free it.
         */
        uint64_t unmap;
};

#endif /* MAPWRIGHT_DMA_H */
