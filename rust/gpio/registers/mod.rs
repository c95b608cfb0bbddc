// SPDX-License-Identifier: GPL-2.0-only

//! The registers of a bank, each named once (SPRUH73, chapter "General-Purpose Input/Output").

pub(crate) mod block;
pub(crate) mod context;

use kernel::io::{
    register,
    Io, //
};
use mapkit::device::mmio;

/// Bytes of a bank's registers.
pub(crate) const SIZE: usize = 0x1000;

/// The mapped registers.
pub(crate) type Registers<'a> = mmio::Registers<'a, SIZE>;

/// A field of a register: its name, its highest and its lowest bit.
pub(crate) type Field = (&'static str, u32, u32);

/// A register as debugfs shows it.
pub(crate) struct Named {
    pub(crate) name: &'static str,
    pub(crate) offset: usize,
    pub(crate) fields: &'static [Field],
    pub(crate) read: fn(Registers<'_>) -> u32,
}

macro_rules! registers {
    ($($(#[$doc:meta])* $name:ident @ $offset:literal {
        $($high:literal:$low:literal $field:ident;)*
    })*) => {
        register! {
            $($(#[$doc])* pub(crate) $name(u32) @ $offset { $($high:$low $field;)* })*
        }

        /// All of them. Reading one changes nothing.
        pub(crate) const ALL: &[Named] = &[$(Named {
            name: stringify!($name),
            offset: $offset,
            fields: &[$((stringify!($field), $high, $low)),*],
            read: |registers| registers.read($name).into_raw(),
        }),*];
    };
}

registers! {
    /// What it is.
    REVISION @ 0x000 { 31:30 scheme; 27:16 function; 10:8 major; 5:0 minor; }
    /// Idle modes and reset.
    SYSCONFIG @ 0x010 { 4:3 idle_mode; 2:2 wakeup; 1:1 soft_reset; 0:0 auto_idle; }
    /// End of interrupt.
    EOI @ 0x020 { 0:0 line; }
    /// Events of the first interrupt line, enabled or not.
    IRQSTATUS_RAW_0 @ 0x024 { 31:0 lines; }
    /// Events of the second interrupt line, enabled or not.
    IRQSTATUS_RAW_1 @ 0x028 { 31:0 lines; }
    /// Enabled events of the first interrupt line; a 1 written clears one.
    IRQSTATUS_0 @ 0x02C { 31:0 lines; }
    /// Enabled events of the second interrupt line; a 1 written clears one.
    IRQSTATUS_1 @ 0x030 { 31:0 lines; }
    /// What interrupts on the first line; a 1 written adds.
    IRQSTATUS_SET_0 @ 0x034 { 31:0 lines; }
    /// What interrupts on the second line; a 1 written adds.
    IRQSTATUS_SET_1 @ 0x038 { 31:0 lines; }
    /// What interrupts on the first line; a 1 written removes.
    IRQSTATUS_CLR_0 @ 0x03C { 31:0 lines; }
    /// What interrupts on the second line; a 1 written removes.
    IRQSTATUS_CLR_1 @ 0x040 { 31:0 lines; }
    /// What wakes the system, first line.
    IRQWAKEN_0 @ 0x044 { 31:0 lines; }
    /// What wakes the system, second line.
    IRQWAKEN_1 @ 0x048 { 31:0 lines; }
    /// Whether the reset is over.
    SYSSTATUS @ 0x114 { 0:0 reset_done; }
    /// The module's clocks.
    CTRL @ 0x130 { 2:1 gating_ratio; 0:0 disable_module; }
    /// Which lines are inputs: 0 is an output.
    OE @ 0x134 { 31:0 lines; }
    /// The lines' levels.
    DATAIN @ 0x138 { 31:0 lines; }
    /// What outputs drive.
    DATAOUT @ 0x13C { 31:0 lines; }
    /// Lines whose low level is an event.
    LEVELDETECT0 @ 0x140 { 31:0 lines; }
    /// Lines whose high level is an event.
    LEVELDETECT1 @ 0x144 { 31:0 lines; }
    /// Lines whose rising edge is an event.
    RISINGDETECT @ 0x148 { 31:0 lines; }
    /// Lines whose falling edge is an event.
    FALLINGDETECT @ 0x14C { 31:0 lines; }
    /// Lines that are debounced.
    DEBOUNCENABLE @ 0x150 { 31:0 lines; }
    /// How long, in steps of 31 µs.
    DEBOUNCINGTIME @ 0x154 { 7:0 time; }
    /// A 1 written makes an output low.
    CLEARDATAOUT @ 0x190 { 31:0 lines; }
    /// A 1 written makes an output high.
    SETDATAOUT @ 0x194 { 31:0 lines; }
}
