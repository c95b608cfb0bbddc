// SPDX-License-Identifier: MIT OR Apache-2.0

//! The way of an address through the page tables.

use super::{known, present};
use crate::{architecture, Architecture, Error, Result};
use mapwright_uapi::inspect::{self as uapi, EntryFlag, EntryKind, Level, MemoryType};

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
    pub(super) fn request(self) -> (u32, u32) {
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

/// What a load by the kernel itself did, see [`Inspector::probe`](super::Inspector::probe).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// It got a byte.
    Loaded,
    /// It faulted, and the kernel caught the fault.
    Faulted,
    /// Something other than memory is mapped there, which was left alone.
    LeftAlone,
}

impl TryFrom<uapi::Walk> for Walk {
    type Error = Error;

    fn try_from(walk: uapi::Walk) -> Result<Self> {
        let levels = walk.levels.iter().take(walk.nr_levels as usize);
        Ok(Self {
            address: walk.address,
            root: walk.root,
            register: walk.register,
            steps: levels.map(Step::try_from).collect::<Result<_>>()?,
            physical: present(walk.physical),
            page_size: walk.page_size,
            memory_type: MemoryType::from_number(walk.memory_type),
        })
    }
}

impl TryFrom<&uapi::WalkLevel> for Step {
    type Error = Error;

    fn try_from(level: &uapi::WalkLevel) -> Result<Self> {
        Ok(Self {
            level: known("level", level.level, Level::from_number)?,
            kind: known("kind of entry", level.kind, EntryKind::from_number)?,
            shift: level.shift,
            bits: level.bits,
            index: level.index,
            flags: level.flags,
            entry: level.entry,
            value: level.value,
        })
    }
}
