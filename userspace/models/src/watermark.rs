// SPDX-License-Identifier: MIT OR Apache-2.0

//! The check of a zone's watermarks, `zone_watermark_ok()`, and what follows from it: who is given pages, when
//! kswapd is woken, and who must reclaim.

mod script;

use crate::marks::{Marks, Zone};
use serde::Serialize;

/// The document's three marks, crossed one after the other.
pub const EXAMPLE: &str = "\
zone 100 200 300    # min, low, high
free 400            # free pages
cache 250           # pages that can be reclaimed
alloc 0 50          # fifty single pages: above high
alloc 0 100         # between low and high
alloc 0 60          # below low
alloc 0 90          # down to min
alloc 0 1 atomic    # may go deeper
alloc 0 10          # may not
kswapd
alloc 3
";

pub const STEPS: &[&str] = &[
    "zone MIN LOW HIGH            the zone's watermarks, in pages",
    "free PAGES                   how much is free at first, as large blocks as possible",
    "protect PAGES                pages that are kept for others (lowmem_reserve)",
    "cache PAGES                  how much can be reclaimed",
    "alloc ORDER [COUNT] [atomic] takes COUNT blocks of 2^ORDER pages",
    "give ORDER [COUNT]           gives COUNT such blocks back",
    "kswapd                       lets kswapd run, if it was woken",
];

pub const NOTES: &[&str] = &[
    "The document's answer Q3 is one mark off: it has kswapd wake below high, and who allocates reclaim below low. \
     In the kernel kswapd is woken below low and works until more than high is free; who allocates must reclaim \
     below min. The column of the document's answer shows both side by side.",
    "Below min, only who may not wait (GFP_ATOMIC) is given pages: down to 3/8 of min. The OOM killer comes when \
     reclaiming finds nothing, not when a mark is crossed.",
    "An allocation of several pages needs a free block of its size, too, however much is free.",
];

/// The kernel's largest block.
const MAX_ORDER: usize = 10;
/// Pages that are reclaimed at a time.
const CLUSTER: u64 = 32;

/// A zone and who watches it.
#[derive(Clone, Debug)]
pub struct Watched {
    marks: Marks,
    zone: Zone,
    cache: u64,
    kswapd: bool,
}

impl Default for Watched {
    fn default() -> Self {
        Self {
            marks: Marks {
                min: 100,
                low: 200,
                high: 300,
            },
            zone: Zone {
                free: 400,
                free_highatomic: 0,
                protection: 0,
                blocks: blocks(400),
            },
            cache: 250,
            kswapd: false,
        }
    }
}

/// What there is after a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct State {
    /// Free pages.
    pub free: u64,
    /// Free blocks by order.
    pub blocks: Vec<u64>,
    /// Pages that can be reclaimed.
    pub cache: u64,
    /// The watermarks.
    pub min: u64,
    /// Below it, kswapd is woken.
    pub low: u64,
    /// Above it, kswapd sleeps again.
    pub high: u64,
    /// Pages kept for others.
    pub protection: u64,
    /// kswapd was woken and is not done yet.
    pub kswapd_is_awake: bool,
}

/// What an allocation came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Given at once.
    Given,
    /// Given, and kswapd was woken.
    Woken,
    /// Given after who wanted it had reclaimed so many pages.
    Reclaimed(u64),
    /// Given out of the reserve.
    FromReserve,
    /// Refused: who wanted it may not wait.
    Refused,
    /// Nothing can be reclaimed.
    OutOfMemory,
}

/// The sizes of blocks, as large as possible, that have `pages` pages together.
fn blocks(pages: u64) -> Vec<u64> {
    let mut rest = pages;
    let mut blocks = vec![0; MAX_ORDER + 1];
    for (order, count) in blocks.iter_mut().enumerate().rev() {
        *count = rest >> order;
        rest -= *count << order;
    }
    blocks
}

impl Watched {
    /// Wants a block of 2^`order` pages.
    pub fn alloc(&mut self, order: usize, atomic: bool) -> Outcome {
        let marks = self.marks;
        if self.zone.is_ok(order, marks.low) {
            self.take(order);
            return Outcome::Given;
        }
        self.kswapd = true;
        if self.zone.is_ok(order, marks.min) {
            self.take(order);
            return Outcome::Woken;
        }
        if atomic {
            let half = marks.min - marks.min / 2;
            let outcome = match self.zone.is_ok(order, half - half / 4) {
                true => Outcome::FromReserve,
                false => return Outcome::Refused,
            };
            self.take(order);
            return outcome;
        }
        let mut reclaimed = 0;
        while !self.zone.is_ok(order, marks.min) {
            let pages = self.cache.min(CLUSTER);
            if pages == 0 {
                return Outcome::OutOfMemory;
            }
            self.reclaim(pages);
            reclaimed += pages;
        }
        self.take(order);
        Outcome::Reclaimed(reclaimed)
    }

    /// Pages that are reclaimed merge with each other, as far as the model goes.
    fn reclaim(&mut self, pages: u64) {
        self.cache -= pages;
        self.zone.free += pages;
        self.zone.blocks = blocks(self.zone.free);
    }

    fn take(&mut self, order: usize) {
        let lists = &mut self.zone.blocks;
        if let Some(from) = (order..lists.len()).find(|from| lists[*from] > 0) {
            lists[from] -= 1;
            for half in &mut lists[order..from] {
                *half += 1;
            }
            self.zone.free -= 1 << order;
        }
    }

    /// Between which marks a zone with so much free is.
    fn place(&self) -> &'static str {
        let above = |mark: u64| self.zone.free > mark + self.zone.protection;
        match (
            above(self.marks.min),
            above(self.marks.low),
            above(self.marks.high),
        ) {
            (false, ..) => "≤ min",
            (true, false, _) => "min … low",
            (true, true, false) => "low … high",
            _ => "> high",
        }
    }

    /// What the document's answer says of an allocation now.
    fn documented(&self) -> &'static str {
        match self.place() {
            "> high" => "allocate freely",
            "low … high" => "kswapd wakes; succeeds",
            "min … low" => "direct reclaim",
            _ => "OOM killer, or fails",
        }
    }
}
