// SPDX-License-Identifier: GPL-2.0-only

//! The page tables of 64-bit ARM: of up to five levels, with entries of eight bytes and tables of a page.
//!
//! There are two top tables: that of TTBR0 for addresses of user mode, that of TTBR1 for the kernel's. Each
//! translates as many bits as the CPU can of those that the kernel was built for, which decides how many
//! levels there are: a kernel for 52 bits with pages of 4 KiB has five where the CPU has LPA2 and four where
//! it does not, one with pages of 16 KiB four or three.
//!
//! Bits of an entry: Arm Architecture Reference Manual, section "VMSAv8-64 translation table format
//! descriptors"; what Linux uses the bits for that the CPU ignores: [`linux`].

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
use kernel::page::PAGE_SHIFT;
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

const VALID: u64 = 1 << 0;
/// Bit of an entry above the last level: it points to a table.
const TABLE: u64 = 1 << 1;
const READ_ONLY: u64 = 1 << 7;
/// Bit of a valid entry. In one that is not valid, the bit is `linux::PRESENT_INVALID`.
const NOT_GLOBAL: u64 = 1 << 11;
/// The CPU may clear "read-only" when it stores; Linux does so where the CPU cannot. So stores are allowed.
const WRITABLE: u64 = 1 << 51;
const KERNEL_NO_EXECUTE: u64 = 1 << 53;
const USER_NO_EXECUTE: u64 = 1 << 54;

/// Bit of an entry that points to a table, for all that is below it.
const TABLE_KERNEL_NO_EXECUTE: u64 = 1 << 59;
const TABLE_USER_NO_EXECUTE: u64 = 1 << 60;
const TABLE_NO_USER: u64 = 1 << 61;
const TABLE_READ_ONLY: u64 = 1 << 62;

/// Single bits that mean something by themselves.
const FLAGS: [(u64, EntryFlag); 6] = [
    (VALID, EntryFlag::Present),
    (1 << 6, EntryFlag::User),
    (1 << 10, EntryFlag::Accessed),
    (1 << 52, EntryFlag::Contiguous),
    (linux::SPECIAL, EntryFlag::Special),
    (linux::UFFD, EntryFlag::UffdWp),
];

/// Bytes of an entry.
const ENTRY_SIZE: u32 = 8;
/// Bits of an address that select an entry of a table.
const INDEX_BITS: u32 = (PAGE_SHIFT as u32) - ENTRY_SIZE.trailing_zeros();

/// Lowest bit of an address that selects an entry of the level that is `above` levels above the last.
fn shift(above: u32) -> u32 {
    (PAGE_SHIFT as u32).wrapping_add(INDEX_BITS.wrapping_mul(above))
}

/// The levels from the top.
pub(crate) fn formats() -> [Format; 5] {
    let bits = address::bits();
    let format = |level, above| {
        let shift = shift(above);
        // The top table has what is left; what would be above it is folded into it.
        let left = bits.saturating_sub(shift);
        Format {
            level,
            shift,
            bits: left.min(INDEX_BITS),
            entry_size: ENTRY_SIZE,
        }
    };
    let levels = bits.wrapping_sub(PAGE_SHIFT as u32).div_ceil(INDEX_BITS);
    let top = levels.wrapping_sub(1);
    // To Linux, the top table is the PGD, and those that are missing come after it.
    let below = |level, above| match above < top {
        true => format(level, above),
        false => Format {
            bits: 0,
            ..format(level, top)
        },
    };
    [
        format(Level::Pgd, top),
        below(Level::P4d, 3),
        below(Level::Pud, 2),
        below(Level::Pmd, 1),
        below(Level::Pte, 0),
    ]
}

/// Whether the tables have an entry for an address: it is one of the half that they are for. The CPU would
/// ignore the highest byte of a user's address; here it must be zero.
pub(crate) fn is_translated(address: u64, kernel: bool) -> bool {
    let halves = Halves::new();
    address >= halves.kernel_first || (!kernel && address <= halves.user_last)
}

