// SPDX-License-Identifier: GPL-2.0-only

//! The levels of a bank's lines, and their directions.

use super::{
    mask,
    Bank,
    Mode, //
};
use crate::registers::{
    block::store,
    Registers,
    DATAIN,
    DATAOUT,
    OE, //
};
use kernel::{
    io::Io,
    prelude::*, //
};
use mapkit::base::errno::eopnotsupp;

/// Who uses a line whose direction is being changed, as gpiolib tells it.
const TURNING: &CStr = c"mapwright";

/// `EPERM` if one of `lines` is an input. What OE is.
pub(super) fn expect_outputs(registers: Registers<'_>, lines: u32) -> Result<u32> {
    let oe = registers.read(OE).into_raw();
    match oe & lines {
        0 => Ok(oe),
        _ => Err(EPERM),
    }
}

/// The levels of `lines`, where OE is `oe`, and whether all that was read is ones: so it is when nobody
/// answers.
///
/// Of an output it is what it drives: its pin may have no receiver (the user LEDs' have none), and then
/// DATAIN does not show it. gpio-omap does the same.
fn levels_of(registers: Registers<'_>, oe: u32, lines: u32) -> (u32, bool) {
    let (inputs, outputs) = (lines & oe, lines & !oe);
    let (mut levels, mut is_ones) = (0, oe == u32::MAX);
    if inputs != 0 {
        let high = registers.read(DATAIN).into_raw();
        is_ones &= high == u32::MAX;
        levels |= high & inputs;
    }
    if outputs != 0 {
        levels |= registers.read(DATAOUT).into_raw() & outputs;
    }
    (levels, is_ones)
}

/// Makes lines inputs or outputs. `Bank::lines` is locked.
pub(crate) fn set_oe(registers: Registers<'_>, lines: u32, output: bool) {
    registers.update(OE, |oe| {
        let oe = oe.into_raw();
        OE::from(if output { oe & !lines } else { oe | lines })
    });
}

impl Bank {
    /// A bit for each line that is high.
    pub(crate) fn levels(&self) -> Result<u32> {
        self.levels_of(u32::MAX)
    }

    /// A bit for each of `lines` that is high.
    pub(crate) fn levels_of(&self, lines: u32) -> Result<u32> {
        let read = |registers: Registers<'_>| {
            let oe = registers.read(OE).into_raw();
            levels_of(registers, oe, lines)
        };
        let (levels, is_ones) = self.block.with(read)?;
        if is_ones {
            self.block.revision()?;
        }
        Ok(levels)
    }

    /// A bit for each line that is an output.
    pub(crate) fn outputs(&self) -> Result<u32> {
        self.block
            .read(|registers| registers.read(OE).into_raw())
            .map(|oe| !oe)
    }

    /// Makes the outputs of `set` high and of `clear` low, with a store each; a bit for each line that
    /// is high then.
    pub(crate) fn set_outputs(&self, set: u32, clear: u32) -> Result<u32> {
        if set & clear != 0 {
            return Err(EINVAL);
        }
        if set | clear == 0 {
            return self.levels();
        }
        let levels = self.with_lines(|lines, registers| {
            lines.expect_free(set | clear)?;
            let oe = expect_outputs(registers, set | clear)?;
            store(registers, set, clear);
            let (levels, _) = levels_of(registers, oe, u32::MAX);
            Ok(levels)
        });
        // All lines are inputs, too, when nobody answers.
        if levels == Err(EPERM) {
            self.block.revision()?;
        }
        levels
    }

    /// Makes a line an output or an input.
    pub(crate) fn set_direction(&self, line: u32, output: bool) -> Result {
        let mask = mask(line)?;
        if self.mode == Mode::Hog {
            return Err(eopnotsupp());
        }
        self.block.revision()?;
        // One after the other, so that nobody else turns the line meanwhile.
        let chip = self.chip.lock();
        self.with_lines(|lines, _| {
            lines.expect_free(mask)?;
            lines.turning |= mask;
            Ok(())
        })?;
        let turned = match &*chip {
            Some(chip) => chip.hold(line, TURNING).and_then(|()| {
                let turned = self.turn(mask, output);
                chip.update_direction(line);
                chip.let_go(line);
                turned
            }),
            None => self.turn(mask, output),
        };
        self.lines.with(|lines| lines.turning &= !mask);
        turned
    }

    fn turn(&self, mask: u32, output: bool) -> Result {
        self.with_lines(|lines, registers| {
            lines.expect_free(mask)?;
            set_oe(registers, mask, output);
            Ok(())
        })
    }
}
