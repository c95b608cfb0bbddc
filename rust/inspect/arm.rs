// SPDX-License-Identifier: GPL-2.0-only

//! The page tables of 32-bit ARM with short descriptors: two levels, of 4096 and of 256 entries of
//! four bytes.
//!
//! Bits of an entry: ARM Architecture Reference Manual for ARMv7, section B3.5, with SCTLR.TRE set and
//! SCTLR.AFE clear, as Linux has them. The CPU's entries have no bits for what Linux wants to know
//! besides (accessed, dirty), so Linux has a table of its own 2 KiB before each of the second level:
//! [`linux`]. Two of its tables and the CPU's twins fill a page, and to
//! the rest of the kernel they are one table of 512 entries, for which the first level has 2048. A walk
//! is the CPU's; what only Linux knows of an entry is added.

use crate::{
    uapi::{
        EntryFlag,
        EntryKind,
        Level,
        MemoryType, //
    },
    walk::{
        Entry,
        Format, //
    }, //
};
use mapkit::inspect::entry::{
    self,
    linux, //
};

/// Number of bits of a virtual address that are translated.
const ADDRESS_BITS: u32 = 32;

/// Bytes that an entry of the first level maps, if it maps memory, and such with bit 18.
const SECTION: u64 = 1 << 20;
const SUPERSECTION: u64 = 1 << 24;
/// Bytes that an entry of the second level maps: the usual, and the larger.
const SMALL_PAGE: u64 = 1 << 12;
const LARGE_PAGE: u64 = 1 << 16;

/// Bit of a section: it is one of 16 MiB.
const IS_SUPERSECTION: u64 = 1 << 18;

/// Where an entry that maps memory has its bits.
struct Layout {
    page_size: u64,
    not_global: u32,
    shareable: u32,
    /// Lowest bit of the two that say who may do what.
    access: u32,
    /// The third: nobody may store.
    read_only: u32,
    /// Lowest bit of the memory type, which B and C make the rest of.
    type_extension: u32,
    execute_never: u32,
}

const OF_SECTION: Layout = Layout {
    page_size: SECTION,
    not_global: 17,
    shareable: 16,
    access: 10,
    read_only: 15,
    type_extension: 12,
    execute_never: 4,
};

const OF_LARGE_PAGE: Layout = Layout {
    page_size: LARGE_PAGE,
    not_global: 11,
    shareable: 10,
    access: 4,
    read_only: 9,
    type_extension: 12,
    execute_never: 15,
};

const OF_SMALL_PAGE: Layout = Layout {
    page_size: SMALL_PAGE,
    type_extension: 6,
    execute_never: 0,
    ..OF_LARGE_PAGE
};

/// The levels from the top.
pub(crate) fn formats() -> [Format; 5] {
    let folded = |level| Format {
        level,
        shift: 20,
        bits: 0,
        entry_size: 4,
    };
    [
        Format {
            bits: 12,
            ..folded(Level::Pgd)
        },
        folded(Level::P4d),
        folded(Level::Pud),
        folded(Level::Pmd),
        Format {
            shift: 12,
            bits: 8,
            ..folded(Level::Pte)
        },
    ]
}

/// Whether an address has no more bits than those.
pub(crate) fn is_translated(address: u64, _kernel: bool) -> bool {
    address.wrapping_shr(ADDRESS_BITS) == 0
}

/// How many bytes before a table of a level Linux has one of its own for the same addresses.
pub(crate) fn own_table(level: Level) -> Option<u64> {
    (level == Level::Pte).then_some(linux::BYTES_BEFORE)
}

