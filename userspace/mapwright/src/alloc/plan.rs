// SPDX-License-Identifier: MIT OR Apache-2.0

//! Allocation plans: what to allocate, how often and how.

use super::{Allocator, CacheFlag, Gfp, Modifier};
use mapwright_uapi::{
    alloc::{self as uapi, ANY_NODE},
    Request as _,
};

/// In which order objects are allocated and freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Each is freed before the next is allocated.
    Pairs,
    /// So many are allocated, then freed in the same order; and again.
    Batches {
        /// How many.
        batch: u32,
    },
    /// One of some places is drawn; what is there is freed, or an object allocated if it is empty.
    Random {
        /// How many places.
        places: u32,
        /// The same seed draws the same places.
        seed: u64,
    },
}

/// What to allocate, how often and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Who gives the memory.
    pub allocator: Allocator,
    /// Bytes of an object; 0 for pages, and see [`size_zero`](Self::size_zero).
    pub bytes: u64,
    /// Bytes of the object that `krealloc()` begins with; 0 with other allocators.
    pub old_bytes: u64,
    /// Order of a block of pages; 0 with other allocators.
    pub order: u32,
    /// What an allocation may do, and where its memory may be.
    pub gfp: Gfp,
    /// Further GFP flags.
    pub modifiers: Vec<Modifier>,
    /// Flags of the cache that is made for the plan, if the allocator is [`Allocator::KmemCache`].
    pub cache_flags: Vec<CacheFlag>,
    /// A power of two up to a page that addresses are multiples of; 0 for what is usual.
    pub align: u32,
    /// The node to allocate from; any without.
    pub node: Option<i32>,
    /// In which order.
    pub pattern: Pattern,
    /// Allocations to make; with [`Pattern::Random`], operations in all.
    pub count: u32,
    /// What is alive at the end stays so until [`AllocDevice::release`](super::AllocDevice::release).
    pub hold: bool,
    /// A size of 0 is meant.
    pub size_zero: bool,
    /// Blocks of pages are split and freed page by page.
    pub split: bool,
    /// A null pointer is freed at the end, too.
    pub free_null: bool,
    /// Each operation is timed.
    pub histogram: bool,
    /// Recorded objects are filled with [`FILL_BYTE`](super::FILL_BYTE).
    pub fill: bool,
}

impl Plan {
    /// A single allocation of `bytes` bytes with `GFP_KERNEL`, freed at once.
    pub fn new(allocator: Allocator, bytes: u64) -> Self {
        Self {
            allocator,
            bytes,
            old_bytes: 0,
            order: 0,
            gfp: Gfp::Kernel,
            modifiers: Vec::new(),
            cache_flags: Vec::new(),
            align: 0,
            node: None,
            pattern: Pattern::Pairs,
            count: 1,
            hold: false,
            size_zero: false,
            split: false,
            free_null: false,
            histogram: false,
            fill: false,
        }
    }

    /// A block of 2^`order` pages.
    pub fn pages(order: u32) -> Self {
        Self {
            order,
            ..Self::new(Allocator::Pages, 0)
        }
    }

    /// An object of `old_bytes` bytes that `krealloc()` makes one of `bytes`.
    pub fn krealloc(old_bytes: u64, bytes: u64) -> Self {
        Self {
            old_bytes,
            ..Self::new(Allocator::Krealloc, bytes)
        }
    }

    /// The same `count` times.
    pub fn repeated(self, count: u32) -> Self {
        Self { count, ..self }
    }

    /// The same with other GFP flags.
    pub fn with_gfp(self, gfp: Gfp) -> Self {
        Self { gfp, ..self }
    }

    /// The same with a further GFP flag.
    pub fn with(mut self, modifier: Modifier) -> Self {
        self.modifiers.push(modifier);
        self
    }

    /// The same in another order.
    pub fn with_pattern(self, pattern: Pattern) -> Self {
        Self { pattern, ..self }
    }

    /// The same from one node.
    pub fn on_node(self, node: i32) -> Self {
        let node = Some(node);
        Self { node, ..self }
    }

    /// The same, with what is alive at the end staying so.
    pub fn holding(self) -> Self {
        Self { hold: true, ..self }
    }

    /// The same with each operation timed.
    pub fn with_histogram(self) -> Self {
        Self {
            histogram: true,
            ..self
        }
    }

    /// As the interface has it.
    pub fn to_request(&self) -> uapi::Run {
        let (pattern, batch, seed) = match self.pattern {
            Pattern::Pairs => (uapi::Pattern::Pairs, 0, 0),
            Pattern::Batches { batch } => (uapi::Pattern::Batches, batch, 0),
            Pattern::Random { places, seed } => (uapi::Pattern::Random, places, seed),
        };
        let flags = [
            (self.hold, uapi::HOLD),
            (self.size_zero, uapi::SIZE_ZERO),
            (self.split, uapi::SPLIT),
            (self.free_null, uapi::FREE_NULL),
            (self.histogram, uapi::HISTOGRAM),
            (self.fill, uapi::FILL),
        ];
        let flags = flags.into_iter().filter(|(on, _)| *on);
        uapi::Run {
            flags: flags.fold(0, |mask, (_, flag)| mask | flag),
            allocator: self.allocator.number(),
            pattern: pattern.number(),
            gfp: self.gfp.number(),
            modifiers: self.modifiers.iter().fold(0, |mask, it| mask | it.bit()),
            bytes: self.bytes,
            old_bytes: self.old_bytes,
            order: self.order,
            cache_flags: self.cache_flags.iter().fold(0, |mask, it| mask | it.bit()),
            align: self.align,
            node: self.node.unwrap_or(ANY_NODE),
            count: self.count,
            batch,
            seed,
            ..uapi::Run::new()
        }
    }
}
