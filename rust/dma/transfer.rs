// SPDX-License-Identifier: GPL-2.0-only

//! A transfer: from one side to the other, through the device's buffer.

use crate::{
    engine::{
        Engine,
        Turn,
        Way, //
    },
    registers::BUFFER_BYTES,
    stats::Counter, //
};
use core::{
    cmp::min,
    ops::Range, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};
use mapkit::dma::{
    Direction,
    DmaDevice,
    FromDevice,
    Shape,
    Streaming,
    ToDevice, //
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
    /// A bus address that was given as such.
    Raw(u64),
}

impl Side {
    /// The side `id` of a transfer asked for by `session`: `ENOENT` if there is no such region,
    /// `EINVAL` if the bytes are not inside it.
    pub(crate) fn new(session: &Session, id: u64, offset: u64, bytes: u64) -> Result<Self> {
        let start = usize::try_from(offset).map_err(|_| EINVAL)?;
        let bytes = usize::try_from(bytes).map_err(|_| EINVAL)?;
        let end = start.checked_add(bytes).ok_or(EINVAL)?;
        let (side, limit) = match id {
            0 => (Self::Buffer(start..end), BUFFER_BYTES),
            id => {
                let region = session.by_id(id)?;
                let limit = region.memory().len();
                (Self::Region(region, start..end), limit)
            }
        };
        if bytes == 0 || end > limit {
            return Err(EINVAL);
        }
        Ok(side)
    }
}

/// A transfer that can be made.
pub(crate) struct Transfer {
    pub(crate) source: Side,
    pub(crate) target: Side,
    pub(crate) bytes: usize,
    pub(crate) shape: Shape,
}

/// What the program calls a shape.
pub(crate) fn shape(lending: u32) -> Result<Shape> {
    Ok(match uapi::Lending::from_number(lending).ok_or(EINVAL)? {
        uapi::Lending::Scatter => Shape::Scatter,
        uapi::Lending::ScatterPages => Shape::ScatterPages,
        uapi::Lending::Single => Shape::Single,
        uapi::Lending::Page => Shape::Page,
    })
}

impl Transfer {
    /// Moves the bytes. `stopped` says when to give up, between two pieces.
    pub(crate) fn run(
        &self,
        engine: &Engine,
        device: &Arc<DmaDevice>,
        stopped: &dyn Fn() -> bool,
    ) -> Result {
        let turn = engine.take()?;
        let source = Lent::<ToDevice>::new(&turn, device, &self.source, self.shape)?;
        let target = Lent::<FromDevice>::new(&turn, device, &self.target, self.shape)?;
        let mut done = 0usize;
        while done < self.bytes {
            if stopped() {
                return Err(EINTR);
            }
            let bytes = min(BUFFER_BYTES, self.bytes.wrapping_sub(done));
            // Where in the device's buffer these bytes are.
            let buffer = match (&source, &target) {
                (Lent::Buffer(start), _) | (_, Lent::Buffer(start)) => *start,
                _ => 0,
            };
            source.transfer(&turn, Way::FromMemory, buffer, done, bytes)?;
            target.transfer(&turn, Way::ToMemory, buffer, done, bytes)?;
            done = done.wrapping_add(bytes);
        }
        turn.stats.inc(Counter::Transfers);
        Ok(())
    }
}

/// A side that the device has now.
enum Lent<'a, D: Direction> {
    /// The device's buffer, from this byte on.
    Buffer(usize),
    /// Coherent memory, from this address on.
    Coherent(u64),
    /// Memory that is given back when this is dropped.
    Streaming(&'a Turn<'a>, Streaming<Arc<Region>, D>),
}

impl<'a, D: Direction> Lent<'a, D> {
    fn new(turn: &'a Turn<'a>, device: &Arc<DmaDevice>, side: &Side, shape: Shape) -> Result<Self> {
        Ok(match side {
            Side::Buffer(range) => Self::Buffer(range.start),
            Side::Raw(bus) => Self::Coherent(*bus),
            Side::Region(region, range) => match region.memory().dma_addr(0) {
                Some(bus) => Self::Coherent(bus.checked_add(range.start as u64).ok_or(EINVAL)?),
                None => {
                    let lent = Streaming::map(device, region.clone(), range.clone(), shape)?;
                    turn.stats.inc(Counter::Lent);
                    Self::Streaming(turn, lent)
                }
            },
        })
    }

    /// Moves the bytes of this side from byte `done` of the transfer on. The device's buffer is where
    /// it is.
    fn transfer(
        &self,
        turn: &Turn<'_>,
        way: Way,
        buffer: usize,
        done: usize,
        bytes: usize,
    ) -> Result {
        match self {
            Self::Buffer(_) => Ok(()),
            Self::Coherent(bus) => {
                let start = bus.checked_add(done as u64).ok_or(EINVAL)?;
                let at = |offset: usize| {
                    Some((
                        start.checked_add(offset as u64)?,
                        bytes.checked_sub(offset)?,
                    ))
                };
                turn.transfer(way, &at, buffer, bytes)
            }
            Self::Streaming(_, lent) => {
                let at = |offset: usize| {
                    let segment = lent.segment_at(done.checked_add(offset)?)?;
                    Some((segment.bus, segment.bytes))
                };
                turn.transfer(way, &at, buffer, bytes)
            }
        }
    }
}

impl<D: Direction> Drop for Lent<'_, D> {
    fn drop(&mut self) {
        if let Self::Streaming(turn, _) = self {
            turn.stats.inc(Counter::TakenBack);
        }
    }
}
