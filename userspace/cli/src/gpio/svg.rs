// SPDX-License-Identifier: MIT OR Apache-2.0

//! A waveform as an SVG file.

use super::{
    terminal::{show, step},
    waveform::{Level, Signal},
};
use anyhow::{anyhow, Result};
use plotters::{coord::Shift, prelude::*, style::text_anchor};
use std::{ops::Range, path::Path};

const WIDTH: u32 = 1000;
/// Left of the signals, for their names; right of them.
const LEFT: i32 = 110;
const RIGHT: i32 = 30;
const TOP: i32 = 24;
/// From one signal to the next, and how high it is.
const PITCH: i32 = 64;
const HIGH: i32 = 34;
const AXIS: i32 = 44;
const FONT: &str = "sans-serif";
const INK: RGBColor = RGBColor(40, 44, 52);
const GRID: RGBColor = RGBColor(228, 230, 235);
const TRACE: RGBColor = RGBColor(20, 120, 90);
const FLOATING: RGBColor = RGBColor(170, 175, 185);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws the signals in a time.
pub fn draw(signals: &[&Signal], window: &Range<u64>, file: &Path) -> Result<()> {
    let height = TOP + PITCH * signals.len() as i32 + AXIS;
    let root = SVGBackend::new(file, (WIDTH, height as u32)).into_drawing_area();
    draw_all(&root, signals, window).map_err(|err| anyhow!("drawing {}: {err}", file.display()))
}

fn draw_all(
    root: &Area,
    signals: &[&Signal],
    window: &Range<u64>,
) -> Result<(), Box<dyn std::error::Error>> {
    root.fill(&WHITE)?;
    draw_axis(root, signals.len(), window)?;
    for (row, signal) in signals.iter().enumerate() {
        let low = TOP + PITCH * row as i32 + HIGH;
        let style = (FONT, 15).into_font().color(&INK);
        let style = style.pos(text_anchor::Pos::new(
            text_anchor::HPos::Right,
            text_anchor::VPos::Center,
        ));
        root.draw(&Text::new(
            signal.title(),
            (LEFT - 14, low - HIGH / 2),
            style,
        ))?;
        draw_signal(root, signal, window, low)?;
    }
    root.present()?;
    Ok(())
}

/// The column of a time.
fn column(window: &Range<u64>, time: u64) -> i32 {
    let part = (time - window.start) as f64 / (window.end - window.start) as f64;
    LEFT + (part * f64::from(WIDTH as i32 - LEFT - RIGHT)).round() as i32
}

fn draw_axis(
    root: &Area,
    signals: usize,
    window: &Range<u64>,
) -> Result<(), Box<dyn std::error::Error>> {
    let bottom = TOP + PITCH * signals as i32;
    let length = window.end - window.start;
    let style = (FONT, 13).into_font().color(&INK);
    let style = style.pos(text_anchor::Pos::new(
        text_anchor::HPos::Center,
        text_anchor::VPos::Top,
    ));
    for time in (0..=length).step_by(usize::try_from(step(length, 90))?) {
        let x = column(window, window.start + time);
        root.draw(&PathElement::new([(x, TOP - 10), (x, bottom)], GRID))?;
        root.draw(&Text::new(show(time), (x, bottom + 8), style.clone()))?;
    }
    Ok(())
}

/// Levels are lines, edges are vertical; where nobody drives, there is a thin line halfway.
fn draw_signal(
    root: &Area,
    signal: &Signal,
    window: &Range<u64>,
    low: i32,
) -> Result<(), Box<dyn std::error::Error>> {
    let inside = signal
        .changes
        .iter()
        .filter(|(at, _)| window.contains(at) && *at > window.start);
    let mut points = vec![(window.start, signal.level_at(window.start))];
    points.extend(inside.copied());
    let ends = points.iter().skip(1).map(|(at, _)| *at).chain([window.end]);
    let height = |level| match level {
        Level::High => low - HIGH,
        Level::Low => low,
        Level::Floating => low - HIGH / 2,
    };
    let mut before: Option<Level> = None;
    for ((start, level), end) in points.iter().zip(ends) {
        let (from, to, y) = (column(window, *start), column(window, end), height(*level));
        if *level == Level::Floating {
            root.draw(&PathElement::new([(from, y), (to, y)], FLOATING))?;
        } else {
            let mut path = vec![(from, y), (to, y)];
            if let Some(before) = before.filter(|before| *before != Level::Floating) {
                path.insert(0, (from, height(before)));
            }
            root.draw(&PathElement::new(path, TRACE.stroke_width(2)))?;
        }
        before = Some(*level);
    }
    Ok(())
}
