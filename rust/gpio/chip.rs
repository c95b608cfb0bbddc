// SPDX-License-Identifier: GPL-2.0-only

//! The bank as a GPIO controller of gpiolib, in the mode "bank": `/dev/gpiochipN` and its interrupts.

use crate::{
    bank::{
        set_oe,
        Bank, //
    },
    registers::block::store, //
};
use kernel::{
    device::{
        Bound,
        Device, //
    },
    prelude::*,
    sync::Arc, //
};
use mapkit::device::gpio_chip::{
    Detect,
    GpioChip,
    Lines,
    Names, //
};

/// Registers the bank `bank` of `device` with gpiolib. `None` where the kernel has no gpiolib.
pub(crate) fn register(
    device: &Device<Bound>,
    bank: &Arc<Bank>,
    label: &'static CStr,
    names: Option<&Names>,
) -> Result<Option<Arc<GpioChip<Bank>>>> {
    if cfg!(not(CONFIG_GPIOLIB)) {
        return Ok(None);
    }
    let chip = GpioChip::new(device, crate::MODULE, label, names, bank.clone())?;
    Ok(Some(Arc::new(chip, GFP_KERNEL)?))
}

impl Lines for Bank {
    fn can_interrupt(&self) -> bool {
        self.has_interrupt
    }

    fn request(&self, line: u32) -> Result {
        Bank::request(self, line)
    }

    fn free(&self, line: u32) {
        self.release(line);
    }

    fn is_input(&self, line: u32) -> Result<bool> {
        let outputs = self.outputs()?;
        Ok(outputs & bit(line) == 0)
    }

    fn make_input(&self, line: u32) -> Result {
        self.with_lines(|_, registers| {
            set_oe(registers, bit(line), false);
            Ok(())
        })
    }

    fn make_output(&self, line: u32, high: bool) -> Result {
        self.with_lines(|_, registers| {
            let (set, clear) = if high { (bit(line), 0) } else { (0, bit(line)) };
            store(registers, set, clear);
            set_oe(registers, bit(line), true);
            Ok(())
        })
    }

    fn levels(&self, lines: u32) -> Result<u32> {
        let levels = self.levels_of(lines)?;
        self.with_lines(|of, _| Ok(of.edges.untold.levels(levels) & lines))
    }

    fn set(&self, set: u32, clear: u32) -> Result {
        let stored = self.with_lines(|_, registers| {
            store(registers, set, clear);
            Ok(())
        });
        match stored {
            // The bank sleeps.
            Err(err) if err == EAGAIN => self.block.drive(set, clear),
            stored => stored,
        }
    }

    fn debounce(&self, line: u32, microseconds: u32) -> Result {
        if !self.has_debounce_clock {
            return Err(ENOTSUPP);
        }
        self.with_lines(|lines, registers| lines.debounce.set(registers, bit(line), microseconds))
    }

    fn begin_interrupts(&self, line: u32) -> Result {
        Bank::begin_interrupts(self, line)
    }

    fn end_interrupts(&self, line: u32) {
        Bank::end_interrupts(self, line);
    }

    fn detect(&self, line: u32, detect: Detect) -> Result {
        self.with_lines(|lines, registers| {
            lines.edges.set_type(registers, bit(line), detect);
            Ok(())
        })
    }

    fn mask(&self, line: u32) {
        self.enable(line, false);
    }

    fn unmask(&self, line: u32) {
        self.enable(line, true);
    }
}

impl Bank {
    fn enable(&self, line: u32, on: bool) {
        // A device that goes has no interrupts any more.
        let _ = self.with_lines(|lines, registers| {
            lines.edges.enable(registers, bit(line), on);
            Ok(())
        });
    }
}

/// The mask of a line of the chip.
fn bit(line: u32) -> u32 {
    1u32.wrapping_shl(line)
}
