// SPDX-License-Identifier: MIT OR Apache-2.0

//! The measurements, for people and for programs.

use super::{
    compare,
    cost::{Cost, Least, PHASES},
    kernel_release,
    meter::Unit,
    subject::{Owner, Subject, Variant},
};
use crate::style;
use mapwright::{page_bytes, page_size};
use serde::Serialize;

/// What a size of a subject costs.
#[derive(Clone, Debug, Serialize)]
pub struct Measurement {
    pub owner: Owner,
    pub variant: Variant,
    /// What people call it.
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backing: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<&'static str>,
    pub bytes: u64,
    /// What a page costs to map, to touch once and to unmap.
    pub per_page: f64,
    #[serde(flatten)]
    pub least: Least,
}

impl Measurement {
    pub fn new(subject: &Subject, bytes: u64, least: Least) -> Self {
        let pair = subject.pair();
        Self {
            owner: subject.owner,
            variant: subject.variant,
            name: subject.name(),
            backing: pair.map(|(backing, _)| backing.name()),
            method: pair.map(|(_, method)| method.name()),
            bytes,
            per_page: per_page(least.cost.in_all(), bytes),
            least,
        }
    }

    /// A phase's cost per page.
    pub fn page(&self, phase: impl Fn(&Cost) -> u64) -> f64 {
        per_page(phase(&self.least.cost), self.bytes)
    }

    /// The first cells of a row: whose it is, unless it is that of the row above, its name, and what a page costs in each phase.
    pub fn cells(&self, owner_above: &mut Option<Owner>) -> Vec<String> {
        let owner = match owner_above.replace(self.owner) == Some(self.owner) {
            true => String::new(),
            false => format!("{:?}", self.owner).to_lowercase(),
        };
        let phases = self.least.cost.phases().into_iter();
        let phases = phases.map(|cost| format!("{:.1}", per_page(cost, self.bytes)));
        [owner, self.name.clone()]
            .into_iter()
            .chain(phases)
            .collect()
    }
}

/// What a page of `bytes` costs.
pub fn per_page(cost: u64, bytes: u64) -> f64 {
    cost as f64 / (bytes / page_size()) as f64
}

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
