// SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note

//! What `/dev/mapwright-dmaN` has beside the ioctls of `/dev/mapwright`: a DMA engine.
//!
//! The engine moves bytes between memory and a small buffer of its own. A `coherent` region of this
//! device has a bus address all its life; other regions are mapped for it by the DMA API for a transfer, as
//! [`Transfer::map_call`] says.

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

/// Name of the device nodes below `/dev` and of the directories in debugfs, before their number.
pub const DMA_NAME: &str = "mapwright-dma";

/// Ioctl request taking [`DmaInfo`].
pub const IOCTL_DMA_INFO: u32 = io(32);
/// Ioctl request taking [`Transfer`].
pub const IOCTL_TRANSFER: u32 = io(33);

/// Ioctl request taking [`Done`].
pub const IOCTL_DONE: u32 = io(34);
/// Ioctl request taking [`DmaMap`].
pub const IOCTL_DMA_MAP: u32 = io(35);
/// Ioctl request taking [`DmaUnmap`].
pub const IOCTL_DMA_UNMAP: u32 = io(36);
/// Ioctl request taking [`Export`].
pub const IOCTL_EXPORT: u32 = io(37);
/// Ioctl request taking [`Import`].
pub const IOCTL_IMPORT: u32 = io(38);

/// Ioctl request taking [`Measure`].
pub const IOCTL_MEASURE: u32 = io(39);

/// [`Measure::flags`]: coherent memory is allocated and freed, of no region.
pub const MEASURE_COHERENT: u32 = 1;
/// [`Measure::flags`]: in nanoseconds, instead of ticks of the processor's cycle counter.
pub const MEASURE_NS: u32 = 2;
/// [`Measure::turns`] at most.
pub const MAX_TURNS: u32 = 64;
/// [`Measure::bytes`] at most.
pub const MAX_MEASURED: u64 = 4 << 20;

/// [`Transfer::flags`]: do not wait; see [`Done`].
pub const TRANSFER_QUEUE: u32 = 2;
/// [`Transfer::flags`], with [`TRANSFER_QUEUE`]: add one to the eventfd `Transfer::eventfd` when the
/// transfer has ended.
pub const TRANSFER_EVENTFD: u32 = 4;
/// Transfers that a file may have queued, and ended but not asked about.
pub const MAX_QUEUED: u32 = 64;
/// Files of a device that may have transfers in their queues at a time.
pub const MAX_QUEUES: u32 = 64;
/// Mappings that a file may have at a time, and buffers that it has imported.
pub const MAX_MAPPINGS: u32 = 64;

/// [`DmaMap::direction`]: the device reads the memory.
pub const DMA_TO_DEVICE: u32 = 1;
/// [`DmaMap::direction`]: the device writes to it.
pub const DMA_FROM_DEVICE: u32 = 2;
/// [`Export::flags`]: the file can only be read.
pub const EXPORT_READ_ONLY: u32 = 1;

/// [`Transfer::flags`]: `target` is no region, and `target_offset` a bus address. For root only
/// (`CAP_SYS_RAWIO`), and only where an IOMMU translates the device's addresses, so that the device
/// reaches nothing that is not mapped for it: `EPERM` otherwise. It is there to see an IOMMU refuse.
pub const TRANSFER_RAW_TARGET: u32 = 1;

/// [`IOCTL_DMA_INFO`]: about the device. Everything but `size` is output.
///
/// Errors: `ENODEV` (the device is gone).
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct DmaInfo {
    /// Bytes of this structure.
    pub size: u32,
    /// What the device says it is: 0x010000ed, a version and `edu`.
    pub identification: u32,
    /// Bytes of the device's buffer.
    pub buffer_bytes: u32,
    /// Bits of the bus addresses that it can give out.
    pub address_bits: u32,
    /// An `Interrupt`.
    pub interrupt: u32,
    /// 1 if an IOMMU translates its addresses, 0 if not.
    pub translated: u32,
    /// 1 if the device sees what is in the CPU's caches. 0 if the kernel writes back and invalidates them
    /// for memory that is mapped for it; `coherent` memory is not cached then.
    pub coherent: u32,
}
request!(DmaInfo, IOCTL_DMA_INFO, 28);

