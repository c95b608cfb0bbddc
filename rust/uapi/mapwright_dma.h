/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * What /dev/mapwright-dmaN has beside the ioctls of /dev/mapwright: a DMA
 * engine.
 *
 * The engine moves bytes between memory and a small buffer of its own. A
 * coherent region of this device has a bus address all its life; other regions
 * are mapped for it by the DMA API for a transfer, as
 * mapwright_dma_transfer.map_call says.
 *
 * Written by make header, from rust/uapi/dma.rs: change that.
 */
#ifndef _UAPI_MAPWRIGHT_DMA_H
#define _UAPI_MAPWRIGHT_DMA_H

#include <linux/ioctl.h>
#include <linux/types.h>

/*
 * Name of the device nodes below /dev and of the directories in debugfs, before
 * their number.
 */
#define MAPWRIGHT_DMA_NAME "mapwright-dma"

/*
 * mapwright_dma_measure.flags: coherent memory is allocated and freed, of no
 * region.
 */
#define MAPWRIGHT_DMA_MEASURE_COHERENT 1

/*
 * mapwright_dma_measure.flags: in nanoseconds, instead of ticks of the
 * processor's cycle counter.
 */
#define MAPWRIGHT_DMA_MEASURE_NS 2

/* mapwright_dma_measure.turns at most. */
#define MAPWRIGHT_DMA_MAX_TURNS 64

/* mapwright_dma_measure.bytes at most. */
#define MAPWRIGHT_DMA_MAX_MEASURED 0x400000ULL

/* mapwright_dma_transfer.flags: do not wait; see struct mapwright_dma_done. */
#define MAPWRIGHT_DMA_TRANSFER_QUEUE 2

/*
 * mapwright_dma_transfer.flags, with MAPWRIGHT_DMA_TRANSFER_QUEUE: add one to
 * the eventfd mapwright_dma_transfer.eventfd when the transfer has ended.
 */
#define MAPWRIGHT_DMA_TRANSFER_EVENTFD 4

/* Transfers that a file may have queued, and ended but not asked about. */
#define MAPWRIGHT_DMA_MAX_QUEUED 64

/* Files of a device that may have transfers in their queues at a time. */
#define MAPWRIGHT_DMA_MAX_QUEUES 64

/* Mappings that a file may have at a time, and buffers that it has imported. */
#define MAPWRIGHT_DMA_MAX_MAPPINGS 64

/* mapwright_dma_map.direction: the device reads the memory. */
#define MAPWRIGHT_DMA_TO_DEVICE 1

/* mapwright_dma_map.direction: the device writes to it. */
#define MAPWRIGHT_DMA_FROM_DEVICE 2

/* mapwright_dma_export.flags: the file can only be read. */
#define MAPWRIGHT_DMA_EXPORT_READ_ONLY 1

/*
 * mapwright_dma_transfer.flags: target is no region, and target_offset a bus
 * address. For root only (CAP_SYS_RAWIO), and only where an IOMMU translates
 * the device's addresses, so that the device reaches nothing that is not mapped
 * for it: EPERM otherwise. It is there to see an IOMMU refuse.
 */
#define MAPWRIGHT_DMA_TRANSFER_RAW_TARGET 1

/**
 * enum mapwright_dma_map_call - By which call of the DMA API a region is mapped
 *	for a device. A coherent one needs none of these: it has a bus address
 *	as long as it lives.
 * @MAPWRIGHT_DMA_MAP_CALL_SCATTER: A list of its pieces, neighbours in one
 *	entry: dma_map_sgtable().
 * @MAPWRIGHT_DMA_MAP_CALL_SCATTER_PAGES: Such a list with an entry for each
 *	page.
 * @MAPWRIGHT_DMA_MAP_CALL_SINGLE: One stretch of the direct map:
 *	dma_map_single().
 * @MAPWRIGHT_DMA_MAP_CALL_PAGE: A piece of one page: dma_map_page().
 */
enum mapwright_dma_map_call {
	MAPWRIGHT_DMA_MAP_CALL_SCATTER = 0,
	MAPWRIGHT_DMA_MAP_CALL_SCATTER_PAGES = 1,
	MAPWRIGHT_DMA_MAP_CALL_SINGLE = 2,
	MAPWRIGHT_DMA_MAP_CALL_PAGE = 3,
};

