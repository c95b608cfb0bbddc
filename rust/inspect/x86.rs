// SPDX-License-Identifier: GPL-2.0-only

//! The page tables of x86-64: five levels or four, of 512 entries of eight bytes.
//!
//! Bits of an entry: Intel SDM volume 3A, section 4.5; what Linux uses the bits for that the CPU
//! ignores: [`linux`].

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
use mapkit::inspect::{
    address::{
        self,
        Halves, //
    },
    entry::{
        self,
        linux, //
    }, //
};

const PRESENT: u64 = 1 << 0;
const WRITE_THROUGH: u64 = 1 << 3;
const CACHE_DISABLE: u64 = 1 << 4;
/// Bit of an entry above the last level: it maps memory.
const PAGE_SIZE: u64 = 1 << 7;
/// Bit of an entry of the last level: the third bit of its memory type.
const PAT: u64 = 1 << 7;
/// Bit of an entry above the last level: the third bit of its memory type.
const PAT_LARGE: u64 = 1 << 12;

/// What the single bits mean.
const FLAGS: [(u32, EntryFlag); 10] = [
    (0, EntryFlag::Present),
    (1, EntryFlag::Writable),
    (2, EntryFlag::User),
    (5, EntryFlag::Accessed),
    (6, EntryFlag::Dirty),
    (8, EntryFlag::Global),
    (linux::SPECIAL_BIT, EntryFlag::Special),
    (linux::UFFD_BIT, EntryFlag::UffdWp),
    (linux::SOFT_DIRTY_BIT, EntryFlag::SoftDirty),
    (63, EntryFlag::NoExecute),
];

/// The flags of an entry that points to a table: the CPU ignores the others.
const TABLE_FLAGS: u32 = EntryFlag::Present.bit()
    | EntryFlag::Writable.bit()
    | EntryFlag::User.bit()
    | EntryFlag::Accessed.bit()
    | EntryFlag::NoExecute.bit();

/// Bits of an address that select an entry of a table.
const INDEX_BITS: u32 = 9;

/// The levels from the top.
pub(crate) fn formats() -> [Format; 5] {
    let format = |level, shift| Format {
        level,
        shift,
        bits: INDEX_BITS,
        entry_size: 8,
    };
    let top = address::bits().wrapping_sub(INDEX_BITS);
    [
        format(Level::Pgd, top),
        Format {
            bits: if top > 39 { INDEX_BITS } else { 0 },
            ..format(Level::P4d, 39)
        },
        format(Level::Pud, 30),
        format(Level::Pmd, 21),
        format(Level::Pte, 12),
    ]
}

/// Whether a table has an entry for an address: the bits above the translated ones are all like the highest
/// of them. The kernel's tables have the user's addresses, too.
pub(crate) fn is_translated(address: u64, _kernel: bool) -> bool {
    let halves = Halves::new();
    address <= halves.user_last || address >= halves.kernel_first
}

/// Bytes that an entry of a level maps, where it can.
fn page_size(level: Level) -> Option<u64> {
    match level {
        Level::Pte => Some(1 << 12),
        Level::Pmd => Some(1 << 21),
        Level::Pud => Some(1 << 30),
        Level::P4d | Level::Pgd => None,
    }
}

/// How many bytes before a table of a level Linux has one of its own for the same addresses. It keeps
/// everything in the CPU's.
pub(crate) fn own_table(_: Level) -> Option<u64> {
    None
}

/// What an entry of a level means.
pub(crate) fn decode(level: Level, value: u64, _own: u64) -> Entry {
    let mut entry = Entry {
        kind: EntryKind::Empty,
        flags: 0,
        physical: 0,
        page_size: 0,
        memory_type: None,
    };
    let size = page_size(level).filter(|_| level == Level::Pte || value & PAGE_SIZE != 0);
    match (value & PRESENT != 0, size) {
        (true, Some(size)) => {
            entry.kind = EntryKind::Page;
            entry.flags = flags_of(value);
            if level != Level::Pte {
                entry.flags |= EntryFlag::Large.bit();
            }
            entry.physical = frame_of(value, size);
            entry.page_size = size;
            entry.memory_type = memory_type(level, value);
        }
        (true, None) => {
            entry.kind = EntryKind::Table;
            entry.flags = flags_of(value) & TABLE_FLAGS;
            entry.physical = entry::phys(value);
        }
        (false, Some(size)) if value & linux::PROT_NONE != 0 => {
            entry.kind = EntryKind::Blocked;
            entry.flags = flags_of(value) & !EntryFlag::Global.bit();
            // Stored inverted, so that a CPU that speculates past the missing bit finds no memory.
            entry.physical = frame_of(!value, size);
            entry.page_size = size;
        }
        (false, _) if value != 0 => entry.kind = EntryKind::NotPresent,
        _ => {}
    }
    entry
}

fn flags_of(value: u64) -> u32 {
    FLAGS
        .iter()
        .filter(|(bit, _)| value.wrapping_shr(*bit) & 1 != 0)
        .fold(0, |flags, (_, flag)| flags | flag.bit())
}

fn frame_of(value: u64, size: u64) -> u64 {
    entry::phys(value) & !size.wrapping_sub(1)
}

/// Three bits of the entry select one of the eight types in the page attribute table.
fn memory_type(level: Level, value: u64) -> Option<MemoryType> {
    let pat = if level == Level::Pte { PAT } else { PAT_LARGE };
    let mut number = 0u32;
    for (bit, mask) in [WRITE_THROUGH, CACHE_DISABLE, pat].into_iter().enumerate() {
        if value & mask != 0 {
            number |= 1u32.wrapping_shl(bit as u32);
        }
    }
    let types = entry::memory_types();
    // SDM volume 3A, table 11-10.
    match types.wrapping_shr(number.wrapping_mul(8)) & 7 {
        0 => Some(MemoryType::Uncached),
        1 => Some(MemoryType::WriteCombine),
        4 => Some(MemoryType::WriteThrough),
        5 => Some(MemoryType::WriteProtected),
        6 => Some(MemoryType::WriteBack),
        7 => Some(MemoryType::UncachedMinus),
        _ => None,
    }
}
