// SPDX-License-Identifier: MIT OR Apache-2.0

//! Keeps other threads out of what is measured.
//!
//! On a single processor the least of several runs is not enough: a run that fits the scheduler's
//! tick is interrupted at the same place each time. So the bench runs before all ordinary threads,
//! and lets them do their work before each run.

use nix::{errno::Errno, libc};
use std::{thread::sleep, time::Duration};

/// Runs this thread before all ordinary ones from now on. Needs `CAP_SYS_NICE`.
pub fn go_first() -> Result<(), Errno> {
    let parameters = libc::sched_param { sched_priority: 1 };
    // SAFETY: The kernel only reads the structure, which lives during the call.
    Errno::result(unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &parameters) }).map(drop)
}

/// Lets the others work, and begins at another place between two ticks each time.
pub fn let_others_work(run: usize) {
    sleep(Duration::from_micros(3000 + 370 * (run as u64 % 11)));
}
