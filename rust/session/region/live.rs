// SPDX-License-Identifier: GPL-2.0-only

//! What a region is and how it is used, without its memory.

use crate::{
    recipe::Recipe,
    stats::RegionCounter, //
};
use core::ops::Deref;
use kernel::{
    prelude::*,
    seq_file::SeqFile,
    seq_print,
    sync::atomic::{
        Acquire,
        Atomic,
        Relaxed,
        Release, //
    }, //
};
use mapkit::{
    base::text::Decimal,
    observe::percpu::PerCpuCounters, //
};

/// What a region is and how it is used, shared with the device's list.
pub struct Live {
    pub(crate) id: u64,
    /// Its place in the session, in bytes.
    pub(crate) offset: u64,
    /// Process that made it.
    pid: i32,
    recipe: Recipe,
    /// VMAs that map it.
    pub(crate) vmas: Atomic<i64>,
    /// Calls of `mmap(2)` that are about to.
    mapping: Atomic<i64>,
    /// Flags of a default region, which the lock of its session protects: 0 or 1.
    used: Atomic<i32>,
    fixed: Atomic<i32>,
    replaced: Atomic<i32>,
    pub(crate) counters: PerCpuCounters<RegionCounter>,
}

impl Deref for Live {
    type Target = Recipe;

    fn deref(&self) -> &Recipe {
        &self.recipe
    }
}

impl Live {
    /// Region `id` of this process, at a place in its session.
    pub(crate) fn new(id: u64, offset: u64, recipe: Recipe) -> Result<Self> {
        Ok(Self {
            id,
            offset,
            pid: kernel::current!().group_leader().pid(),
            recipe,
            vmas: Atomic::new(0),
            mapping: Atomic::new(0),
            used: Atomic::new(0),
            fixed: Atomic::new(0),
            replaced: Atomic::new(0),
            counters: PerCpuCounters::new()?,
        })
    }

    /// Its number.
    pub fn number(&self) -> u64 {
        self.id
    }

    /// VMAs that map it now.
    pub(crate) fn vmas(&self) -> u64 {
        self.vmas.load(Relaxed) as u64
    }

    /// Whether it is mapped, or about to be.
    pub(crate) fn is_busy(&self) -> bool {
        // In this order, and acquiring: who has ended is among the VMAs.
        self.mapping.load(Acquire) > 0 || self.vmas() > 0
    }

    /// A call of `mmap(2)` is about to map it.
    pub(crate) fn mapping_begins(&self) {
        self.mapping.add(1, Relaxed);
    }

    /// That call is done.
    pub(crate) fn mapping_ends(&self) {
        self.mapping.fetch_sub(1, Release);
    }

    /// Whether it is the default region of its session.
    pub(crate) fn is_default(&self) -> bool {
        self.offset == 0
    }

    /// `read(2)` or `write(2)` gets it.
    pub(crate) fn used(&self) {
        self.used.store(1, Relaxed);
    }

    /// Whether `read(2)` or `write(2)` got it, or it has the contents of one that was replaced.
    pub(crate) fn was_used(&self) -> bool {
        self.used.load(Relaxed) != 0
    }

    /// From now on it keeps its length: a program knows its number, or may have pinned pages of it.
    pub(crate) fn fix_length(&self) {
        self.fixed.store(1, Relaxed);
    }

    /// Whether it keeps its length, at least as long as it is mapped.
    pub(crate) fn keeps_length(&self) -> bool {
        self.fixed.load(Relaxed) != 0 || self.is_busy()
    }

    /// A longer one has taken its place.
    pub(crate) fn replaced(&self) {
        self.replaced.store(1, Relaxed);
    }

    /// Whether a longer one has taken its place.
    pub(crate) fn was_replaced(&self) -> bool {
        self.replaced.load(Relaxed) != 0
    }

    /// A counter of its use so far.
    pub(crate) fn count(&self, counter: RegionCounter) -> u64 {
        self.counters.sum(counter) as u64
    }

    /// Writes the header of the device's table. Names stay the same in later versions.
    pub(crate) fn show_header(m: &SeqFile) {
        seq_print!(m, "id pid backing method caching bytes offset vmas");
        for counter in RegionCounter::ALL {
            seq_print!(m, " {}", counter.name());
        }
        seq_print!(m, "\n");
    }

    /// Writes its line of the device's table.
    pub(crate) fn show(&self, m: &SeqFile) {
        seq_print!(
            m,
            "{} {} {} {} {} {} {:#x} {}",
            Decimal(self.id),
            self.pid,
            self.backing.name(),
            self.method.name(),
            self.caching.name(),
            Decimal(self.bytes()),
            self.offset,
            Decimal(self.vmas()),
        );
        for counter in RegionCounter::ALL {
            seq_print!(m, " {}", Decimal(self.count(*counter)));
        }
        seq_print!(m, "\n");
    }
}
