// SPDX-License-Identifier: MIT OR Apache-2.0

//! What code was run by all programs so far.

use crate::kcov::Kcov;
use std::collections::HashSet;
use std::fmt::Write as _;

/// Places in the modules' code, and the ways from one to the next.
#[derive(Default)]
pub struct Coverage {
    places: HashSet<u64>,
    ways: HashSet<u64>,
}

impl Coverage {
    /// Adds what the threads of a program recorded. Tells whether something of it is new.
    pub fn add(&mut self, kcov: &[Kcov]) -> bool {
        let known = self.ways.len();
        for thread in kcov {
            let mut last = 0;
            thread.take(|place| {
                self.places.insert(place);
                // Each way is a number that hardly any other way has.
                self.ways.insert(place ^ u64::rotate_left(last, 31));
                last = place;
            });
        }
        self.ways.len() > known
    }

    /// How many places were run.
    pub fn places(&self) -> usize {
        self.places.len()
    }

    /// The places, in order, a line each.
    pub fn list(&self) -> String {
        let mut places: Vec<u64> = self.places.iter().copied().collect();
        places.sort_unstable();
        places.iter().fold(String::new(), |mut text, place| {
            let _ = writeln!(text, "{place:#x}");
            text
        })
    }
}
