// SPDX-License-Identifier: MIT OR Apache-2.0

//! All that was measured, as JSON and as tables.

use super::super::meter::Unit;
use super::measure::{Bench, Row, Spread};
use super::textbook::{compare, range, Compared};
use crate::style;
use serde::Serialize;

/// All that was measured.
#[derive(Debug, Serialize)]
pub(super) struct Results<'a> {
    unit: Unit,
    kernel: String,
    lines: &'a [Row],
    textbook: Vec<Compared>,
}

impl<'a> Results<'a> {
    pub(super) fn new(bench: &'a Bench) -> Self {
        Self {
            unit: bench.unit,
            kernel: super::kernel_release(),
            textbook: compare(bench),
            lines: &bench.lines,
        }
    }

    pub(super) fn show(&self) {
        let title = format!("What an object costs, in {}", self.unit);
        anstream::println!("{}", style::paint(style::HEADING, title));
        let header = [
            "",
            "allocated and freed",
            "median … most",
            "to C",
            "one of many",
            "to C",
            "its free",
            "to C",
        ];
        let mut table = style::table(header, 1);
        for line in self.lines {
            let (rust, c) = (&line.rust, line.c.as_ref());
            let to_c = |spread: &Spread, c: Option<&Spread>| match c {
                Some(c) => format!("{:+.1} %", (spread.least / c.least - 1.0) * 100.0),
                None => String::new(),
            };
            table.add_row([
                line.name.clone(),
                number(rust.pair.least),
                format!("{} … {}", number(rust.pair.median), number(rust.pair.most)),
                to_c(&rust.pair, c.map(|c| &c.pair)),
                number(rust.allocate.least),
                to_c(&rust.allocate, c.map(|c| &c.allocate)),
                number(rust.free.least),
                to_c(&rust.free, c.map(|c| &c.free)),
            ]);
        }
        anstream::println!("{table}");
        self.show_textbook();
        let notes = "least of several runs, with the empty loop subtracted; to C: the least of both; many: up to 1100 alive at a time";
        anstream::println!("{}", style::paint(style::DIM, notes));
    }

    fn show_textbook(&self) {
        if self.textbook.is_empty() {
            return;
        }
        let title = "Beside what a textbook says";
        anstream::println!("{}", style::paint(style::HEADING, title));
        let measured = self.unit.to_string();
        let header = [
            "",
            "said, ns",
            measured.as_str(),
            "said, to a page",
            "measured, to a page",
        ];
        let mut table = style::table(header, 1);
        for line in &self.textbook {
            table.add_row([
                line.what.to_owned(),
                range(line.said_ns),
                number(line.measured),
                range(line.said_to_buddy),
                format!("{:.2}", line.measured_to_buddy),
            ]);
        }
        anstream::println!("{table}");
    }
}

/// Three figures, no more.
fn number(n: f64) -> String {
    match n {
        n if n >= 100.0 => format!("{n:.0}"),
        n => format!("{n:.1}"),
    }
}
