// SPDX-License-Identifier: MIT OR Apache-2.0

//! Free pages over the steps, with the marks as lines across.

use super::{
    name,
    svg::{cut, At, Svg},
};
use crate::{
    transcript::{State, Transcript},
    watermark::State as Zone,
};

const LEFT: i64 = 150;
const TOP: i64 = 70;
const HEIGHT: i64 = 300;
const COLUMN: i64 = 76;

pub fn draw(transcript: &Transcript) -> Svg {
    let zones: Vec<&Zone> = transcript
        .steps
        .iter()
        .filter_map(|step| zone(&step.state))
        .collect();
    let count = zones.len() as i64;
    let right = LEFT + (count * COLUMN).max(640);
    let list = TOP + HEIGHT + 50;
    let mut svg = Svg::new(right + 40, list + 22 * count + 10);
    svg.text((20, 34), 19, "ink", At::Start, transcript.title);
    svg.text(
        (LEFT, 56),
        12,
        "pale",
        At::Start,
        "free pages after each step; orange: kswapd is awake",
    );
    let most = zones
        .iter()
        .map(|zone| zone.free.max(zone.high + zone.protection))
        .max();
    let most = most.unwrap_or(1).max(1) * 11 / 10;
    let y =
        |pages: u64| TOP + HEIGHT - (pages as i128 * HEIGHT as i128 / most.max(1) as i128) as i64;
    svg.rect((LEFT, TOP), (right - LEFT, HEIGHT), "edge");
    if let Some(zone) = zones.first() {
        let marks = [
            ("min", zone.min, "line-bad"),
            ("low", zone.low, "line-hot"),
            ("high", zone.high, "line-free"),
        ];
        for (name, mark, class) in marks {
            let at = y(mark + zone.protection);
            svg.dashes((LEFT, at), (right, at), class);
            let kept = if zone.protection > 0 { " + kept" } else { "" };
            svg.text(
                (LEFT - 8, at + 4),
                13,
                "ink",
                At::End,
                &format!("{name}{kept} {mark}"),
            );
        }
    }
    let x = |step: i64| LEFT + COLUMN / 2 + step * COLUMN;
    let points: Vec<(i64, i64)> = zones
        .iter()
        .zip(0..)
        .map(|(zone, step)| (x(step), y(zone.free)))
        .collect();
    svg.line(&points, "line-used");
    for ((zone, point), step) in zones.iter().zip(&points).zip(0..) {
        let class = if zone.kswapd_is_awake { "hot" } else { "used" };
        svg.rect((point.0 - 6, point.1 - 6), (12, 12), class);
        svg.text(
            (point.0, point.1 - 12),
            12,
            "ink",
            At::Middle,
            &zone.free.to_string(),
        );
        svg.text(
            (x(step), TOP + HEIGHT + 20),
            12,
            "pale",
            At::Middle,
            &step.to_string(),
        );
    }
    for (step, row) in transcript.steps.iter().zip(0..) {
        let at = list + 22 * row;
        svg.text((20, at), 13, "pale", At::Start, &row.to_string());
        svg.text((44, at), 13, "ink", At::Start, &cut(name(step), 20));
        let room = usize::try_from((right - 230) / 8).unwrap_or(0);
        let all: Vec<&str> = step.rows.iter().map(|row| row.last.as_str()).collect();
        svg.text(
            (220, at),
            13,
            "pale",
            At::Start,
            &cut(&all.join("; "), room),
        );
    }
    svg
}

fn zone(state: &State) -> Option<&Zone> {
    match state {
        State::Watermark(zone) => Some(zone),
        _ => None,
    }
}
