// SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note

//! The interface of `/dev/mapwright-gpioN`: one GPIO bank of an AM335x, 32 lines.
//!
//! The rules of the ioctls are those of `/dev/mapwright`. Beyond them: `ENODEV` if the device is
//! gone (its driver was unbound, or all its registers read as ones), `EINVAL` for a line that the
//! bank does not have, `EBUSY` to change a line that somebody has for himself: because it blinks, is an
//! LED, or was requested through gpiolib.
//!
//! The level of an output is what it drives, of an input what is at its pin.
//!
//! `mmap(2)` of one page at offset 0 maps the registers uncached; it takes `CAP_SYS_RAWIO` (`EPERM`)
//! and, to be writable, the module's parameter `writable_registers` (`EACCES`). When the device
//! goes, the page goes, too: `SIGBUS`. `read(2)` gives the levels of all lines as eight hexadecimal
//! digits and a newline.

use crate::{
    io,
    Request, //
};
use zerocopy_derive::{
    FromBytes,
    Immutable,
    IntoBytes,
    KnownLayout, //
};

/// What the names of the device nodes begin with; a number follows.
pub const NAME: &str = "mapwright-gpio";

/// Banks that there can be at a time, as many as an AM335x has.
pub const MAX_BANKS: u32 = 4;

/// Lines of a bank.
pub const LINES: u32 = 32;

/// PCI vendor and device of the bank in a VM.
pub const PCI_ID: (u16, u16) = (0x1234, 0x6770);

/// Ioctl request taking [`Info`].
pub const IOCTL_INFO: u32 = io(0x60);
/// Ioctl request taking [`Outputs`].
pub const IOCTL_OUTPUTS: u32 = io(0x61);
/// Ioctl request taking [`Direction`].
pub const IOCTL_DIRECTION: u32 = io(0x62);
/// Ioctl request taking [`Blink`].
pub const IOCTL_BLINK: u32 = io(0x63);
/// Ioctl request taking [`Wait`].
pub const IOCTL_WAIT: u32 = io(0x64);

/// Ioctl request taking [`Watch`].
pub const IOCTL_WATCH: u32 = io(0x65);
/// Ioctl request taking [`Events`].
pub const IOCTL_EVENTS: u32 = io(0x66);

/// [`Info::mode`]: another driver keeps clock and directions; here outputs are set and cleared, and
/// lines read.
pub const MODE_HOG: u32 = 0;
/// [`Info::mode`]: all of the bank is this driver's.
pub const MODE_BANK: u32 = 1;

/// [`Wait::edges`]: from low to high.
pub const EDGE_RISING: u32 = 1;
/// [`Wait::edges`]: from high to low.
pub const EDGE_FALLING: u32 = 2;

/// Shortest [`Blink::period`], in microseconds.
pub const MIN_PERIOD: u32 = 100;
/// Longest [`Blink::period`], in microseconds.
pub const MAX_PERIOD: u32 = 100_000_000;

/// [`IOCTL_INFO`]: how the bank is now. Everything but `size` is output.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Info {
    /// Bytes of this structure.
    pub size: u32,
    /// [`MODE_HOG`] or [`MODE_BANK`].
    pub mode: u32,
    /// The register REVISION.
    pub revision: u32,
    /// A bit for each line that is an output.
    pub outputs: u32,
    /// A bit for each line that is high.
    pub levels: u32,
    /// A bit for each line that blinks.
    pub blinking: u32,
    /// A bit for each line that is an LED.
    pub leds: u32,
    /// A bit for each line that a consumer of gpiolib has requested: `gpioinfo` tells which.
    pub requested: u32,
}

/// [`IOCTL_OUTPUTS`]: makes outputs high and low, each with a single store. Both zero only asks for
/// the levels.
///
/// `EINVAL` if a line is in both; `EBUSY` if one is in use; `EPERM` if one is an input.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Outputs {
    /// Bytes of this structure.
    pub size: u32,
    /// A bit for each line to make high.
    pub set: u32,
    /// A bit for each line to make low.
    pub clear: u32,
    /// Out: a bit for each line that is high now.
    pub levels: u32,
}

