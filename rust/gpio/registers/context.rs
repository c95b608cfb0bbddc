// SPDX-License-Identifier: GPL-2.0-only

//! What a bank's registers hold that somebody has stored there: what whoever had the bank before gets back, and
//! what the bank gets back that has lost its power.

use crate::registers::{
    Registers,
    CTRL,
    DATAOUT,
    DEBOUNCENABLE,
    DEBOUNCINGTIME,
    FALLINGDETECT,
    IRQSTATUS_0,
    IRQSTATUS_CLR_0,
    IRQSTATUS_SET_0,
    IRQSTATUS_SET_1,
    IRQWAKEN_0,
    IRQWAKEN_1,
    LEVELDETECT0,
    LEVELDETECT1,
    OE,
    RISINGDETECT, //
};
use kernel::io::Io;

/// All but SYSCONFIG, which is the bus's (`ti,sysc`).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Context {
    dataout: u32,
    oe: u32,
    debouncing_time: u32,
    debounced: u32,
    low: u32,
    high: u32,
    rising: u32,
    falling: u32,
    wakes: [u32; 2],
    enabled: [u32; 2],
    ctrl: u32,
}

impl Context {
    /// What they hold now.
    pub(crate) fn of(registers: Registers<'_>) -> Self {
        Self {
            dataout: registers.read(DATAOUT).into_raw(),
            oe: registers.read(OE).into_raw(),
            debouncing_time: registers.read(DEBOUNCINGTIME).into_raw(),
            debounced: registers.read(DEBOUNCENABLE).into_raw(),
            low: registers.read(LEVELDETECT0).into_raw(),
            high: registers.read(LEVELDETECT1).into_raw(),
            rising: registers.read(RISINGDETECT).into_raw(),
            falling: registers.read(FALLINGDETECT).into_raw(),
            wakes: [
                registers.read(IRQWAKEN_0).into_raw(),
                registers.read(IRQWAKEN_1).into_raw(),
            ],
            enabled: [
                registers.read(IRQSTATUS_SET_0).into_raw(),
                registers.read(IRQSTATUS_SET_1).into_raw(),
            ],
            ctrl: registers.read(CTRL).into_raw(),
        }
    }

    /// Has them hold that again. Edges that were not handled are forgotten; a level is an event again.
    pub(crate) fn restore(&self, registers: Registers<'_>) {
        registers.write_reg(IRQSTATUS_CLR_0::from(u32::MAX));
        // Before OE: a line that was an output has its level from the beginning.
        registers.write_reg(DATAOUT::from(self.dataout));
        registers.write_reg(OE::from(self.oe));
        registers.write_reg(DEBOUNCINGTIME::from(self.debouncing_time));
        registers.write_reg(DEBOUNCENABLE::from(self.debounced));
        registers.write_reg(LEVELDETECT0::from(self.low));
        registers.write_reg(LEVELDETECT1::from(self.high));
        registers.write_reg(RISINGDETECT::from(self.rising));
        registers.write_reg(FALLINGDETECT::from(self.falling));
        registers.write_reg(IRQWAKEN_0::from(self.wakes[0]));
        registers.write_reg(IRQWAKEN_1::from(self.wakes[1]));
        // What was an event of the lines as they were until now is none.
        registers.write_reg(IRQSTATUS_0::from(u32::MAX));
        registers.write_reg(IRQSTATUS_SET_1::from(self.enabled[1]));
        registers.write_reg(IRQSTATUS_SET_0::from(self.enabled[0]));
        registers.write_reg(CTRL::from(self.ctrl));
    }

    /// The same, if they hold something else. Whether they did.
    pub(crate) fn restore_if_lost(&self, registers: Registers<'_>) -> bool {
        let is_lost = Self::of(registers) != *self;
        if is_lost {
            self.restore(registers);
        }
        is_lost
    }
}

/// Switches a bank on, and detects nothing.
pub(crate) fn begin_anew(registers: Registers<'_>) {
    // Whoever had it may have switched it off.
    registers.write_reg(CTRL::from(0));
    registers.write_reg(IRQSTATUS_CLR_0::from(u32::MAX));
    registers.write_reg(LEVELDETECT0::from(0));
    registers.write_reg(LEVELDETECT1::from(0));
    registers.write_reg(RISINGDETECT::from(0));
    registers.write_reg(FALLINGDETECT::from(0));
    registers.write_reg(DEBOUNCENABLE::from(0));
    registers.write_reg(IRQSTATUS_0::from(u32::MAX));
}
