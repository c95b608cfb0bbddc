// SPDX-License-Identifier: GPL-2.0-only

//! A transfer: from one side to the other, through the device's buffer.

use crate::{
    channel::Channel,
    engine::{
        Entered,
        Stopped,
        Turn,
        Way, //
    },
    loans::{
        direction_of,
        map_for_transfer,
        Used, //
    },
    registers::BUFFER_BYTES,
    stats::Counter, //
};
use core::{
    cell::Cell,
    cmp::min,
    ops::Range, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};
use mapkit::dma::{
    device::InUse,
    import::{
        Import,
        MappedImport, //
    },
    mapping::MapCall,
    streaming::ScopedMapping, //
};
use mapwright_session::{
    Region,
    Session, //
};
use mapwright_uapi as uapi;

/// One side of a transfer.
pub(crate) enum Side {
    /// Bytes of the device's buffer.
    Buffer(Range<usize>),
    /// Bytes of a region.
    Region(Arc<Region>, Range<usize>),
    /// Bytes of an imported buffer.
    Import(Arc<Import>, Range<usize>),
    /// A bus address that was given as such.
    Raw(u64),
}

impl Side {
    /// The side `id` of a transfer asked for by the file of `session` and `channel`: `ENOENT` if it has
    /// no such region or buffer, `EINVAL` if the bytes are not inside it.
    pub(crate) fn new(
        session: &Session,
        channel: &Channel,
        id: u64,
        offset: u64,
        bytes: u64,
    ) -> Result<Self> {
        let start = usize::try_from(offset).map_err(|_| EINVAL)?;
        let bytes = usize::try_from(bytes).map_err(|_| EINVAL)?;
        let end = start.checked_add(bytes).ok_or(EINVAL)?;
        let (side, limit) = if id == 0 {
            (Self::Buffer(start..end), BUFFER_BYTES)
        } else if let Some(import) = channel.loans.lock().import(id) {
            let limit = import.len();
            (Self::Import(import, start..end), limit)
        } else {
            let region = session.by_id(id)?;
            let limit = region.memory().len();
            (Self::Region(region, start..end), limit)
        };
        if bytes == 0 || end > limit {
            return Err(EINVAL);
        }
        Ok(side)
    }

    /// `EACCES` if nothing may be written to it.
    pub(crate) fn check_writable(&self) -> Result {
        match self {
            Self::Import(import, _) if !import.is_writable() => Err(EACCES),
            _ => Ok(()),
        }
    }
}

/// A transfer that can be made.
pub(crate) struct Transfer {
    pub(crate) source: Side,
    pub(crate) target: Side,
    pub(crate) bytes: usize,
    pub(crate) call: MapCall,
}

/// The call of the DMA API that a program chose.
pub(crate) fn map_call(lending: u32) -> Result<MapCall> {
    Ok(match uapi::Lending::from_number(lending).ok_or(EINVAL)? {
        uapi::Lending::Scatter => MapCall::Sgtable,
        uapi::Lending::ScatterPages => MapCall::SgtableOfPages,
        uapi::Lending::Single => MapCall::Single,
        uapi::Lending::Page => MapCall::Page,
    })
}

impl Transfer {
    /// Moves the bytes, and counts those that are where they are to be. `stopped` says when to give up, between
    /// two pieces.
    pub(crate) fn run(
        &self,
        channel: &Channel,
        device: &InUse<'_>,
        stopped: &Stopped<'_>,
        moved: &Cell<usize>,
    ) -> Result {
        let entered = channel.engine.enter()?;
        self.source.with_mapping(
            channel,
            device,
            self.call,
            uapi::LEND_TO_DEVICE,
            |source| {
                self.target.with_mapping(
                    channel,
                    device,
                    self.call,
                    uapi::LEND_FROM_DEVICE,
                    |target| self.move_between(channel, &entered, source, target, stopped, moved),
                )?
            },
        )??;
        channel.engine.stats.inc(Counter::Transfers);
        Ok(())
    }