/**
 * enum mapwright_dma_interrupt - How a device interrupts.
 * @MAPWRIGHT_DMA_INTERRUPT_INTX: With a wire that devices share.
 * @MAPWRIGHT_DMA_INTERRUPT_MSI: With a message.
 */
enum mapwright_dma_interrupt {
	MAPWRIGHT_DMA_INTERRUPT_INTX = 0,
	MAPWRIGHT_DMA_INTERRUPT_MSI = 1,
};

/**
 * struct mapwright_dma_info - about the device. Everything but size is output.
 * @size: Bytes of this structure.
 * @identification: What the device says it is: 0x010000ed, a version and edu.
 * @buffer_bytes: Bytes of the device's buffer.
 * @address_bits: Bits of the bus addresses that it can give out.
 * @interrupt: An enum mapwright_dma_interrupt.
 * @translated: 1 if an IOMMU translates its addresses, 0 if not.
 * @coherent: 1 if the device sees what is in the CPU's caches. 0 if the kernel
 *	writes back and invalidates them for memory that is mapped for it;
 *	coherent memory is not cached then.
 *
 * Errors: ENODEV (the device is gone).
 */
struct mapwright_dma_info {
	__u32 size;
	__u32 identification;
	__u32 buffer_bytes;
	__u32 address_bits;
	__u32 interrupt;
	__u32 translated;
	__u32 coherent;
};
#define MAPWRIGHT_DMA_INFO _IO(0xe7, 0x20)

/**
 * struct mapwright_dma_transfer - moves bytes by DMA, and returns when they
 *	have been moved, or with MAPWRIGHT_DMA_TRANSFER_QUEUE at once.
 * @size: Bytes of this structure.
 * @flags: TRANSFER_….
 * @source: Number of the region or imported buffer that is read, or 0 for the
 *	device's buffer.
 * @source_offset: Where to begin in it, in bytes.
 * @target: Number of the region or imported buffer that is written to, or 0 for
 *	the device's buffer.
 * @target_offset: Where to begin in it, in bytes.
 * @bytes: How many bytes.
 * @map_call: A enum mapwright_dma_map_call, for regions that are not coherent
 *	and not mapped already.
 * @eventfd: With MAPWRIGHT_DMA_TRANSFER_EVENTFD, the file descriptor of an
 *	eventfd; otherwise zero.
 * @cookie: Whatever the program likes: mapwright_dma_done.cookie of a queued
 *	transfer.
 *
 * One of the two endpoints may be the device's buffer: number 0. Between two
 * regions the bytes go through that buffer, in as many pieces as that takes. It
 * belongs to nobody: what a transfer leaves there lasts until the next one, of
 * whichever program.
 *
 * The engine is used by one file at a time, for as many bytes as its buffer
 * has; the files that want it take turns. Closing a file ends its transfers
 * after the piece that is being moved.
 *
 * A signal, which may also be a stop or a freeze, interrupts the call. Then
 * bytes and the offsets are of what is left to move, and the kernel begins the
 * call again when the program goes on: it ends when all is moved. Only after a
 * handler without SA_RESTART the program is told EINTR, and may begin it again
 * itself.
 *
 * Errors: EINVAL (bytes is 0; a range is not inside its region or the device's
 * buffer; both endpoints are that buffer; unknown flags or map_call; a range
 * mapped as a page that is not in one), ENOENT (this file has no such region or
 * imported buffer), EACCES (the target is a buffer that can only be read),
 * EBUSY (the region is mapped, but not these bytes in this direction, or the
 * CPU has them now), EAGAIN (MAPWRIGHT_DMA_MAX_QUEUED are queued), ENOSPC
 * (MAPWRIGHT_DMA_MAX_QUEUES other files have queued some), EBADF (no eventfd),
 * EOPNOTSUPP (the region cannot be mapped that way), EADDRNOTAVAIL (see struct
 * mapwright_dma_map), EPERM (see MAPWRIGHT_DMA_TRANSFER_RAW_TARGET), ENODEV
 * (the device is gone), EINTR (a signal came, see above), EIO (the device has
 * not answered for 5 s: it is kept from memory then, and answers nobody until
 * its driver is unbound and bound again), ENOMEM.
 */
