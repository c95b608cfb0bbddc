// SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note

//! The interface of `/dev/mapwright-inspect`: page tables, page frames and the layout of the kernel's
//! address space, as they are. All of it needs `CAP_SYS_ADMIN` (`EPERM`), and changes nothing.
//!
//! The rules for the structures are those of `/dev/mapwright`.

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

/// Name of the device node below `/dev`.
pub const NAME: &str = "mapwright-inspect";

/// Ioctl request taking [`Walk`].
pub const IOCTL_WALK: u32 = io(0x40);
/// Ioctl request taking [`Frame`].
pub const IOCTL_FRAME: u32 = io(0x41);
/// Ioctl request taking [`Layout`].
pub const IOCTL_LAYOUT: u32 = io(0x42);

words! {
    /// A level of the page tables, from the top.
    Level {
        /// Page global directory.
        Pgd = 0, "PGD";
        /// Fourth level, only with five-level paging.
        P4d = 1, "P4D";
        /// Page upper directory.
        Pud = 2, "PUD";
        /// Page middle directory.
        Pmd = 3, "PMD";
        /// Page table: its entries are page-table entries.
        Pte = 4, "PTE";
    }
}

words! {
    /// What a level does for an address.
    EntryKind {
        /// The machine does not have this level: its one entry is the table above.
        Folded = 0, "folded";
        /// The entry is zero: nothing is mapped.
        Empty = 1, "empty";
        /// The entry points to the next level's table.
        Table = 2, "table";
        /// The entry maps memory: the walk ends here.
        Page = 3, "page";
        /// The entry has a page, but the CPU must not use it (`PROT_NONE`, NUMA hinting).
        Blocked = 4, "blocked";
        /// The entry is for the kernel's own use: swapped out, being migrated, a marker.
        NotPresent = 5, "not present";
    }
}

words! {
    /// A flag of an entry: its number is that of its bit in [`WalkLevel::flags`].
    EntryFlag {
        /// The CPU may use it.
        Present = 0, "present";
        /// Stores are allowed.
        Writable = 1, "writable";
        /// User mode may use it.
        User = 2, "user";
        /// Code cannot be run there.
        NoExecute = 3, "no-execute";
        /// It was used since this was last cleared.
        Accessed = 4, "accessed";
        /// It was written to since this was last cleared.
        Dirty = 5, "dirty";
        /// It stays in the TLB when the address space changes.
        Global = 6, "global";
        /// The walk ends at this level, above the last.
        Large = 7, "large";
        /// The kernel: it is not to look at this page's `struct page`.
        Special = 8, "special";
        /// The kernel: written since a checkpoint.
        SoftDirty = 9, "soft-dirty";
        /// The kernel: userfaultfd wants to know of stores.
        UffdWp = 10, "uffd-wp";
        /// CPUs share it coherently (ARM).
        Shared = 11, "shared";
        /// One of several neighbours that go on contiguously in memory, for which one entry of the TLB
        /// will do (64-bit ARM).
        Contiguous = 12, "contiguous";
        /// User mode cannot run code there, the kernel can (64-bit ARM). Neither can:
        /// [`NoExecute`](Self::NoExecute).
        UserNoExecute = 13, "user-no-execute";
        /// The kernel cannot run code there, user mode can (64-bit ARM).
        KernelNoExecute = 14, "kernel-no-execute";
    }
}

words! {
    /// How the CPU caches a page, as its page-table entry and the CPU's table of types say.
    MemoryType {
        /// Write-back: ordinary memory.
        WriteBack = 0, "wb";
        /// Write-combining; ARM: Normal memory that is not cached.
        WriteCombine = 1, "wc";
        /// Uncached; ARM: Device-nGnRnE, once called strongly ordered.
        Uncached = 2, "uc";
        /// Uncached, unless a range register says write-combining (x86).
        UncachedMinus = 3, "uc-";
        /// Write-through.
        WriteThrough = 4, "wt";
        /// Write-protected (x86).
        WriteProtected = 5, "wp";
        /// Device memory of another kind than [`Uncached`](Self::Uncached) (ARM).
        Device = 6, "device";
        /// Write-back, with a tag for every 16 bytes (64-bit ARM).
        Tagged = 7, "wb tagged";
    }
}

