// SPDX-License-Identifier: MIT OR Apache-2.0

//! The bank's registers. Each is 32 bits wide.

use std::fmt;

macro_rules! registers {
    ($($(#[$doc:meta])* $variant:ident $name:literal @ $offset:literal;)*) => {
        /// A register of the bank.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Register {
            $($(#[$doc])* $variant,)*
        }

        impl Register {
            /// All of them, by offset.
            pub const ALL: &'static [Register] = &[$(Register::$variant),*];

            /// Its name, as the reference manual has it, without the bank's prefix.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Register::$variant => $name,)*
                }
            }

            /// Its offset in the bank, in bytes.
            pub const fn offset(self) -> u32 {
                match self {
                    $(Register::$variant => $offset,)*
                }
            }
        }
    };
}

registers! {
    /// What it is: read-only.
    Revision "REVISION" @ 0x000;
    /// Idle modes, and the reset of all of the bank.
    SysConfig "SYSCONFIG" @ 0x010;
    /// End of interrupt.
    Eoi "EOI" @ 0x020;
    /// Events of the first interrupt line; a 1 written makes one.
    IrqStatusRaw0 "IRQSTATUS_RAW_0" @ 0x024;
    /// Events of the second interrupt line.
    IrqStatusRaw1 "IRQSTATUS_RAW_1" @ 0x028;
    /// Enabled events of the first interrupt line; a 1 written clears one.
    IrqStatus0 "IRQSTATUS_0" @ 0x02C;
    /// Enabled events of the second interrupt line.
    IrqStatus1 "IRQSTATUS_1" @ 0x030;
    /// Which events interrupt; a 1 written adds one.
    IrqStatusSet0 "IRQSTATUS_SET_0" @ 0x034;
    /// The same for the second interrupt line.
    IrqStatusSet1 "IRQSTATUS_SET_1" @ 0x038;
    /// Which events interrupt; a 1 written removes one.
    IrqStatusClr0 "IRQSTATUS_CLR_0" @ 0x03C;
    /// The same for the second interrupt line.
    IrqStatusClr1 "IRQSTATUS_CLR_1" @ 0x040;
    /// Which lines wake the system.
    IrqWaken0 "IRQWAKEN_0" @ 0x044;
    /// The same for the second interrupt line.
    IrqWaken1 "IRQWAKEN_1" @ 0x048;
    /// Bit 0: the reset is over.
    SysStatus "SYSSTATUS" @ 0x114;
    /// Bit 0 switches the module off; bits 2:1 divide the clock that samples.
    Ctrl "CTRL" @ 0x130;
    /// Which lines are inputs: 0 is an output.
    Oe "OE" @ 0x134;
    /// The levels of the lines.
    DataIn "DATAIN" @ 0x138;
    /// The levels that outputs drive.
    DataOut "DATAOUT" @ 0x13C;
    /// Lines whose low level is an event.
    LevelDetect0 "LEVELDETECT0" @ 0x140;
    /// Lines whose high level is an event.
    LevelDetect1 "LEVELDETECT1" @ 0x144;
    /// Lines whose rising edge is an event.
    RisingDetect "RISINGDETECT" @ 0x148;
    /// Lines whose falling edge is an event.
    FallingDetect "FALLINGDETECT" @ 0x14C;
    /// Lines that are debounced.
    DebounceEnable "DEBOUNCENABLE" @ 0x150;
    /// How long: (n + 1) * 31 µs.
    DebouncingTime "DEBOUNCINGTIME" @ 0x154;
    /// A 1 written makes the output low; reads as `DATAOUT`.
    ClearDataOut "CLEARDATAOUT" @ 0x190;
    /// A 1 written makes the output high; reads as `DATAOUT`.
    SetDataOut "SETDATAOUT" @ 0x194;
}

impl Register {
    /// The register that has the byte at `offset`.
    pub fn at(offset: u32) -> Option<Self> {
        let offset = offset & !3;
        Self::ALL.iter().copied().find(|r| r.offset() == offset)
    }
}

impl fmt::Display for Register {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn are_in_order_and_inside() {
        assert!(Register::ALL
            .windows(2)
            .all(|r| r[0].offset() < r[1].offset()));
        assert!(Register::ALL
            .iter()
            .all(|r| r.offset() < crate::SIZE && r.offset() % 4 == 0));
    }

    #[test]
    fn are_found_by_any_of_their_bytes() {
        assert_eq!(Register::at(0x134), Some(Register::Oe));
        assert_eq!(Register::at(0x137), Some(Register::Oe));
        assert_eq!(Register::at(0x18C), None);
    }
}