struct mapwright_dma_transfer {
	__u32 size;
	__u32 flags;
	__u64 source;
	__u64 source_offset;
	__u64 target;
	__u64 target_offset;
	__u64 bytes;
	__u32 map_call;
	__u32 eventfd;
	__u64 cookie;
};
#define MAPWRIGHT_DMA_TRANSFER _IO(0xe7, 0x21)

/**
 * struct mapwright_dma_done - how a queued transfer ended. Those of a file are
 *	done one after the other, and told in that order, each once; if
 *	telling fails (EFAULT), the next time. poll(2) says POLLIN when there
 *	is one to tell, and POLLERR when the device is gone.
 * @size: Bytes of this structure.
 * @flags: Zero.
 * @cookie: On return: mapwright_dma_transfer.cookie.
 * @error: On return: 0, or the errno that it failed with.
 * @reserved: Zero.
 *
 * Errors: EAGAIN (none has ended), EINVAL (flags), ENODEV (the device is gone).
 */
struct mapwright_dma_done {
	__u32 size;
	__u32 flags;
	__u64 cookie;
	__u32 error;
	__u32 reserved;
};
#define MAPWRIGHT_DMA_DONE _IO(0xe7, 0x22)

/**
 * struct mapwright_dma_map - maps a range of a region for the device, until it
 *	is unmapped. Transfers of these bytes use the mapping. Between them,
 *	SYNC of some of it passes all of the mapping to the CPU and back to
 *	the device, which is where a device that cannot reach the memory sees
 *	what the CPU wrote.
 * @size: Bytes of this structure.
 * @flags: Zero.
 * @region: The region's number.
 * @first: First byte of the range.
 * @bytes: Bytes of the range.
 * @map_call: A enum mapwright_dma_map_call.
 * @direction: MAPWRIGHT_DMA_TO_DEVICE, MAPWRIGHT_DMA_FROM_DEVICE or both.
 * @id: On return: the mapping's number.
 * @bus: On return: the first bus address, if the caller has CAP_SYS_ADMIN;
 *	otherwise MAPWRIGHT_NO_DMA_ADDR.
 * @entries: On return: entries of the list that was given to the DMA API. 1
 *	without a list.
 * @segments: On return: contiguous stretches of bus addresses that came of it.
 *
 * Errors: EINVAL (the range is empty or not inside the region; unknown
 * direction, map_call or flags; a page's range is not in one page), ENOENT
 * (this session has no such region), EBUSY (some of it is mapped already, or a
 * transfer uses it; the device would write to two mappings that share a cache
 * line), EOPNOTSUPP (it cannot be mapped that way: a single stretch that is
 * none or more than a bounce buffer takes, or a coherent region, which needs no
 * mapping), EADDRNOTAVAIL (some of it is beyond the device's address bits, and
 * the machine has neither an IOMMU nor a bounce buffer that the device
 * reaches), ENOSPC (MAPWRIGHT_DMA_MAX_MAPPINGS), EIO, ENOMEM (the device cannot
 * be given addresses, or not so many), ENODEV.
 */
struct mapwright_dma_map {
	__u32 size;
	__u32 flags;
	__u64 region;
	__u64 first;
	__u64 bytes;
	__u32 map_call;
	__u32 direction;
	__u64 id;
	__u64 bus;
	__u32 entries;
	__u32 segments;
};
#define MAPWRIGHT_DMA_MAP _IO(0xe7, 0x23)

/**
 * struct mapwright_dma_unmap - ends a mapping, or lets go of an imported
 *	buffer.
 * @size: Bytes of this structure.
 * @flags: Zero.
 * @id: Number of the mapping or buffer.
 *
 * Errors: ENOENT (this file has no such), EBUSY (a transfer uses it), EINVAL
 * (flags).
 */
struct mapwright_dma_unmap {
	__u32 size;
	__u32 flags;
	__u64 id;
};
#define MAPWRIGHT_DMA_UNMAP _IO(0xe7, 0x24)

