// SPDX-License-Identifier: GPL-2.0-only

//! How programs pass a buffer between the CPU and a device, by attributes: as with u-dma-buf.

use core::ops::Range;
use kernel::prelude::*;
use mapkit::{
    base::page_text,
    memory::direction::{
        Direction,
        Owner, //
    }, //
};

/// What the attributes `sync_…` say.
pub(crate) struct Syncing {
    /// What `O_SYNC` is to mean. The memory type is the buffer's, whatever this is.
    pub(crate) mode: u32,
    /// The bytes to pass.
    pub(crate) range: Range<u64>,
    pub(crate) direction: u32,
    pub(crate) owner: Owner,
    /// Of the buffer.
    bytes: u64,
}

/// The largest `sync_mode`.
const MAX_MODE: u64 = 7;
/// The largest `sync_direction`: 0 is both ways, 1 to the device, 2 from it.
const MAX_DIRECTION: u64 = 2;

impl Syncing {
    /// Of all of a buffer.
    pub(crate) fn new(bytes: u64) -> Self {
        Self {
            mode: 1,
            range: 0..bytes,
            direction: 0,
            owner: Owner::Cpu,
            bytes,
        }
    }

    pub(crate) fn set_mode(&mut self, text: &str) -> Result {
        self.mode = number_up_to(text, MAX_MODE)? as u32;
        Ok(())
    }

    pub(crate) fn set_direction(&mut self, text: &str) -> Result {
        self.direction = number_up_to(text, MAX_DIRECTION)? as u32;
        Ok(())
    }

    /// The size stays, unless that would be too much.
    pub(crate) fn set_offset(&mut self, text: &str) -> Result {
        let offset = number_up_to(text, self.bytes)?;
        let length = self.length().min(self.bytes.saturating_sub(offset));
        self.range = offset..offset.saturating_add(length);
        Ok(())
    }

    pub(crate) fn set_length(&mut self, text: &str) -> Result {
        let rest = self.bytes.saturating_sub(self.range.start);
        let length = number_up_to(text, rest)?;
        self.range.end = self.range.start.saturating_add(length);
        Ok(())
    }

    pub(crate) fn length(&self) -> u64 {
        self.range.end.saturating_sub(self.range.start)
    }

    /// What is to be passed if `text` is written: nothing for 0, for 1 what the attributes say. Any other number has the
    /// offset in its upper 32 bits, the size in the lower ones without the last four, and the direction in two of these.
    pub(crate) fn asked(&self, text: &str) -> Result<Option<(Range<u64>, Direction)>> {
        let number = page_text::number(text)?;
        Ok(match number {
            0 => None,
            1 => Some((self.range.clone(), direction(self.direction.into())?)),
            _ => {
                let (offset, length) = (number >> 32, number & 0xffff_fff0);
                let end = offset.checked_add(length).ok_or(EINVAL)?;
                if end > self.bytes {
                    return Err(EINVAL);
                }
                Some((offset..end, direction((number >> 2) & 3)?))
            }
        })
    }
}

/// What a number means as `sync_direction`.
fn direction(number: u64) -> Result<Direction> {
    Ok(match number {
        0 => Direction::Bidirectional,
        1 => Direction::ToDevice,
        2 => Direction::FromDevice,
        _ => return Err(EINVAL),
    })
}

fn number_up_to(text: &str, last: u64) -> Result<u64> {
    let number = page_text::number(text)?;
    (number <= last).then_some(number).ok_or(EINVAL)
}
