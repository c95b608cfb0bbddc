// SPDX-License-Identifier: MIT OR Apache-2.0

//! The hardware itself.

use crate::Register;

/// Bytes of address space that a bank has.
pub const SIZE: u32 = 0x1000;
/// Lines of a bank.
pub const LINES: u32 = 32;

/// Module, major and minor number as the AM335x has them.
const REVISION: u32 = 0x5060_0801;
const SYSCONFIG_SOFTRESET: u32 = 1 << 1;
const SYSCONFIG_STORED: u32 = 0b1_1101;
const SYSSTATUS_RESETDONE: u32 = 1;
const CTRL_DISABLEMODULE: u32 = 1;
const CTRL_STORED: u32 = 0b111;
const DEBOUNCINGTIME_STORED: u32 = 0xff;

/// The interface clock is off: on the chip this is an external abort.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bank has no clock")]
pub struct Unclocked;

/// How wide an access is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// 8 bits.
    Byte,
    /// 16 bits.
    Half,
    /// 32 bits.
    Word,
}

impl Width {
    /// The width of so many bytes, if there is one.
    pub fn of(bytes: usize) -> Option<Self> {
        match bytes {
            1 => Some(Self::Byte),
            2 => Some(Self::Half),
            4 => Some(Self::Word),
            _ => None,
        }
    }

    /// Its bits.
    pub fn bits(self) -> u32 {
        match self {
            Self::Byte => 8,
            Self::Half => 16,
            Self::Word => 32,
        }
    }

    pub(crate) fn mask(self) -> u32 {
        u32::MAX >> (32 - self.bits())
    }
}

/// What the world outside does to a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drive {
    /// Pulls it up: an input reads 1.
    High,
    /// Pulls it down.
    Low,
    /// Nothing: an input reads 0.
    Floating,
}

/// One interrupt line's share of the registers.
#[derive(Clone, Copy, Debug, Default)]
struct Interrupt {
    raw: u32,
    enabled: u32,
    wake: u32,
}

/// A bank as it is out of reset, with its clock off.
#[derive(Clone, Debug)]
pub struct Bank {
    clock: bool,
    sysconfig: u32,
    interrupts: [Interrupt; 2],
    ctrl: u32,
    oe: u32,
    dataout: u32,
    level_low: u32,
    level_high: u32,
    rising: u32,
    falling: u32,
    debounce_enable: u32,
    debouncing_time: u32,
    /// Lines that somebody outside drives, and to which levels.
    driven: u32,
    outside: u32,
    /// The levels as they were last sampled.
    sampled: u32,
}

impl Default for Bank {
    fn default() -> Self {
        Self {
            clock: false,
            sysconfig: 0,
            interrupts: [Interrupt::default(); 2],
            ctrl: 0,
            oe: u32::MAX,
            dataout: 0,
            level_low: 0,
            level_high: 0,
            rising: 0,
            falling: 0,
            debounce_enable: 0,
            debouncing_time: 0,
            driven: 0,
            outside: 0,
            sampled: 0,
        }
    }
}

impl Bank {
    /// Switches the interface clock. Without it each access fails, and nothing is detected.
    pub fn set_clock(&mut self, on: bool) {
        self.clock = on;
        self.settle();
    }

    /// Whether it has its clock.
    pub fn has_clock(&self) -> bool {
        self.clock
    }

    /// Does something to a line from outside; `line` is below [`LINES`].
    pub fn drive(&mut self, line: u32, drive: Drive) {
        let bit = 1 << (line % LINES);
        self.driven = with(self.driven, bit, drive != Drive::Floating);
        self.outside = with(self.outside, bit, drive == Drive::High);
        self.settle();
    }

    /// Lets all lines of the mask `lines` that somebody outside drives change, and change back at once: nobody can
    /// have looked meanwhile.
    pub fn pulse(&mut self, lines: u32) {
        for _ in 0..2 {
            self.outside ^= lines & self.driven;
            self.settle();
        }
    }

    /// The levels of all lines: of outputs what they drive, of inputs what is done to them.
    pub fn levels(&self) -> u32 {
        (self.dataout & !self.oe) | (self.outside & self.oe)
    }

    /// Lines which neither the bank nor anybody outside drives.
    pub fn floating(&self) -> u32 {
        self.oe & !self.driven
    }

    /// Whether an interrupt line, 0 or 1, is active.
    pub fn interrupt(&self, line: usize) -> bool {
        self.interrupts
            .get(line)
            .is_some_and(|i| i.raw & i.enabled != 0)
    }

    /// Reads `width` at `offset`. Where no register is, there is 0.
    pub fn read(&mut self, offset: u32, width: Width) -> Result<u32, Unclocked> {
        if !self.clock {
            return Err(Unclocked);
        }
        let word = Register::at(offset).map_or(0, |register| self.value(register));
        Ok((word >> shift(offset)) & width.mask())
    }

