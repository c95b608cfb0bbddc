// SPDX-License-Identifier: MIT OR Apache-2.0

//! The parts that claims are in, by their letter.

/// A part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// What its claims' ids begin with.
    pub letter: char,
    /// What it is about.
    pub title: &'static str,
}

impl Part {
    /// All of them, in their order.
    pub const ALL: [Self; 6] = [
        Self::new('A', "Mapping memory into a process"),
        Self::new('B', "Allocators"),
        Self::new('C', "Address translation"),
        Self::new('D', "The memory of a process"),
        Self::new('E', "DMA and device registers"),
        Self::new('F', "Seven small programs, as models"),
    ];

    const fn new(letter: char, title: &'static str) -> Self {
        Self { letter, title }
    }
}
