// SPDX-License-Identifier: GPL-2.0-only

//! A transfer: from one endpoint to the other, through the device's buffer.

use crate::{
    engine::{
        Engine,
        Turn,
        Way, //
    },
    mapping::{
        direction_of,
        Used, //
    },
    mappings::{
        Mappings,
        Reserved, //
    },
    registers::BUFFER_BYTES,
    stats::Counter,
    turns::{
        Entered,
        Place,
        Stopped, //
    }, //
};
use core::{
    cell::Cell,
    cmp::min,
    ops::Range, //
};
use kernel::{
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    }, //
};
use mapkit::dma::{
    device::InUse,
    import::{
        Import,
        MappedImport, //
    },
    mapping::MapCall,
    streaming::{
        map_for_call,
        ScopedMapping, //
    }, //
};
use mapwright_session::{
    Region,
    Session, //
};
use mapwright_uapi as uapi;

/// What a transfer is made with.
pub(crate) struct With<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) device: &'a InUse<'a>,
    /// The place of the file whose transfer it is.
    pub(crate) place: &'a Place,
    pub(crate) mappings: &'a Mutex<Mappings>,
    /// Says when to give up, between two pieces.
    pub(crate) stopped: &'a Stopped<'a>,
}

impl With<'_> {
    /// Maps a part of a region for as long as `f` runs, which nobody else can map meanwhile.
    ///
    /// `EBUSY` if somebody has mapped some of these bytes; else what [`map_for_call`] fails with.
    fn map<R>(
        &self,
        region: &Region,
        range: &Range<usize>,
        call: MapCall,
        direction: u32,
        f: impl for<'a> FnOnce(&mut ScopedMapping<'a>) -> R,
    ) -> Result<R> {
        let stats = &self.engine.stats;
        let way = direction_of(direction)?;
        let (number, memory) = (region.number(), region.memory());
        let _reserved = Reserved::new(self.mappings, number, range.clone(), direction)?;
        let result = map_for_call(self.device, memory, range.clone(), call, way, |mapping| {
            stats.inc(Counter::Mapped);
            f(mapping)
        })?;
        stats.inc(Counter::Unmapped);
        Ok(result)
    }
}

/// One end of a transfer.
pub(crate) enum Endpoint {
    /// Bytes of the device's buffer.
    Buffer(Range<usize>),
    /// Bytes of a region.
    Region(Arc<Region>, Range<usize>),
    /// Bytes of an imported buffer.
    Import(Arc<Import>, Range<usize>),
    /// A bus address that was given as such.
    Raw(u64),
}

impl Endpoint {
    /// The endpoint `id` of a transfer asked for by the file of `session` and `mappings`: `ENOENT` if it has
    /// no such region or buffer, `EINVAL` if the bytes are not inside it.
    pub(crate) fn new(
        session: &Session,
        mappings: &Mutex<Mappings>,
        id: u64,
        offset: u64,
        bytes: u64,
    ) -> Result<Self> {
        let start = usize::try_from(offset).map_err(|_| EINVAL)?;
        let bytes = usize::try_from(bytes).map_err(|_| EINVAL)?;
        let end = start.checked_add(bytes).ok_or(EINVAL)?;
        let import = mappings.lock().import(id);
        let (endpoint, limit) = match import {
            _ if id == 0 => (Self::Buffer(start..end), BUFFER_BYTES),
            Some(import) => {
                let limit = import.len();
                (Self::Import(import, start..end), limit)
            }
            None => {
                let region = session.by_id(id)?;
                let limit = region.memory().len();
                (Self::Region(region, start..end), limit)
            }
        };
        if bytes == 0 || end > limit {
            return Err(EINVAL);
        }
        Ok(endpoint)
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
    pub(crate) source: Endpoint,
    pub(crate) target: Endpoint,
    pub(crate) bytes: usize,
    pub(crate) call: MapCall,
}

/// The call of the DMA API that a program chose.
pub(crate) fn map_call(map_call: u32) -> Result<MapCall> {
    Ok(match uapi::MapCall::from_number(map_call).ok_or(EINVAL)? {
        uapi::MapCall::Scatter => MapCall::Sgtable,
        uapi::MapCall::ScatterPages => MapCall::SgtableOfPages,
        uapi::MapCall::Single => MapCall::Single,
        uapi::MapCall::Page => MapCall::Page,
    })
}

impl Transfer {
    /// Moves the bytes, and counts those that are where they are to be.
    pub(crate) fn run(&self, with: &With<'_>, moved: &Cell<usize>) -> Result {
        let entered = with.engine.turns.enter()?;
        let (source, target) = (&self.source, &self.target);
        source.with_mapping(with, self.call, uapi::DMA_TO_DEVICE, |source| {
            target.with_mapping(with, self.call, uapi::DMA_FROM_DEVICE, |target| {
                self.move_between(with, &entered, source, target, moved)
            })?
        })??;
        with.engine.stats.inc(Counter::Transfers);
        Ok(())
    }

    /// Moves the bytes from one endpoint to the other, a turn of the engine for as many as its buffer has.
    fn move_between<'a>(
        &self,
        with: &With<'a>,
        entered: &Entered<'a>,
        source: &Mapped<'_>,
        target: &Mapped<'_>,
        moved: &Cell<usize>,
    ) -> Result {
        let mut done = 0usize;
        while done < self.bytes {
            let turn = with.engine.take(entered, with.place, with.stopped)?;
            let bytes = min(BUFFER_BYTES, self.bytes.wrapping_sub(done));
            // Where in the device's buffer these bytes are.
            let buffer = match (source, target) {
                (Mapped::Buffer(start), _) | (_, Mapped::Buffer(start)) => *start,
                _ => 0,
            };
            source.transfer(&turn, with.stopped, Way::FromMemory, buffer, done, bytes)?;
            target.transfer(&turn, with.stopped, Way::ToMemory, buffer, done, bytes)?;
            done = done.wrapping_add(bytes);
            moved.set(done);
        }
        Ok(())
    }
}

/// An endpoint that the device has now.
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

impl Endpoint {
    /// Calls `f` while the device has this endpoint, and returns what it does.
    fn with_mapping<R>(
        &self,
        with: &With<'_>,
        call: MapCall,
        direction: u32,
        f: impl FnOnce(&Mapped<'_>) -> R,
    ) -> Result<R> {
        let mapped = match self {
            Self::Buffer(range) => Mapped::Buffer(range.start),
            Self::Raw(bus) => Mapped::Coherent(*bus),
            Self::Import(import, range) => {
                let way = direction_of(direction)?;
                return import.map(with.device, way, |mapped| {
                    f(&Mapped::Import(mapped, range.start))
                });
            }
            Self::Region(region, range) if region.memory().is_dma() => {
                // Valid as long as the device is in use.
                let bus = region.memory().dma_addr(0).ok_or(ENODEV)?;
                Mapped::Coherent(bus.checked_add(range.start as u64).ok_or(EINVAL)?)
            }
            Self::Region(region, range) => {
                let all = with.mappings.lock();
                let used = all.find(region.number(), range, direction)?;
                drop(all);
                let Some(used) = used else {
                    return with.map(region, range, call, direction, |mapping| {
                        f(&Mapped::ForTransfer(mapping))
                    });
                };
                Mapped::ByProgram(used, range.start)
            }
        };
        Ok(f(&mapped))
    }
}

impl Mapped<'_> {
    /// Moves the bytes of this endpoint from byte `done` of the transfer on. The device's buffer is where
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
