// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a textbook says that allocations cost.

use super::{measure::Bench, name};
use mapwright::{
    alloc::{Allocator, Plan},
    page_size,
};
use serde::Serialize;

/// What a textbook says an allocation costs, in nanoseconds from and to, and what that is here.
struct Said {
    what: &'static str,
    ns: (f64, f64),
    of: fn(&Bench) -> Option<f64>,
}

const SAID: [Said; 4] = [
    Said {
        what: "slab, an object at hand (kmalloc of 64 bytes)",
        ns: (1000.0, 1000.0),
        of: |bench| bench.allocate("kmalloc, 64 bytes"),
    },
    Said {
        what: "slab, the first object of a new cache",
        ns: (2000.0, 2000.0),
        of: |bench| bench.miss.map(|spread| spread.least),
    },
    BUDDY,
    Said {
        what: "vmalloc of a page",
        ns: BUDDY.ns,
        of: |bench| bench.allocate(&name(&Plan::new(Allocator::Vmalloc, page_size()))),
    },
];

const BUDDY: Said = Said {
    what: "buddy, a page",
    ns: (100.0, 500.0),
    of: |bench| bench.allocate(&name(&Plan::pages(0))),
};

/// What a textbook says, beside what was measured.
#[derive(Debug, Serialize)]
pub(super) struct Compared {
    pub(super) what: &'static str,
    /// Nanoseconds, from and to.
    pub(super) said_ns: (f64, f64),
    /// In the unit of all.
    pub(super) measured: f64,
    /// How many times the cost of a page from the buddy allocator, as it is said.
    pub(super) said_to_buddy: (f64, f64),
    /// And as it was measured.
    pub(super) measured_to_buddy: f64,
}

/// What the textbook says, beside what was measured; nothing if pages were not.
pub(super) fn compare(bench: &Bench) -> Vec<Compared> {
    let Some(buddy) = (BUDDY.of)(bench) else {
        return Vec::new();
    };
    let (least, most) = BUDDY.ns;
    let compared = SAID.iter().filter_map(|said| {
        let measured = (said.of)(bench)?;
        let (from, to) = said.ns;
        Some(Compared {
            what: said.what,
            said_ns: said.ns,
            measured,
            said_to_buddy: match said.ns == BUDDY.ns {
                true => (1.0, 1.0),
                false => (from / most, to / least),
            },
            measured_to_buddy: measured / buddy,
        })
    });
    compared.collect()
}

/// `100–500`
pub(super) fn range((from, to): (f64, f64)) -> String {
    match from == to {
        true => format!("{from}"),
        false => format!("{from}–{to}"),
    }
}
