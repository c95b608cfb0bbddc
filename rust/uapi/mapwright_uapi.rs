// SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note

//! The interface of `/dev/mapwright`, the one definition for kernel and user space.
//!
//! A program opens the device (a *session*), creates *regions* of kernel memory with [`Create`] and
//! maps them with `mmap(2)` at the offset that came back. `pread(2)` and `pwrite(2)` at the same
//! offsets go through the kernel's own pointer to the memory.
//!
//! `mmap(2)` gives `EINVAL` where no region is or beyond its end, and for a private mapping of page frame
//! numbers; `EPERM` for `PROT_EXEC`. A mapping can neither grow (`EFAULT`) nor become executable
//! (`EACCES`). `read(2)` gives 0 at a region's end and `write(2)` `ENOSPC`, as for a block device; where no region is,
//! `read(2)` gives `ENXIO` and `write(2)` `ENOSPC`. `splice(2)` and `sendfile(2)` work both ways; `fsync(2)` and
//! `msync(2)` have nothing to do. `O_APPEND` means nothing, as for a block device.
//!
//! With no ioctl at all, `mmap(2)`, `read(2)` or `write(2)` at an offset below [`FIRST_OFFSET`]
//! makes the session's *default region* at offset 0. The module's parameters say what it is made of; in a
//! file opened with `O_SYNC` it is uncached, or these give `EOPNOTSUPP` if it cannot be, and `EPERM` if the caller may
//! not have such memory.
//!
//! The default region has the bytes that the first of these calls needs, and grows to what `mmap(2)` and
//! `write(2)` need later, up to [`DEFAULT_MAX_BYTES`]. While it is mapped it keeps its length, and for good when an
//! ioctl has named it (`Query`, too), or when it was mapped and its pages are counted. Then, and beyond that
//! many bytes, a mapping is `EINVAL` and a write `ENOSPC`. Its end is the end of the file, for `SEEK_END` and for
//! `read(2)`; before there is one, the end is at [`DEFAULT_BYTES`]. A region that grows gets another number.
//!
//! # The ioctls
//!
//! Each takes a pointer to its structure, whose first field `size` is `sizeof` the structure as the
//! caller knows it. The rules are those of the kernel's `copy_struct_from_user()`: a shorter
//! structure (an older program) is filled up with zeros, a longer one (a newer program) is taken as
//! long as what this module does not know is zero, and gets `E2BIG` otherwise. A `size` below the
//! first version of the structure is `EINVAL`. `flags` and reserved fields must be zero (`EINVAL`).
//! An unknown ioctl number is `ENOTTY`. All fields have the same size and place for 32-bit callers.

#![cfg_attr(not(MODULE), no_std)]

use zerocopy_derive::{
    FromBytes,
    Immutable,
    IntoBytes,
    KnownLayout, //
};

#[macro_use]
mod words;
mod pairs;

pub use dma::*;
pub use pairs::{
    cachings,
    methods_of,
    reason_against,
    reason_against_caching,
    Architecture, //
};
pub use words::{
    AddressClass,
    Backing,
    Caching,
    Interrupt,
    MapCall,
    Method, //
};

/// Name of the device node below `/dev` and of the directory in debugfs.
pub const NAME: &str = "mapwright";

/// Version of the interface that this file describes. It grows by one with each addition.
pub const VERSION: u32 = 2;

/// Lowest offset, in bytes, of a region made with [`Create`]. Lower ones belong to the default
/// region.
pub const FIRST_OFFSET: u64 = 1 << 30;

/// Bytes of the default region when `read(2)` makes it, and the fewest when `write(2)` does. When `mmap(2)` does,
/// it is as long as that mapping reaches.
pub const DEFAULT_BYTES: u64 = 1 << 20;

/// The most bytes of a default region. `mmap(2)` holds the lock of the caller's address space while it makes one, so
/// that no thread can map, unmap or fault meanwhile; larger regions are made with [`Create`], without.
pub const DEFAULT_MAX_BYTES: u64 = 16 << 20;

/// [`PageInfo::dma_addr`] of a page that is mapped for no device.
pub const NO_DMA_ADDR: u64 = u64::MAX;

/// Ioctl "type" byte of this interface.
const IOCTL_TYPE: u32 = 0xE7;

/// The request number `_IO(IOCTL_TYPE, nr)`. Sizes travel in the structures, so that a request keeps
/// its number when its structure grows.
const fn io(nr: u32) -> u32 {
    (IOCTL_TYPE << 8) | nr
}

