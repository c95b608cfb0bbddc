// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which models there are.

use crate::{
    buddy, cow, dma, lru,
    script::{self, Wrong},
    slub,
    transcript::Transcript,
    walk, watermark,
};

/// Which model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The buddy allocator.
    Buddy,
    /// The check of a zone's watermarks.
    Watermark,
    /// SLUB's list of free objects inside these.
    Slub,
    /// The walk through page tables.
    Walk,
    /// Copy-on-write after `fork()`.
    Cow,
    /// The active and the inactive list of pages.
    Lru,
    /// The translation of addresses for DMA.
    Dma,
}

impl Kind {
    /// All of them, in the order of the document that they are from.
    pub const ALL: [Self; 7] = [
        Self::Buddy,
        Self::Watermark,
        Self::Slub,
        Self::Walk,
        Self::Cow,
        Self::Lru,
        Self::Dma,
    ];

    /// The model's name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Buddy => "buddy",
            Self::Watermark => "watermark",
            Self::Slub => "slub",
            Self::Walk => "walk",
            Self::Cow => "cow",
            Self::Lru => "lru",
            Self::Dma => "dma",
        }
    }

    /// What it is a model of.
    pub fn title(self) -> &'static str {
        match self {
            Self::Buddy => "The buddy allocator",
            Self::Watermark => "A zone's watermarks",
            Self::Slub => "SLUB's free list",
            Self::Walk => "The walk through the page tables",
            Self::Cow => "Copy-on-write",
            Self::Lru => "The two lists of pages",
            Self::Dma => "Addresses for DMA",
        }
    }

    /// The script that is run if none is given: the document's example, or one of what it tells.
    pub fn example(self) -> &'static str {
        match self {
            Self::Buddy => buddy::EXAMPLE,
            Self::Watermark => watermark::EXAMPLE,
            Self::Slub => slub::EXAMPLE,
            Self::Walk => walk::EXAMPLE,
            Self::Cow => cow::EXAMPLE,
            Self::Lru => lru::EXAMPLE,
            Self::Dma => dma::EXAMPLE,
        }
    }

    /// The steps that it knows.
    pub fn steps(self) -> &'static [&'static str] {
        match self {
            Self::Buddy => buddy::STEPS,
            Self::Watermark => watermark::STEPS,
            Self::Slub => slub::STEPS,
            Self::Walk => walk::STEPS,
            Self::Cow => cow::STEPS,
            Self::Lru => lru::STEPS,
            Self::Dma => dma::STEPS,
        }
    }

    /// Where the document is wrong, or contradicts itself, and what the model does.
    pub fn notes(self) -> &'static [&'static str] {
        match self {
            Self::Buddy => buddy::NOTES,
            Self::Watermark => watermark::NOTES,
            Self::Slub => slub::NOTES,
            Self::Walk => walk::NOTES,
            Self::Cow => cow::NOTES,
            Self::Lru => lru::NOTES,
            Self::Dma => dma::NOTES,
        }
    }
}

/// Runs a script.
///
/// # Errors
///
/// If a step is unknown or cannot be done: with the number of its line.
pub fn run(kind: Kind, script: &str) -> Result<Transcript, Wrong> {
    match kind {
        Kind::Buddy => script::run(kind, script, buddy::Pool::default()),
        Kind::Watermark => script::run(kind, script, watermark::Watched::default()),
        Kind::Slub => script::run(kind, script, slub::Cache::default()),
        Kind::Walk => script::run(kind, script, walk::Tables::default()),
        Kind::Cow => script::run(kind, script, cow::Family::default()),
        Kind::Lru => script::run(kind, script, lru::Lists::default()),
        Kind::Dma => script::run(kind, script, dma::Machine::default()),
    }
}
