// SPDX-License-Identifier: GPL-2.0-only

//! That memory may be seen by programs is an unsafe promise, and how it answers page faults is mapkit's.

use mapkit::memory::backing::{AddressClass, Backing, KernelRange, Run};

pub struct Anything;

impl Backing for Anything {
    //~^ E0200
    fn nr_pages(&self) -> usize {
        1
    }
    fn run_at(&self, _: usize) -> Option<Run> {
        None
    }
    fn range_at(&self, _: usize) -> Option<KernelRange> {
        None
    }
    fn refcounted(&self) -> bool {
        true
    }
    fn address_class(&self) -> AddressClass {
        AddressClass::DirectMap
    }
}

impl<T> mapkit::map::filler::Filler<T> for Anything {} //~ E0603
