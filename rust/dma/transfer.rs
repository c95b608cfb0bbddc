// SPDX-License-Identifier: GPL-2.0-only

//! A transfer: from one side to the other, through the device's buffer.

use crate::{
    channel::Channel,
    engine::{
        Turn,
        Way, //
    },
    loans::{
        ForNow,
        Used, //
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
use mapkit::{
    dma::{
        Direction,
        DmaDevice,
        FromDevice,
        Shape,
        ToDevice, //
    },
    dma_buf::{
        Import,
        MappedImport, //
    }, //
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
        channel: &Channel,
        device: &Arc<DmaDevice>,
        stopped: &dyn Fn() -> bool,
    ) -> Result {
        let turn = channel.engine.take(stopped)?;
        let source = Lent::<ToDevice>::new(channel, device, &self.source, self.shape)?;
        let target = Lent::<FromDevice>::new(channel, device, &self.target, self.shape)?;
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

/// Says which direction of a loan this is.
trait InWords: Direction {
    const WORD: u32;
}

impl InWords for ToDevice {
    const WORD: u32 = uapi::LEND_TO_DEVICE;
}

impl InWords for FromDevice {
    const WORD: u32 = uapi::LEND_FROM_DEVICE;
}

/// A side that the device has now.
enum Lent<'a, D: Direction> {
    /// The device's buffer, from this byte on.
    Buffer(usize),
    /// Coherent memory, from this address on.
    Coherent(u64),
    /// A region that the program has lent, from this byte of it on.
    Loan(Used, usize),
    /// A region lent for this transfer, likewise.
    ForNow(ForNow<'a>, usize),
    /// An imported buffer, from this byte on.
    Import(MappedImport<D>, usize),
}

impl<'a, D: InWords> Lent<'a, D> {
    fn new(
        channel: &'a Channel,
        device: &Arc<DmaDevice>,
        side: &Side,
        shape: Shape,
    ) -> Result<Self> {
        Ok(match side {
            Side::Buffer(range) => Self::Buffer(range.start),
            Side::Raw(bus) => Self::Coherent(*bus),
            Side::Import(import, range) => Self::Import(import.map()?, range.start),
            Side::Region(region, range) => match region.memory().dma_addr(0) {
                Some(bus) => Self::Coherent(bus.checked_add(range.start as u64).ok_or(EINVAL)?),
                None => Self::of_region(channel, device, region, range, shape)?,
            },
        })
    }

    fn of_region(
        channel: &'a Channel,
        device: &Arc<DmaDevice>,
        region: &Arc<Region>,
        range: &Range<usize>,
        shape: Shape,
    ) -> Result<Self> {
        let used = channel.loans.lock().find(region.number(), range, D::WORD)?;
        if let Some(used) = used {
            return Ok(Self::Loan(used, range.start));
        }
        let loan = ForNow::new(channel, device, region, range.clone(), shape, D::WORD)?;
        Ok(Self::ForNow(loan, range.start))
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
        let at = |offset: usize| {
            let offset = done.checked_add(offset)?;
            let segment = match self {
                Self::Buffer(_) => return None,
                Self::Coherent(bus) => return Some((bus.checked_add(offset as u64)?, bytes)),
                Self::Loan(loan, start) => loan.segment_at(start.checked_add(offset)?)?,
                Self::ForNow(loan, start) => loan.segment_at(start.checked_add(offset)?)?,
                Self::Import(mapped, start) => mapped.segment_at(start.checked_add(offset)?)?,
            };
            Some((segment.bus, segment.bytes))
        };
        match self {
            Self::Buffer(_) => Ok(()),
            _ => turn.transfer(way, &at, buffer, bytes),
        }
    }
}
