// SPDX-License-Identifier: GPL-2.0-only

//! The loops: in which order objects are allocated and freed.

use core::ops::Range;
use kernel::prelude::*;
use mapkit::{
    base::{
        sysinfo,
        task, //
    },
    source::{
        self,
        Slots,
        Source,
        Watch, //
    }, //
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

/// The loops of a source, without its type: they are called for many operations at a time.
pub(crate) trait Loops {
    /// Places for objects.
    fn places(&self) -> usize;

    /// Allocates and frees so many times. Returns how often there was an object.
    fn pairs(&mut self, turns: usize) -> usize;

    /// Allocates for some empty places. Returns how many objects there were.
    fn fill(&mut self, places: Range<usize>) -> usize;

    /// Frees the objects of some places. Returns how many.
    fn drain(&mut self, places: Range<usize>) -> usize;

    /// Draws so many places; what is there is freed, or an object allocated if it is empty.
    fn toggle(&mut self, turns: usize, numbers: &mut Numbers, toggled: &mut [usize; 3]);
}

/// The loops of a source that is watched.
pub(crate) struct Watched<'a, S: Source, W: Watch> {
    pub(crate) slots: &'a mut Slots<S>,
    pub(crate) watch: &'a mut W,
}

impl<S: Source, W: Watch> Loops for Watched<'_, S, W> {
    fn places(&self) -> usize {
        self.slots.len()
    }

    fn pairs(&mut self, turns: usize) -> usize {
        source::pairs(self.slots.source(), turns, self.watch)
    }

    fn fill(&mut self, places: Range<usize>) -> usize {
        self.slots.fill(places, self.watch)
    }

    fn drain(&mut self, places: Range<usize>) -> usize {
        self.slots.drain(places, self.watch)
    }

    fn toggle(&mut self, turns: usize, numbers: &mut Numbers, toggled: &mut [usize; 3]) {
        let places = self.slots.len() as u64;
        for _ in 0..turns {
            // The upper half times the number of places, of which the upper half: no division.
            let place = (numbers.next() >> 32).wrapping_mul(places) >> 32;
            let what = self.slots.toggle(place as usize, self.watch) as usize;
            if let Some(count) = toggled.get_mut(what) {
                *count = count.wrapping_add(1);
            }
        }
    }
}

/// Runs the loop of a pattern.
pub(crate) fn run(
    pattern: uapi::Pattern,
    loops: &mut dyn Loops,
    turns: Turns,
    tally: &mut Tally,
) -> Result {
    match pattern {
        uapi::Pattern::Pairs => pairs(loops, turns, tally),
        uapi::Pattern::Batches => batches(loops, turns, tally),
        uapi::Pattern::Random => random(loops, turns, tally),
    }
}

/// Each object is freed before the next is allocated.
fn pairs(loops: &mut dyn Loops, turns: Turns, tally: &mut Tally) -> Result {
    let (mut given, mut tried) = (0usize, 0usize);
    let result = tally.allocating.time(|| {
        in_chunks(turns.count, turns.chunk, |part| {
            tried = part.end;
            given = given.wrapping_add(loops.pairs(part.len()));
        })
    });
    tally.allocated = given;
    tally.freed = given;
    tally.failed = tried.wrapping_sub(given);
    result
}

/// Allocates as many objects as there are places, then frees them; and again.
fn batches(loops: &mut dyn Loops, turns: Turns, tally: &mut Tally) -> Result {
    let mut left = turns.count;
    while left > 0 {
        let batch = left.min(loops.places());
        left = left.wrapping_sub(batch);
        let (mut given, mut tried) = (0usize, 0usize);
        let filled = tally.allocating.time(|| {
            in_chunks(batch, turns.chunk, |part| {
                tried = part.end;
                given = given.wrapping_add(loops.fill(part));
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
                freed = freed.wrapping_add(loops.drain(part));
            })
        });
        tally.freed = tally.freed.wrapping_add(freed);
        drained?;
    }
    Ok(())
}

/// One of the places is drawn; what is there is freed, or an object allocated if it is empty.
fn random(loops: &mut dyn Loops, turns: Turns, tally: &mut Tally) -> Result {
    let mut numbers = Numbers::new(turns.seed);
    let mut toggled = [0; 3];
    let result = tally.allocating.time(|| {
        in_chunks(turns.count, turns.chunk, |part| {
            loops.toggle(part.len(), &mut numbers, &mut toggled)
        })
    });
    // In the order of `Toggled`.
    [tally.allocated, tally.freed, tally.failed] = toggled;
    result
}

/// Numbers that look random and are the same for the same seed: xorshift64*.
pub(crate) struct Numbers(u64);

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
    /// Turns that are done without a look, at most.
    const MOST: u32 = 10;
    // In powers of two: 32-bit kernels cannot divide 64 bits.
    let shift = (BYTES.ilog2()).saturating_sub(bytes.max(1).ilog2());
    1usize.wrapping_shl(shift.min(MOST))
}

/// How the pattern is called.
pub(crate) fn from_number(number: u32) -> Result<uapi::Pattern> {
    uapi::Pattern::from_number(number).ok_or(EINVAL)
}
