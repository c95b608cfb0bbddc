// SPDX-License-Identifier: MIT OR Apache-2.0

//! The kernel's log.

use anyhow::{ensure, Context as _, Result};
use std::{
    fs::{File, OpenOptions},
    io::{ErrorKind, Read as _, Seek as _, SeekFrom},
    os::unix::fs::OpenOptionsExt as _,
};

/// The kernel's log, from a point in time on.
pub struct Log(File);

impl Log {
    /// All that it still has.
    pub fn all() -> Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(nix::libc::O_NONBLOCK);
        Ok(Self(
            options.open("/dev/kmsg").context("opening /dev/kmsg")?,
        ))
    }

    /// What comes from now on.
    pub fn from_now() -> Result<Self> {
        let mut log = Self::all()?;
        log.0.seek(SeekFrom::End(0))?;
        Ok(log)
    }

    /// The lines that have not been read yet.
    pub fn read(&mut self) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        let mut record = vec![0; 8192];
        loop {
            match self.0.read(&mut record) {
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
}
