// SPDX-License-Identifier: MIT OR Apache-2.0

//! The entries of all processes and the frames that they point to, step by step.

use super::{
    name,
    svg::{cut, At, Svg},
};
use crate::{
    cow::State as Family,
    script::hex,
    transcript::{State, Transcript},
};
use std::collections::BTreeMap;

const LEFT: i64 = 190;
const ENTRY: i64 = 128;
const GAP: i64 = 90;
const LINE: i64 = 34;

/// An entry to be drawn.
struct Entry {
    who: usize,
    page: u64,
    frame: u64,
    writable: bool,
}

pub fn draw(transcript: &Transcript, last: &Family) -> Svg {
    let families = transcript
        .steps
        .iter()
        .filter_map(|step| match &step.state {
            State::Cow(family) => Some((name(step), family)),
            _ => None,
        });
    let families = families.collect::<Vec<_>>();
    let heights: Vec<i64> = families.iter().map(|(_, family)| height(family)).collect();
    let frames = LEFT + ENTRY + 70 + GAP;
    let mut svg = Svg::new(frames + 210, 90 + heights.iter().sum::<i64>());
    svg.text((20, 34), 19, "ink", At::Start, transcript.title);
    let about = format!(
        "{} processes; entries on the left, frames on the right; time goes down",
        last.processes.len()
    );
    svg.text((20, 56), 12, "pale", At::Start, &about);
    svg.rect((20, 66), (14, 14), "used");
    svg.text((40, 78), 12, "pale", At::Start, "W=1: may be written");
    svg.rect((200, 66), (14, 14), "hot");
    svg.text((220, 78), 12, "pale", At::Start, "W=0: a write faults");
    let mut y = 90;
    for ((name, family), height) in families.iter().zip(&heights) {
        svg.dashes((20, y + 2), (frames + 190, y + 2), "line");
        svg.text((20, y + 30), 13, "ink", At::Start, &cut(name, 21));
        draw_step(&mut svg, y + 12, family, frames);
        y += height;
    }
    svg
}

fn entries(family: &Family) -> Vec<Entry> {
    let all = family.processes.iter().enumerate();
    let all = all.flat_map(|(who, process)| {
        process
            .entries
            .iter()
            .map(move |(page, pte)| (who, *page, *pte))
    });
    let entry = |(who, page, pte): (usize, u64, crate::cow::Pte)| Entry {
        who,
        page,
        frame: pte.frame,
        writable: pte.writable,
    };
    all.map(entry).collect()
}

fn height(family: &Family) -> i64 {
    let lines = entries(family).len().max(family.frames.len()).max(1);
    lines as i64 * LINE + 18
}

fn draw_step(svg: &mut Svg, top: i64, family: &Family, frames: i64) {
    let places: BTreeMap<u64, i64> = family.frames.keys().copied().zip(0..).collect();
    let several = family
        .processes
        .iter()
        .any(|process| process.entries.len() > 1);
    for (entry, line) in entries(family).iter().zip(0..) {
        let y = top + line * LINE;
        let who = &family.processes[entry.who].name;
        let who = match several {
            true => format!("{who} {}", hex(entry.page)),
            false => who.clone(),
        };
        svg.text(
            (LEFT + 62, y + 18),
            if several { 9 } else { 12 },
            "pale",
            At::End,
            &who,
        );
        let class = if entry.writable { "used" } else { "hot" };
        let x = LEFT + 70;
        svg.labelled(
            (x, y),
            (ENTRY, 26),
            class,
            &format!("W={}", u8::from(entry.writable)),
        );
        if let Some(place) = places.get(&entry.frame) {
            let line_class = if entry.writable {
                "line-used"
            } else {
                "line-hot"
            };
            svg.arrow(
                &[(x + ENTRY, y + 13), (frames, top + place * LINE + 13)],
                line_class,
            );
        }
    }
    for (frame, place) in &places {
        let y = top + place * LINE;
        svg.labelled((frames, y), (90, 26), "free", &hex(*frame));
        let count = family.frames.get(frame).copied().unwrap_or(0);
        svg.text(
            (frames + 98, y + 18),
            12,
            "pale",
            At::Start,
            &format!("refcnt {count}"),
        );
    }
}
