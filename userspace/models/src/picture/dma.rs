// SPDX-License-Identifier: MIT OR Apache-2.0

//! Each address that was mapped or used, in its three address spaces.

use super::{
    name, says,
    svg::{cut, At, Svg},
};
use crate::{
    dma::state::State as Machine,
    script::hex,
    transcript::{State, Step, Transcript},
};

const COLUMNS: [(&str, i64); 3] = [
    ("virtual: the kernel's", 250),
    ("physical: memory's", 460),
    ("bus: the device's", 670),
];
const BOX: i64 = 170;
const ROW: i64 = 62;

pub fn draw(transcript: &Transcript, last: &Machine) -> Svg {
    let rows = transcript.steps.iter().filter(|step| step.line > 0);
    let rows: Vec<(&Step, &Machine)> = rows
        .filter_map(|step| match &step.state {
            State::Dma(machine) => Some((step, machine)),
            _ => None,
        })
        .collect();
    let mut svg = Svg::new(880, 100 + ROW * rows.len().max(1) as i64);
    svg.text((20, 34), 19, "ink", At::Start, transcript.title);
    let about = format!(
        "all memory is mapped at {}; time goes down",
        hex(last.direct_map)
    );
    svg.text((20, 56), 12, "pale", At::Start, &about);
    for (title, x) in COLUMNS {
        svg.text((x, 84), 13, "ink", At::Start, title);
    }
    for ((step, machine), row) in rows.iter().zip(0..) {
        draw_step(&mut svg, 96 + row * ROW, step, machine);
    }
    svg
}

fn draw_step(svg: &mut Svg, y: i64, step: &Step, machine: &Machine) {
    svg.text((20, y + 20), 13, "ink", At::Start, &cut(name(step), 28));
    let Some(row) = step.rows.last() else { return };
    let stopped = machine.used.is_some_and(|used| used.physical.is_none());
    let stray = machine
        .used
        .is_some_and(|used| used.physical.is_some() && !used.meant);
    let class = match (stopped || stray, step.text.starts_with("device")) {
        (true, _) => "bad",
        (false, true) => "hot",
        (false, false) => "used",
    };
    for (cell, (_, x)) in row.cells.iter().zip(COLUMNS) {
        match cell.is_empty() {
            true => svg.labelled((x, y), (BOX, 28), "none", "–"),
            false => svg.labelled((x, y), (BOX, 28), class, cell),
        }
    }
    let line = match class {
        "bad" => "line-bad",
        "hot" => "line-hot",
        _ => "line-used",
    };
    let [_, (_, physical), (_, bus)] = COLUMNS;
    if step.text.starts_with("device") {
        // The device's address is looked up from the right.
        let end = if stopped { bus - 24 } else { physical + BOX };
        svg.arrow(&[(bus, y + 14), (end, y + 14)], line);
    } else if step.text.starts_with("map") {
        svg.arrow(&[(COLUMNS[0].1 + BOX, y + 14), (physical, y + 14)], line);
        svg.arrow(&[(physical + BOX, y + 14), (bus, y + 14)], line);
    }
    if machine.iommu {
        svg.text(
            (physical + BOX + 20, y - 2),
            10,
            "pale",
            At::Middle,
            "IOMMU",
        );
    }
    svg.text(
        (COLUMNS[0].1, y + 45),
        12,
        "pale",
        At::Start,
        &cut(says(step), 80),
    );
}
