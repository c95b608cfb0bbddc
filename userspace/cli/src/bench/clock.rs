// SPDX-License-Identifier: MIT OR Apache-2.0

//! The clock with which the module measures latencies. It is off while its costs are compared with those
//! of what has none.

use std::{fs, path::PathBuf};

/// The clock, off until this is dropped if it was on.
pub struct Off {
    switch: PathBuf,
    was_on: bool,
}

impl Off {
    /// Switches it off, where debugfs has it.
    pub fn new() -> Self {
        let switch = PathBuf::from(mapwright::DEBUGFS).join("timing");
        let was_on = fs::read_to_string(&switch).is_ok_and(|state| state.starts_with('Y'))
            && fs::write(&switch, "0").is_ok();
        Self { switch, was_on }
    }
}

impl Drop for Off {
    fn drop(&mut self) {
        // The module may have been removed meanwhile: then there is nothing to restore.
        if self.was_on {
            let _ = fs::write(&self.switch, "1");
        }
    }
}
