// SPDX-License-Identifier: MIT OR Apache-2.0

//! What was measured, for people and for programs.

use super::{
    super::{
        cost::PHASES,
        kernel_release,
        measurement::{per_page, Measurement},
        meter::Unit,
    },
    prepare::{LeftOut, Prepared},
    uses::{Bench, Direct, Pin, Uses},
};
use crate::style;
use mapwright::page_bytes;
use serde::Serialize;

/// A way to get a mapping, of a size.
#[derive(Debug, Serialize)]
pub struct Peer {
    #[serde(flatten)]
    pub measurement: Measurement,
    #[serde(flatten)]
    pub uses: Uses,
}

impl Peer {
    /// What a page costs to map, use once and unmap: of memory that is there, where it does not come with the mapping.
    pub fn of_memory_there(&self) -> f64 {
        let m = &self.measurement;
        self.uses
            .again
            .map_or(m.per_page, |cost| per_page(cost, m.bytes))
    }

    /// What a page costs from the making of the memory to its end.
    pub fn whole_life(&self) -> f64 {
        let m = &self.measurement;
        let cost = &m.least.cost;
        per_page(cost.create + cost.in_all() + cost.destroy, m.bytes)
    }
}

/// All that was measured.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What the costs are: of all pages of a measurement together, unless it says per page.
    pub unit: Unit,
    pub page_bytes: usize,
    pub kernel: String,
    /// The kernel's settings that were set for this.
    pub settings: Vec<String>,
    pub peers: Vec<Peer>,
    pub left_out: Vec<LeftOut>,
}

impl Report {
    pub fn new(
        bench: &Bench,
        prepared: &Prepared,
        peers: Vec<Peer>,
        left_out: Vec<LeftOut>,
    ) -> Self {
        Self {
            unit: bench.meter.unit,
            page_bytes: page_bytes(),
            kernel: kernel_release(),
            settings: prepared.settings.clone(),
            peers,
            left_out,
        }
    }

    /// The sizes, ascending.
    pub fn sizes(&self) -> Vec<u64> {
        let mut sizes: Vec<u64> = self.peers.iter().map(|p| p.measurement.bytes).collect();
        sizes.dedup();
        sizes
    }

    /// Prints a table for each size.
    pub fn show(&self) {
        for bytes in self.sizes() {
            self.show_size(bytes);
        }
        for left_out in &self.left_out {
            let LeftOut { name, reason } = left_out;
            anstream::println!("{}: {reason}", style::paint(style::STRONG, name));
        }
        let notes = "in all: mmap, first touch and munmap; life: with create and destroy; again: in all, of memory that is \
                     there; pin, unpin: all of it as a buffer of io_uring; all touches are stores; least of several runs; the module's clock is off";
        anstream::println!("{}", style::paint(style::DIM, notes));
        if !self.settings.is_empty() {
            let settings = format!("set for this: {}", self.settings.join(", "));
            anstream::println!("{}", style::paint(style::DIM, settings));
        }
    }

    fn show_size(&self, bytes: u64) {
        let title = format!("{}, {} per page", style::bytes(bytes), self.unit);
        anstream::println!("{}", style::paint(style::HEADING, title));
        let [create, mmap, first, second, munmap, destroy] = PHASES;
        let header = [
            "", "what", create, mmap, first, second, munmap, destroy, "in all", "life", "again",
            "O_DIRECT", "pin", "unpin",
        ];
        let mut table = style::table(header, 2);
        let mut owner = None;
        for peer in self.peers.iter().filter(|p| p.measurement.bytes == bytes) {
            let m = &peer.measurement;
            let mut row = m.cells(&mut owner);
            row.extend([m.per_page, peer.whole_life()].map(|cost| format!("{cost:.1}")));
            let again = peer.uses.again.map(|cost| per_page(cost, bytes));
            row.push(again.map_or(String::new(), |cost| format!("{cost:.1}")));
            row.push(match &peer.uses.o_direct {
                Direct::Works => "works".to_owned(),
                Direct::Refused(errno) => errno.clone(),
            });
            row.extend(match &peer.uses.pin {
                Pin::Cost {
                    register,
                    unregister,
                } => [register, unregister].map(|cost| format!("{:.1}", per_page(*cost, bytes))),
                Pin::Refused(errno) => [errno.clone(), String::new()],
            });
            table.add_row(row);
        }
        anstream::println!("{table}");
    }
}
