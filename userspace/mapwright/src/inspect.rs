// SPDX-License-Identifier: MIT OR Apache-2.0

//! Page tables, page frames and the kernel's address space, as `/dev/mapwright-inspect` tells them.
//!
//! ```no_run
//! use mapwright::inspect::{Inspector, Target};
//!
//! # fn main() -> mapwright::Result<()> {
//! let something = 1;
//! let walk = Inspector::open()?.walk(Target::Myself, &raw const something as u64)?;
//! println!("is at physical address {:#x?}", walk.physical);
//! # Ok(())
//! # }
//! ```

use crate::{architecture, device, Architecture, Error, Result};
pub use mapwright_uapi::inspect::{Area, EntryFlag, EntryKind, Level, MemoryType, MigrateType};
use mapwright_uapi::{
    inspect::{self as uapi, NO_ADDRESS},
    Request,
};
use nix::errno::Errno;
use std::{
    fs::File,
    os::fd::{AsFd, BorrowedFd},
    path::Path,
};

/// The device node.
pub const DEVICE: &str = "/dev/mapwright-inspect";

/// An open `/dev/mapwright-inspect`.
#[derive(Debug)]
pub struct Inspector {
    file: File,
}

/// Whose page tables to walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Those of this process.
    Myself,
    /// Those of the process with this number.
    Process(u32),
    /// Those of a process that the CPU uses in user mode, where the kernel hides itself; 0 for this
    /// process.
    UserMode(u32),
    /// The kernel's own.
    Kernel,
}

impl Target {
    /// The flags and the number of the process that the interface takes.
    fn request(self) -> (u32, u32) {
        match self {
            Self::Myself => (0, 0),
            Self::Process(pid) => (0, pid),
            Self::UserMode(pid) => (uapi::WALK_USER_MODE, pid),
            Self::Kernel => (uapi::WALK_KERNEL, 0),
        }
    }
}

/// One level of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which level.
    pub level: Level,
    /// What its entry does.
    pub kind: EntryKind,
    /// Lowest bit of the address that selects the entry.
    pub shift: u32,
    /// Number of bits that do; 0 when folded.
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

impl Step {
    /// Whether the entry has a flag.
    pub fn has(&self, flag: EntryFlag) -> bool {
        self.flags & flag.bit() != 0
    }

    /// The entry's flags.
    pub fn flags(&self) -> impl Iterator<Item = EntryFlag> + '_ {
        EntryFlag::ALL
            .iter()
            .copied()
            .filter(|flag| self.has(*flag))
    }
}

/// The way of an address through the page tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walk {
    /// The virtual address.
    pub address: u64,
    /// Physical address of the top table.
    pub root: u64,
    /// The register that the CPU found its own top table with during the call: CR3, TTBR0.
    pub register: u64,
    /// The levels, from the top to where the walk ended.
    pub steps: Vec<Step>,
    /// The physical address, if there is a page.
    pub physical: Option<u64>,
    /// Bytes that the last entry maps; 0 if there is no page.
    pub page_size: u64,
    /// How the CPU caches the page, as its entry says.
    pub memory_type: Option<MemoryType>,
}

impl Walk {
    /// What the register says: the physical address of a top table.
    pub fn table_in_register(&self) -> u64 {
        match architecture() {
            // The highest bits of an address that has more than 48 are below the others.
            Architecture::Arm64 => {
                (self.register & 0xffff_ffff_ffc0) | ((self.register & 0x3c) << 46)
            }
            _ => self.register & !0xfff,
        }
    }

    /// The level that ended the walk.
    pub fn last(&self) -> Option<&Step> {
        self.steps.last()
    }

    /// The page frame number, if there is a page.
    pub fn pfn(&self) -> Option<u64> {
        self.physical.map(|physical| physical / crate::page_size())
    }

    /// Whether the CPU can use the page.
    pub fn is_present(&self) -> bool {
        self.last().is_some_and(|step| step.kind == EntryKind::Page)
    }

    /// Whether all levels allow stores.
    pub fn is_writable(&self) -> bool {
        self.all_levels(EntryFlag::Writable)
    }

    /// Whether all levels allow user mode.
    pub fn is_user(&self) -> bool {
        self.all_levels(EntryFlag::User)
    }

    /// Whether code can be run there: no level forbids it to both user mode and the kernel, nor one level to
    /// the one and another to the other.
    pub fn is_executable(&self) -> bool {
        let forbids = |flag| self.steps.iter().any(|step| step.has(flag));
        let to_both = forbids(EntryFlag::NoExecute)
            || (forbids(EntryFlag::UserNoExecute) && forbids(EntryFlag::KernelNoExecute));
        self.is_present() && !to_both
    }

