// SPDX-License-Identifier: GPL-2.0-only

//! Walks the page tables for an address, as the CPU does.

use crate::{
    arch,
    uapi::{
        EntryKind,
        Level,
        MemoryType,
        Walk,
        WalkLevel,
        NOT_PROBED,
        NO_ADDRESS,
        WALK_COUNTED,
        WALK_KERNEL,
        WALK_PROBE,
        WALK_USER_MODE, //
    }, //
};
use kernel::{
    bindings,
    page::PAGE_SHIFT,
    prelude::*, //
};
use mapkit::inspect::{
    address,
    frame,
    page_table::{
        self,
        AddressSpace,
        Tables,
        View, //
    }, //
};

/// A level of the machine's tables.
#[derive(Clone, Copy)]
pub(crate) struct Format {
    pub(crate) level: Level,
    /// Lowest bit of an address that selects an entry.
    pub(crate) shift: u32,
    /// Number of bits that do. 0: the machine does not have this level.
    pub(crate) bits: u32,
    /// Bytes of an entry.
    pub(crate) entry_size: u32,
}

/// What an entry means.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) kind: EntryKind,
    /// Mask of `EntryFlag`s.
    pub(crate) flags: u32,
    /// Physical address of the next table, or of the memory that it maps.
    pub(crate) physical: u64,
    /// Bytes that it maps, if it does.
    pub(crate) page_size: u64,
    pub(crate) memory_type: Option<MemoryType>,
}

/// How often a path is read until it stays the same.
const TRIES: u32 = 16;

/// A path through the tables.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Path {
    root: u64,
    levels: [WalkLevel; 5],
    nr_levels: u32,
    physical: u64,
    page_size: u64,
    memory_type: u32,
}

/// Answers a request.
pub(crate) fn walk(request: &mut Walk) -> Result {
    let flags = request.flags;
    let known = WALK_KERNEL | WALK_USER_MODE | WALK_COUNTED | WALK_PROBE;
    let kernel = flags & WALK_KERNEL != 0;
    let of_process = flags & (WALK_USER_MODE | WALK_COUNTED) != 0;
    let wrong = flags & !known != 0
        || (kernel && (of_process || request.pid != 0))
        || (!kernel && flags & WALK_PROBE != 0);
    if wrong || !arch::is_translated(request.address, kernel) {
        return Err(EINVAL);
    }
    let view = match (kernel, flags & WALK_USER_MODE != 0) {
        (true, _) => View::Kernel,
        (false, true) => View::UserMode,
        (false, false) => View::Process,
    };
    let space = AddressSpace::of_process(request.pid)?;
    let path = steady_path(&space, view, request.address)?;

    *request = Walk {
        size: request.size,
        flags,
        pid: request.pid,
        nr_levels: path.nr_levels,
        address: request.address,
        root: path.root,
        register: page_table::table_register(),
        physical: path.physical,
        page_size: path.page_size,
        counted: NO_ADDRESS,
        counted_errno: 0,
        memory_type: path.memory_type,
        probe: NOT_PROBED,
        reserved: 0,
        levels: path.levels,
    };
    if flags & WALK_COUNTED != 0 {
        ask_get_user_pages(&space, request)?;
    }
    if flags & WALK_PROBE != 0 {
        probe(request)?;
    }
    Ok(())
}

/// Reads the path until it is the same twice. `EAGAIN` if it never is.
fn steady_path(space: &AddressSpace, view: View, address: u64) -> Result<Path> {
    let mut last = None;
    for _ in 0..TRIES {
        // Tables are let go in between: interrupts are never off for long.
        let path = space.with_tables(view, address, |tables| read_path(tables, address));
        match path {
            Ok(path) if last == Some(path) => return Ok(path),
            Ok(path) => last = Some(path),
            // What was a table is none any more.
            Err(err) if err == ENXIO || err == EFAULT => last = None,
            Err(err) => return Err(err),
        }
    }
    Err(EAGAIN)
}

/// Goes from the top table to where the walk ends.
fn read_path(tables: &Tables<'_>, address: u64) -> Result<Path> {
    let mut path = Path {
        root: tables.root(),
        levels: [WalkLevel::default(); 5],
        nr_levels: 0,
        physical: NO_ADDRESS,
        page_size: 0,
        memory_type: u32::MAX,
    };
    let mut table = tables.root();
    for (slot, format) in path.levels.iter_mut().zip(arch::formats()) {
        path.nr_levels = path.nr_levels.wrapping_add(1);
        *slot = WalkLevel {
            level: format.level.number(),
            kind: EntryKind::Folded.number(),
            shift: format.shift,
            bits: format.bits,
            ..WalkLevel::default()
        };
        if format.bits == 0 {
            continue;
        }
        let index = index_of(&format, address);
        let value = tables.read(table, index, format.entry_size)?;
        let own = match arch::own_table(format.level) {
            Some(before) => tables.read(table.wrapping_sub(before), index, format.entry_size)?,
            None => 0,
        };
        let entry = arch::decode(format.level, value, own);
        let offset = u64::from(index).wrapping_mul(u64::from(format.entry_size));
        slot.kind = entry.kind.number();
        slot.index = index;
        slot.flags = entry.flags;
        slot.entry = table.wrapping_add(offset);
        slot.value = value;
        match entry.kind {
            EntryKind::Table => table = entry.physical,
            EntryKind::Page | EntryKind::Blocked => {
                let within = address & entry.page_size.wrapping_sub(1);
                path.physical = entry.physical | within;
                path.page_size = entry.page_size;
                path.memory_type = entry.memory_type.map_or(u32::MAX, MemoryType::number);
                break;
            }
            _ => break,
        }
    }
    Ok(path)
}

/// The bits of the address that select the entry.
fn index_of(format: &Format, address: u64) -> u32 {
    // Fewer than 16 bits.
    let mask = 1u64.wrapping_shl(format.bits).wrapping_sub(1);
    (address.wrapping_shr(format.shift) & mask) as u32
}

fn ask_get_user_pages(space: &AddressSpace, request: &mut Walk) -> Result {
    let address = usize::try_from(request.address).map_err(|_| EINVAL)?;
    match space.refcounted_pfn(address) {
        Ok(pfn) => request.counted = pfn as u64,
        Err(err) if err == EINTR => return Err(err),
        Err(err) => request.counted_errno = err.to_errno().unsigned_abs(),
    }
    Ok(())
}

/// Loads a byte, unless the address maps something whose registers a load may change.
fn probe(request: &mut Walk) -> Result {
    let harmless =
        request.physical == NO_ADDRESS || frame::is_memory(request.physical >> PAGE_SHIFT);
    if !harmless {
        return Ok(());
    }
    let address = usize::try_from(request.address).map_err(|_| EINVAL)?;
    request.probe = match address::probe_kernel(address) {
        Ok(()) => 0,
        Err(_) => bindings::EFAULT as i32,
    };
    Ok(())
}
