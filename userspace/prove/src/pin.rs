// SPDX-License-Identifier: MIT OR Apache-2.0

//! This thread on one processor.

use anyhow::{Context as _, Result};
use nix::{
    sched::{sched_getaffinity, sched_setaffinity, CpuSet},
    unistd::Pid,
};

const THIS: Pid = Pid::from_raw(0);

/// This thread runs on one processor only, until this is dropped.
pub struct Pinned(CpuSet);

impl Pinned {
    /// On processor `cpu`.
    pub fn to(cpu: usize) -> Result<Self> {
        let before = sched_getaffinity(THIS)?;
        sched_setaffinity(THIS, &only(cpu)?)
            .with_context(|| format!("moving to processor {cpu}"))?;
        Ok(Self(before))
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let _ = sched_setaffinity(THIS, &self.0);
    }
}

/// The set of one processor.
pub fn only(cpu: usize) -> Result<CpuSet> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    Ok(set)
}
