// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a program should find in a region: the first byte of each page, as far as that can be told.

use super::{Machine, Region};
use anyhow::{ensure, Result};
use mapwright::page_bytes;
use std::os::fd::{AsRawFd as _, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};

/// The first bytes of a region's pages.
pub struct Contents {
    bytes: Vec<AtomicU8>,
    /// Something may have been written there that is not known.
    unknown: AtomicBool,
    /// It may be mapped by another name.
    shared: AtomicBool,
}

impl Contents {
    /// Those of a region that was just made.
    pub fn zeroed(pages: u64) -> Self {
        Self {
            bytes: (0..pages).map(|_| AtomicU8::new(0)).collect(),
            unknown: AtomicBool::new(false),
            shared: AtomicBool::new(false),
        }
    }

    pub fn set(&self, page: u64, byte: u8) {
        match usize::try_from(page)
            .ok()
            .and_then(|page| self.bytes.get(page))
        {
            Some(place) => place.store(byte, Relaxed),
            None => self.forget(),
        }
    }

    /// From now on anything may be there.
    pub fn forget(&self) {
        self.unknown.store(true, Relaxed);
    }

    /// It has another name now: a file that can be mapped, too.
    pub fn share(&self) {
        self.shared.store(true, Relaxed);
        self.forget();
    }

    pub fn is_shared(&self) -> bool {
        self.shared.load(Relaxed)
    }

    /// What must be there, if that is known.
    pub fn expected(&self, page: u64) -> Option<u8> {
        let place = self.bytes.get(usize::try_from(page).ok()?)?;
        (!self.unknown.load(Relaxed)).then(|| place.load(Relaxed))
    }
}

/// The byte at `offset` of a file, if it can be read.
fn byte_at(file: RawFd, offset: u64) -> Option<u8> {
    let mut byte = 0u8;
    let offset = i64::try_from(offset).ok()?;
    // SAFETY: There is room for a byte.
    let read = unsafe { libc::pread64(file, (&raw mut byte).cast(), 1, offset) };
    (read == 1).then_some(byte)
}

impl Machine {
    /// Fails unless a page of a region has what it should.
    pub(super) fn expect(&self, contents: &Contents, page: u64, found: u8, by: &str) -> Result<()> {
        if let Some(expected) = contents.expected(page).filter(|_| self.alone) {
            ensure!(
                found == expected,
                "contents: page {page} has {found:#x} by {by}, and {expected:#x} was put there"
            );
        }
        Ok(())
    }

    /// Looks at all regions that there still are.
    pub(super) fn expect_contents(&self) -> Result<()> {
        if !self.alone {
            return Ok(());
        }
        let regions: Vec<Region> = self.things().regions.clone();
        for region in regions {
            // Of many pages, some from everywhere.
            let step = 1 + region.pages / 64;
            for page in (0..region.pages).filter(|page| page % step == 0 || page + 2 > region.pages)
            {
                let at = region.offset + page * page_bytes() as u64;
                if let Some(found) = byte_at(region.file.as_raw_fd(), at) {
                    self.expect(&region.contents, page, found, "read()")?;
                }
            }
        }
        Ok(())
    }
}
