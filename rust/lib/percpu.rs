// SPDX-License-Identifier: GPL-2.0-only

//! Counters that each CPU adds to in a place of its own, summed when they are read.

use crate::ffi;
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    ffi::{
        c_ulong,
        c_void, //
    },
    prelude::*, //
};

/// Names the counters of a set.
pub trait CounterNames: Copy + 'static {
    /// How many there are.
    const COUNT: usize;

    /// Its number, below [`COUNT`](Self::COUNT).
    fn index(self) -> usize;
}

/// A set of counters, one for each name in `N`.
///
/// Each is as wide as a `usize` and wraps around. Adding takes no lock and may be done anywhere,
/// interrupt handlers included.
///
/// # Invariants
///
/// `base` is a per-CPU allocation of `N::COUNT` times `unsigned long`, and owned.
pub struct PerCpuCounters<N> {
    base: NonNull<c_ulong>,
    _names: PhantomData<fn(N)>,
}

// SAFETY: A per-CPU allocation is not tied to a thread.
unsafe impl<N> Send for PerCpuCounters<N> {}
// SAFETY: `add` and `sum` are safe to call from several threads at once: each CPU only changes its
// own place, in a single operation as seen by an interrupt, and reading tears nothing.
unsafe impl<N> Sync for PerCpuCounters<N> {}

impl<N: CounterNames> PerCpuCounters<N> {
    /// Allocates the set, all zero. `ENOMEM` if there is no memory for it.
    pub fn new() -> Result<Self> {
        let bytes = size_of::<c_ulong>().wrapping_mul(N::COUNT);
        // SAFETY: Any size and alignment up to a page are fine; the function may sleep, as may its
        // callers.
        let base = unsafe {
            bindings::pcpu_alloc_noprof(bytes, align_of::<c_ulong>(), false, bindings::GFP_KERNEL)
        };
        // INVARIANT: Just allocated with this size.
        Ok(Self {
            base: NonNull::new(base.cast()).ok_or(ENOMEM)?,
            _names: PhantomData,
        })
    }

    /// The per-CPU pointer of a counter, or `None` if its name lies about its index.
    fn counter(&self, name: N) -> Option<*mut c_ulong> {
        let index = name.index();
        (index < N::COUNT).then(|| self.base.as_ptr().wrapping_add(index))
    }

    /// Adds `n` to a counter.
    #[inline]
    pub fn add(&self, name: N, n: usize) {
        if let Some(counter) = self.counter(name) {
            // SAFETY: By the type invariant this is a per-CPU pointer to an `unsigned long`.
            unsafe { ffi::mapkit_this_cpu_add(counter, n) };
        }
    }

    /// Adds one to a counter.
    #[inline]
    pub fn inc(&self, name: N) {
        self.add(name, 1);
    }

    /// A counter's sum over all CPUs. What is added meanwhile may be counted or not.
    pub fn sum(&self, name: N) -> usize {
        self.counter(name).map_or(0, |counter| {
            // SAFETY: By the type invariant this is a per-CPU pointer to an `unsigned long`.
            unsafe { ffi::mapkit_percpu_sum(counter) }
        })
    }
}

impl<N> Drop for PerCpuCounters<N> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant this is an owned per-CPU allocation.
        unsafe { bindings::free_percpu(self.base.as_ptr().cast::<c_void>()) };
    }
}
