// SPDX-License-Identifier: MIT OR Apache-2.0

//! The page faults of a thread that touches a mapping.

use crate::raw::{Map, RW};
use anyhow::Result;
use mapwright::{page_bytes, page_faults, page_size};
use nix::{
    sys::memfd::{memfd_create, MFdFlags},
    unistd::ftruncate,
};
use std::{ops::Range, sync::OnceLock};

/// Whether this CPU does not note by itself that a page is dirty: 32-bit ARM, 64-bit ARM without FEAT_HAFDBS.
/// There, the kernel maps a clean page for loads only, and the first store to it is a fault, which no module
/// hears of. It may do for several pages: 64-bit ARM makes an entry of neighbours of a folio (contpte).
pub fn is_dirty_by_fault() -> Result<bool> {
    static KNOWN: OnceLock<bool> = OnceLock::new();
    if let Some(known) = KNOWN.get() {
        return Ok(*known);
    }
    let file = memfd_create(c"dirty", MFdFlags::empty())?;
    ftruncate(&file, page_size().try_into()?)?;
    let map = Map::shared(&file, 0, page_bytes())?;
    faults_of_touching(&map, 0..1, false)?;
    let known = faults_of_touching(&map, 0..1, true)? > 0;
    Ok(*KNOWN.get_or_init(|| known))
}

/// The byte of a page that is touched. Tests compare others.
const BYTE: usize = 2;

/// Loads from, or stores to, each of some pages, and returns the minor faults that took.
/// The program does the same to memory of no interest before, so that it takes no fault itself while it
/// counts: for its code, or for its stack after a fork.
pub fn faults_of_touching(map: &Map, pages: Range<usize>, store: bool) -> Result<u64> {
    let other = Map::anonymous(4 * page_bytes(), RW)?;
    for store in [false, true] {
        touch(&other, 0..4, store)?;
    }
    touch(map, pages, store)
}

#[inline(never)]
fn touch(map: &Map, pages: Range<usize>, store: bool) -> Result<u64> {
    let before = page_faults()?;
    for page in pages {
        match store {
            true => map.store(page * page_bytes() + BYTE, 1),
            false => drop(map.load(page * page_bytes() + BYTE)),
        }
    }
    Ok(page_faults()?.0 - before.0)
}

/// The minor faults that a load from each page of a mapping takes.
pub fn faults_of_loading(map: &Map, length: usize) -> Result<u64> {
    faults_of_touching(map, 0..length / page_bytes(), false)
}
