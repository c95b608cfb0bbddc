// SPDX-License-Identifier: GPL-2.0-only

//! The default region: made when it is needed, and as long as is needed.
//!
//! It grows by being replaced by a longer one with the same contents, which is only right while nobody else has it:
//! no VMA, no DMA-buf, no device, no number that a program knows. A write(2) that is under way may still put bytes
//! into the one that was replaced; it carries these over when it ends.

use crate::{
    region::Region,
    regions::{
        Ready,
        Regions, //
    },
    session::{
        Session,
        Unpublished, //
    }, //
};
use core::{
    cmp::{
        max,
        min, //
    },
    ops::Range, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};
use mapkit::memory::copy::copy_range;
use mapwright_uapi as uapi;

impl Session {
    /// Where the default region ends, or would, if `read(2)` made it.
    pub(crate) fn end(&self) -> u64 {
        let regions = self.regions.lock();
        let default = regions.default_region();
        default.map_or(uapi::DEFAULT_BYTES, |region| region.bytes())
    }

    /// Makes the default region, or has it grow, so that it has `bytes` bytes.
    ///
    /// `ENOSPC` if that is more than it may have, or over a limit; `EBUSY` if it keeps its length; `ENOMEM`.
    pub(crate) fn make_default(&self, bytes: u64) -> Result<Ready> {
        match self.regions.lock().default_region() {
            Some(region) if region.bytes() >= bytes => return Ok(Ready::Already),
            Some(region) if region.keeps_length() => return Err(EBUSY),
            _ => {}
        }
        if bytes > uapi::DEFAULT_MAX_BYTES {
            return Err(ENOSPC);
        }
        // Memory is allocated without the lock, which other threads need.
        let new = match self.prepare_default(bytes) {
            Ok(new) => new,
            Err(_) if self.has_default_of(bytes) => return Ok(Ready::Already),
            Err(err) => return Err(err),
        };
        let mut regions = self.regions.lock();
        let old = regions.default_region().cloned();
        let ready = match &old {
            Some(old) if old.bytes() >= bytes => return Ok(Ready::Already),
            Some(old) => replace(old, &new)?,
            None => Ready::Made,
        };
        let replaced = regions.by_offset.insert(new.node);
        drop(regions);
        // Frees the memory, with the lock released.
        drop((replaced, old));
        Ok(ready)
    }

    fn has_default_of(&self, bytes: u64) -> bool {
        let regions = self.regions.lock();
        let default = regions.default_region();
        default.is_some_and(|region| region.bytes() >= bytes)
    }

    /// Makes the default region for `read(2)` at `pos`, if that is where it would be.
    pub(crate) fn make_default_to_read(&self, pos: u64) -> Result {
        if pos >= uapi::DEFAULT_BYTES || self.regions.lock().default_region().is_some() {
            return Ok(());
        }
        match self.make_default(uapi::DEFAULT_BYTES) {
            // Somebody made a shorter one meanwhile.
            Err(EBUSY) => Ok(()),
            result => result.map(drop),
        }
    }

    /// Sees to it that the default region has what `write(2)` needs of `bytes`, as far as that can be: then it has
    /// the first of them.
    pub(crate) fn make_default_to_write(&self, bytes: Range<u64>) -> Result {
        let end = min(bytes.end, uapi::DEFAULT_MAX_BYTES);
        if bytes.start >= end {
            return Err(ENOSPC);
        }
        let has = match self.regions.lock().default_region() {
            Some(region) if end <= region.bytes() => return Ok(()),
            Some(region) => region.bytes(),
            None => 0,
        };
        // Who writes one piece after the other does not have each one copied again.
        let wish = max(uapi::DEFAULT_BYTES, has.saturating_mul(2));
        let wish = min(max(end, wish), uapi::DEFAULT_MAX_BYTES);
        match self.make_default(wish).or_else(|_| self.make_default(end)) {
            Ok(_) => Ok(()),
            // What there is takes some of it.
            Err(_) if bytes.start < has => Ok(()),
            Err(EBUSY) => Err(ENOSPC),
            Err(err) => Err(err),
        }
    }

    /// What `write(2)` has put into the bytes `bytes` of `region` is also in the region that has replaced it
    /// meanwhile, if one has.
    pub(crate) fn carry_over(&self, region: &Arc<Region>, bytes: Range<usize>) -> Result {
        if !region.is_default() {
            return Ok(());
        }
        // No region is replaced, and no other write carries over, as long as it is held.
        let regions = self.regions.lock();
        match regions.default_region() {
            Some(now) if region.was_replaced() && !Arc::ptr_eq(now, region) => {
                copy_range(region, now, bytes)
            }
            _ => Ok(()),
        }
    }

    /// The default region that was made for a mapping that failed does not stay, unless somebody else uses it.
    pub(crate) fn forget_default(&self) {
        let mut regions = self.regions.lock();
        let is_unused = |region: &Arc<Region>| !region.was_used() && !region.is_busy();
        let removed = match regions.default_region().is_some_and(is_unused) {
            true => regions.by_offset.remove(&0),
            false => None,
        };
        drop(regions);
        // Frees the memory, with the lock released.
        drop(removed);
    }
}

impl Regions {
    /// The default region, if there is one.
    pub(crate) fn default_region(&self) -> Option<&Arc<Region>> {
        self.by_offset.get(&0)
    }
}

/// Gives a longer region what the one has that it replaces, with the lock of the session held: 16 MiB are copied
/// in some milliseconds.
fn replace(old: &Arc<Region>, new: &Unpublished) -> Result<Ready> {
    if old.keeps_length() {
        return Err(EBUSY);
    }
    copy_range(old, &new.region, 0..old.memory().len())?;
    old.replaced();
    // It has somebody's bytes.
    new.region.used();
    Ok(Ready::Grown)
}
