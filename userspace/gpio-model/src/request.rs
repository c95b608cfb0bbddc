// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a test can say to the model beside the VM's accesses: a request and its reply are one
//! line of JSON each, on a Unix socket or a serial port of the guest.

use crate::{Drive, Record};
use serde::{Deserialize, Serialize};

/// Name of the guest's serial port to the model.
pub const PORT: &str = "mapwright.gpio";

/// What outside does to a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Pulls it up.
    High,
    /// Pulls it down.
    Low,
    /// Lets it go.
    Floating,
}

impl From<Level> for Drive {
    fn from(level: Level) -> Self {
        match level {
            Level::High => Drive::High,
            Level::Low => Drive::Low,
            Level::Floating => Drive::Floating,
        }
    }
}

/// What happens to a bank while the VM sleeps. Nobody is interrupted by a message then: that of a PCI function
/// is lost, as where no memory is to write it to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Night {
    /// Whether the registers are lost, before anything else.
    pub powerless: bool,
    /// What outside does to lines, in this order.
    pub drive: Vec<(u32, Level)>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Request {
    /// Do something to a line from outside, as a button does.
    Drive(u32, Level),
    /// Let all lines of this mask that are driven from outside change, and change back at once.
    Pulse(u32),
    /// Switch the bank's interface clock.
    Clock(bool),
    /// Tell the levels of all lines.
    Levels,
    /// Tell how many accesses there were.
    Count,
    /// Tell the accesses from that number on.
    Records(usize),
    /// Be pulled out of the bus: all reads give ones from now on.
    Vanish,
    /// Be plugged in again, as after power-on.
    Return,
    /// Let that happen when the VM sleeps next: after the bus has suspended the bank.
    Night(Night),
    /// Tell how many of these there were.
    Nights,
    /// End, as if killed: there is no reply.
    Die,
    /// Do that with the bank of this number, where there are several.
    Of(usize, Box<Request>),
    /// Tell the accesses from that number on that were to no bank: to the clock module, and where
    /// there is nothing.
    Others(usize),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reply {
    /// It is done.
    Done,
    /// A bit for each line.
    Levels(u32),
    /// Accesses so far, or nights.
    Count(usize),
    /// Accesses, in order.
    Records(Vec<Record>),
    /// It cannot be done.
    Refused(String),
}
