// SPDX-License-Identifier: GPL-2.0-only

//! Counters that each CPU adds to in a place of its own, summed when they are read.
//!
//! C header: [`include/linux/percpu.h`](srctree/include/linux/percpu.h)
//!
//! Documentation: [`Documentation/core-api/this_cpu_ops.rst`](srctree/Documentation/core-api/this_cpu_ops.rst)

use crate::{
    base::sysinfo,
    ffi, //
};
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

/// Charged to the memory cgroup of the caller. Neither is the OOM killer called nor a failure logged: of the flags
/// that do this, the per-CPU allocator passes only these on.
const GFP: bindings::gfp_t =
    bindings::GFP_KERNEL_ACCOUNT | bindings::__GFP_NOWARN | ffi::__GFP_NORETRY;

/// Names the counters of a set.
///
/// For an example, see [`PerCpuCounters`].
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
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
/// use mapkit::observe::percpu::{CounterNames, PerCpuCounters};
///
/// #[derive(Clone, Copy)]
/// enum Counter {
///     Loads,
///     Stores,
/// }
///
/// impl CounterNames for Counter {
///     const COUNT: usize = 2;
///
///     fn index(self) -> usize {
///         self as usize
///     }
/// }
///
/// fn loads() -> Result<usize> {
///     let counters = PerCpuCounters::new()?;
///     counters.inc(Counter::Loads);
///     counters.add(Counter::Stores, 3);
///     Ok(counters.sum(Counter::Loads))
/// }
/// ```
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
        // So that each index below `COUNT` is one of a counter that was allocated.
        let bytes = size_of::<c_ulong>().checked_mul(N::COUNT).ok_or(ENOMEM)?;
        // SAFETY: Any size and alignment up to a page are fine; the function may sleep, as may its
        // callers.
        let base = unsafe { bindings::pcpu_alloc_noprof(bytes, align_of::<c_ulong>(), false, GFP) };
        // INVARIANT: Just allocated with this size.
        Ok(Self {
            base: NonNull::new(base.cast()).ok_or(ENOMEM)?,
            _names: PhantomData,
        })
    }

    /// Bytes that a set takes of the machine's memory: a copy for each possible CPU, and as much as three more for
    /// what the per-CPU allocator keeps to tell who is charged.
    pub fn bytes_of_all() -> usize {
        let copies = (sysinfo::possible_cpus() as usize).saturating_add(3);
        size_of::<c_ulong>()
            .saturating_mul(N::COUNT)
            .saturating_mul(copies)
    }

    /// The per-CPU pointer of a counter, or `None` if its name lies about its index.
    fn counter(&self, name: N) -> Option<*mut c_ulong> {
        let index = name.index();
        (index < N::COUNT).then(|| self.base.as_ptr().wrapping_add(index))
    }

    /// Adds `n` to a counter.
    ///
    /// Does nothing if this was built with `make COUNTERS=0`, which is for measuring what counting costs.
    #[inline]
    pub fn add(&self, name: N, n: usize) {
        if cfg!(mapkit_uncounted) {
            return;
        }
        if let Some(counter) = self.counter(name) {
            // SAFETY: By the type invariant this is a per-CPU pointer to an `unsigned long`.
            unsafe { this_cpu_add(counter, n) };
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

/// Adds `n` to this CPU's place of a counter: one instruction, so that neither a move to another CPU
/// nor an interrupt can come between, where a call of C's `this_cpu_add()` takes twenty.
///
/// # Safety
///
/// `counter` must be a per-CPU pointer to an `unsigned long`.
#[cfg(all(CONFIG_X86_64, CONFIG_SMP, not(CONFIG_UML)))]
#[inline]
unsafe fn this_cpu_add(counter: *mut c_ulong, n: c_ulong) {
    // SAFETY: On x86-64, the base of the segment `gs` is what this CPU's place is away from a per-CPU
    // pointer, see `arch/x86/include/asm/percpu.h`. By the requirement of this function there is an
    // `unsigned long`, which everybody adds to in this way.
    unsafe {
        core::arch::asm!(
            "add qword ptr gs:[{counter}], {n}",
            counter = in(reg) counter,
            n = in(reg) n,
            options(nostack),
        );
    }
}

/// Adds `n` to this CPU's place of a counter.
///
/// # Safety
///
/// `counter` must be a per-CPU pointer to an `unsigned long`.
#[cfg(not(all(CONFIG_X86_64, CONFIG_SMP, not(CONFIG_UML))))]
#[inline]
unsafe fn this_cpu_add(counter: *mut c_ulong, n: c_ulong) {
    // SAFETY: By the requirement of this function.
    unsafe { ffi::mapkit_this_cpu_add(counter, n) };
}
