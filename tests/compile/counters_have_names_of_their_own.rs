// SPDX-License-Identifier: GPL-2.0-only

//! A set of counters is counted with its own names only: there is no number that could be wrong.

use mapkit::observe::percpu::{CounterNames, PerCpuCounters};

#[derive(Clone, Copy)]
pub struct Mine;
#[derive(Clone, Copy)]
pub struct Other;

impl CounterNames for Mine {
    const COUNT: usize = 1;
    fn index(self) -> usize {
        0
    }
}

pub fn count(counters: &PerCpuCounters<Mine>) {
    counters.inc(Mine);
    counters.inc(Other); //~ E0308
    counters.inc(0); //~ E0308
}
