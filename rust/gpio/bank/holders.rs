// SPDX-License-Identifier: GPL-2.0-only

//! Who has a line of a bank for himself: an LED, a consumer of gpiolib, or this module, of which gpiolib is told.

use super::{
    levels::set_oe,
    mask,
    Bank,
    Mode, //
};
use crate::registers::block::store;
use kernel::prelude::*;

impl Bank {
    /// Has gpiolib tell that `consumer` uses a line, until [`let_go`](Self::let_go). The line must be one that is
    /// refused to gpiolib's consumers already.
    pub(crate) fn hold(&self, line: u32, consumer: &'static CStr) -> Result {
        match &*self.chip.lock() {
            Some(chip) => chip.hold(line, consumer),
            None => Ok(()),
        }
    }

    /// That use ends.
    pub(crate) fn let_go(&self, line: u32) {
        if let Some(chip) = &*self.chip.lock() {
            chip.let_go(line);
        }
    }

    /// A bit for each line that is an LED, and for each that a consumer of gpiolib has.
    pub(crate) fn others(&self) -> (u32, u32) {
        self.lines
            .with(|lines| (lines.leds, lines.requested | lines.interrupting))
    }

    /// Makes an output, which is low, of the line of an LED; in the mode "hog" the other driver has.
    pub(crate) fn take_for_led(&self, line: u32) -> Result {
        let mask = mask(line)?;
        self.with_lines(|lines, registers| {
            lines.expect_free(mask)?;
            lines.leds |= mask;
            store(registers, 0, mask);
            if self.mode == Mode::Bank {
                set_oe(registers, mask, true);
            }
            Ok(())
        })
    }

    /// Gives a line to a consumer of gpiolib. `EBUSY` if somebody else has it, or waits for its edges.
    pub(crate) fn request(&self, line: u32) -> Result {
        let mask = mask(line)?;
        self.with_lines(|lines, _| {
            lines.expect_gpiolibs(mask)?;
            if lines.requested & mask != 0 {
                return Err(EBUSY);
            }
            lines.requested |= mask;
            Ok(())
        })
    }

    /// Takes it back, and debounces it no more.
    pub(crate) fn release(&self, line: u32) {
        if let Ok(mask) = mask(line) {
            self.lines.with(|lines| {
                let debounce = &mut lines.debounce;
                // A device that is gone debounces nothing.
                let _ = self.block.with(|registers| debounce.end(registers, mask));
                lines.requested &= !mask;
            });
        }
    }

    /// Lets a line interrupt, for a consumer of gpiolib or without one. `EBUSY` as of
    /// [`request`](Self::request).
    pub(crate) fn begin_interrupts(&self, line: u32) -> Result {
        let mask = mask(line)?;
        self.with_lines(|lines, _| {
            lines.expect_gpiolibs(mask)?;
            lines.interrupting |= mask;
            Ok(())
        })
    }

    /// It interrupts no more.
    pub(crate) fn end_interrupts(&self, line: u32) {
        if let Ok(mask) = mask(line) {
            self.lines.with(|lines| lines.interrupting &= !mask);
        }
    }
}
