// SPDX-License-Identifier: GPL-2.0-only

//! The lines of a GPIO controller, as its driver implements them.

use crate::ffi;
use kernel::{
    bindings,
    ffi::c_uint,
    prelude::*, //
};

/// Lines of a chip.
pub const LINES: usize = ffi::MAPKIT_GPIO_LINES as usize;

/// The lines' names, where they have one.
pub type Names = [Option<&'static CStr>; LINES];

/// What is detected of a line: an edge, both, or a level.
///
/// For an example, see [`GpioChip`](super::GpioChip).
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Detect {
    /// From low to high.
    pub rising: bool,
    /// From high to low.
    pub falling: bool,
    /// As long as it is high.
    pub high: bool,
    /// As long as it is low.
    pub low: bool,
}

impl Detect {
    /// `EINVAL` for what no line can do.
    pub(super) fn from_raw(kind: c_uint) -> Result<Self> {
        let has = |bit| kind & bit != 0;
        let detect = Self {
            rising: has(bindings::IRQ_TYPE_EDGE_RISING),
            falling: has(bindings::IRQ_TYPE_EDGE_FALLING),
            high: has(bindings::IRQ_TYPE_LEVEL_HIGH),
            low: has(bindings::IRQ_TYPE_LEVEL_LOW),
        };
        let edges = detect.rising || detect.falling;
        if detect.high && detect.low || edges && (detect.high || detect.low) {
            return Err(EINVAL);
        }
        Ok(detect)
    }
}

/// A GPIO controller of [`LINES`] lines that does not sleep: its methods may be called from any context,
/// at the same time, with interrupts disabled. They are called with lines below [`LINES`].
///
/// For an example, see [`GpioChip`](super::GpioChip).
pub trait Lines: Send + Sync + 'static {
    /// Whether the lines can interrupt.
    fn can_interrupt(&self) -> bool;

    /// Somebody wants a line for himself.
    fn request(&self, line: u32) -> Result;

    /// He has done with it.
    fn free(&self, line: u32);

    /// Whether a line is an input.
    fn is_input(&self, line: u32) -> Result<bool>;

    /// Makes a line an input.
    fn make_input(&self, line: u32) -> Result;

    /// Makes a line an output with that level, which has it from the beginning.
    fn make_output(&self, line: u32, high: bool) -> Result;

    /// A bit for each line of the mask `lines` that is high.
    fn levels(&self, lines: u32) -> Result<u32>;

    /// Makes the outputs of `set` high and of `clear` low, which have no line in common.
    fn set(&self, set: u32, clear: u32) -> Result;

    /// Has an input debounced for so many microseconds, 0 for none: until then a change does not count.
    /// `ENOTSUPP` if the chip cannot: then gpiolib does it.
    fn debounce(&self, _line: u32, _microseconds: u32) -> Result {
        Err(ENOTSUPP)
    }

    /// Somebody wants the interrupts of a line, whether or not it was requested.
    fn begin_interrupts(&self, line: u32) -> Result;

    /// He has done with them.
    fn end_interrupts(&self, line: u32);

    /// What interrupts of a line are for, from now on; whether there are any, `mask` and `unmask` say.
    fn detect(&self, line: u32, detect: Detect) -> Result;

    /// Disables a line's interrupts.
    fn mask(&self, line: u32);

    /// Enables them. What a level has raised before does not count.
    fn unmask(&self, line: u32);
}