    fn all_levels(&self, flag: EntryFlag) -> bool {
        let mut real = self
            .steps
            .iter()
            .filter(|step| step.kind != EntryKind::Folded);
        self.is_present() && real.all(|step| step.has(flag))
    }
}

/// What a load by the kernel itself did, see [`Inspector::probe`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// It got a byte.
    Loaded,
    /// It faulted, and the kernel caught the fault.
    Faulted,
    /// Something other than memory is mapped there, which was left alone.
    LeftAlone,
}

/// What `struct page` says of a page frame. Of a page in use it may mix two moments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The page frame number.
    pub pfn: u64,
    /// First frame of the compound page that it is part of; itself if of none.
    pub head: u64,
    /// The flags that do not change between kernels, bits `KPF_` of `linux/kernel-page-flags.h`.
    pub page_flags: procfs::PhysicalPageFlags,
    /// The kernel's own flags word.
    pub raw_flags: u64,
    /// Kernel address of its `struct page`.
    pub struct_page: u64,
    /// References to the page, or to its compound page.
    pub refcount: i32,
    /// Page-table entries of programs that map it.
    pub mapcount: i32,
    /// The compound page has 2 to the power of this pages.
    pub order: u32,
    /// NUMA node.
    pub node: u32,
    /// What its block of pages is for.
    pub migrate_type: MigrateType,
    /// Name of its zone.
    pub zone: String,
}

/// Where an area of the kernel's address space is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AreaRange {
    /// Which area.
    pub area: Area,
    /// Its first address.
    pub start: u64,
    /// Its last address.
    pub last: u64,
}

/// The layout of the kernel's address space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Bits of a virtual address that are translated: on 64-bit ARM of each half, elsewhere of both together.
    pub address_bits: u32,
    /// The areas, by address. On 64-bit ARM one is inside another: the kernel's image in the vmalloc area.
    pub areas: Vec<AreaRange>,
    /// The last address of user mode.
    pub user_last: u64,
    /// The first address of the kernel. On 64-bit machines, what is between these two cannot be translated.
    pub kernel_first: u64,
    /// What is added to a physical address, and wraps, is its address in the direct map.
    pub phys_to_virt: u64,
}

impl Layout {
    /// Where an area is, if this kernel has it.
    pub fn area(&self, area: Area) -> Option<&AreaRange> {
        self.areas.iter().find(|range| range.area == area)
    }

    /// The area that an address is in: the inner one, where one is inside another.
    pub fn area_of(&self, address: u64) -> Option<Area> {
        let holds = |range: &&AreaRange| range.start <= address && address <= range.last;
        let inner = self.areas.iter().filter(holds);
        inner
            .min_by_key(|range| range.last - range.start)
            .map(|range| range.area)
    }

    /// The kernel's address of a physical address, if that is in the direct map.
    pub fn direct_map_address(&self, physical: u64) -> Option<u64> {
        let address = physical.wrapping_add(self.phys_to_virt);
        let map = self.area(Area::DirectMap)?;
        (map.start..=map.last).contains(&address).then_some(address)
    }
}

impl Inspector {
    /// Opens `/dev/mapwright-inspect`.
    pub fn open() -> Result<Self> {
        let file = device::open(Path::new(DEVICE))?;
        Ok(Self { file })
    }

    /// Does an ioctl of the interface.
    pub fn request<R: Request>(&self, request: &mut R) -> std::result::Result<(), Errno> {
        device::request(&self.file, request)
    }

    /// Walks the page tables for an address.
    pub fn walk(&self, target: Target, address: u64) -> Result<Walk> {
        Walk::try_from(self.ask(target, address, 0)?)
    }

    /// As [`walk`](Self::walk), and asks `get_user_pages()`: the page frame that it gives without
    /// faulting one in, or its error.
    pub fn walk_counted(
        &self,
        target: Target,
        address: u64,
    ) -> Result<(Walk, std::result::Result<u64, Errno>)> {
        let told = self.ask(target, address, uapi::WALK_COUNTED)?;
        let errno = i32::try_from(told.counted_errno).unwrap_or(0);
        let counted = present(told.counted).ok_or(Errno::from_raw(errno));
        Ok((Walk::try_from(told)?, counted))
    }

    /// Walks the kernel's page tables, and lets the kernel load a byte there with faults caught.
    pub fn probe(&self, address: u64) -> Result<(Walk, Probe)> {
        let told = self.ask(Target::Kernel, address, uapi::WALK_PROBE)?;
        let probe = match told.probe {
            0 => Probe::Loaded,
            uapi::NOT_PROBED => Probe::LeftAlone,
            _ => Probe::Faulted,
        };
        Ok((Walk::try_from(told)?, probe))
    }

