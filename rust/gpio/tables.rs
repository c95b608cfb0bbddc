// SPDX-License-Identifier: GPL-2.0-only

//! `/sys/kernel/debug/mapwright-gpioN`: `registers`, each register by name, with its bits; `edges`, how many edges each line had.

use crate::{
    bank::Bank,
    registers::{
        self,
        Field, //
    }, //
};
use kernel::{
    prelude::*,
    seq_file::SeqFile,
    seq_print, //
};
use mapkit::observe::debugfs::{
    Show,
    Tables, //
};
use mapwright_uapi::gpio as uapi;

impl Bank {
    fn show_registers(&self, m: &SeqFile) {
        if let Err(err) = self.block.revision() {
            seq_print!(m, "# the device is gone: error {}\n", err.to_errno());
            return;
        }
        seq_print!(m, "offset name value fields\n");
        for register in registers::ALL {
            let Ok(value) = self.block.with(register.read) else {
                return;
            };
            seq_print!(
                m,
                "{:#05x} {} {:#010x}",
                register.offset,
                register.name,
                value
            );
            for field in register.fields {
                show_field(m, field, value);
            }
            seq_print!(m, "\n");
        }
    }

    /// Lines without an edge are not shown.
    fn show_edges(&self, m: &SeqFile) {
        seq_print!(m, "line rising falling missed\n");
        for line in 0..uapi::LINES {
            let counts = self.with_lines(|lines, _| lines.edges.counts(line));
            let Ok(counts) = counts else {
                seq_print!(m, "# the device is gone\n");
                return;
            };
            if counts.rising | counts.falling != 0 {
                seq_print!(
                    m,
                    "{} {} {} {}\n",
                    line,
                    counts.rising,
                    counts.falling,
                    counts.missed
                );
            }
        }
    }
}

/// A field that is a bit for each line is shown as their numbers.
fn show_field(m: &SeqFile, (name, high, low): &Field, value: u32) {
    let width = high.wrapping_sub(*low).wrapping_add(1);
    let mask = u32::MAX.checked_shr(32u32.wrapping_sub(width)).unwrap_or(0);
    let bits = value.checked_shr(*low).unwrap_or(0) & mask;
    if width < 32 {
        seq_print!(m, " {}={}", name, bits);
        return;
    }
    seq_print!(m, " {}=", name);
    if bits == 0 {
        seq_print!(m, "none");
    } else if bits == u32::MAX {
        seq_print!(m, "all");
    } else {
        let mut comma = "";
        for line in (0..width).filter(|line| bits & 1u32.wrapping_shl(*line) != 0) {
            seq_print!(m, "{}{}", comma, line);
            comma = ",";
        }
    }
}

impl Tables for Bank {
    const MODULE: &'static ThisModule = crate::MODULE;
    const FILES: &'static [(&'static CStr, Show<Self>)] = &[
        (c"registers", Self::show_registers),
        (c"edges", Self::show_edges),
    ];
}
