// SPDX-License-Identifier: MIT OR Apache-2.0

//! A bar for each way to get a mapping, as an SVG file.

use super::{
    super::{
        plot::{thousands, Drawn, FONT, GRID, INK},
        subject::Owner,
    },
    report::{Peer, Report},
    uses::{Direct, Pin},
};
use crate::style::bytes;
use anyhow::{anyhow, Result};
use plotters::{prelude::*, style::text_anchor};
use std::path::Path;

const WIDTH: u32 = 1000;
/// Pixels of a bar and of what is between two, and of everything above and below them.
const ROW: i32 = 22;
const TOP: i32 = 84;
const BOTTOM: i32 = 60;
/// Where bars begin, and how long they are at most.
const LEFT: i32 = 250;
const LENGTH: i32 = 560;
const PINNABLE: RGBColor = RGBColor(20, 140, 80);
const NOT_PINNABLE: RGBColor = RGBColor(200, 130, 0);

/// Draws what was measured of 4 MiB, or of the largest size if there is no such.
pub fn draw(report: &Report, file: &Path) -> Result<()> {
    let sizes = report.sizes();
    let usual = sizes.iter().find(|bytes| **bytes == 4 << 20);
    let Some(bytes) = usual.or(sizes.last()) else {
        return Ok(());
    };
    let of_size = |peer: &&Peer| peer.measurement.bytes == *bytes;
    let mut peers: Vec<&Peer> = report.peers.iter().filter(of_size).collect();
    peers.sort_by(|a, b| a.of_memory_there().total_cmp(&b.of_memory_there()));
    let height = TOP + BOTTOM + ROW * peers.len() as i32;
    let root = SVGBackend::new(file, (WIDTH, height as u32)).into_drawing_area();
    draw_bars(&root, &peers, *bytes, &report.unit.to_string())
        .map_err(|err| anyhow!("drawing {}: {err}", file.display()))
}

fn draw_bars<DB: DrawingBackend>(
    root: &DrawingArea<DB, plotters::coord::Shift>,
    peers: &[&Peer],
    size: u64,
    unit: &str,
) -> Drawn
where
    DB::ErrorType: 'static,
{
    root.fill(&WHITE)?;
    let text = |size: i32, colour: &RGBColor| (FONT, size).into_font().color(colour);
    let title = format!("What a page of {} costs, in {unit}", bytes(size));
    root.draw(&Text::new(title, (24, 14), text(24, &INK)))?;
    let subtitle = "Bars: to map memory that is there, use it once and unmap it.  Rings: a whole life, with making and freeing the memory.  \
                    The axis is logarithmic.";
    root.draw(&Text::new(subtitle, (24, 44), text(14, &INK)))?;

    let bottom = TOP + ROW * peers.len() as i32;
    let scale = Scale::over(peers);
    for tick in scale.ticks() {
        let x = scale.x(tick);
        root.draw(&PathElement::new([(x, TOP - 4), (x, bottom)], GRID))?;
        let middle = text_anchor::Pos::new(text_anchor::HPos::Center, text_anchor::VPos::Top);
        let style = text(13, &INK).pos(middle);
        root.draw(&Text::new(thousands(tick), (x, bottom + 6), style))?;
    }
    let right = text_anchor::Pos::new(text_anchor::HPos::Right, text_anchor::VPos::Center);
    let left = text_anchor::Pos::new(text_anchor::HPos::Left, text_anchor::VPos::Center);
    for (at, peer) in peers.iter().enumerate() {
        let y = TOP + ROW * at as i32;
        let middle = y + ROW / 2;
        let (cost, life) = (peer.of_memory_there(), peer.whole_life());
        let colour = match peer.uses.pin {
            Pin::Cost { .. } => PINNABLE,
            Pin::Refused(_) => NOT_PINNABLE,
        };
        let style = text(14, &INK).pos(right);
        root.draw(&Text::new(label(peer), (LEFT - 8, middle), style))?;
        let end = scale.x(cost);
        let bar = [(LEFT, y + 4), (end, y + ROW - 4)];
        root.draw(&Rectangle::new(bar, colour.filled()))?;
        let ring = Circle::new((scale.x(life), middle), 5, INK.stroke_width(1));
        root.draw(&ring)?;
        let costs = format!("{}  ({})", thousands(round(cost)), thousands(round(life)));
        let at = (scale.x(life.max(cost)) + 10, middle);
        root.draw(&Text::new(costs, at, text(13, &INK).pos(left)))?;
    }
    let keys = [
        (PINNABLE, "can be pinned: O_DIRECT and io_uring work"),
        (NOT_PINNABLE, "cannot be pinned: EFAULT"),
    ];
    for (at, (colour, key)) in keys.into_iter().enumerate() {
        let x = LEFT + 330 * at as i32;
        let bar = [(x, bottom + 34), (x + 14, bottom + 46)];
        root.draw(&Rectangle::new(bar, colour.filled()))?;
        let style = text(14, &INK).pos(left);
        root.draw(&Text::new(key, (x + 22, bottom + 40), style))?;
    }
    root.present()?;
    Ok(())
}

/// Its name, with its owner's where that is not clear; and what is true of it alone.
fn label(peer: &Peer) -> String {
    let m = &peer.measurement;
    let of = match m.owner {
        Owner::Mapwright | Owner::Kernel => "",
        Owner::Reference => " (in C)",
    };
    // The two go together, but for what the kernel may change.
    let works = peer.uses.o_direct == Direct::Works;
    let but = match (&peer.uses.pin, works) {
        (Pin::Cost { .. }, false) => ", no O_DIRECT",
        (Pin::Refused(_), true) => ", O_DIRECT",
        _ => "",
    };
    format!("{}{of}{but}", m.name)
}

/// Without decimals where they say nothing.
fn round(cost: f64) -> f64 {
    match cost {
        cost if cost < 10.0 => (cost * 10.0).round() / 10.0,
        cost => cost.round(),
    }
}

/// Where costs are along a logarithmic axis, which begins at 1.
struct Scale {
    most: f64,
}

impl Scale {
    fn over(peers: &[&Peer]) -> Self {
        let most = peers
            .iter()
            .map(|peer| peer.whole_life().max(peer.of_memory_there()))
            .fold(10.0, f64::max);
        Self { most }
    }

    fn x(&self, cost: f64) -> i32 {
        let part = cost.max(1.0).log10() / self.most.log10();
        LEFT + (part * f64::from(LENGTH)) as i32
    }

    /// Powers of ten.
    fn ticks(&self) -> impl Iterator<Item = f64> + '_ {
        let powers = (0..).map(|power| 10f64.powi(power));
        powers.take_while(|tick| *tick <= self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axis_is_logarithmic() {
        let scale = Scale { most: 10_000.0 };
        assert_eq!((scale.x(1.0), scale.x(0.5)), (LEFT, LEFT));
        assert_eq!(scale.x(100.0), LEFT + LENGTH / 2);
        assert_eq!(scale.x(10_000.0), LEFT + LENGTH);
        assert_eq!(scale.ticks().count(), 5);
    }
}
