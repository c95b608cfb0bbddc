// SPDX-License-Identifier: GPL-2.0-only

//! The calling task.
//!
//! C headers: [`include/linux/sched.h`](srctree/include/linux/sched.h), [`include/linux/sched/signal.h`](srctree/include/linux/sched/signal.h)

use crate::ffi;
use kernel::{
    bindings,
    prelude::*, //
};

/// `EINTR` if a signal waits for the calling task: long work should not go on.
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
/// use mapkit::base::task::{check_no_signal, let_others_run};
///
/// /// Does a part of something `times` times, until a signal comes.
/// fn repeat(times: usize, mut part: impl FnMut()) -> Result {
///     for _ in 0..times {
///         check_no_signal()?;
///         part();
///         let_others_run();
///     }
///     Ok(())
/// }
/// ```
pub fn check_no_signal() -> Result {
    // SAFETY: May be called by any task in process context.
    match unsafe { ffi::mapkit_signal_pending() } {
        true => Err(EINTR),
        false => Ok(()),
    }
}

/// Lets other tasks run if it is their turn. To be called now and then by long work.
///
/// For an example, see [`check_no_signal`].
pub fn let_others_run() {
    // SAFETY: May be called by any task in process context that may sleep.
    unsafe { ffi::mapkit_cond_resched() };
}

/// Number of the CPU that runs the calling task, at least for a moment.
pub fn cpu() -> u32 {
    // SAFETY: May be called in any context.
    unsafe { bindings::raw_smp_processor_id() }
}

/// `EINTR` if the calling task is being killed: long work should not go on.
pub(crate) fn check_not_killed() -> Result {
    // SAFETY: May be called by any task in process context.
    match unsafe { ffi::mapkit_fatal_signal_pending() } {
        true => Err(EINTR),
        false => Ok(()),
    }
}

/// What work over memory of a program's choosing does between two pieces of it: lets other tasks run if it is their
/// turn. `EINTR` if the calling task is being killed: the work should not go on.
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
/// use mapkit::{
///     base::task::{between_pieces, PIECE_PAGES},
///     memory::backing::Backing,
/// };
///
/// /// The highest frame number of memory that may be large.
/// fn highest(memory: &dyn Backing) -> Result<usize> {
///     let (mut first, mut highest) = (0, 0);
///     while first < memory.nr_pages() {
///         let end = first.saturating_add(PIECE_PAGES);
///         for run in memory.runs(first, end) {
///             highest = highest.max(run.pfn.saturating_add(run.nr_pages - 1));
///         }
///         first = end;
///         between_pieces()?;
///     }
///     Ok(highest)
/// }
/// ```
pub fn between_pieces() -> Result {
    let_others_run();
    check_not_killed()
}

/// Pages that work goes through at most between two calls of [`between_pieces`]: 1 MiB with pages of 4 KiB, which
/// takes about ten milliseconds where it is slowest, with memory that is not cached.
///
/// For an example, see [`between_pieces`].
pub const PIECE_PAGES: usize = 256;
