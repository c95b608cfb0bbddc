// SPDX-License-Identifier: GPL-2.0-only

//! VMAs open, fault and close in any thread: who is told must be able to live with that.

use core::cell::Cell;
use mapkit::memory::mappable::{FaultEvent, MappingEvents};

pub struct Counts(Cell<usize>);

impl MappingEvents for Counts {
    //~^ E0277
    fn faulted(&self, _: FaultEvent) {
        self.0.set(self.0.get() + 1);
    }
}