/**
 * struct mapwright_dma_export - makes a DMA-buf of whole pages of a region: a
 *	file that other drivers and programs can be given. It keeps the
 *	memory. What is exported with MAPWRIGHT_DMA_EXPORT_READ_ONLY cannot be
 *	mapped writable by a program, nor into the kernel's address space, nor
 *	for a device unless its driver says that it only reads.
 * @size: Bytes of this structure.
 * @flags: MAPWRIGHT_DMA_EXPORT_READ_ONLY or 0.
 * @region: The region's number.
 * @first: First byte of the range.
 * @bytes: Bytes of the range.
 * @fd: On return: the file descriptor, which is closed on exec.
 * @reserved: Zero.
 *
 * Errors: EINVAL (the range is empty, not inside the region or not of whole
 * pages; flags), ENOENT (this session has no such region), EBADF (the session
 * is only for reading, the file would be for writing), EOPNOTSUPP (a coherent
 * region of a device that may lose its driver, which takes it back; on 64-bit
 * ARM a region that is not write-back), EMFILE, ENOMEM.
 */
struct mapwright_dma_export {
	__u32 size;
	__u32 flags;
	__u64 region;
	__u64 first;
	__u64 bytes;
	__u32 fd;
	__u32 reserved;
};
#define MAPWRIGHT_DMA_EXPORT _IO(0xe7, 0x25)

/**
 * struct mapwright_dma_import - attaches the device to a DMA-buf, so that
 *	transfers can name it.
 * @size: Bytes of this structure.
 * @flags: Zero.
 * @fd: The file descriptor.
 * @reserved: Zero.
 * @id: On return: the number that transfers call it by. No region has it.
 * @bytes: On return: its size in bytes.
 *
 * Errors: EBADF, EINVAL (fd is no DMA-buf; flags), EADDRNOTAVAIL (where the
 * device does not reach all memory, and the machine has neither an IOMMU nor a
 * bounce buffer that it reaches: some of the buffer is beyond the device's
 * address bits, or it is no region of a device of this driver's, and nobody
 * knows where it is), ENOSPC (MAPWRIGHT_DMA_MAX_MAPPINGS), ENODEV, what its
 * exporter says.
 */
struct mapwright_dma_import {
	__u32 size;
	__u32 flags;
	__u32 fd;
	__u32 reserved;
	__u64 id;
	__u64 bytes;
};
#define MAPWRIGHT_DMA_IMPORT _IO(0xe7, 0x26)

/**
 * struct mapwright_dma_measure - maps a range of a region for the device for
 *	both directions and unmaps it again, turns times, and tells what that
 *	cost at least. Nothing is moved.
 * @size: Bytes of this structure.
 * @flags: MEASURE_….
 * @region: The region's number.
 * @first: First byte of the range.
 * @bytes: Bytes of the range.
 * @map_call: A enum mapwright_dma_map_call.
 * @turns: How often.
 * @map: On return: the least that it cost to map the memory or to allocate it,
 *	less what reading the clock costs.
 * @sync_for_cpu: On return: to pass it to the CPU.
 * @sync_for_device: On return: to pass it back to the device.
 * @unmap: On return: to unmap or free it.
 *
 * Errors: EINVAL (turns is 0 or more than MAPWRIGHT_DMA_MAX_TURNS, bytes more
 * than MAPWRIGHT_DMA_MAX_MEASURED; a region with
 * MAPWRIGHT_DMA_MEASURE_COHERENT; unknown flags; as struct mapwright_dma_map),
 * ENOSPC (over a limit of the session or the device), EINTR, what struct
 * mapwright_dma_map says.
 */
struct mapwright_dma_measure {
	__u32 size;
	__u32 flags;
	__u64 region;
	__u64 first;
	__u64 bytes;
	__u32 map_call;
	__u32 turns;
	__u64 map;
	__u64 sync_for_cpu;
	__u64 sync_for_device;
	__u64 unmap;
};
#define MAPWRIGHT_DMA_MEASURE _IO(0xe7, 0x27)

#endif /* _UAPI_MAPWRIGHT_DMA_H */
