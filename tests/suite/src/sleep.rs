// SPDX-License-Identifier: MIT OR Apache-2.0

//! A rehearsal of the system's sleep. It is the last that a machine does: the host's files, which come through
//! a virtio device that cannot sleep, are gone after it.

use crate::runner::skip;
use anyhow::{Context as _, Result};
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

/// The driver of virtio ports. Since Linux 7.3 it takes those of before the sleep for ports that nobody listens at:
/// the host says so before the driver is ready to hear it.
const PORTS: &str = "/sys/bus/virtio/drivers/virtio_console";

/// Makes the virtio ports usable again after a sleep: each is a new one. Whoever has one open must close it before.
pub fn ports_anew() -> Result<()> {
    for entry in fs::read_dir(PORTS)?.flatten() {
        let name = entry.file_name();
        if name.to_string_lossy().starts_with("virtio") {
            for what in ["unbind", "bind"] {
                let file = format!("{PORTS}/{what}");
                fs::write(&file, name.as_encoded_bytes()).context(file)?;
            }
        }
    }
    Ok(())
}
