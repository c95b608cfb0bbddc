// SPDX-License-Identifier: MIT OR Apache-2.0

//! Modules that are inserted only to be measured.

use anyhow::{bail, Context as _, Result};
use nix::{
    errno::Errno,
    kmod::{delete_module, finit_module, DeleteModuleFlags, ModuleInitFlags},
};
use std::{
    ffi::{CStr, CString},
    fs::File,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// A module, and the device node that it makes.
pub struct Module {
    name: &'static CStr,
    device: &'static str,
}

pub const MAPWRIGHT: Module = Module {
    name: c"mapwright",
    device: mapwright::DEVICE,
};

pub const GPIO: Module = Module {
    name: c"mapwright_gpio",
    device: "/dev/mapwright-gpio0",
};

/// A module that stands in for the one that was there, which comes back when this is dropped.
pub struct StandIn {
    module: &'static Module,
    original: PathBuf,
}

impl StandIn {
    /// Removes `module` and inserts `file` with `parameters`. `original` comes back later.
    pub fn insert(
        module: &'static Module,
        file: &Path,
        parameters: &str,
        original: PathBuf,
    ) -> Result<Self> {
        module.remove()?;
        // From here on the original comes back, whatever happens.
        let stand_in = Self { module, original };
        insert(file, parameters, module.device)?;
        Ok(stand_in)
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        let module = self.module;
        let back = module
            .remove()
            .and_then(|()| insert(&self.original, "", module.device));
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

impl Module {
    fn remove(&self) -> Result<()> {
        match delete_module(self.name, DeleteModuleFlags::O_NONBLOCK) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(errno).with_context(|| format!("removing {:?}", self.name)),
        }
    }
}