/// Ioctl request taking [`Info`].
pub const IOCTL_INFO: u32 = io(0);
/// Ioctl request taking [`Create`].
pub const IOCTL_CREATE: u32 = io(1);
/// Ioctl request taking [`Destroy`].
pub const IOCTL_DESTROY: u32 = io(2);
/// Ioctl request taking [`Query`].
pub const IOCTL_QUERY: u32 = io(3);
/// Ioctl request taking [`Pages`].
pub const IOCTL_PAGES: u32 = io(4);

/// Ioctl request taking [`Sync`].
pub const IOCTL_SYNC: u32 = io(5);

/// [`Create::flags`]: all of the memory in one physically contiguous run, or none.
pub const CREATE_CONTIGUOUS: u32 = 1;

/// [`Sync::flags`]: what a device wrote is to be seen by the CPU.
pub const SYNC_FOR_CPU: u32 = 1;
/// [`Sync::flags`]: what the CPU wrote is to be seen by a device.
pub const SYNC_FOR_DEVICE: u32 = 2;

/// What a structure of an ioctl has in common: it begins with its size.
pub trait Request: zerocopy::FromBytes + zerocopy::IntoBytes + zerocopy::Immutable {
    /// The request number.
    const IOCTL: u32;
    /// Bytes of the structure's first version: what `size` must be at least.
    const MIN_SIZE: usize;
    /// The structure with only `size` set, ready to be filled in.
    fn new() -> Self;
}

macro_rules! request {
    ($name:ident, $ioctl:expr, $min:expr) => {
        impl Request for $name {
            const IOCTL: u32 = $ioctl;
            const MIN_SIZE: usize = $min;

            fn new() -> Self {
                Self {
                    size: core::mem::size_of::<Self>() as u32,
                    ..Default::default()
                }
            }
        }
        // A structure may grow but never shrink below what programs were compiled with.
        const _: () = assert!(core::mem::size_of::<$name>() >= $min);
    };
}

pub mod alloc;
mod dma;
pub mod gpio;
pub mod inspect;

/// [`IOCTL_INFO`]: what the loaded module can do, and its limits. Everything but `size` is output.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Info {
    /// Bytes of this structure.
    pub size: u32,
    /// Version of the interface that the module speaks, see [`VERSION`].
    pub version: u32,
    /// Bytes of a page.
    pub page_size: u32,
    /// Regions that one session may hold.
    pub session_regions: u32,
    /// Bytes that the regions of one session may hold together.
    pub session_bytes: u64,
    /// Bytes that all regions may hold together.
    pub total_bytes: u64,
    /// For each [`Backing`], as a number, the mask of the [`Method`]s that it can be mapped with.
    pub methods: [u32; 8],
    /// Mask of the [`Caching`] modes.
    pub cachings: u32,
    /// Backing of the default region.
    pub default_backing: u32,
    /// Mapping method of the default region.
    pub default_method: u32,
    /// Memory type of the default region, unless the file was opened with `O_SYNC`.
    pub default_caching: u32,
}
request!(Info, IOCTL_INFO, 80);

/// [`IOCTL_CREATE`]: makes a region of zeroed memory.
///
/// `pages` and `folio` memory comes in the largest blocks that the page allocator has, and where memory is in
/// pieces, in smaller ones, down to pages: [`IOCTL_QUERY`] tells in how many runs, [`IOCTL_PAGES`] where they are. Who needs
/// one run (a device without a scatter list) asks for it with [`CREATE_CONTIGUOUS`], and then gets it or `ENOMEM`. Longer
/// than the page allocator's largest block (4 MiB with pages of 4 KiB) can be `pages` memory, for `CAP_SYS_ADMIN`: the kernel
/// moves what is in the way, which may take seconds. Whole gigabytes of it begin at a multiple of one, and the method `huge`
/// maps each by one entry where the CPU has such entries. `coherent` memory can be longer where the kernel has an area for
/// contiguous memory (CMA, boot parameter `cma=128M`).
///
/// Errors: `EINVAL` (`bytes` is 0; unknown backing, method or caching; flags), `EOPNOTSUPP` (the
/// backing cannot be mapped that way or have that memory type, see [`reason_against`] and
/// [`reason_against_caching`]; one run of `vmalloc` memory), `EPERM` (without `CAP_SYS_ADMIN`: a memory type other than
/// write-back, unless the module's parameter `caching_for_all` is 1; a run of `pages` beyond the largest block), `ENOSPC` (over a limit of [`Info`]), `ENOMEM` (also
/// no run that long, where one is asked for, or is all that there can be: `kmalloc`, `coherent`), `EINTR` (the caller is being
/// killed).
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Create {
    /// Bytes of this structure.
    pub size: u32,
    /// [`CREATE_CONTIGUOUS`] or zero.
    pub flags: u32,
    /// A [`Backing`].
    pub backing: u32,
    /// A [`Method`].
    pub method: u32,
    /// A [`Caching`].
    pub caching: u32,
    /// Zero.
    pub reserved: u32,
    /// Bytes wanted. On return: bytes made, which is rounded up to whole pages.
    pub bytes: u64,
    /// On return: the region's number. No two regions ever have the same.
    pub id: u64,
    /// On return: where to `mmap(2)`, `pread(2)` and `pwrite(2)` it.
    pub offset: u64,
}
request!(Create, IOCTL_CREATE, 48);

