// SPDX-License-Identifier: MIT OR Apache-2.0

//! The module that makes mistakes, and what the kernel says.

use anyhow::{ensure, Context as _, Result};
use nix::kmod::{delete_module, finit_module, DeleteModuleFlags, ModuleInitFlags};
use std::{
    ffi::CString,
    fs::{File, OpenOptions},
    io::{ErrorKind, Read as _, Seek as _, SeekFrom},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

/// Inserts the module, which makes its mistake then, and removes it. Returns what the kernel said meanwhile.
pub fn make_mistake(module: &Path, fault: &str) -> Result<Vec<String>> {
    let mut log = open_log()?;
    let parameters = CString::new(format!("fault={fault}"))?;
    let file = File::open(module).with_context(|| format!("opening {}", module.display()))?;
    finit_module(&file, &parameters, ModuleInitFlags::empty())
        .context("inserting the faulty module")?;
    delete_module(c"mapwright_faulty", DeleteModuleFlags::O_NONBLOCK).context("removing it")?;
    read_log(&mut log)
}

/// The kernel's log from now on.
fn open_log() -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(nix::libc::O_NONBLOCK);
    let mut log = options.open("/dev/kmsg").context("opening /dev/kmsg")?;
    log.seek(SeekFrom::End(0))?;
    Ok(log)
}

fn read_log(log: &mut File) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    let mut record = vec![0; 8192];
    loop {
        match log.read(&mut record) {
            Ok(length) => {
                let text = String::from_utf8_lossy(&record[..length]).into_owned();
                // 4,1234,5678900,-;text
                let line = text.lines().next().unwrap_or_default();
                lines.push(
                    line.split_once(';')
                        .map_or(line, |(_, line)| line)
                        .to_owned(),
                );
            }
            Err(err) if err.kind() == ErrorKind::WouldBlock => return Ok(lines),
            Err(err) => {
                ensure!(
                    err.raw_os_error() == Some(nix::libc::EPIPE),
                    "reading /dev/kmsg: {err}"
                );
            }
        }
    }
}
