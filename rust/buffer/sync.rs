// SPDX-License-Identifier: GPL-2.0-only

//! How programs pass a buffer between the CPU and a device, by attributes: as with u-dma-buf.

use core::ops::Range;
use kernel::prelude::*;
use mapkit::{
    base::page_text,
    sync::barrier, //
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

/// Who has the buffer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    Cpu,
    Device,
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

    /// Passes bytes to `owner`, if `text` is not 0: those of the attributes if it is 1. Any other number has the offset
    /// in its upper 32 bits, the size in the lower ones without the last four, and the direction in two of these.
    ///
    /// The memory is the same for both sides, so this only orders the accesses before it against those after it.
    pub(crate) fn pass(&mut self, text: &str, owner: Owner) -> Result {
        let number = page_text::number(text)?;
        if number == 0 {
            return Ok(());
        }
        if number != 1 {
            let (offset, length) = (number >> 32, number & 0xffff_fff0);
            let end = offset.checked_add(length).ok_or(EINVAL)?;
            if end > self.bytes || ((number >> 2) & 3) > MAX_DIRECTION {
                return Err(EINVAL);
            }
        }
        barrier::mb();
        self.owner = owner;
        Ok(())
    }
}

fn number_up_to(text: &str, last: u64) -> Result<u64> {
    let number = page_text::number(text)?;
    (number <= last).then_some(number).ok_or(EINVAL)
}