words! {
    /// What a block of pages is for, so that what cannot be moved stays together.
    MigrateType {
        /// The kernel's own, which cannot be moved.
        Unmovable = 0, "unmovable";
        /// Pages of programs and files.
        Movable = 1, "movable";
        /// Caches of the kernel that can be shrunk.
        Reclaimable = 2, "reclaimable";
        /// Kept for urgent allocations of several pages.
        HighAtomic = 3, "highatomic";
        /// The contiguous memory allocator's.
        Cma = 4, "cma";
        /// Being taken out of use.
        Isolate = 5, "isolate";
    }
}

words! {
    /// An area of the kernel's address space.
    Area {
        /// All memory, one after the other: `virt_to_phys()` holds here.
        DirectMap = 0, "direct map";
        /// `vmalloc()` and `ioremap()`.
        Vmalloc = 1, "vmalloc";
        /// The array of `struct page`.
        Vmemmap = 2, "vmemmap";
        /// Loaded modules.
        Modules = 3, "modules";
        /// Where the kernel's own code and data may be.
        KernelImage = 4, "kernel image";
        /// Addresses fixed when the kernel was built.
        Fixmap = 5, "fixmap";
        /// Entry code and stacks of each CPU.
        CpuEntry = 6, "cpu entry";
        /// KASAN's shadow memory.
        Kasan = 7, "kasan shadow";
        /// Local descriptor tables.
        Ldt = 8, "ldt";
        /// High memory, mapped for a moment (32-bit).
        Pkmap = 9, "pkmap";
        /// I/O ports of PCI (64-bit ARM).
        PciIo = 10, "pci i/o";
    }
}

/// [`Walk::flags`]: through the kernel's own tables. [`Walk::pid`] must be 0.
pub const WALK_KERNEL: u32 = 1;
/// [`Walk::flags`]: through the tables that the CPU uses in user mode, where the kernel hides itself
/// (page-table isolation); `EOPNOTSUPP` elsewhere.
pub const WALK_USER_MODE: u32 = 2;
/// [`Walk::flags`]: also asks `get_user_pages()`, see [`Walk::counted`].
pub const WALK_COUNTED: u32 = 4;
/// [`Walk::flags`]: also loads a byte as the kernel does, see [`Walk::probe`]. Only with
/// [`WALK_KERNEL`].
pub const WALK_PROBE: u32 = 8;

/// [`Walk::physical`], [`Walk::counted`] when there is none.
pub const NO_ADDRESS: u64 = u64::MAX;

/// [`Walk::probe`]: the address maps something other than memory, which was left alone.
pub const NOT_PROBED: i32 = i32::MAX;

/// One level of a [`Walk`].
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct WalkLevel {
    /// A [`Level`].
    pub level: u32,
    /// An [`EntryKind`].
    pub kind: u32,
    /// Lowest bit of the address that selects the entry.
    pub shift: u32,
    /// Number of bits that do. 0 when folded.
    pub bits: u32,
    /// Number of the entry in its table.
    pub index: u32,
    /// Mask of [`EntryFlag`]s.
    pub flags: u32,
    /// Physical address of the entry.
    pub entry: u64,
    /// What the entry holds.
    pub value: u64,
}

