// SPDX-License-Identifier: MIT OR Apache-2.0

//! The clock module, as far as it is about GPIO (SPRUH73, chapter "Power, Reset, and Clock
//! Management"): CM_PER, and CM_WKUP from [`WAKE_UP`] on. What is no GPIO bank's keeps what is
//! written to it, without effect.

use crate::Width;

const MODULEMODE: u32 = 0b11;
const MODULEMODE_ENABLE: u32 = 0b10;
/// IDLEST: the module is off.
const IDLEST_DISABLED: u32 = 0b11 << 16;
const IDLEST: u32 = IDLEST_DISABLED;

/// CM_WKUP's offset from CM_PER.
const WAKE_UP: u32 = 0x400;
const WORDS: usize = (crate::SIZE / 4) as usize;

/// Names of registers, by offset: those of the banks, and some beside them.
const NAMES: [(u32, &str); 9] = [
    (0x34, "CM_PER_MCASP0_CLKCTRL"),
    (0x38, "CM_PER_UART5_CLKCTRL"),
    (0x3C, "CM_PER_MMC0_CLKCTRL"),
    (0x40, "CM_PER_ELM_CLKCTRL"),
    (0x44, "CM_PER_I2C2_CLKCTRL"),
    (0xAC, "CM_PER_GPIO1_CLKCTRL"),
    (0xB0, "CM_PER_GPIO2_CLKCTRL"),
    (0xB4, "CM_PER_GPIO3_CLKCTRL"),
    (WAKE_UP + 0x08, "CM_WKUP_GPIO0_CLKCTRL"),
];

/// The clock module; all modules are off.
#[derive(Clone, Debug)]
pub struct Clocks([u32; WORDS]);

impl Default for Clocks {
    fn default() -> Self {
        Self([0; WORDS])
    }
}

impl Clocks {
    /// The offset of the register with a bank's clock.
    pub const fn of_bank(bank: usize) -> u32 {
        match bank {
            0 => WAKE_UP + 0x08,
            1 => 0xAC,
            2 => 0xB0,
            _ => 0xB4,
        }
    }

    /// What the register that has the byte at `offset` is called, as far as it is known here.
    pub fn name(offset: u32) -> Option<&'static str> {
        let entry = NAMES.iter().find(|(at, _)| *at == offset & !3);
        entry.map(|(_, name)| *name)
    }

    /// Whether a bank has its clock.
    pub fn is_on(&self, bank: usize) -> bool {
        self.word(Self::of_bank(bank)) & MODULEMODE == MODULEMODE_ENABLE
    }

    fn word(&self, offset: u32) -> u32 {
        let stored = self.0.get((offset / 4) as usize).copied().unwrap_or(0);
        match stored & MODULEMODE {
            MODULEMODE_ENABLE => stored,
            _ => stored | IDLEST_DISABLED,
        }
    }

    /// Reads `width` at `offset`.
    pub fn read(&self, offset: u32, width: Width) -> u32 {
        (self.word(offset) >> shift(offset)) & width.mask()
    }

    /// Writes the lower `width` of `value` at `offset`.
    pub fn write(&mut self, offset: u32, width: Width, value: u32) {
        if let Some(word) = self.0.get_mut((offset / 4) as usize) {
            let mask = width.mask() << shift(offset);
            *word = ((*word & !mask) | ((value << shift(offset)) & mask)) & !IDLEST;
        }
    }
}

fn shift(offset: u32) -> u32 {
    (offset & 3) * 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bank_has_a_register() {
        let mut clocks = Clocks::default();
        for bank in 0..4 {
            let offset = Clocks::of_bank(bank);
            let name = Clocks::name(offset).unwrap();
            assert!(name.ends_with(&format!("GPIO{bank}_CLKCTRL")), "{name}");
            assert!(!clocks.is_on(bank));
            assert_eq!(clocks.read(offset, Width::Word), IDLEST_DISABLED);
            clocks.write(offset, Width::Word, 2);
            assert!(clocks.is_on(bank));
            assert_eq!(clocks.read(offset, Width::Word), 2, "on, and not idle");
        }
        clocks.write(Clocks::of_bank(1), Width::Word, 0);
        assert_eq!(
            [0, 1, 2, 3].map(|bank| clocks.is_on(bank)),
            [true, false, true, true]
        );
    }

    #[test]
    fn optional_clocks_are_not_the_module() {
        let mut clocks = Clocks::default();
        clocks.write(0xac, Width::Word, 1 << 18);
        assert!(!clocks.is_on(1));
        clocks.write(0xac, Width::Byte, 2);
        assert_eq!(clocks.read(0xac, Width::Word), (1 << 18) | 2);
    }
}
