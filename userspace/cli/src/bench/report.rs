// SPDX-License-Identifier: MIT OR Apache-2.0

//! The measurements, for people and for programs.

use super::{compare, cost::PHASES, kernel_release, measurement::Measurement, meter::Unit};
use crate::style;
use mapwright::{page_bytes, page_size};
use serde::Serialize;

/// All that was measured.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What the costs are: of all pages of a measurement together, unless it says per page.
    pub unit: Unit,
    pub page_bytes: usize,
    pub kernel: String,
    pub measurements: Vec<Measurement>,
    pub comparisons: Vec<compare::Comparison>,
}

impl Report {
    pub fn new(unit: Unit, measurements: Vec<Measurement>) -> Self {
        Self {
            unit,
            page_bytes: page_bytes(),
            kernel: kernel_release(),
            comparisons: compare::all(&measurements),
            measurements,
        }
    }

    /// Prints a table for each of `sizes`; if that is none, for 4 MiB and the largest there is.
    pub fn show(&self, sizes: &[u64]) {
        let largest = self.measurements.iter().map(|m| m.bytes).max().unwrap_or(0);
        let usual = [4 << 20, largest];
        let mut shown: Vec<u64> = if sizes.is_empty() {
            usual.into()
        } else {
            sizes.into()
        };
        shown.sort_unstable();
        shown.dedup();
        for bytes in shown {
            self.show_size(bytes.next_multiple_of(page_size()));
        }
        compare::show(&self.comparisons);
        anstream::println!(
            "{}",
            style::paint(
                style::DIM,
                "in all: mmap, first touch and munmap; all touches are stores; least of several runs; the module's clock is off"
            )
        );
    }

    fn show_size(&self, bytes: u64) {
        let mut measured = self
            .measurements
            .iter()
            .filter(|m| m.bytes == bytes)
            .peekable();
        if measured.peek().is_none() {
            return;
        }
        let title = format!("{}, {} per page", style::bytes(bytes), self.unit);
        anstream::println!("{}", style::paint(style::HEADING, title));
        let [create, mmap, first, second, munmap, destroy] = PHASES;
        let header = [
            "", "what", create, mmap, first, second, munmap, destroy, "in all",
        ];
        let mut table = style::table(header, 2);
        let mut owner = None;
        for m in measured {
            let mut row = m.cells(&mut owner);
            row.push(format!("{:.1}", m.per_page));
            table.add_row(row);
        }
        anstream::println!("{table}");
    }
}
