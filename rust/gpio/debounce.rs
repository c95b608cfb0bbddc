// SPDX-License-Identifier: GPL-2.0-only

//! Inputs that are debounced: a change counts when it has lasted for a while. The bank has one period for all of its
//! lines; gpiolib debounces those for which somebody wants another.

use crate::registers::{
    Registers,
    DEBOUNCENABLE,
    DEBOUNCINGTIME, //
};
use kernel::{
    io::Io,
    prelude::*, //
};

/// Microseconds of a step.
const STEP: u32 = 31;
/// Steps that the register has bits for.
const STEPS: u32 = 256;

/// Which lines are debounced, and how many steps less one.
pub(crate) struct Debounce {
    lines: u32,
    time: u32,
}

impl Debounce {
    pub(crate) fn new() -> Self {
        Self { lines: 0, time: 0 }
    }

    /// Debounces the line of the mask `line` for so many microseconds, at least; 0 for not at all. `ENOTSUPP` if the
    /// bank does not do that, and then the line is not debounced.
    pub(crate) fn set(&mut self, registers: Registers<'_>, line: u32, microseconds: u32) -> Result {
        if microseconds == 0 {
            self.end(registers, line);
            return Ok(());
        }
        let time = microseconds.div_ceil(STEP).wrapping_sub(1);
        let others = self.lines & !line;
        if time >= STEPS || others != 0 && time != self.time {
            self.end(registers, line);
            return Err(ENOTSUPP);
        }
        self.time = time;
        self.lines |= line;
        registers.write_reg(DEBOUNCINGTIME::from(time));
        registers.write_reg(DEBOUNCENABLE::from(self.lines));
        Ok(())
    }

    /// Debounces it no more.
    pub(crate) fn end(&mut self, registers: Registers<'_>, line: u32) {
        if self.lines & line != 0 {
            self.lines &= !line;
            registers.write_reg(DEBOUNCENABLE::from(self.lines));
        }
    }
}
