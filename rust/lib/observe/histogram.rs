// SPDX-License-Identifier: GPL-2.0-only

//! How long things take: histograms whose buckets double, and a switch for the clock.

use crate::observe::percpu::{
    CounterNames,
    PerCpuCounters, //
};
use core::{
    cell::UnsafeCell,
    cmp::min, //
};
use kernel::{
    bindings,
    prelude::*, //
};

/// Buckets of a histogram. Bucket `n` counts what took less than `2^n` nanoseconds, and at least half
/// of that; the first but one also counts what took less than the clock can tell, and the last one all
/// that took longer.
pub const BUCKETS: usize = 32;

/// A set of histograms, one for each name in `N`.
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
/// use mapkit::{memory::pages::Pages, observe::{histogram::Histograms, percpu::CounterNames}};
///
/// #[derive(Clone, Copy)]
/// struct Allocation;
///
/// impl CounterNames for Allocation {
///     const COUNT: usize = 1;
///
///     fn index(self) -> usize {
///         0
///     }
/// }
///
/// fn timed(latencies: &Histograms<Allocation>) -> Result<Pages> {
///     let start = latencies.start();
///     let pages = Pages::new(16)?;
///     latencies.stop(Allocation, start);
///     Ok(pages)
/// }
/// ```
pub struct Histograms<N> {
    buckets: PerCpuCounters<Bucket<N>>,
    clock: Switch,
    ticks: Ticks,
}

/// A bucket of a histogram of a set.
#[derive(Clone, Copy)]
struct Bucket<N> {
    name: N,
    bucket: usize,
}

impl<N: CounterNames> CounterNames for Bucket<N> {
    const COUNT: usize = N::COUNT * BUCKETS;

    #[inline]
    fn index(self) -> usize {
        self.name
            .index()
            .wrapping_mul(BUCKETS)
            .wrapping_add(self.bucket)
    }
}

/// A point in time, if the clock is on. The default is that it is off.
#[derive(Clone, Copy, Default)]
pub struct Start(Option<u64>);

impl<N: CounterNames> Histograms<N> {
    /// Allocates the set, all zero. `ENOMEM` if there is no memory for it.
    pub fn new(clock_on: bool) -> Result<Self> {
        Ok(Self {
            buckets: PerCpuCounters::new()?,
            clock: Switch::new(clock_on),
            ticks: Ticks::new(),
        })
    }

    /// The switch of the clock. While it is off nothing is added, and that costs a load and a branch.
    pub fn clock(&self) -> &Switch {
        &self.clock
    }

    /// Looks at the clock, before what is measured.
    #[inline]
    pub fn start(&self) -> Start {
        Start(self.clock.is_on().then(|| self.ticks.now()))
    }

    /// Adds the time since `start` to a histogram.
    #[inline]
    pub fn stop(&self, name: N, start: Start) {
        if let Start(Some(start)) = start {
            let ns = self.ticks.to_ns(self.ticks.now().saturating_sub(start));
            let bucket = min((ns | 1).ilog2() as usize, BUCKETS - 2).wrapping_add(1);
            self.buckets.inc(Bucket { name, bucket });
        }
    }

    /// How many are in a bucket.
    pub fn count(&self, name: N, bucket: usize) -> usize {
        match bucket < BUCKETS {
            true => self.buckets.sum(Bucket { name, bucket }),
            false => 0,
        }
    }
}

/// What latencies are measured in. The kernel's clock takes fifty instructions to be read; so where the
/// processors' time-stamp counters can be trusted, it is these.
struct Ticks {
    /// Nanoseconds of `1 << 32` ticks, or 0 if they are those of the kernel's clock.
    ns: u64,
}

impl Ticks {
    #[cfg(all(CONFIG_X86_64, not(CONFIG_UML)))]
    fn new() -> Self {
        // SAFETY: May be called at any time.
        let unstable = unsafe { bindings::check_tsc_unstable() } != 0;
        // SAFETY: The kernel sets it when it boots.
        let khz = u64::from(unsafe { (&raw const bindings::tsc_khz).read() });
        let ns = (1_000_000u64 << 32).checked_div(khz);
        Self {
            ns: ns.filter(|_| !unstable).unwrap_or(0),
        }
    }

    #[cfg(not(all(CONFIG_X86_64, not(CONFIG_UML))))]
    fn new() -> Self {
        Self { ns: 0 }
    }

    /// The present time. May be called in any context.
    #[inline]
    fn now(&self) -> u64 {
        #[cfg(all(CONFIG_X86_64, not(CONFIG_UML)))]
        if self.ns != 0 {
            // SAFETY: Every x86-64 processor has the instruction, and the kernel may use it.
            return unsafe { core::arch::x86_64::_rdtsc() };
        }
        // SAFETY: May be called in any context.
        unsafe { bindings::ktime_get_mono_fast_ns() }
    }

    #[inline]
    fn to_ns(&self, ticks: u64) -> u64 {
        match self.ns {
            0 => ticks,
            ns => (u128::from(ticks).wrapping_mul(ns.into()) >> 32) as u64,
        }
    }
}

/// Something that is on or off, and may be changed at any time.
///
/// # Examples
///
/// ```
/// use mapkit::observe::histogram::Switch;
///
/// assert!(Switch::new(true).is_on());
/// ```
#[repr(transparent)]
pub struct Switch(UnsafeCell<bool>);

// SAFETY: It is only read and written with volatile accesses of a byte, which do not tear.
unsafe impl Sync for Switch {}
// SAFETY: It is not tied to a thread.
unsafe impl Send for Switch {}

impl Switch {
    /// A switch that is on or off.
    pub const fn new(on: bool) -> Self {
        Self(UnsafeCell::new(on))
    }

    /// Whether it is on.
    #[inline]
    pub fn is_on(&self) -> bool {
        // SAFETY: The cell is valid, and whoever else writes to it writes 0 or 1. Read as a number,
        // so that nothing depends on that.
        unsafe { self.0.get().cast::<u8>().read_volatile() != 0 }
    }

    pub(crate) fn as_ptr(&self) -> *mut bool {
        self.0.get()
    }
}
