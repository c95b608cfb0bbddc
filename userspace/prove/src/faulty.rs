// SPDX-License-Identifier: MIT OR Apache-2.0

//! The module that makes mistakes, and what the kernel says.

use crate::read::log::Log;
use anyhow::{Context as _, Result};
use nix::kmod::{delete_module, finit_module, DeleteModuleFlags, ModuleInitFlags};
use std::{ffi::CString, fs::File, path::Path};

/// Inserts the module, which makes its mistake then, and removes it. Returns what the kernel said meanwhile.
pub fn make_mistake(module: &Path, fault: &str) -> Result<Vec<String>> {
    let mut log = Log::from_now()?;
    let parameters = CString::new(format!("fault={fault}"))?;
    let file = File::open(module).with_context(|| format!("opening {}", module.display()))?;
    finit_module(&file, &parameters, ModuleInitFlags::empty())
        .context("inserting the faulty module")?;
    delete_module(c"mapwright_faulty", DeleteModuleFlags::O_NONBLOCK).context("removing it")?;
    log.read()
}