    /// Moves the bytes from one side to the other, a turn of the engine for as many as its buffer has.
    fn move_between(
        &self,
        channel: &Channel,
        entered: &Entered<'_>,
        source: &Mapped<'_>,
        target: &Mapped<'_>,
        stopped: &Stopped<'_>,
        moved: &Cell<usize>,
    ) -> Result {
        let mut done = 0usize;
        while done < self.bytes {
            let turn = entered.take(&channel.place, stopped)?;
            let bytes = min(BUFFER_BYTES, self.bytes.wrapping_sub(done));
            // Where in the device's buffer these bytes are.
            let buffer = match (source, target) {
                (Mapped::Buffer(start), _) | (_, Mapped::Buffer(start)) => *start,
                _ => 0,
            };
            source.transfer(&turn, stopped, Way::FromMemory, buffer, done, bytes)?;
            target.transfer(&turn, stopped, Way::ToMemory, buffer, done, bytes)?;
            done = done.wrapping_add(bytes);
            moved.set(done);
        }
        Ok(())
    }
}

/// A side that the device has now.
enum Mapped<'a> {
    /// The device's buffer, from this byte on.
    Buffer(usize),
    /// Coherent memory, from this address on.
    Coherent(u64),
    /// A region that the program has mapped, from this byte of it on.
    ByProgram(Used, usize),
    /// A region mapped for this transfer, whose first byte is that of the transfer.
    ForTransfer(&'a ScopedMapping<'a>),
    /// An imported buffer, from this byte on.
    Import(&'a MappedImport<'a>, usize),
}

impl Side {
    /// Calls `f` while the device has this side, and returns what it does.
    fn with_mapping<R>(
        &self,
        channel: &Channel,
        device: &InUse<'_>,
        call: MapCall,
        direction: u32,
        f: impl FnOnce(&Mapped<'_>) -> R,
    ) -> Result<R> {
        let mapped = match self {
            Self::Buffer(range) => Mapped::Buffer(range.start),
            Self::Raw(bus) => Mapped::Coherent(*bus),
            Self::Import(import, range) => {
                let way = direction_of(direction)?;
                return import.map(device, way, |mapped| {
                    f(&Mapped::Import(mapped, range.start))
                });
            }
            Self::Region(region, range) if region.memory().is_dma() => {
                // Valid as long as the device is in use.
                let bus = region.memory().dma_addr(0).ok_or(ENODEV)?;
                Mapped::Coherent(bus.checked_add(range.start as u64).ok_or(EINVAL)?)
            }
            Self::Region(region, range) => {
                let loans = channel.loans.lock();
                let used = loans.find(region.number(), range, direction)?;
                drop(loans);
                let Some(used) = used else {
                    let range = range.clone();
                    return map_for_transfer(
                        channel,
                        device,
                        region,
                        range,
                        call,
                        direction,
                        |mapping| f(&Mapped::ForTransfer(mapping)),
                    );
                };
                Mapped::ByProgram(used, range.start)
            }
        };
        Ok(f(&mapped))
    }
}

impl Mapped<'_> {
    /// Moves the bytes of this side from byte `done` of the transfer on. The device's buffer is where
    /// it is.
    fn transfer(
        &self,
        turn: &Turn<'_>,
        stopped: &Stopped<'_>,
        way: Way,
        buffer: usize,
        done: usize,
        bytes: usize,
    ) -> Result {
        let at = |offset: usize| {
            let offset = done.checked_add(offset)?;
            let segment = match self {
                Self::Buffer(_) => return None,
                Self::Coherent(bus) => return Some((bus.checked_add(offset as u64)?, bytes)),
                Self::ByProgram(used, start) => used.segment_at(start.checked_add(offset)?)?,
                Self::ForTransfer(mapping) => mapping.segment_at(offset)?,
                Self::Import(mapped, start) => mapped.segment_at(start.checked_add(offset)?)?,
            };
            Some((segment.bus, segment.bytes))
        };
        match self {
            Self::Buffer(_) => Ok(()),
            _ => turn.transfer(stopped, way, &at, buffer, bytes),
        }
    }
}
