// SPDX-License-Identifier: MIT OR Apache-2.0

//! A rehearsal of the system's sleep. It is the last that a machine does: the host's files, which come through
//! a virtio device that cannot sleep, are gone after it.

use crate::runner::skip;
use anyhow::Result;
use nix::sys::mman::{mlockall, MlockAllFlags};
use std::{fs, time::Duration};

/// Freezes all tasks and suspends all devices for so long, and resumes them.
pub fn rehearse(duration: Duration) -> Result<()> {
    if fs::write("/sys/power/pm_test", "platform").is_err() {
        return skip("this kernel cannot rehearse its sleep (CONFIG_PM_DEBUG)");
    }
    let seconds = duration.as_secs().to_string();
    fs::write("/sys/module/suspend/parameters/pm_test_delay", seconds)?;
    // What has been read of the host's files is all that there will be.
    mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE)?;
    Ok(fs::write("/sys/power/state", "freeze")?)
}
