// SPDX-License-Identifier: MIT OR Apache-2.0

//! The documents whose claims are judged: notes on Linux's memory management, for learners.

/// A document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Document {
    /// From power-on to page faults, for an interview.
    Walkthrough,
    /// A course's part on memory, with seven small programs.
    Memory,
    /// A long reference, with 32-bit ARM and the BeagleBone.
    Reference,
    /// How a driver maps its memory into a program.
    Driver,
    /// A short overview.
    Overview,
}

impl Document {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Walkthrough,
        Self::Memory,
        Self::Reference,
        Self::Driver,
        Self::Overview,
    ];

    /// What it is called here.
    pub fn name(self) -> &'static str {
        match self {
            Self::Walkthrough => "walkthrough",
            Self::Memory => "memory course",
            Self::Reference => "reference",
            Self::Driver => "driver's mmap",
            Self::Overview => "overview",
        }
    }

    /// What it is.
    pub fn about(self) -> &'static str {
        match self {
            Self::Walkthrough => {
                "how memory is mapped, from power-on to page faults, for an interview"
            }
            Self::Memory => "a course's part on memory, with seven small programs",
            Self::Reference => "a long reference, with 32-bit ARM and the BeagleBone",
            Self::Driver => "how a driver maps its memory into a program",
            Self::Overview => "a short overview of memory management",
        }
    }
}
