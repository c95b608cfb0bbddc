// SPDX-License-Identifier: MIT OR Apache-2.0

//! Each walk of the script: the fields of the address, and the table that each selects an entry of.

use super::svg::{At, Svg};
use crate::{
    script::hex,
    transcript::{State, Transcript},
    walk::{state::Walk, ADDRESS, PRESENT},
};

const LEFT: i64 = 24;
const COLUMN: i64 = 176;
const BOX: i64 = 136;
const EACH: i64 = 250;

pub fn draw(transcript: &Transcript) -> Svg {
    let walks = transcript
        .steps
        .iter()
        .filter(|step| step.text.starts_with("walk"));
    let walks: Vec<&Walk> = walks
        .filter_map(|step| match &step.state {
            State::Walk(state) => state.walk.as_ref(),
            _ => None,
        })
        .collect();
    let columns = walks
        .iter()
        .map(|walk| walk.levels.len())
        .max()
        .unwrap_or(3) as i64
        + 1;
    let mut svg = Svg::new(
        2 * LEFT + columns * COLUMN,
        56 + EACH * walks.len().max(1) as i64,
    );
    svg.text((LEFT, 34), 19, "ink", At::Start, transcript.title);
    for (walk, row) in walks.iter().zip(0..) {
        draw_walk(&mut svg, 56 + row * EACH, walk);
    }
    svg
}

fn draw_walk(svg: &mut Svg, top: i64, walk: &Walk) {
    svg.text((LEFT, top + 22), 15, "ink", At::Start, &hex(walk.address));
    let levels = walk.levels.len();
    for (level, column) in walk.levels.iter().zip(0i64..) {
        let x = LEFT + column * COLUMN;
        let name = format!("{} [{}:{}]", level.name, level.shift + 8, level.shift);
        field(svg, (x, top + 36), &name, &level.index.to_string(), "used");
        let table = (x, top + 100);
        svg.rect(table, (BOX, 104), "none");
        svg.line(&[(x + BOX / 2, top + 82), (x + BOX / 2, top + 100)], "line");
        let at = top + 104 + (level.index as i64 * 72) / 511;
        let Some(value) = level.value else {
            svg.labelled((x, at), (BOX, 24), "used", &format!("[{}]", level.index));
            continue;
        };
        let there = value & PRESENT != 0;
        let class = if there { "used" } else { "bad" };
        svg.labelled((x, at), (BOX, 24), class, &hex(value));
        let place = level
            .entry
            .map_or(String::new(), |entry| format!("at {}", hex(entry)));
        svg.text((x, top + 222), 11, "pale", At::Start, &place);
        if there {
            let bend = x + BOX + 14;
            let to = (x + COLUMN, top + 112);
            svg.arrow(
                &[(x + BOX, at + 12), (bend, at + 12), (bend, to.1), to],
                "line-used",
            );
        }
    }
    let x = LEFT + levels as i64 * COLUMN;
    end(svg, (x, top), walk);
}

/// A field of the address.
fn field(svg: &mut Svg, (x, y): (i64, i64), name: &str, number: &str, class: &str) {
    svg.rect((x, y), (BOX, 46), class);
    svg.text((x + BOX / 2, y + 18), 12, "pale", At::Middle, name);
    svg.text((x + BOX / 2, y + 37), 15, "ink", At::Middle, number);
}

/// The page, or that there is none.
fn end(svg: &mut Svg, (x, top): (i64, i64), walk: &Walk) {
    let (Some(physical), Some(page)) = (walk.physical, walk.page) else {
        if walk.levels.iter().any(|level| level.value.is_some()) {
            svg.labelled((x, top + 100), (BOX, 40), "bad", "#PF: not present");
        }
        return;
    };
    let below = page.trailing_zeros();
    let offset = walk.address & (page - 1);
    field(
        svg,
        (x, top + 36),
        &format!("offset [{}:0]", below - 1),
        &offset.to_string(),
        "free",
    );
    svg.line(&[(x + BOX / 2, top + 82), (x + BOX / 2, top + 100)], "line");
    svg.rect((x, top + 100), (BOX, 104), "free");
    let at = top + 104 + (offset as i128 * 72 / page as i128) as i64;
    svg.line(&[(x, at + 12), (x + BOX, at + 12)], "line-free");
    svg.text(
        (x, top + 222),
        12,
        "ink",
        At::Start,
        &format!("= {}", hex(physical)),
    );
    svg.text(
        (x, top + 238),
        11,
        "pale",
        At::Start,
        &format!("page {}", hex(physical & ADDRESS & !(page - 1))),
    );
}
