// SPDX-License-Identifier: GPL-2.0-only

//! The attributes of a buffer's device in sysfs, by the names that programs for u-dma-buf use.

use crate::{
    buffer::Buffer,
    sync::Syncing, //
};
use kernel::{
    fmt::Write as _,
    page::PAGE_SIZE,
    prelude::*, //
};
use mapkit::{
    base::{
        errno,
        page_text::PageText,
        text::Decimal, //
    },
    device::attributes::Attribute,
    memory::direction::Owner,
    sync::barrier, //
};

type Show = fn(&Buffer, &mut PageText<'_>) -> Result;
type Store = fn(&Buffer, &str) -> Result;

/// All of them.
pub(crate) const ALL: &[Attribute<Buffer>] = &[
    read_only(PHYS_ADDR, phys_addr),
    read_only(DMA_ADDR, dma_addr),
    read_only(c"size", |buffer, text| {
        decimal(text, buffer.memory()?.bytes())
    }),
    read_only(c"dma_coherent", |buffer, text| {
        decimal(text, buffer.dma().is_coherent().into())
    }),
    read_write(
        c"sync_mode",
        |buffer, text| decimal(text, buffer.syncing.lock().mode.into()),
        |buffer, text| syncing(buffer, |syncing| syncing.set_mode(text)),
    ),
    read_write(
        c"sync_offset",
        |buffer, text| hexadecimal(text, buffer.syncing.lock().range.start),
        |buffer, text| syncing(buffer, |syncing| syncing.set_offset(text)),
    ),
    read_write(
        c"sync_size",
        |buffer, text| decimal(text, buffer.syncing.lock().length()),
        |buffer, text| syncing(buffer, |syncing| syncing.set_length(text)),
    ),
    read_write(
        c"sync_direction",
        |buffer, text| decimal(text, buffer.syncing.lock().direction.into()),
        |buffer, text| syncing(buffer, |syncing| syncing.set_direction(text)),
    ),
    read_only(c"sync_owner", |buffer, text| {
        let owner = buffer.syncing.lock().owner;
        decimal(text, (owner == Owner::Device).into())
    }),
    write_only(c"sync_for_cpu", |buffer, text| {
        pass(buffer, text, Owner::Cpu)
    }),
    write_only(c"sync_for_device", |buffer, text| {
        pass(buffer, text, Owner::Device)
    }),
];

const PHYS_ADDR: &CStr = c"phys_addr";
const DMA_ADDR: &CStr = c"dma_addr";

/// Whether an attribute is an address, which not everybody may see.
pub(crate) fn is_address(attribute: &Attribute<Buffer>) -> bool {
    [PHYS_ADDR, DMA_ADDR].contains(&attribute.name)
}

const fn read_only(name: &'static CStr, show: Show) -> Attribute<Buffer> {
    Attribute {
        name,
        mode: 0o444,
        show: Some(show),
        store: None,
    }
}

const fn read_write(name: &'static CStr, show: Show, store: Store) -> Attribute<Buffer> {
    Attribute {
        name,
        mode: 0o644,
        show: Some(show),
        store: Some(store),
    }
}

const fn write_only(name: &'static CStr, store: Store) -> Attribute<Buffer> {
    Attribute {
        name,
        mode: 0o200,
        show: None,
        store: Some(store),
    }
}

fn decimal(text: &mut PageText<'_>, number: u64) -> Result {
    text.write_fmt(fmt!("{}\n", Decimal(number)))?;
    Ok(())
}

fn hexadecimal(text: &mut PageText<'_>, number: u64) -> Result {
    text.write_fmt(fmt!("{:#x}\n", number))?;
    Ok(())
}

/// Passes what `text` asks for to `owner`. Accesses before it are ordered before those after it.
fn pass(buffer: &Buffer, text: &str, owner: Owner) -> Result {
    let memory = buffer.memory()?;
    let asked = buffer.syncing.lock().asked(text)?;
    let Some((bytes, direction)) = asked else {
        return Ok(());
    };
    barrier::mb();
    memory.sync(bytes, direction, owner)?;
    barrier::mb();
    buffer.syncing.lock().owner = owner;
    Ok(())
}

/// Changes how the buffer is synced.
fn syncing(buffer: &Buffer, f: impl FnOnce(&mut Syncing) -> Result) -> Result {
    // Only what is there can be synced.
    buffer.memory()?;
    f(&mut buffer.syncing.lock())
}

/// The physical address of the first byte. `EOPNOTSUPP` if the others do not follow there.
fn phys_addr(buffer: &Buffer, text: &mut PageText<'_>) -> Result {
    buffer.check_addresses()?;
    let shared = buffer.memory()?;
    let memory = shared.region().hold()?;
    let (runs, _) = memory.count_runs()?;
    let first = memory.run_at(0).filter(|_| runs == 1);
    let first = first.ok_or_else(errno::eopnotsupp)?;
    hexadecimal(text, (first.pfn as u64).wrapping_mul(PAGE_SIZE as u64))
}

/// The address at which the device finds the first byte, and then the others. `EOPNOTSUPP` if the buffer is for no device:
/// another would find something else there.
fn dma_addr(buffer: &Buffer, text: &mut PageText<'_>) -> Result {
    buffer.check_addresses()?;
    if !buffer.dma().has_driver() {
        return Err(errno::eopnotsupp());
    }
    let shared = buffer.memory()?;
    let memory = shared.region().hold()?;
    hexadecimal(text, memory.dma_addr(0).ok_or_else(errno::eopnotsupp)?)
}
