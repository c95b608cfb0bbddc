// SPDX-License-Identifier: MIT OR Apache-2.0

//! The two lists after each step, as rows of boxes.

use super::{
    name, says,
    svg::{cut, At, Svg},
};
use crate::{
    lru::state::{Page, State as Lists},
    transcript::{State, Transcript},
};

const LEFT: i64 = 120;
const CELL: i64 = 38;
const ROW: i64 = 60;
/// Boxes of a list, at most.
const MOST: usize = 12;

pub fn draw(transcript: &Transcript, last: &Lists) -> Svg {
    let cells = last.frames.clamp(4, MOST) as i64;
    let middle = LEFT + cells * CELL + 46;
    let width = middle + cells * CELL + 30;
    let rows = transcript.steps.len() as i64;
    let mut svg = Svg::new(width, 110 + rows * ROW);
    svg.text((20, 34), 19, "ink", At::Start, transcript.title);
    let about = format!(
        "{} pages fit; * referenced, + dirty; time goes down",
        last.frames
    );
    svg.text((20, 56), 12, "pale", At::Start, &about);
    svg.text((LEFT, 84), 13, "ink", At::Start, "active: head → tail");
    svg.text(
        (middle, 84),
        13,
        "ink",
        At::Start,
        "inactive: head → tail → evicted",
    );
    for (step, row) in transcript.steps.iter().zip(0..) {
        let State::Lru(lists) = &step.state else {
            continue;
        };
        let y = 98 + row * ROW;
        svg.text((20, y + 20), 13, "ink", At::Start, &cut(name(step), 12));
        list(&mut svg, (LEFT, y), &lists.active, "hot");
        let end = list(&mut svg, (middle, y), &lists.inactive, "used");
        for (page, at) in lists
            .evicted
            .iter()
            .take(MOST - lists.inactive.len().min(MOST))
            .zip(0..)
        {
            svg.labelled((end + 6 + at * CELL, y), (CELL - 4, 28), "bad", page);
        }
        let room = usize::try_from((width - LEFT - 20) / 7).unwrap_or(0);
        svg.text(
            (LEFT, y + 44),
            12,
            "pale",
            At::Start,
            &cut(says(step), room),
        );
    }
    svg
}

/// Draws a list; returns where it ends.
fn list(svg: &mut Svg, (x, y): (i64, i64), pages: &[Page], class: &str) -> i64 {
    for (page, at) in pages.iter().take(MOST).zip(0..) {
        let mark = |on: bool, mark: &'static str| if on { mark } else { "" };
        let text = format!(
            "{}{}{}",
            page.name,
            mark(page.referenced, "*"),
            mark(page.dirty, "+")
        );
        svg.labelled((x + at * CELL, y), (CELL - 4, 28), class, &text);
    }
    if pages.is_empty() {
        svg.text((x, y + 18), 12, "pale", At::Start, "empty");
        return x + 50;
    }
    x + pages.len().min(MOST) as i64 * CELL
}
