// SPDX-License-Identifier: MIT OR Apache-2.0

//! Modules that are inserted only to be measured.

use anyhow::{bail, Context as _, Result};
use nix::{
    errno::Errno,
    kmod::{delete_module, finit_module, DeleteModuleFlags, ModuleInitFlags},
};
use std::{
    ffi::CString,
    fs::File,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// A module that stands in for the one that was there, which comes back when this is dropped.
pub struct StandIn {
    original: PathBuf,
}

impl StandIn {
    /// Removes `mapwright` and inserts `file` with `parameters`. `original` comes back later.
    pub fn insert(file: &Path, parameters: &str, original: PathBuf) -> Result<Self> {
        remove()?;
        // From here on the original comes back, whatever happens.
        let stand_in = Self { original };
        insert(file, parameters, mapwright::DEVICE)?;
        Ok(stand_in)
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        let back = remove().and_then(|()| insert(&self.original, "", mapwright::DEVICE));
        if let Err(err) = back {
            eprintln!("mapwright: {err:#}");
        }
    }
}

/// Inserts a module with `parameters` and waits for its device node, unless it is there.
pub fn insert(file: &Path, parameters: &str, device: &str) -> Result<()> {
    let parameters = CString::new(parameters)?;
    let inserted = File::open(file)
        .map_err(anyhow::Error::from)
        .and_then(|open| Ok(finit_module(&open, &parameters, ModuleInitFlags::empty())?));
    match inserted {
        Err(err) if err.downcast_ref() == Some(&Errno::EEXIST) => {}
        other => other.with_context(|| format!("inserting {}", file.display()))?,
    }
    // devtmpfs works in a thread of its own.
    let deadline = Instant::now() + Duration::from_secs(10);
    while !Path::new(device).exists() {
        if Instant::now() > deadline {
            bail!("waited in vain for {device}");
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn remove() -> Result<()> {
    match delete_module(c"mapwright", DeleteModuleFlags::O_NONBLOCK) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(errno).context("removing mapwright"),
    }
}
