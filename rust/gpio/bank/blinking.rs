// SPDX-License-Identifier: GPL-2.0-only

//! The lines of a bank that blink.

use super::{
    levels::expect_outputs,
    mask,
    Bank, //
};
use crate::blink::Blink;
use kernel::prelude::*;
use mapwright_uapi::gpio as uapi;

/// Who uses a line that blinks, as gpiolib tells it.
const BLINKING: &CStr = c"mapwright:blink";

impl Bank {
    /// A bit for each line that blinks.
    pub(crate) fn blinking(&self) -> u32 {
        self.lines.with(|lines| lines.blinking)
    }

    /// Lets an output blink with a period in microseconds; 0 stops it.
    pub(crate) fn set_blink(&self, line: u32, period: u32) -> Result {
        let mask = mask(line)?;
        if period != 0 && !(uapi::MIN_PERIOD..=uapi::MAX_PERIOD).contains(&period) {
            return Err(EINVAL);
        }
        let mut blinks = self.blinks.lock();
        let blink = blinks.get_mut(line as usize).ok_or(EINVAL)?;
        if period == 0 {
            drop(blink.take().ok_or(ENOENT)?);
            self.let_go(line);
            self.lines.with(|lines| lines.blinking &= !mask);
            return Ok(());
        }
        self.block.revision()?;
        self.with_lines(|lines, registers| {
            lines.expect_free(mask)?;
            expect_outputs(registers, mask)?;
            lines.blinking |= mask;
            Ok(())
        })?;
        let started = self.hold(line, BLINKING).and_then(|()| {
            Blink::start(self.block.clone(), mask, period).inspect_err(|_| self.let_go(line))
        });
        match started {
            Ok(started) => {
                *blink = Some(started);
                Ok(())
            }
            Err(err) => {
                self.lines.with(|lines| lines.blinking &= !mask);
                Err(err)
            }
        }
    }
}