/// What an entry of a level means, with Linux's own at the second level.
pub(crate) fn decode(level: Level, value: u64, own: u64) -> Entry {
    let mut entry = match (level, value & 3) {
        // Empty to the CPU: the page is not to be used, or its first use is to be a fault, at which
        // Linux notes that it was accessed.
        (Level::Pte, 0) if own & linux::PRESENT != 0 => Entry {
            physical: own & !SMALL_PAGE.wrapping_sub(1),
            page_size: SMALL_PAGE,
            ..nothing(match own & linux::PROT_NONE {
                0 => EntryKind::Page,
                _ => EntryKind::Blocked,
            })
        },
        (_, 0) => nothing(match value | own {
            0 => EntryKind::Empty,
            _ => EntryKind::NotPresent,
        }),
        (Level::Pte, 1) => page(value, &OF_LARGE_PAGE),
        (Level::Pte, _) => page(value, &OF_SMALL_PAGE),
        // An entry that points to a table forbids nothing.
        (_, 1) => Entry {
            flags: EntryFlag::Present.bit() | EntryFlag::Writable.bit() | EntryFlag::User.bit(),
            physical: value & !0x3ff,
            ..nothing(EntryKind::Table)
        },
        _ if value & IS_SUPERSECTION != 0 => supersection(value),
        _ => page(value, &OF_SECTION),
    };
    if own & linux::PRESENT != 0 {
        entry.flags |= own_flags(own);
    }
    entry
}

/// What Linux's own entry says of a page.
fn own_flags(own: u64) -> u32 {
    [
        (linux::ACCESSED, EntryFlag::Accessed),
        (linux::DIRTY, EntryFlag::Dirty),
        (linux::USER, EntryFlag::User),
    ]
    .iter()
    .filter(|(bit, _)| own & bit != 0)
    .fold(0, |flags, (_, flag)| flags | flag.bit())
}

const fn nothing(kind: EntryKind) -> Entry {
    Entry {
        kind,
        flags: 0,
        physical: 0,
        page_size: 0,
        memory_type: None,
    }
}

fn page(value: u64, layout: &Layout) -> Entry {
    let bit = |number: u32| value.wrapping_shr(number) & 1 != 0;
    let user = bit(layout.access.wrapping_add(1));
    // With both bits user mode may store, too; with only the higher one it may not.
    let writable = !bit(layout.read_only) && (!user || bit(layout.access));
    let mut flags = EntryFlag::Present.bit();
    for (is, flag) in [
        (writable, EntryFlag::Writable),
        (user, EntryFlag::User),
        (bit(layout.execute_never), EntryFlag::NoExecute),
        (!bit(layout.not_global), EntryFlag::Global),
        (bit(layout.shareable), EntryFlag::Shared),
        (layout.page_size != SMALL_PAGE, EntryFlag::Large),
    ] {
        if is {
            flags |= flag.bit();
        }
    }
    Entry {
        kind: EntryKind::Page,
        flags,
        physical: value & !layout.page_size.wrapping_sub(1),
        page_size: layout.page_size,
        memory_type: memory_type(value, layout),
    }
}

/// A section of 16 MiB, whose physical address has eight more bits.
fn supersection(value: u64) -> Entry {
    let high = (value.wrapping_shr(20) & 0xf) | (value.wrapping_shr(1) & 0xf0);
    Entry {
        physical: high.wrapping_shl(32) | (value & 0xff00_0000),
        page_size: SUPERSECTION,
        ..page(value, &OF_SECTION)
    }
}

/// The lowest bit of the type extension, C and B select one of eight types in PRRR, and how it is
/// cached in NMRR.
fn memory_type(value: u64, layout: &Layout) -> Option<MemoryType> {
    let extension = value.wrapping_shr(layout.type_extension) & 1;
    let cached_buffered = value.wrapping_shr(2) & 3;
    let shift = (extension.wrapping_shl(2) | cached_buffered).wrapping_shl(1) as u32;
    let registers = entry::memory_types();
    let region = registers.wrapping_shr(shift) & 3;
    let cache = registers.wrapping_shr(shift.wrapping_add(32)) & 3;
    match (region, cache) {
        // Strongly ordered.
        (0, _) => Some(MemoryType::Uncached),
        (1, _) => Some(MemoryType::Device),
        // Normal memory that is not cached: stores may be merged.
        (2, 0) => Some(MemoryType::WriteCombine),
        (2, 2) => Some(MemoryType::WriteThrough),
        (2, _) => Some(MemoryType::WriteBack),
        _ => None,
    }
}
