// SPDX-License-Identifier: GPL-2.0-only

//! The calling task.

use crate::ffi;
use kernel::prelude::*;

/// `EINTR` if the calling task is being killed: long work should not go on.
pub(crate) fn check_not_killed() -> Result {
    // SAFETY: May be called by any task in process context.
    match unsafe { ffi::mapkit_fatal_signal_pending() } {
        true => Err(EINTR),
        false => Ok(()),
    }
}
