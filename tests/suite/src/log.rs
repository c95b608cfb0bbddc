// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the kernel has to say: `/dev/kmsg`.

use anyhow::Result;
use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Seek as _, SeekFrom},
    os::unix::fs::OpenOptionsExt as _,
};

/// The kernel's log, from some time on.
pub struct Log(File);

impl Log {
    /// From now on.
    pub fn from_now() -> Result<Self> {
        let mut log = OpenOptions::new()
            .read(true)
            .custom_flags(nix::libc::O_NONBLOCK)
            .open("/dev/kmsg")?;
        log.seek(SeekFrom::End(0))?;
        Ok(Self(log))
    }

    /// The lines that came.
    pub fn lines(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut line = [0; 8192];
        while let Ok(bytes) = self.0.read(&mut line) {
            lines.push(String::from_utf8_lossy(&line[..bytes]).into_owned());
        }
        lines
    }
}