    /// Writes the lower `width` of `value` at `offset`. What that leaves of the register stays, and
    /// of registers that act on ones is 0.
    pub fn write(&mut self, offset: u32, width: Width, value: u32) -> Result<(), Unclocked> {
        if !self.clock {
            return Err(Unclocked);
        }
        if let Some(register) = Register::at(offset) {
            let mask = width.mask() << shift(offset);
            let value = (value & width.mask()) << shift(offset);
            self.store(register, value, mask);
            self.settle();
        }
        Ok(())
    }

    fn value(&self, register: Register) -> u32 {
        use Register as R;
        let [first, second] = &self.interrupts;
        match register {
            R::Revision => REVISION,
            R::SysConfig => self.sysconfig,
            R::Eoi => 0,
            R::IrqStatusRaw0 => first.raw,
            R::IrqStatusRaw1 => second.raw,
            R::IrqStatus0 => first.raw & first.enabled,
            R::IrqStatus1 => second.raw & second.enabled,
            R::IrqStatusSet0 | R::IrqStatusClr0 => first.enabled,
            R::IrqStatusSet1 | R::IrqStatusClr1 => second.enabled,
            R::IrqWaken0 => first.wake,
            R::IrqWaken1 => second.wake,
            R::SysStatus => SYSSTATUS_RESETDONE,
            R::Ctrl => self.ctrl,
            R::Oe => self.oe,
            R::DataIn => self.sampled,
            R::DataOut | R::ClearDataOut | R::SetDataOut => self.dataout,
            R::LevelDetect0 => self.level_low,
            R::LevelDetect1 => self.level_high,
            R::RisingDetect => self.rising,
            R::FallingDetect => self.falling,
            R::DebounceEnable => self.debounce_enable,
            R::DebouncingTime => self.debouncing_time,
        }
    }

    /// Stores the bits of `mask`.
    fn store(&mut self, register: Register, value: u32, mask: u32) {
        use Register as R;
        let [first, second] = &mut self.interrupts;
        let plain = |field: &mut u32, has: u32| {
            *field = ((*field & !mask) | value) & has;
        };
        match register {
            R::Revision | R::Eoi | R::SysStatus | R::DataIn => {}
            R::SysConfig if value & SYSCONFIG_SOFTRESET != 0 => self.reset(),
            R::SysConfig => plain(&mut self.sysconfig, SYSCONFIG_STORED),
            R::IrqStatusRaw0 => first.raw |= value,
            R::IrqStatusRaw1 => second.raw |= value,
            R::IrqStatus0 => first.raw &= !value,
            R::IrqStatus1 => second.raw &= !value,
            R::IrqStatusSet0 => first.enabled |= value,
            R::IrqStatusSet1 => second.enabled |= value,
            R::IrqStatusClr0 => first.enabled &= !value,
            R::IrqStatusClr1 => second.enabled &= !value,
            R::IrqWaken0 => plain(&mut first.wake, u32::MAX),
            R::IrqWaken1 => plain(&mut second.wake, u32::MAX),
            R::Ctrl => plain(&mut self.ctrl, CTRL_STORED),
            R::Oe => plain(&mut self.oe, u32::MAX),
            R::DataOut => plain(&mut self.dataout, u32::MAX),
            R::LevelDetect0 => plain(&mut self.level_low, u32::MAX),
            R::LevelDetect1 => plain(&mut self.level_high, u32::MAX),
            R::RisingDetect => plain(&mut self.rising, u32::MAX),
            R::FallingDetect => plain(&mut self.falling, u32::MAX),
            R::DebounceEnable => plain(&mut self.debounce_enable, u32::MAX),
            R::DebouncingTime => plain(&mut self.debouncing_time, DEBOUNCINGTIME_STORED),
            R::ClearDataOut => self.dataout &= !value,
            R::SetDataOut => self.dataout |= value,
        }
    }

    /// Has no power for a while.
    pub fn lose_power(&mut self) {
        self.reset();
        self.settle();
    }

    /// All registers as after power-on; the clock and the world outside stay.
    fn reset(&mut self) {
        *self = Self {
            clock: self.clock,
            driven: self.driven,
            outside: self.outside,
            sampled: self.sampled,
            ..Self::default()
        };
    }

    /// Samples the lines and detects events, unless the module is off.
    fn settle(&mut self) {
        if !self.clock || self.ctrl & CTRL_DISABLEMODULE != 0 {
            return;
        }
        let now = self.levels();
        let rose = now & !self.sampled;
        let fell = !now & self.sampled;
        self.sampled = now;
        let events = (rose & self.rising)
            | (fell & self.falling)
            | (now & self.level_high)
            | (!now & self.level_low);
        for interrupt in &mut self.interrupts {
            interrupt.raw |= events;
        }
    }
}

fn shift(offset: u32) -> u32 {
    (offset & 3) * 8
}

fn with(bits: u32, bit: u32, on: bool) -> u32 {
    if on {
        bits | bit
    } else {
        bits & !bit
    }
}

#[cfg(test)]
mod tests;
