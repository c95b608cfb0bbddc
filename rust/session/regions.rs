// SPDX-License-Identifier: GPL-2.0-only

//! The regions of a session by their offsets, and which offsets are free.

use crate::{
    method,
    region::Region, //
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    rbtree::RBTree,
    sync::Arc, //
};
use mapkit::base::levels::PMD_PAGES;
use mapwright_uapi as uapi;

/// Bytes that an entry of the middle level of page tables maps.
const BLOCK: u64 = (PMD_PAGES * PAGE_SIZE) as u64;

/// Bytes that an entry of the upper level maps, where there are such entries.
const GIGABYTE: u64 = BLOCK * PMD_PAGES as u64;

/// The default region of a session has the length that was wanted.
pub(crate) enum Ready {
    /// As before, or somebody made it so at the same time.
    Already,
    /// There was none before.
    Made,
    /// It was shorter before.
    Grown,
}

/// The regions of a session.
pub(crate) struct Regions {
    pub(crate) by_offset: RBTree<u64, Arc<Region>>,
    /// Where the next one made with `CREATE` goes. These offsets are never used again, so that a stale
    /// one is an error rather than another region.
    next_offset: u64,
}

impl Regions {
    /// None.
    pub(crate) fn new() -> Self {
        Self {
            by_offset: RBTree::new(),
            next_offset: uapi::FIRST_OFFSET,
        }
    }

    /// The region that byte `offset` is in or just behind, and how far in.
    #[inline]
    pub(crate) fn find(&self, offset: u64) -> Option<(&Arc<Region>, u64)> {
        // As a rule it is the start of one.
        match self.by_offset.get(&offset) {
            Some(region) => Some((region, 0)),
            None => self.find_before(offset),
        }
    }

    /// The same, of those that begin before `offset`.
    fn find_before(&self, offset: u64) -> Option<(&Arc<Region>, u64)> {
        let region = match self.by_offset.cursor_lower_bound(&offset) {
            Some(cursor) => {
                let before = cursor.peek_prev().map(|(key, _)| *key);
                before.and_then(|key| self.by_offset.get(&key))
            }
            None => {
                let last = self
                    .by_offset
                    .cursor_back()
                    .map(|cursor| *cursor.current().0);
                last.and_then(|key| self.by_offset.get(&key))
            }
        }?;
        let within = offset.checked_sub(region.offset)?;
        (within <= region.bytes()).then_some((region, within))
    }

    /// The first region that does not begin before `offset`.
    pub(crate) fn next(&self, offset: u64) -> Option<Arc<Region>> {
        let cursor = self.by_offset.cursor_lower_bound(&offset)?;
        Some(cursor.current().1.clone())
    }

    /// The region to map from byte `offset` on, up to `end`. None if it is a default region that is too short, and
    /// may grow.
    #[inline]
    pub(crate) fn find_to_map(&self, offset: u64, end: u64) -> Option<&Arc<Region>> {
        let (region, _) = self.find(offset)?;
        let is_short = region.is_default() && region.bytes() < end;
        if is_short && !region.keeps_length() {
            return None;
        }
        // Pages that a program pins stay pinned when they are no longer mapped.
        if region.is_default() && method::counts_pages(region.method) {
            region.fix_length();
        }
        Some(region)
    }

    /// The region with number `id`.
    pub(crate) fn find_id(&self, id: u64) -> Option<&Arc<Region>> {
        self.by_offset.values().find(|region| region.id == id)
    }

    /// Room for `bytes`, and a page between it and the next so that the two never touch. What can hold
    /// a block begins where one can, as the kernel chooses addresses that go with the offset.
    pub(crate) fn take_offset(&mut self, bytes: u64) -> Result<u64> {
        let align = match bytes {
            GIGABYTE.. => GIGABYTE,
            BLOCK.. => BLOCK,
            _ => 1,
        };
        let offset = self.next_offset.checked_add(align - 1).ok_or(ENOSPC)? & !(align - 1);
        let next = offset
            .checked_add(bytes)
            .and_then(|end| end.checked_add(PAGE_SIZE as u64));
        let next = next.filter(|next| *next <= MAX_OFFSET).ok_or(ENOSPC)?;
        self.next_offset = next;
        Ok(offset)
    }
}

/// Offsets end where `mmap(2)` could not express them as a page number, or `pread(2)` as an offset.
const MAX_OFFSET: u64 = if usize::BITS < u64::BITS {
    (usize::MAX as u64).saturating_mul(PAGE_SIZE as u64)
} else {
    i64::MAX as u64
};
