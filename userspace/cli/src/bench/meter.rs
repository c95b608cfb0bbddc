// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a cost is counted in: instructions where the machine can count them, time elsewhere.
//!
//! An emulator that is told to (QEMU's `-icount shift=0`) moves its clocks on by one tick per
//! instruction, whatever that instruction is. The time-stamp counter then counts instructions, of the
//! program and of the kernel. No hardware does that, so it is found out by running code of known
//! length: two loops that any real processor takes very different times for.

use serde::Serialize;
use std::{fmt, time::Instant};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    Instructions,
    Nanoseconds,
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Instructions => "instructions",
            Self::Nanoseconds => "nanoseconds",
        })
    }
}

/// Counts what a piece of code costs.
pub struct Meter {
    pub unit: Unit,
    started: Instant,
    /// What counting nothing counts.
    overhead: u64,
}

impl Meter {
    /// Finds out what can be counted here.
    pub fn new() -> Self {
        let unit = match counts_instructions() {
            true => Unit::Instructions,
            false => Unit::Nanoseconds,
        };
        let mut meter = Self {
            unit,
            started: Instant::now(),
            overhead: 0,
        };
        meter.overhead = (0..100).map(|_| meter.count(|| ()).1).min().unwrap_or(0);
        meter
    }

    /// What `f` returns, and what it cost.
    #[inline]
    pub fn count<T>(&self, f: impl FnOnce() -> T) -> (T, u64) {
        let before = self.now();
        let result = f();
        let after = self.now();
        (
            result,
            after.wrapping_sub(before).saturating_sub(self.overhead),
        )
    }

    #[inline]
    fn now(&self) -> u64 {
        match self.unit {
            Unit::Instructions => ticks(),
            Unit::Nanoseconds => {
                u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
            }
        }
    }
}

/// The time-stamp counter.
#[cfg(target_arch = "x86_64")]
#[inline]
fn ticks() -> u64 {
    // SAFETY: Every x86-64 processor has the instruction. A system may forbid it, by a signal; then
    // the programs and the vDSO of that system have no clock either.
    unsafe { std::arch::x86_64::_rdtsc() }
}

#[cfg(not(target_arch = "x86_64"))]
fn ticks() -> u64 {
    0
}

/// Whether the time-stamp counter counts instructions: whether both loops take as many ticks as they
/// have, to 0.1 %. The second takes any real processor about three times as long.
#[cfg(target_arch = "x86_64")]
fn counts_instructions() -> bool {
    const TURNS: u64 = 20_000;
    let ticks_of = |f: fn(u64)| {
        let once = |_| {
            let before = ticks();
            f(TURNS);
            ticks().wrapping_sub(before)
        };
        // An interrupt only adds to it.
        (0..9).map(once).min().unwrap_or(0)
    };
    is_near(ticks_of(count_down), 2 * TURNS) && is_near(ticks_of(count_down_slowly), 4 * TURNS)
}

#[cfg(not(target_arch = "x86_64"))]
fn counts_instructions() -> bool {
    false
}

/// To 0.1 %, and a handful for the call.
#[cfg(any(target_arch = "x86_64", test))]
fn is_near(counted: u64, expected: u64) -> bool {
    counted.abs_diff(expected) <= expected / 1000 + 8
}

/// Two instructions a turn, that take a cycle.
#[cfg(target_arch = "x86_64")]
fn count_down(turns: u64) {
    // SAFETY: Changes nothing but the register it is given and the flags.
    unsafe {
        std::arch::asm!(
            "2:", "dec {n}", "jnz 2b",
            n = inout(reg) turns => _,
            options(nomem, nostack),
        );
    }
}

/// Four instructions a turn, two of them multiplications that wait for each other: six cycles.
#[cfg(target_arch = "x86_64")]
fn count_down_slowly(turns: u64) {
    // SAFETY: Changes nothing but the registers it is given and the flags.
    unsafe {
        std::arch::asm!(
            "2:", "imul {x}, {x}", "imul {x}, {x}", "dec {n}", "jnz 2b",
            n = inout(reg) turns => _,
            x = inout(reg) 3u64 => _,
            options(nomem, nostack),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_is_a_thousandth() {
        assert!(is_near(40_000, 40_000) && is_near(40_047, 40_000));
        assert!(!is_near(20_000, 40_000) && !is_near(40_100, 40_000));
    }

    #[test]
    fn counts_what_is_done() {
        let meter = Meter::new();
        let (sum, cost) = meter.count(|| (0..100_000u64).map(std::hint::black_box).sum::<u64>());
        assert_eq!(sum, 4_999_950_000);
        assert!(cost > 0);
    }
}
