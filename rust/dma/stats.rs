// SPDX-License-Identifier: GPL-2.0-only

//! What the engine counts, beside what all sessions count.

use kernel::{
    prelude::*,
    seq_file::SeqFile,
    seq_print, //
};
use mapkit::{
    base::text::Decimal,
    observe::percpu::{
        CounterNames,
        PerCpuCounters, //
    }, //
};

/// The counters of an engine.
#[derive(Clone, Copy)]
pub(crate) enum Counter {
    /// Transfers that ended well.
    Transfers,
    /// Pieces that the engine was told to move.
    PiecesStarted,
    /// Pieces that it moved from memory to its buffer.
    PiecesFromMemory,
    /// Pieces that it moved from its buffer to memory.
    PiecesToMemory,
    /// Bytes of these.
    BytesMoved,
    /// Interrupts with which it said so.
    Interrupts,
    /// Pieces that it did not say so of.
    Timeouts,
    /// Parts of regions mapped for the device.
    Mapped,
    /// Parts of regions unmapped.
    Unmapped,
}

impl Counter {
    /// All of them, with their names in the table, which stay the same in later versions.
    const ALL: &'static [(Self, &'static str)] = &[
        (Self::Transfers, "transfers"),
        (Self::PiecesStarted, "pieces_started"),
        (Self::PiecesFromMemory, "pieces_from_memory"),
        (Self::PiecesToMemory, "pieces_to_memory"),
        (Self::BytesMoved, "bytes_moved"),
        (Self::Interrupts, "interrupts"),
        (Self::Timeouts, "timeouts"),
        (Self::Mapped, "mapped"),
        (Self::Unmapped, "unmapped"),
    ];
}

impl CounterNames for Counter {
    const COUNT: usize = Self::ALL.len();

    fn index(self) -> usize {
        self as usize
    }
}

/// An engine's counters.
pub(crate) struct Stats(PerCpuCounters<Counter>);

impl Stats {
    /// All zero.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self(PerCpuCounters::new()?))
    }

    /// Adds one.
    pub(crate) fn inc(&self, counter: Counter) {
        self.0.inc(counter);
    }

    /// Adds `n`.
    pub(crate) fn add(&self, counter: Counter, n: usize) {
        self.0.add(counter, n);
    }

    /// Writes a line per counter.
    pub(crate) fn show(&self, m: &SeqFile) {
        for (counter, name) in Counter::ALL {
            seq_print!(m, "{} {}\n", name, Decimal(self.0.sum(*counter) as u64));
        }
    }
}
