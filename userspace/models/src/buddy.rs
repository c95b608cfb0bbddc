// SPDX-License-Identifier: MIT OR Apache-2.0

//! The buddy allocator: `__rmqueue_smallest()`, `expand()` and `__free_one_page()` of `mm/page_alloc.c`, for
//! one pool of a power of two of pages.

mod script;

use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};

/// The document's example, and its way back.
pub const EXAMPLE: &str = "\
pool 0x1000 2   # one block of order 2: four pages
alloc 1         # two pages
free 0x1000
";

pub const STEPS: &[&str] = &[
    "pool ADDRESS ORDER   what there is at first: one free block",
    "alloc ORDER          takes a block of 2^ORDER pages",
    "free ADDRESS         gives it back",
];

pub const NOTES: &[&str] = &[
    "A block of order 2 at 0x1000 cannot be: the document's own rule for buddies, address XOR size, needs blocks \
     that are aligned to their size, and 0x1000 is no multiple of 4 pages. For the one split of its table the rule \
     happens to give the right answer (0x1000 XOR 0x2000 = 0x3000); one order below it does not: 0x1000 XOR 0x1000 \
     is 0x0, which is no part of the block. The model counts pages from the pool's start, as the document's table \
     must, and as frame numbers do where a pool is aligned.",
    "A list is no set: what was freed last is taken first, unless the block that it would become with its buddy \
     has a free buddy, too. Then it goes to the end, where it may stay until they merge. The document does not say.",
];

/// Bytes of a page.
pub const PAGE: u64 = 4096;
/// The largest order of a pool: the kernel's largest block.
pub const MAX_ORDER: usize = 10;

/// The free blocks of a pool, by order. Blocks are known by their first page, counted from the pool's start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buddies {
    free: Vec<VecDeque<u64>>,
    used: BTreeMap<u64, usize>,
}

/// What was done to take a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The block.
    pub block: u64,
    /// The order of the block that it was a part of.
    pub from: usize,
}

/// What was done with a block that came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// The block that it is now a part of.
    pub block: u64,
    /// The order of that.
    pub order: usize,
    /// The block goes to the tail of its list, not to the head.
    pub at_tail: bool,
}

/// The other half of what a block of `order` was split from.
pub fn buddy_of(block: u64, order: usize) -> u64 {
    block ^ (1 << order)
}

impl Buddies {
    /// A pool that is one free block.
    pub fn new(order: usize) -> Self {
        let mut free = vec![VecDeque::new(); order + 1];
        free[order].push_back(0);
        let used = BTreeMap::new();
        Self { free, used }
    }

    /// The order of the whole pool.
    pub fn order(&self) -> usize {
        self.free.len() - 1
    }

    /// Free blocks, by order, each list as it is taken from.
    pub fn free(&self) -> &[VecDeque<u64>] {
        &self.free
    }

    /// Blocks that were given, and their orders.
    pub fn used(&self) -> &BTreeMap<u64, usize> {
        &self.used
    }

    /// The order of the smallest free block that is large enough.
    pub fn smallest(&self, order: usize) -> Option<usize> {
        (order..self.free.len()).find(|order| !self.free[*order].is_empty())
    }

    /// Takes a block: the smallest that is large enough, of which the upper half is freed until the rest has
    /// the size. `None` if there is none.
    pub fn take(&mut self, order: usize) -> Option<Taken> {
        let from = self.smallest(order)?;
        let block = self.free[from].pop_front()?;
        for half in (order..from).rev() {
            self.free[half].push_front(block + (1 << half));
        }
        self.used.insert(block, order);
        Some(Taken { block, from })
    }

    /// Gives a block back: it is merged with its buddy as long as that is free. `None` if no such block was
    /// given.
    pub fn give(&mut self, block: u64) -> Option<Merged> {
        let mut order = self.used.remove(&block)?;
        let mut block = block;
        while order < self.order() && self.remove(buddy_of(block, order), order) {
            block &= !(1 << order);
            order += 1;
        }
        let whole = block & !(1 << order);
        let at_tail =
            order + 1 < self.order() && self.is_free(buddy_of(whole, order + 1), order + 1);
        match at_tail {
            true => self.free[order].push_back(block),
            false => self.free[order].push_front(block),
        }
        Some(Merged {
            block,
            order,
            at_tail,
        })
    }

    fn is_free(&self, block: u64, order: usize) -> bool {
        self.free[order].contains(&block)
    }

    fn remove(&mut self, block: u64, order: usize) -> bool {
        let at = self.free[order].iter().position(|free| *free == block);
        at.is_some_and(|at| self.free[order].remove(at).is_some())
    }
}

/// A pool at an address.
#[derive(Clone, Debug)]
pub struct Pool {
    start: u64,
    buddies: Buddies,
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            start: 0x1000,
            buddies: Buddies::new(2),
        }
    }
}

/// What there is after a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct State {
    /// Where the pool begins.
    pub start: u64,
    /// The order of the whole pool.
    pub order: usize,
    /// Addresses of free blocks, by order.
    pub free: Vec<Vec<u64>>,
    /// Blocks that were given.
    pub used: Vec<Block>,
}

/// A block that was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Block {
    /// The block's address.
    pub address: u64,
    /// The block has 2^order pages.
    pub order: usize,
}
