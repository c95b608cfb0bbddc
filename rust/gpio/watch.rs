// SPDX-License-Identifier: GPL-2.0-only

//! The edges that an open file is told of by `poll(2)`.

use crate::{
    bank::Bank,
    edges::EdgeCounts, //
};
use kernel::prelude::*;
use mapwright_uapi::gpio as uapi;

/// Which edges of which lines, a bit each, and how many each line had when it was last asked for.
pub(crate) struct Watch {
    rising: u32,
    falling: u32,
    before: [EdgeCounts; uapi::LINES as usize],
}

/// Lines that had edges.
pub(crate) struct Taken {
    pub(crate) rising: u32,
    pub(crate) falling: u32,
    /// What was watched, and how many edges there were before.
    watched: (u32, u32, [EdgeCounts; uapi::LINES as usize]),
}

/// The edges of `line` in these masks.
fn kinds(rising: u32, falling: u32, line: u32) -> u32 {
    let of = |mask: u32, kind| match mask.checked_shr(line).unwrap_or(0) & 1 {
        0 => 0,
        _ => kind,
    };
    of(rising, uapi::EDGE_RISING) | of(falling, uapi::EDGE_FALLING)
}

impl Watch {
    pub(crate) fn new() -> Self {
        Self {
            rising: 0,
            falling: 0,
            before: [EdgeCounts::default(); uapi::LINES as usize],
        }
    }

    /// Watches these edges instead of what was watched. If that fails, nothing has changed.
    pub(crate) fn set(&mut self, bank: &Bank, rising: u32, falling: u32) -> Result {
        if rising | falling != 0 {
            bank.expect_edges()?;
        }
        let mut before = [EdgeCounts::default(); uapi::LINES as usize];
        for (line, counts) in (0..uapi::LINES).zip(&mut before) {
            let which = kinds(rising, falling, line);
            if which == 0 {
                continue;
            }
            match bank.watch(line, which) {
                Ok(now) => *counts = now,
                Err(err) => {
                    let begun = 1u32.wrapping_shl(line).wrapping_sub(1);
                    end(bank, rising & begun, falling & begun);
                    return Err(err);
                }
            }
        }
        end(bank, self.rising, self.falling);
        *self = Self {
            rising,
            falling,
            before,
        };
        Ok(())
    }

    /// Watches nothing any more.
    pub(crate) fn end(&mut self, bank: &Bank) {
        end(bank, self.rising, self.falling);
        *self = Self::new();
    }

    /// The lines that had rising and falling edges since this was last called.
    pub(crate) fn take(&mut self, bank: &Bank) -> Result<Taken> {
        let watched = (self.rising, self.falling, self.before);
        let (mut rose, mut fell) = (0, 0);
        for (line, before) in (0..uapi::LINES).zip(&mut self.before) {
            let which = kinds(self.rising, self.falling, line);
            if which == 0 {
                continue;
            }
            let now = bank.counts(line)?;
            let bit = 1u32.wrapping_shl(line);
            if now.since(before, which & uapi::EDGE_RISING) != 0 {
                rose |= bit;
            }
            if now.since(before, which & uapi::EDGE_FALLING) != 0 {
                fell |= bit;
            }
            *before = now;
        }
        Ok(Taken {
            rising: rose,
            falling: fell,
            watched,
        })
    }

    /// As if that had not been taken, if the same edges are still watched.
    pub(crate) fn put_back(&mut self, taken: Taken) {
        let (rising, falling, before) = taken.watched;
        if (rising, falling) == (self.rising, self.falling) {
            self.before = before;
        }
    }

    /// Whether [`take`](Self::take) would tell of some.
    pub(crate) fn has_some(&self, bank: &Bank) -> Result<bool> {
        for (line, before) in (0..uapi::LINES).zip(&self.before) {
            let which = kinds(self.rising, self.falling, line);
            if which != 0 && bank.counts(line)?.since(before, which) != 0 {
                return Ok(true);
            }
        }
        bank.expect_here()?;
        Ok(false)
    }
}

/// Ends what `Bank::watch` has begun for these edges.
fn end(bank: &Bank, rising: u32, falling: u32) {
    for line in 0..uapi::LINES {
        let which = kinds(rising, falling, line);
        if which != 0 {
            bank.unwatch(line, which);
        }
    }
}