/// Bytes that an entry of a level maps, where it can.
fn page_size(level: Level) -> Option<u64> {
    let above = match level {
        Level::Pte => 0,
        Level::Pmd => 1,
        Level::Pud => 2,
        Level::P4d => 3,
        Level::Pgd => return None,
    };
    Some(1u64.wrapping_shl(shift(above)))
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
    let size = page_size(level).filter(|_| level == Level::Pte || value & TABLE == 0);
    match (value & VALID != 0, size) {
        (true, None) => {
            entry.kind = EntryKind::Table;
            entry.flags = table_flags(value);
            entry.physical = entry::phys(value);
        }
        (true, Some(size)) => {
            entry.kind = EntryKind::Page;
            entry.flags = page_flags(value);
            if level != Level::Pte {
                entry.flags |= EntryFlag::Large.bit();
            }
            if value & NOT_GLOBAL == 0 {
                entry.flags |= EntryFlag::Global.bit();
            }
            entry.physical = entry::phys(value) & !size.wrapping_sub(1);
            entry.page_size = size;
            entry.memory_type = memory_type(value);
        }
        (false, Some(size)) if value & linux::PRESENT_INVALID != 0 => {
            entry.kind = EntryKind::Blocked;
            entry.flags = page_flags(value);
            entry.physical = entry::phys(value) & !size.wrapping_sub(1);
            entry.page_size = size;
        }
        (false, _) if value != 0 => entry.kind = EntryKind::NotPresent,
        _ => {}
    }
    entry
}

/// The flags for which `is` holds.
fn collect<const N: usize>(flags: [(bool, EntryFlag); N]) -> u32 {
    flags
        .into_iter()
        .filter(|(is, _)| *is)
        .fold(0, |mask, (_, flag)| mask | flag.bit())
}

/// What can run no code: user mode, the kernel, or neither.
fn no_execute(user: bool, kernel: bool) -> u32 {
    collect([
        (user && kernel, EntryFlag::NoExecute),
        (user && !kernel, EntryFlag::UserNoExecute),
        (kernel && !user, EntryFlag::KernelNoExecute),
    ])
}

/// The flags of an entry that points to a table.
fn table_flags(value: u64) -> u32 {
    let has = |bit| value & bit != 0;
    collect([
        (true, EntryFlag::Present),
        (!has(TABLE_READ_ONLY), EntryFlag::Writable),
        (!has(TABLE_NO_USER), EntryFlag::User),
    ]) | no_execute(has(TABLE_USER_NO_EXECUTE), has(TABLE_KERNEL_NO_EXECUTE))
}

/// The flags of an entry that maps memory.
fn page_flags(value: u64) -> u32 {
    let has = |bit| value & bit != 0;
    let single = FLAGS
        .iter()
        .filter(|(bit, _)| has(*bit))
        .fold(0, |mask, (_, flag)| mask | flag.bit());
    let combined = collect([
        (has(WRITABLE) || !has(READ_ONLY), EntryFlag::Writable),
        (
            has(linux::DIRTY) || (has(WRITABLE) && !has(READ_ONLY)),
            EntryFlag::Dirty,
        ),
        // Only user mode's pages can be run by it, even one that it cannot read.
        (!has(USER_NO_EXECUTE), EntryFlag::User),
        (entry::is_shared(value), EntryFlag::Shared),
    ]);
    single | combined | no_execute(has(USER_NO_EXECUTE), has(KERNEL_NO_EXECUTE))
}

/// Three bits of the entry select one of the eight types in the memory attribute indirection register.
fn memory_type(value: u64) -> Option<MemoryType> {
    let number = value.wrapping_shr(2) & 7;
    let attribute = entry::memory_types().wrapping_shr((number as u32).wrapping_mul(8)) & 0xff;
    match attribute {
        0x00 => Some(MemoryType::Uncached),
        // Device-nGnRE, -nGRE and -GRE.
        0x04 | 0x08 | 0x0c => Some(MemoryType::Device),
        0x44 => Some(MemoryType::WriteCombine),
        0xbb => Some(MemoryType::WriteThrough),
        0xf0 => Some(MemoryType::Tagged),
        0xff => Some(MemoryType::WriteBack),
        // Linux has no others.
        _ => None,
    }
}
