// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory used up in large pieces.

use crate::{
    anonymous::Anonymous,
    read::zoneinfo::{self, Zone},
};
use anyhow::Result;
use nix::sys::mman::MmapAdvise;

/// Bytes of the largest piece.
const PIECE: u64 = 16 << 20;
/// Bytes of the smallest; with pages of 4 KiB, that of a huge page.
const LEAST: u64 = 2 << 20;

/// Anonymous memory that only has to be there; given back when dropped.
pub struct Filler {
    _pieces: Vec<Anonymous>,
}

impl Filler {
    /// Uses up memory until hardly more than `spare` bytes are free beyond what the zones keep, each its
    /// low watermark and what it keeps from allocations that could go elsewhere.
    pub fn leave(spare: u64) -> Result<Self> {
        // Where there are no huge pages, small ones do, too.
        Self::leave_by(spare, MmapAdvise::MADV_HUGEPAGE)
    }

    /// The same, with small pages: what is left are the largest blocks.
    pub fn leave_large(spare: u64) -> Result<Self> {
        Self::leave_by(spare, MmapAdvise::MADV_NOHUGEPAGE)
    }

    fn leave_by(spare: u64, advice: MmapAdvise) -> Result<Self> {
        let mut pieces = Vec::new();
        loop {
            let more = available()?.saturating_sub(spare);
            if more < LEAST {
                return Ok(Self { _pieces: pieces });
            }
            let piece = Anonymous::new(usize::try_from(more.min(PIECE) / LEAST * LEAST)?)?;
            piece.advise(advice)?;
            piece.populate(0..piece.len())?;
            pieces.push(piece);
        }
    }
}

/// Bytes that are free beyond what the zones keep, without what is set aside for devices (CMA): the kernel
/// itself cannot use that.
pub fn available() -> Result<u64> {
    let beyond = |zone: &Zone| {
        let keeps = zone.counter("low") + zone.protection.last().copied().unwrap_or(0);
        zone.free()
            .saturating_sub(zone.counter("nr_free_cma"))
            .saturating_sub(keeps)
    };
    let pages: u64 = zoneinfo::read()?.iter().map(beyond).sum();
    Ok(pages * mapwright::page_size())
}
