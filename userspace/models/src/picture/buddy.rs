// SPDX-License-Identifier: MIT OR Apache-2.0

//! The pool as a bar per step, with a box per block.

use super::{
    name, says,
    svg::{cut, At, Svg},
};
use crate::{
    buddy::{State as Pool, PAGE},
    script::hex,
    transcript::{State, Transcript},
};

const LEFT: i64 = 170;
const BAR: i64 = 640;
const ROW: i64 = 64;

pub fn draw(transcript: &Transcript, last: &Pool) -> Svg {
    let steps = transcript.steps.len() as i64;
    let mut svg = Svg::new(LEFT + BAR + 30, 96 + steps * ROW);
    svg.text((20, 34), 19, "ink", At::Start, transcript.title);
    svg.rect((LEFT, 44), (14, 14), "free");
    svg.text((LEFT + 20, 56), 12, "pale", At::Start, "free");
    svg.rect((LEFT + 80, 44), (14, 14), "used");
    svg.text((LEFT + 100, 56), 12, "pale", At::Start, "given");
    let pages = 1u64 << last.order;
    let about = format!("{pages} pages from {}; time goes down", hex(last.start));
    svg.text((LEFT + BAR, 56), 12, "pale", At::End, &about);
    for (step, row) in transcript.steps.iter().zip(0..) {
        let State::Buddy(pool) = &step.state else {
            continue;
        };
        let y = 74 + row * ROW;
        svg.text((20, y + 24), 14, "ink", At::Start, &cut(name(step), 17));
        bar(&mut svg, y, pool);
        svg.text((LEFT, y + 53), 12, "pale", At::Start, &cut(says(step), 88));
    }
    svg
}

fn bar(svg: &mut Svg, y: i64, pool: &Pool) {
    let free = pool.free.iter().enumerate();
    let free =
        free.flat_map(|(order, list)| list.iter().map(move |address| (*address, order, "free")));
    let used = pool
        .used
        .iter()
        .map(|block| (block.address, block.order, "used"));
    for (address, order, class) in free.chain(used) {
        let at = |page: u64| LEFT + (page as i64 * BAR) / (1i64 << pool.order);
        let first = (address - pool.start) / PAGE;
        let (x, end) = (at(first), at(first + (1 << order)));
        let width = (end - x - 2).max(1);
        // A box that is too narrow has no text.
        match width {
            0..40 => svg.rect((x + 1, y), (width, 38), class),
            _ => {
                svg.rect((x + 1, y), (width, 38), class);
                let middle = x + 1 + width / 2;
                let size = (width / 5).clamp(8, 13);
                svg.text((middle, y + 17), size, "ink", At::Middle, &hex(address));
                svg.text(
                    (middle, y + 32),
                    size.min(11),
                    "pale",
                    At::Middle,
                    &format!("order {order}"),
                );
            }
        }
    }
}