/// [`IOCTL_TRANSFER`]: moves bytes by DMA, and returns when they have been moved, or with
/// [`TRANSFER_QUEUE`] at once.
///
/// One of the two endpoints may be the device's buffer: number 0. Between two regions the bytes go through
/// that buffer, in as many pieces as that takes. It belongs to nobody: what a transfer leaves there
/// lasts until the next one, of whichever program.
///
/// The engine is used by one file at a time, for as many bytes as its buffer has; the files that want it
/// take turns. Closing a file ends its transfers after the piece that is being moved.
///
/// A signal, which may also be a stop or a freeze, interrupts the call. Then `bytes` and the offsets are of what is
/// left to move, and the kernel begins the call again when the program goes on: it ends when all is moved. Only
/// after a handler without `SA_RESTART` the program is told `EINTR`, and may begin it again itself.
///
/// Errors: `EINVAL` (`bytes` is 0; a range is not inside its region or the device's buffer; both endpoints
/// are that buffer; unknown flags or `map_call`; a range mapped as a page that is not in one), `ENOENT`
/// (this file has no such region or imported buffer), `EACCES` (the target is a buffer that can only be
/// read), `EBUSY` (the region is mapped, but not these bytes in this direction, or the CPU has them now),
/// `EAGAIN` ([`MAX_QUEUED`] are queued), `ENOSPC` ([`MAX_QUEUES`] other files have queued some), `EBADF` (no eventfd), `EOPNOTSUPP` (the region cannot be mapped
/// that way), `EADDRNOTAVAIL` (see [`DmaMap`]), `EPERM` (see [`TRANSFER_RAW_TARGET`]), `ENODEV` (the device
/// is gone), `EINTR` (a signal came, see above), `EIO` (the device has not
/// answered for 5 s: it is kept from memory then, and answers nobody until its driver is unbound and
/// bound again), `ENOMEM`.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Transfer {
    /// Bytes of this structure.
    pub size: u32,
    /// `TRANSFER_…`.
    pub flags: u32,
    /// Number of the region or imported buffer that is read, or 0 for the device's buffer.
    pub source: u64,
    /// Where to begin in it, in bytes.
    pub source_offset: u64,
    /// Number of the region or imported buffer that is written to, or 0 for the device's buffer.
    pub target: u64,
    /// Where to begin in it, in bytes.
    pub target_offset: u64,
    /// How many bytes.
    pub bytes: u64,
    /// A `MapCall`, for regions that are not `coherent` and not mapped already.
    pub map_call: u32,
    /// With [`TRANSFER_EVENTFD`], the file descriptor of an eventfd; otherwise zero.
    pub eventfd: u32,
    /// Whatever the program likes: [`Done::cookie`] of a queued transfer.
    pub cookie: u64,
}
request!(Transfer, IOCTL_TRANSFER, 56);

/// [`IOCTL_DONE`]: how a queued transfer ended. Those of a file are done one after the other, and told in that
/// order, each once; if telling fails (`EFAULT`), the next time. `poll(2)` says `POLLIN` when there is one to tell, and `POLLERR` when the device
/// is gone.
///
/// Errors: `EAGAIN` (none has ended), `EINVAL` (flags), `ENODEV` (the device is gone).
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Done {
    /// Bytes of this structure.
    pub size: u32,
    /// Zero.
    pub flags: u32,
    /// On return: [`Transfer::cookie`].
    pub cookie: u64,
    /// On return: 0, or the errno that it failed with.
    pub error: u32,
    /// Zero.
    pub reserved: u32,
}
request!(Done, IOCTL_DONE, 24);

/// [`IOCTL_DMA_MAP`]: maps a range of a region for the device, until it is unmapped. Transfers of these
/// bytes use the mapping. Between them, `SYNC` of some of it passes all of the mapping to the CPU and back to
/// the device, which is where a device that cannot reach the memory sees what the CPU wrote.
///
/// Errors: `EINVAL` (the range is empty or not inside the region; unknown direction, `map_call` or
/// flags; a page's range is not in one page), `ENOENT` (this session has no such region), `EBUSY`
/// (some of it is mapped already, or a transfer uses it; the device would write to two mappings that share
/// a cache line), `EOPNOTSUPP` (it cannot be mapped that way: a `single` stretch that is none or more than
/// a bounce buffer takes, or a `coherent` region, which needs no mapping), `EADDRNOTAVAIL` (some of it is
/// beyond the device's address bits, and the machine has neither an IOMMU nor a bounce buffer that the
/// device reaches), `ENOSPC` ([`MAX_MAPPINGS`]), `EIO`, `ENOMEM` (the device cannot be given addresses, or
/// not so many), `ENODEV`.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct DmaMap {
    /// Bytes of this structure.
    pub size: u32,
    /// Zero.
    pub flags: u32,
    /// The region's number.
    pub region: u64,
    /// First byte of the range.
    pub first: u64,
    /// Bytes of the range.
    pub bytes: u64,
    /// A `MapCall`.
    pub map_call: u32,
    /// [`DMA_TO_DEVICE`], [`DMA_FROM_DEVICE`] or both.
    pub direction: u32,
    /// On return: the mapping's number.
    pub id: u64,
    /// On return: the first bus address, if the caller has `CAP_SYS_ADMIN`; otherwise
    /// [`NO_DMA_ADDR`](crate::NO_DMA_ADDR).
    pub bus: u64,
    /// On return: entries of the list that was given to the DMA API. 1 without a list.
    pub entries: u32,
    /// On return: contiguous stretches of bus addresses that came of it.
    pub segments: u32,
}
request!(DmaMap, IOCTL_DMA_MAP, 64);

