// SPDX-License-Identifier: MIT OR Apache-2.0

//! The kernel's pool of huge pages (hugetlb).

use crate::anonymous::Anonymous;
use anyhow::Result;
use mapwright::block_bytes;
use std::fs;

/// The pool of huge pages, which is as it was when this is dropped.
pub struct Pool {
    before: String,
    filled: bool,
}

impl Pool {
    const FILE: &'static str = "/proc/sys/vm/nr_hugepages";

    /// The pool with `pages` pages more, if the kernel has a pool, and memory for it.
    pub fn of(pages: u64) -> Result<Self> {
        let before = fs::read_to_string(Self::FILE).unwrap_or_default();
        let had: u64 = before.trim().parse().unwrap_or(0);
        let wanted = (had + pages).to_string();
        let filled = fs::write(Self::FILE, &wanted).is_ok()
            && fs::read_to_string(Self::FILE)?.trim() == wanted;
        Ok(Self { before, filled })
    }

    /// Whether it has the pages.
    pub fn is_filled(&self) -> bool {
        self.filled
    }

    /// A page of it, touched.
    pub fn memory(&self) -> Result<Option<Anonymous>> {
        if !self.filled {
            return Ok(None);
        }
        let memory = Anonymous::of_pool(block_bytes())?;
        memory.touch(0..1)?;
        Ok(Some(memory))
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let _ = fs::write(Self::FILE, self.before.trim());
    }
}