/// [`IOCTL_DIRECTION`]: makes a line an output or an input.
///
/// `EOPNOTSUPP` in [`MODE_HOG`], where directions are the other driver's; `EBUSY` if it is in use.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Direction {
    /// Bytes of this structure.
    pub size: u32,
    /// The line, below [`LINES`].
    pub line: u32,
    /// 1: an output; 0: an input.
    pub output: u32,
    /// Zero.
    pub reserved: u32,
}

/// [`IOCTL_BLINK`]: the kernel toggles an output, until told otherwise or the driver is unbound;
/// which program asked does not matter. It begins high, and is low when it ends.
///
/// `EBUSY` if it blinks already or is in use otherwise, `ENOENT` if it is to stop and does not; `EPERM` if it is an input;
/// `EINVAL` for a period out of range.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Blink {
    /// Bytes of this structure.
    pub size: u32,
    /// The line, below [`LINES`].
    pub line: u32,
    /// Microseconds of one high and one low, [`MIN_PERIOD`] to [`MAX_PERIOD`]; 0 stops.
    pub period: u32,
    /// Zero.
    pub reserved: u32,
}

/// [`IOCTL_WAIT`]: sleeps until a line has an edge.
///
/// It goes on while the system sleeps, and an edge in this time is one, if the bank kept its power. A signal, which
/// may also be a stop or a freeze of a control group, interrupts the call. Then `timeout` is what was left, and the
/// kernel begins the call again when the program goes on, which ends at the time that was meant in the beginning. Edges
/// between are not seen; [`IOCTL_WATCH`] counts them. Only after a handler without `SA_RESTART` the program is
/// told `EINTR`, and may begin it again itself.
///
/// `ETIMEDOUT`; `EINTR`; `EBUSY` if it was requested through gpiolib; `EOPNOTSUPP` in [`MODE_HOG`] and
/// where the device has no interrupt.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Wait {
    /// Bytes of this structure.
    pub size: u32,
    /// The line, below [`LINES`].
    pub line: u32,
    /// [`EDGE_RISING`], [`EDGE_FALLING`] or both.
    pub edges: u32,
    /// Milliseconds to wait at most; 0 for as long as it takes.
    pub timeout: u32,
    /// Out: edges that were seen, at least 1.
    pub nr_edges: u32,
    /// Out: the line's level after the last.
    pub level: u32,
}

/// [`IOCTL_WATCH`]: which edges this open file is told of, instead of those before. `poll(2)` says
/// `POLLIN` when there were some, and `POLLHUP` when the device is gone; [`IOCTL_EVENTS`] which.
///
/// `EBUSY` if a line was requested through gpiolib; `EOPNOTSUPP` as for [`IOCTL_WAIT`].
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Watch {
    /// Bytes of this structure.
    pub size: u32,
    /// A bit for each line whose rising edges are watched.
    pub rising: u32,
    /// A bit for each line whose falling edges are watched.
    pub falling: u32,
    /// Zero.
    pub reserved: u32,
}

/// [`IOCTL_EVENTS`]: which of the watched edges there were since this was last asked, successfully. Never sleeps.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Events {
    /// Bytes of this structure.
    pub size: u32,
    /// Out: a bit for each line that had a rising edge.
    pub rising: u32,
    /// Out: a bit for each line that had a falling edge.
    pub falling: u32,
    /// Out: a bit for each line that is high now.
    pub levels: u32,
}

request!(Info, IOCTL_INFO, 24);
request!(Outputs, IOCTL_OUTPUTS, 16);
request!(Direction, IOCTL_DIRECTION, 16);
request!(Blink, IOCTL_BLINK, 16);
request!(Wait, IOCTL_WAIT, 24);
request!(Watch, IOCTL_WATCH, 16);
request!(Events, IOCTL_EVENTS, 16);