/// [`IOCTL_DMA_UNMAP`]: ends a mapping, or lets go of an imported buffer.
///
/// Errors: `ENOENT` (this file has no such), `EBUSY` (a transfer uses it), `EINVAL` (flags).
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct DmaUnmap {
    /// Bytes of this structure.
    pub size: u32,
    /// Zero.
    pub flags: u32,
    /// Number of the mapping or buffer.
    pub id: u64,
}
request!(DmaUnmap, IOCTL_DMA_UNMAP, 16);

/// [`IOCTL_EXPORT`]: makes a DMA-buf of whole pages of a region: a file that other drivers and programs
/// can be given. It keeps the memory. What is exported with [`EXPORT_READ_ONLY`] cannot be mapped writable by a
/// program, nor into the kernel's address space, nor for a device unless its driver says that it only reads.
///
/// Errors: `EINVAL` (the range is empty, not inside the region or not of whole pages; flags), `ENOENT`
/// (this session has no such region), `EBADF` (the session is only for reading, the file would be for writing),
/// `EOPNOTSUPP` (a `coherent` region of a device that may lose its driver, which takes it back; on 64-bit ARM a region
/// that is not write-back), `EMFILE`, `ENOMEM`.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Export {
    /// Bytes of this structure.
    pub size: u32,
    /// [`EXPORT_READ_ONLY`] or 0.
    pub flags: u32,
    /// The region's number.
    pub region: u64,
    /// First byte of the range.
    pub first: u64,
    /// Bytes of the range.
    pub bytes: u64,
    /// On return: the file descriptor, which is closed on `exec`.
    pub fd: u32,
    /// Zero.
    pub reserved: u32,
}
request!(Export, IOCTL_EXPORT, 40);

/// [`IOCTL_IMPORT`]: attaches the device to a DMA-buf, so that transfers can name it.
///
/// Errors: `EBADF`, `EINVAL` (`fd` is no DMA-buf; flags), `EADDRNOTAVAIL` (where the device does not reach all
/// memory, and the machine has neither an IOMMU nor a bounce buffer that it reaches: some of the buffer is beyond
/// the device's address bits, or it is no region of a device of this driver's, and nobody knows where it is),
/// `ENOSPC` ([`MAX_MAPPINGS`]), `ENODEV`, what its exporter says.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Import {
    /// Bytes of this structure.
    pub size: u32,
    /// Zero.
    pub flags: u32,
    /// The file descriptor.
    pub fd: u32,
    /// Zero.
    pub reserved: u32,
    /// On return: the number that transfers call it by. No region has it.
    pub id: u64,
    /// On return: its size in bytes.
    pub bytes: u64,
}
request!(Import, IOCTL_IMPORT, 32);

/// [`IOCTL_MEASURE`]: maps a range of a region for the device for both directions and unmaps it again,
/// `turns` times, and tells what that cost at least. Nothing is moved.
///
/// Errors: `EINVAL` (`turns` is 0 or more than [`MAX_TURNS`], `bytes` more than [`MAX_MEASURED`]; a region
/// with [`MEASURE_COHERENT`]; unknown flags; as [`DmaMap`]), `ENOSPC` (over a limit of the session or the device), `EINTR`, what
/// [`DmaMap`] says.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Measure {
    /// Bytes of this structure.
    pub size: u32,
    /// `MEASURE_…`.
    pub flags: u32,
    /// The region's number.
    pub region: u64,
    /// First byte of the range.
    pub first: u64,
    /// Bytes of the range.
    pub bytes: u64,
    /// A `MapCall`.
    pub map_call: u32,
    /// How often.
    pub turns: u32,
    /// On return: the least that it cost to map the memory or to allocate it, less what reading the
    /// clock costs.
    pub map: u64,
    /// On return: to pass it to the CPU.
    pub sync_for_cpu: u64,
    /// On return: to pass it back to the device.
    pub sync_for_device: u64,
    /// On return: to unmap or free it.
    pub unmap: u64,
}
request!(Measure, IOCTL_MEASURE, 72);
