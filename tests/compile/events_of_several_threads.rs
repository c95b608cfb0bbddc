// SPDX-License-Identifier: GPL-2.0-only

//! VMAs open, fault and close in any thread: who is told must be able to live with that.

use core::{cell::Cell, ops::Range};
use mapkit::{memory::mappable::MappingEvents, observe::histogram::Start};

pub struct Counts(Cell<usize>);

impl MappingEvents for Counts {
    //~^ E0277
    fn vma_opened(&self, _: Range<usize>) {
        self.0.set(self.0.get() + 1);
    }
    fn vma_closed(&self, _: Range<usize>) {}
    fn faulted(&self, _: Start, _: usize, _: bool, _: bool, _: usize) {}
    fn free_begins(&self) -> Start {
        Start::default()
    }
    fn freed(&self, _: Start) {}
    fn fault_begins(&self) -> Start {
        Start::default()
    }
    fn fault_around(&self) -> usize {
        1
    }
}
