// SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note

//! What `/dev/mapwright-dmaN` has beside the ioctls of `/dev/mapwright`: a DMA engine.
//!
//! The engine moves bytes between memory and a small buffer of its own. A `coherent` region of this
//! device has a bus address all its life; other regions are lent to the device for a transfer, as
//! [`Transfer::lending`] says.

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

/// [`Transfer::flags`]: `target` is no region, and `target_offset` a bus address. For root only
/// (`CAP_SYS_RAWIO`), and only where an IOMMU translates the device's addresses, so that the device
/// reaches nothing that is not lent to it: `EPERM` otherwise. It is there to see an IOMMU refuse.
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
}
request!(DmaInfo, IOCTL_DMA_INFO, 24);

/// [`IOCTL_TRANSFER`]: moves bytes by DMA, and returns when they have been moved.
///
/// One of the two sides may be the device's buffer: number 0. Between two regions the bytes go through
/// that buffer, in as many pieces as that takes. It belongs to nobody: what a transfer leaves there
/// lasts until the next one, of whichever program.
///
/// Errors: `EINVAL` (`bytes` is 0; a range is not inside its region or the device's buffer; both sides
/// are that buffer; unknown flags or `lending`; a range lent as a page that is not in one), `ENOENT`
/// (this session has no such region), `EOPNOTSUPP` (the region cannot be lent that way), `EPERM` (see
/// [`TRANSFER_RAW_TARGET`]), `ENODEV` (the device is gone), `EINTR` (a signal came; some of the bytes
/// may have been moved), `EIO` (the device does not answer), `ENOMEM`.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Transfer {
    /// Bytes of this structure.
    pub size: u32,
    /// [`TRANSFER_RAW_TARGET`] or 0.
    pub flags: u32,
    /// Number of the region that is read, or 0 for the device's buffer.
    pub source: u64,
    /// Where to begin in it, in bytes.
    pub source_offset: u64,
    /// Number of the region that is written to, or 0 for the device's buffer.
    pub target: u64,
    /// Where to begin in it, in bytes.
    pub target_offset: u64,
    /// How many bytes.
    pub bytes: u64,
    /// A `Lending`, for the regions that are not `coherent`.
    pub lending: u32,
    /// Zero.
    pub reserved: u32,
}
request!(Transfer, IOCTL_TRANSFER, 56);
