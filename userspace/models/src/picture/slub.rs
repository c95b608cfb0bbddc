// SPDX-License-Identifier: MIT OR Apache-2.0

//! The slabs after the last step, object by object, with what the first word of each holds, and each slab's list.

use super::svg::{At, Svg};
use crate::{
    slub::{Place, Slab, State as Cache, Word},
    transcript::Transcript,
};

const CELL: (i64, i64) = (46, 40);
const LEFT: i64 = 24;
/// Slabs that are drawn: the last ones.
const MOST: usize = 8;

pub fn draw(transcript: &Transcript, cache: &Cache) -> Svg {
    let columns = cache.objects_per_slab.clamp(1, 16) as i64;
    let rows = cache.objects_per_slab.div_ceil(columns as u64).min(8) as i64;
    let hidden = cache.slabs.len().saturating_sub(MOST);
    let slabs = &cache.slabs[hidden..];
    let each = 48 + rows * (CELL.1 + 4);
    let width = (2 * LEFT + columns * CELL.0).max(620);
    let mut svg = Svg::new(width, 104 + each * slabs.len().max(1) as i64);
    svg.text((LEFT, 34), 19, "ink", At::Start, transcript.title);
    let about = format!(
        "{}: objects of {} bytes, {} in a slab",
        cache.name, cache.bytes, cache.objects_per_slab
    );
    svg.text((LEFT, 56), 12, "pale", At::Start, &about);
    svg.rect((LEFT, 68), (14, 14), "used");
    svg.text((LEFT + 20, 80), 12, "pale", At::Start, "given");
    svg.rect((LEFT + 80, 68), (14, 14), "free");
    svg.text(
        (LEFT + 100, 80),
        12,
        "pale",
        At::Start,
        "free: its first word tells the next (∅ ends the list); orange: the list's first",
    );
    if slabs.is_empty() {
        svg.text((LEFT, 124), 13, "ink", At::Start, "no slab yet");
    }
    for (slab, row) in slabs.iter().zip(0..) {
        draw_slab(
            &mut svg,
            96 + row * each,
            slab,
            (columns, rows),
            hidden + row as usize,
        );
    }
    svg
}

fn draw_slab(svg: &mut Svg, top: i64, slab: &Slab, (columns, rows): (i64, i64), number: usize) {
    let place = match slab.place {
        Place::Cpu => "the CPU's slab",
        Place::Partial => "in the node's partial list",
        Place::Full => "full: in no list",
        Place::Gone => "its pages were freed",
    };
    let head = match slab.head {
        Some(head) if slab.place != Place::Gone => format!("freelist → {head}"),
        _ => "freelist → NULL".to_owned(),
    };
    svg.text(
        (LEFT, top + 22),
        14,
        "ink",
        At::Start,
        &format!("slab {number}: {place}"),
    );
    svg.text(
        (LEFT + columns * CELL.0 - 4, top + 22),
        13,
        "pale",
        At::End,
        &head,
    );
    for (word, at) in slab.words.iter().zip(0i64..) {
        let (row, column) = (at / columns, at % columns);
        if row >= rows {
            break;
        }
        let (x, y) = (LEFT + column * CELL.0, top + 32 + row * (CELL.1 + 4));
        let object = slab.first + at as u64;
        let is_head = slab.head == Some(object) && slab.place != Place::Gone;
        let (class, says) = match (slab.place, word) {
            (Place::Gone, _) => ("none", String::new()),
            (_, Word::Owners) => ("used", String::new()),
            (_, Word::Next(next)) => (if is_head { "hot" } else { "free" }, format!("→{next}")),
            (_, Word::End) => (if is_head { "hot" } else { "free" }, "∅".to_owned()),
        };
        svg.rect((x, y), (CELL.0 - 4, CELL.1), class);
        svg.text(
            (x + CELL.0 / 2 - 2, y + 15),
            11,
            "pale",
            At::Middle,
            &object.to_string(),
        );
        svg.text((x + CELL.0 / 2 - 2, y + 32), 12, "ink", At::Middle, &says);
    }
}
