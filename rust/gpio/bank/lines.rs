// SPDX-License-Identifier: GPL-2.0-only

//! Whose each line of a bank is, and what is known of it.

use crate::{
    debounce::Debounce,
    edges::Edges, //
};
use kernel::prelude::*;

/// Whose the lines are, a bit each, and what is detected of them.
pub(crate) struct Lines {
    /// Of gpiolib's consumers.
    pub(super) requested: u32,
    /// Those that interrupt. A consumer's do it for him.
    pub(super) interrupting: u32,
    /// LEDs.
    pub(super) leds: u32,
    pub(super) blinking: u32,
    /// Those whose direction is being changed, which gpiolib is told.
    pub(super) turning: u32,
    pub(crate) edges: Edges,
    pub(crate) debounce: Debounce,
    /// The device goes: nothing is changed any more.
    pub(super) left: bool,
}

impl Lines {
    /// Lines that nobody has.
    pub(super) fn new() -> Self {
        Self {
            requested: 0,
            interrupting: 0,
            leds: 0,
            blinking: 0,
            turning: 0,
            edges: Edges::new(),
            debounce: Debounce::new(),
            left: false,
        }
    }

    /// Lines that somebody has for himself.
    pub(super) fn in_use(&self) -> u32 {
        self.requested | self.interrupting | self.leds | self.blinking
    }

    /// `EBUSY` if somebody has one of `lines` for himself.
    pub(super) fn expect_free(&self, lines: u32) -> Result {
        match lines & self.in_use() {
            0 => Ok(()),
            _ => Err(EBUSY),
        }
    }

    /// `EBUSY` if one of `lines` is not gpiolib's to give away: it is an LED, blinks, is waited for, or turned.
    pub(super) fn expect_gpiolibs(&self, lines: u32) -> Result {
        match lines & (self.leds | self.blinking | self.turning | self.edges.watched()) {
            0 => Ok(()),
            _ => Err(EBUSY),
        }
    }
}
