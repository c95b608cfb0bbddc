// SPDX-License-Identifier: GPL-2.0-only

//! The loops: in which order objects are allocated and freed.

use core::ops::Range;
use kernel::prelude::*;
use mapkit::{
    source::{
        self,
        Slots,
        Source,
        Toggled,
        Watch, //
    },
    sysinfo,
    task, //
};
use mapwright_uapi::alloc as uapi;

/// What came of a loop.
#[derive(Clone, Copy, Default)]
pub(crate) struct Tally {
    pub(crate) allocated: usize,
    pub(crate) freed: usize,
    pub(crate) failed: usize,
    pub(crate) allocating: Spent,
    pub(crate) freeing: Spent,
}

/// Time that was spent.
#[derive(Clone, Copy, Default)]
pub(crate) struct Spent {
    pub(crate) ns: u64,
    pub(crate) cycles: u64,
}

impl Spent {
    /// Adds the time that `f` takes.
    fn time<T>(&mut self, f: impl FnOnce() -> T) -> T {
        let (ns, cycles) = (sysinfo::nanoseconds(), sysinfo::cycles());
        let result = f();
        let (later_cycles, later_ns) = (sysinfo::cycles(), sysinfo::nanoseconds());
        self.ns = self.ns.wrapping_add(later_ns.saturating_sub(ns));
        self.cycles = self
            .cycles
            .wrapping_add(later_cycles.saturating_sub(cycles));
        result
    }
}

/// What a loop is told.
#[derive(Clone, Copy)]
pub(crate) struct Turns {
    /// Operations to do.
    pub(crate) count: usize,
    /// Operations between two looks for a signal.
    pub(crate) chunk: usize,
    /// Whether the last objects stay.
    pub(crate) hold: bool,
    /// Where random numbers begin.
    pub(crate) seed: u64,
}

/// Calls `f` with parts of `0..count`, until a signal comes: `EINTR`.
fn in_chunks(count: usize, chunk: usize, mut f: impl FnMut(Range<usize>)) -> Result {
    let mut start = 0usize;
    while start < count {
        task::check_no_signal()?;
        task::let_others_run();
        let end = start.saturating_add(chunk).min(count);
        f(start..end);
        start = end;
    }
    Ok(())
}

/// Each object is freed before the next is allocated.
pub(crate) fn pairs<S: Source, W: Watch>(
    source: &S,
    turns: Turns,
    watch: &mut W,
    tally: &mut Tally,
) -> Result {
    let mut given = 0usize;
    let mut tried = 0usize;
    let result = tally.allocating.time(|| {
        in_chunks(turns.count, turns.chunk, |part| {
            tried = part.end;
            given = given.wrapping_add(source::pairs(source, part.len(), watch));
        })
    });
    tally.allocated = given;
    tally.freed = given;
    tally.failed = tried.wrapping_sub(given);
    result
}

/// As many as there are places are allocated, then freed, and again.
pub(crate) fn batches<S: Source, W: Watch>(
    slots: &mut Slots<S>,
    turns: Turns,
    watch: &mut W,
    tally: &mut Tally,
) -> Result {
    let mut left = turns.count;
    while left > 0 {
        let batch = left.min(slots.len());
        left = left.wrapping_sub(batch);
        let (mut given, mut tried) = (0usize, 0usize);
        let filled = tally.allocating.time(|| {
            in_chunks(batch, turns.chunk, |part| {
                tried = part.end;
                given = given.wrapping_add(slots.fill(part, watch));
            })
        });
        tally.allocated = tally.allocated.wrapping_add(given);
        tally.failed = tally.failed.wrapping_add(tried.wrapping_sub(given));
        filled?;
        if left == 0 && turns.hold {
            break;
        }
        let mut freed = 0usize;
        let drained = tally.freeing.time(|| {
            in_chunks(batch, turns.chunk, |part| {
                freed = freed.wrapping_add(slots.drain(part, watch));
            })
        });
        tally.freed = tally.freed.wrapping_add(freed);
        drained?;
    }
    Ok(())
}

/// One of the places is drawn; what is there is freed, or an object allocated if it is empty.
pub(crate) fn random<S: Source, W: Watch>(
    slots: &mut Slots<S>,
    turns: Turns,
    watch: &mut W,
    tally: &mut Tally,
) -> Result {
    let mut numbers = Numbers::new(turns.seed);
    let places = slots.len() as u64;
    let (mut allocated, mut freed, mut failed) = (0usize, 0usize, 0usize);
    let result = tally.allocating.time(|| {
        in_chunks(turns.count, turns.chunk, |part| {
            for _ in part {
                // The upper half times the number of places, of which the upper half: no division.
                let place = (numbers.next() >> 32).wrapping_mul(places) >> 32;
                match slots.toggle(place as usize, watch) {
                    Toggled::Allocated => allocated = allocated.wrapping_add(1),
                    Toggled::Freed => freed = freed.wrapping_add(1),
                    Toggled::Failed => failed = failed.wrapping_add(1),
                }
            }
        })
    });
    tally.allocated = allocated;
    tally.freed = freed;
    tally.failed = failed;
    result
}

/// Numbers that look random and are the same for the same seed: xorshift64*.
struct Numbers(u64);

impl Numbers {
    fn new(seed: u64) -> Self {
        // Zero would stay zero.
        Self(seed.wrapping_mul(2).wrapping_add(1))
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}

/// Operations between two looks for a signal, if each is about `bytes` bytes.
pub(crate) fn chunk(bytes: u64) -> usize {
    /// Bytes that are zeroed in some tens of microseconds.
    const BYTES: u64 = 256 << 10;
    /// As many as are ever done without a look.
    const MOST: u32 = 10;
    // In powers of two: 32-bit kernels cannot divide 64 bits.
    let shift = (BYTES.ilog2()).saturating_sub(bytes.max(1).ilog2());
    1usize.wrapping_shl(shift.min(MOST))
}

/// How the pattern is called.
pub(crate) fn from_number(number: u32) -> Result<uapi::Pattern> {
    uapi::Pattern::from_number(number).ok_or(EINVAL)
}
