// SPDX-License-Identifier: MIT OR Apache-2.0

//! The machine that a claim is judged by.

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use std::{fs, thread};

/// The machine that a claim is judged by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The kernel's release.
    pub release: String,
    /// The architecture, as `uname -m` calls it.
    pub arch: String,
    /// Processors that this program may use.
    pub cpus: usize,
    /// NUMA nodes with memory.
    pub nodes: usize,
    /// Memory that the kernel manages, in MiB.
    pub memory_mib: u64,
    /// Bytes of a page.
    pub page_size: u64,
    /// What the kernel was booted with.
    pub command_line: String,
}

impl Machine {
    /// The machine that this runs on.
    pub fn here() -> Result<Self> {
        let name = nix::sys::utsname::uname()?;
        let memory = procfs::Current::current().context("reading /proc/meminfo")?;
        let memory: procfs::Meminfo = memory;
        Ok(Self {
            release: name.release().to_string_lossy().into_owned(),
            arch: name.machine().to_string_lossy().into_owned(),
            cpus: thread::available_parallelism()?.get(),
            nodes: crate::read::nodes()?.len().max(1),
            memory_mib: memory.mem_total >> 20,
            page_size: mapwright::page_size(),
            command_line: fs::read_to_string("/proc/cmdline")?.trim().to_owned(),
        })
    }

    /// Whether the kernel was booted with this word, or with `word=…`.
    pub fn booted_with(&self, word: &str) -> bool {
        self.command_line
            .split_whitespace()
            .any(|given| given.split('=').next() == Some(word))
    }
}