    fn ask(&self, target: Target, address: u64, flags: u32) -> Result<uapi::Walk> {
        let (target_flags, pid) = target.request();
        let mut walk = uapi::Walk {
            flags: flags | target_flags,
            pid,
            address,
            ..uapi::Walk::new()
        };
        self.request(&mut walk).map_err(|errno| match errno {
            Errno::ESRCH => Error::NoProcess { pid },
            Errno::EINVAL => Error::NotTranslated { address },
            Errno::EOPNOTSUPP if matches!(target, Target::UserMode(_)) => Error::NotIsolated,
            errno => Error::System {
                what: "walking the page tables",
                errno,
            },
        })?;
        Ok(walk)
    }

    /// What `struct page` says of a page frame.
    pub fn frame(&self, pfn: u64) -> Result<Frame> {
        let mut frame = uapi::Frame {
            pfn,
            ..uapi::Frame::new()
        };
        self.request(&mut frame).map_err(|errno| match errno {
            Errno::ENXIO => Error::NoFrame { pfn },
            errno => Error::System {
                what: "looking at the page frame",
                errno,
            },
        })?;
        Frame::try_from(frame)
    }

    /// The layout of the kernel's address space.
    pub fn layout(&self) -> Result<Layout> {
        let mut layout = uapi::Layout::new();
        self.request(&mut layout).map_err(|errno| Error::System {
            what: "asking for the layout",
            errno,
        })?;
        Layout::try_from(layout)
    }
}

impl AsFd for Inspector {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl TryFrom<uapi::Walk> for Walk {
    type Error = Error;

    fn try_from(walk: uapi::Walk) -> Result<Self> {
        let told = walk.levels.iter().take(walk.nr_levels as usize);
        Ok(Self {
            address: walk.address,
            root: walk.root,
            register: walk.register,
            steps: told.map(Step::try_from).collect::<Result<_>>()?,
            physical: present(walk.physical),
            page_size: walk.page_size,
            memory_type: MemoryType::from_number(walk.memory_type),
        })
    }
}

impl TryFrom<&uapi::WalkLevel> for Step {
    type Error = Error;

    fn try_from(told: &uapi::WalkLevel) -> Result<Self> {
        Ok(Self {
            level: known("level", told.level, Level::from_number)?,
            kind: known("kind of entry", told.kind, EntryKind::from_number)?,
            shift: told.shift,
            bits: told.bits,
            index: told.index,
            flags: told.flags,
            entry: told.entry,
            value: told.value,
        })
    }
}

impl TryFrom<uapi::Frame> for Frame {
    type Error = Error;

    fn try_from(told: uapi::Frame) -> Result<Self> {
        let zone: Vec<u8> = told
            .zone_name
            .into_iter()
            .take_while(|byte| *byte != 0)
            .collect();
        Ok(Self {
            pfn: told.pfn,
            head: told.head,
            page_flags: procfs::PhysicalPageFlags::from_bits_retain(told.page_flags),
            raw_flags: told.raw_flags,
            struct_page: told.struct_page,
            refcount: told.refcount,
            mapcount: told.mapcount,
            order: told.order,
            node: told.node,
            migrate_type: known("migrate type", told.migrate_type, MigrateType::from_number)?,
            zone: String::from_utf8_lossy(&zone).into_owned(),
        })
    }
}

impl TryFrom<uapi::Layout> for Layout {
    type Error = Error;

    fn try_from(told: uapi::Layout) -> Result<Self> {
        let areas = told.areas.iter().take(told.nr_areas as usize);
        let mut areas = areas
            .map(|range| {
                Ok(AreaRange {
                    area: known("area", range.area, Area::from_number)?,
                    start: range.start,
                    last: range.last,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        areas.sort_by_key(|range| range.start);
        Ok(Self {
            address_bits: told.address_bits,
            areas,
            user_last: told.user_last,
            kernel_first: told.kernel_first,
            phys_to_virt: told.phys_to_virt,
        })
    }
}

/// An address or number, unless it stands for none.
fn present(number: u64) -> Option<u64> {
    (number != NO_ADDRESS).then_some(number)
}

/// The word for a number of the module's.
fn known<T>(what: &str, number: u32, word: impl Fn(u32) -> Option<T>) -> Result<T> {
    word(number).ok_or_else(|| Error::Unexpected {
        what: "the module's answer".into(),
        detail: format!("{what} {number} is newer than this program"),
    })
}