/// [`IOCTL_WALK`]: walks the page tables for an address. All but `size`, `flags`, `pid` and
/// `address` is output.
///
/// Errors: `EPERM`, `ESRCH` (no such process, or it is exiting), `EINVAL` (a kernel thread, which has
/// no address space; an address that the page tables cannot map, such as one with a tag in its highest bits
/// or, on 64-bit ARM, one of user mode with [`WALK_KERNEL`]; flags), `EOPNOTSUPP` (see [`WALK_USER_MODE`]; the
/// tables do not hold physical addresses, or are of a kind that is not known), `EAGAIN` (the tables changed
/// all the time), `EINTR` (killed while waiting).
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Walk {
    /// Bytes of this structure.
    pub size: u32,
    /// Mask of `WALK_` flags.
    pub flags: u32,
    /// Number of the process, in the caller's pid namespace; 0 for the caller.
    pub pid: u32,
    /// Levels told in `levels`, from the top to where the walk ended.
    pub nr_levels: u32,
    /// The virtual address.
    pub address: u64,
    /// Physical address of the top table.
    pub root: u64,
    /// The register that the CPU of this call finds its own top table with: CR3, TTBR0.
    pub register: u64,
    /// Physical address that `address` is at, or [`NO_ADDRESS`].
    pub physical: u64,
    /// Bytes that the last entry maps, or 0.
    pub page_size: u64,
    /// Page frame number that `get_user_pages()` gave, or [`NO_ADDRESS`].
    pub counted: u64,
    /// Why `get_user_pages()` gave none: an error number.
    pub counted_errno: u32,
    /// A [`MemoryType`] of the page, or 0xffffffff.
    pub memory_type: u32,
    /// 0 if the load worked, `EFAULT` if it faulted, or [`NOT_PROBED`].
    pub probe: i32,
    /// Zero.
    pub reserved: u32,
    /// The levels.
    pub levels: [WalkLevel; 5],
}
request!(Walk, IOCTL_WALK, 280);

/// [`IOCTL_FRAME`]: what `struct page` says of a page frame. All but `size`, `flags` and `pfn` is
/// output. Nothing is locked: what is told may mix two moments of a page in use.
///
/// Errors: `EPERM`, `ENXIO` (no memory with a `struct page` is there), `EINVAL` (flags).
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Frame {
    /// Bytes of this structure.
    pub size: u32,
    /// Zero.
    pub flags: u32,
    /// The page frame number.
    pub pfn: u64,
    /// First frame of the compound page that it is part of; itself if of none.
    pub head: u64,
    /// The flags that do not change between kernels: bit numbers `KPF_` of
    /// `linux/kernel-page-flags.h`.
    pub page_flags: u64,
    /// The kernel's own flags word.
    pub raw_flags: u64,
    /// Address of its `struct page`.
    pub struct_page: u64,
    /// References to the page, or to the compound page.
    pub refcount: i32,
    /// Page-table entries of programs that map it.
    pub mapcount: i32,
    /// The compound page has 2 to the power of this pages.
    pub order: u32,
    /// NUMA node.
    pub node: u32,
    /// A [`MigrateType`]: that of its block.
    pub migrate_type: u32,
    /// Number of its zone.
    pub zone: u32,
    /// Name of its zone, filled up with zeros.
    pub zone_name: [u8; 8],
}
request!(Frame, IOCTL_FRAME, 80);

/// An area of [`Layout`].
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct AreaRange {
    /// An [`Area`].
    pub area: u32,
    /// Zero.
    pub reserved: u32,
    /// First address.
    pub start: u64,
    /// Last address.
    pub last: u64,
}

/// [`IOCTL_LAYOUT`]: where the areas of the kernel's address space are. All but `size` and `flags` is
/// output.
///
/// Errors: `EPERM`, `EINVAL` (flags).
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Layout {
    /// Bytes of this structure.
    pub size: u32,
    /// Zero.
    pub flags: u32,
    /// Bits of a virtual address that are translated: on 64-bit ARM of each half, elsewhere of both together.
    pub address_bits: u32,
    /// Areas told in `areas`.
    pub nr_areas: u32,
    /// The areas. On 64-bit ARM one is inside another: the kernel's image in the vmalloc area.
    pub areas: [AreaRange; 16],
    /// The last address of user mode.
    pub user_last: u64,
    /// The first address of the kernel. On 64-bit machines, what is between these two cannot be translated.
    pub kernel_first: u64,
    /// What is added to a physical address, and wraps, is its address in the direct map.
    pub phys_to_virt: u64,
}
request!(Layout, IOCTL_LAYOUT, 424);
