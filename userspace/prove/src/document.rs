// SPDX-License-Identifier: MIT OR Apache-2.0

//! The documents whose claims are judged: notes on Linux's memory management, for learners.

use std::fmt;

/// A document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Document {
    /// The walkthrough for an interview, from power-on to page faults.
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

    /// A part of it, by its heading's number or words.
    pub const fn section(self, section: &'static str) -> Source {
        Source {
            document: self,
            section,
        }
    }

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

/// Where something is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// The document.
    pub document: Document,
    /// The heading that it is below: its number, or its words.
    pub section: &'static str,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.document.name(), self.section)
    }
}

/// Several of them, for a person.
pub(crate) fn joined(sources: &[Source]) -> String {
    let texts: Vec<String> = sources.iter().map(Source::to_string).collect();
    texts.join("; ")
}