/// [`IOCTL_DESTROY`]: frees a region of this session.
///
/// Errors: `ENOENT` (this session has no such region), `EBUSY` (it is mapped), `EINVAL` (flags).
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Destroy {
    /// Bytes of this structure.
    pub size: u32,
    /// Zero.
    pub flags: u32,
    /// The region's number.
    pub id: u64,
}
request!(Destroy, IOCTL_DESTROY, 16);

/// [`IOCTL_QUERY`]: all about a region of this session. Everything but `size`, `flags` and `id` is
/// output.
///
/// Errors: `ENOENT` (this session has no such region), `EINVAL` (flags).
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Query {
    /// Bytes of this structure.
    pub size: u32,
    /// Zero.
    pub flags: u32,
    /// The region's number, or 0 for the region at `offset`.
    pub id: u64,
    /// Where it is mapped, read and written. Input when `id` is 0: any offset inside the region.
    pub offset: u64,
    /// Its size in bytes.
    pub bytes: u64,
    /// A [`Backing`].
    pub backing: u32,
    /// A [`Method`].
    pub method: u32,
    /// A [`Caching`].
    pub caching: u32,
    /// An [`AddressClass`]: where the kernel's own pointer to the memory lies.
    pub address_class: u32,
    /// Number of physically contiguous runs that make it up.
    pub runs: u64,
    /// Pages of the longest run.
    pub longest_run: u64,
    /// VMAs that map it now, in all processes.
    pub vmas: u64,
    /// Successful `mmap(2)` calls on it so far.
    pub mmaps: u64,
    /// Page faults answered for a load so far.
    pub faults_read: u64,
    /// Page faults answered for a store so far.
    pub faults_write: u64,
    /// Pages that these mapped.
    pub pages_faulted: u64,
    /// The bus address of its first byte, if a device finds it at one all its life, as with `coherent`
    /// regions, and the caller has `CAP_SYS_ADMIN`; otherwise [`NO_DMA_ADDR`]. The other bytes follow.
    pub dma_addr: u64,
}
request!(Query, IOCTL_QUERY, 104);

/// [`IOCTL_PAGES`]: which physical page frames a region of this session has. Needs `CAP_SYS_ADMIN`.
///
/// Errors: `EPERM`, `ENOENT` (this session has no such region), `EINVAL` (`first` is beyond its
/// end; flags), `EFAULT`.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Pages {
    /// Bytes of this structure.
    pub size: u32,
    /// Zero.
    pub flags: u32,
    /// The region's number.
    pub id: u64,
    /// First page wanted, counted from the region's start.
    pub first: u64,
    /// Pages wanted. On return: [`PageInfo`]s written, fewer at the region's end.
    pub count: u64,
    /// Address of an array of `count` [`PageInfo`]s.
    pub array: u64,
}
request!(Pages, IOCTL_PAGES, 40);

/// [`IOCTL_SYNC`]: makes what one side wrote to a range of a region visible to the other.
///
/// Regions are coherent unless they are mapped for a device: caches need no care, and the call only orders
/// the accesses before it against those after it. Mappings that have some of these bytes are passed, with all
/// that they have, from one side to the other.
///
/// Errors: `ENOENT` (this session has no such region), `EINVAL` (neither or unknown flags; `bytes` is
/// 0; the range is not inside the region), `EBUSY` (a transfer uses one of these mappings; then none is
/// passed on), `ENODEV` (the device is gone).
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Sync {
    /// Bytes of this structure.
    pub size: u32,
    /// [`SYNC_FOR_CPU`], [`SYNC_FOR_DEVICE`] or both.
    pub flags: u32,
    /// The region's number.
    pub id: u64,
    /// First byte of the range, counted from the region's start.
    pub first: u64,
    /// Bytes of the range.
    pub bytes: u64,
}
request!(Sync, IOCTL_SYNC, 32);

/// One page of a region, see [`Pages`].
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct PageInfo {
    /// Page frame number: its physical address in pages.
    pub pfn: u64,
    /// The address a device uses for it, or [`NO_DMA_ADDR`].
    pub dma_addr: u64,
}
