// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory in which hardly a block of two pages is free.

use crate::{
    anonymous::Anonymous,
    filler::{self, Filler},
};
use anyhow::{Context as _, Result};
use std::fs;

/// No more than this is free in small blocks in a machine that has just booted.
const SMALL_BLOCKS: u64 = 128 << 20;

/// What takes all but the holes; given back when dropped.
pub struct Holes {
    _scattered: Scattered,
    _perforated: Anonymous,
    _fillers: [Filler; 3],
}

impl Holes {
    /// Frees every other page of `perforated` bytes, and of the rest so much that `left` bytes are free, in
    /// holes.
    pub fn new(perforated: usize, left: u64) -> Result<Self> {
        let page = usize::try_from(mapwright::page_size())?;
        let scattered = Scattered::leave()?;
        let memory = Anonymous::small(perforated)?;
        memory.populate(0..perforated)?;
        // With huge pages most is quickly gone; then with small ones what is free in small blocks.
        let most = Filler::leave(left + SMALL_BLOCKS)?;
        let all_but_large_blocks = Filler::leave_large(left)?;
        for within in (0..perforated).step_by(2 * page) {
            memory.discard(within..within + page)?;
        }
        // Takes the large blocks, so that what is left are the holes.
        let rest = Filler::leave(left)?;
        Ok(Self {
            _scattered: scattered,
            _perforated: memory,
            _fillers: [most, all_but_large_blocks, rest],
        })
    }

    /// The same, in a machine of any size: perforates more than half of the memory that is free.
    pub fn in_free_memory(left: u64) -> Result<Self> {
        const MIB: u64 = 1 << 20;
        let perforated = filler::available()? * 3 / 5 / MIB * MIB;
        Self::new(usize::try_from(perforated)?, left)
    }
}

/// What the kernel does to get a huge page.
const DEFRAG: &str = "/sys/kernel/mm/transparent_hugepage/defrag";

/// Nobody who wants a huge page has the kernel move others' pages together, until this is dropped.
struct Scattered {
    before: Option<String>,
}

impl Scattered {
    fn leave() -> Result<Self> {
        // A kernel that has no huge pages does not.
        let Ok(choices) = fs::read_to_string(DEFRAG) else {
            return Ok(Self { before: None });
        };
        // The one in brackets is chosen.
        let chosen = choices.split(['[', ']']).nth(1);
        let before = chosen.context(DEFRAG)?.to_owned();
        fs::write(DEFRAG, "never").context(DEFRAG)?;
        Ok(Self {
            before: Some(before),
        })
    }
}

impl Drop for Scattered {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // It could be written before.
            let _ = fs::write(DEFRAG, before);
        }
    }
}
