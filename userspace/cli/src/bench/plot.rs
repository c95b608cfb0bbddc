// SPDX-License-Identifier: MIT OR Apache-2.0

//! Cost of a page against size, as an SVG file.

use super::{
    measurement::Measurement,
    report::Report,
    subject::{Owner, Variant},
};
use crate::style::bytes;
use anyhow::{anyhow, Result};
use mapwright::{Backing, Method};
use plotters::{prelude::*, style::text_anchor};
use std::path::Path;

const WIDTH: u32 = 1000;
const HEIGHT: u32 = 640;
pub const FONT: &str = "sans-serif";
pub const INK: RGBColor = RGBColor(40, 44, 52);
pub const GRID: RGBColor = RGBColor(228, 230, 235);
/// Lines of labels are so far apart, in pixels.
const LABEL_GAP: i32 = 19;

/// A line of the plot.
struct Line {
    label: String,
    colour: RGBColor,
    /// Size and cost of a page.
    points: Vec<(f64, f64)>,
    /// Only its points are drawn, as rings: it lies on another line.
    ring: bool,
}

/// Draws a report.
pub fn draw(report: &Report, file: &Path) -> Result<()> {
    let lines = lines(&report.measurements);
    let root = SVGBackend::new(file, (WIDTH, HEIGHT)).into_drawing_area();
    draw_lines(&root, &lines, &report.unit.to_string())
        .map_err(|err| anyhow!("drawing {}: {err}", file.display()))
}

fn lines(measurements: &[Measurement]) -> Vec<Line> {
    let pair = |backing: Backing, method: Method| {
        move |m: &Measurement| m.backing == Some(backing.name()) && m.method == Some(method.name())
    };
    let points = |owner, variant, chosen: &dyn Fn(&Measurement) -> bool| {
        let mine = measurements
            .iter()
            .filter(|m| m.owner == owner && m.variant == variant);
        mine.filter(|m| chosen(m))
            .map(|m| (m.bytes as f64, m.per_page))
            .collect::<Vec<_>>()
    };
    let mut lines = Vec::new();
    let mut line = |label: &str, colour, points: Vec<_>, ring| {
        if !points.is_empty() {
            lines.push(Line {
                label: label.to_owned(),
                colour,
                points,
                ring,
            });
        }
    };
    let kernel =
        |name: &'static str| points(Owner::Kernel, Variant::Usual, &move |m| m.name == name);
    line("memfd", RGBColor(110, 115, 125), kernel("memfd"), false);
    line(
        "anonymous",
        RGBColor(150, 155, 165),
        kernel("anonymous"),
        false,
    );
    line(
        "anonymous, THP",
        RGBColor(185, 190, 198),
        kernel("anonymous, THP"),
        false,
    );
    let singly = pair(Backing::Pages, Method::Fault);
    let singly = points(Owner::Mapwright, Variant::Singly, &singly);
    line("fault, one by one", RGBColor(240, 160, 150), singly, false);
    let ours = [
        (Backing::Pages, Method::Fault, RGBColor(205, 60, 50)),
        (Backing::Pages, Method::FaultPfn, RGBColor(200, 130, 0)),
        (Backing::Vmalloc, Method::Insert, RGBColor(120, 70, 170)),
        (Backing::Pages, Method::Remap, RGBColor(30, 105, 200)),
        (Backing::Pages, Method::Huge, RGBColor(20, 140, 80)),
        (Backing::Folio, Method::HugeFolio, RGBColor(0, 150, 170)),
        (Backing::Folio, Method::PageCache, RGBColor(150, 110, 60)),
    ];
    for (backing, method, colour) in ours {
        let chosen = pair(backing, method);
        let mine = points(Owner::Mapwright, Variant::Usual, &chosen);
        line(method.name(), colour, mine, false);
        line(
            "C reference",
            colour,
            points(Owner::Reference, Variant::Usual, &chosen),
            true,
        );
    }
    lines
}

pub type Drawn = std::result::Result<(), Box<dyn std::error::Error>>;

fn draw_lines<DB: DrawingBackend>(
    root: &DrawingArea<DB, plotters::coord::Shift>,
    lines: &[Line],
    unit: &str,
) -> Drawn
where
    DB::ErrorType: 'static,
{
    root.fill(&WHITE)?;
    let text = |size: i32| (FONT, size).into_font().color(&INK);
    root.draw(&Text::new(
        "What a page costs to map, use once and unmap",
        (24, 16),
        text(24),
    ))?;
    let subtitle = format!(
        "{unit} per page: mmap, first touch, munmap.  Rings: the same in C.  \
         Grey: the kernel's own memory, which is also allocated in that time."
    );
    root.draw(&Text::new(subtitle, (24, 48), text(14)))?;

    let x = range(
        lines
            .iter()
            .flat_map(|line| &line.points)
            .map(|point| point.0),
    );
    let y = range(
        lines
            .iter()
            .flat_map(|line| &line.points)
            .map(|point| point.1),
    );
    let mut chart = ChartBuilder::on(root)
        .margin_top(78)
        .margin_left(16)
        .margin_right(150)
        .margin_bottom(12)
        .x_label_area_size(52)
        .y_label_area_size(70)
        .build_cartesian_2d(
            (x.0 * 0.8..x.1 * 1.25).log_scale().base(4.0),
            (y.0 * 0.7..y.1 * 1.5).log_scale(),
        )?;
    chart
        .configure_mesh()
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(INK.mix(0.5))
        .x_labels(10)
        .y_labels(6)
        .x_label_formatter(&|size| bytes(*size as u64))
        .y_label_formatter(&|cost| thousands(*cost))
        .x_desc("size of the mapping")
        .y_desc(format!("{unit} per page"))
        .label_style(text(14))
        .axis_desc_style(text(14))
        .draw()?;

    for line in lines {
        if line.ring {
            let style = line.colour.stroke_width(2);
            chart.draw_series(
                line.points
                    .iter()
                    .map(|point| Circle::new(*point, 6, style)),
            )?;
        } else {
            let points = line.points.iter().copied();
            chart.draw_series(LineSeries::new(points, line.colour.stroke_width(2)))?;
            chart.draw_series(
                line.points
                    .iter()
                    .map(|point| Circle::new(*point, 3, line.colour.filled())),
            )?;
        }
    }

    // Each line's name where it ends, pushed apart where they would overlap.
    let mut labels: Vec<_> = lines
        .iter()
        .filter(|line| !line.ring)
        .filter_map(|line| Some((chart.backend_coord(line.points.last()?), line)))
        .collect();
    labels.sort_by_key(|((_, y), _)| *y);
    let ends: Vec<i32> = labels.iter().map(|((_, y), _)| *y).collect();
    for (((x, _), line), y) in labels.iter().zip(spread(&ends)) {
        let style = (FONT, 15).into_font().color(&line.colour);
        let anchor = text_anchor::Pos::new(text_anchor::HPos::Left, text_anchor::VPos::Center);
        root.draw(&Text::new(
            line.label.clone(),
            (x + 12, y),
            style.pos(anchor),
        ))?;
    }
    root.present()?;
    Ok(())
}

/// The least and the largest.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), v| {
        (low.min(v), high.max(v))
    });
    if low > high {
        (1.0, 10.0)
    } else {
        (low, high)
    }
}

/// Moves ascending places apart, as little as it takes.
fn spread(places: &[i32]) -> Vec<i32> {
    // Groups of labels that touch, each centred on where its members want to be.
    let mut groups: Vec<(i32, i32)> = Vec::new();
    let top = |group: &(i32, i32)| group.0 / group.1 - (group.1 - 1) * LABEL_GAP / 2;
    for place in places {
        groups.push((*place, 1));
        while let [.., a, b] = groups[..] {
            if top(&a) + a.1 * LABEL_GAP <= top(&b) {
                break;
            }
            groups.truncate(groups.len() - 2);
            groups.push((a.0 + b.0, a.1 + b.1));
        }
    }
    let spread = groups
        .iter()
        .flat_map(|group| (0..group.1).map(move |i| top(group) + i * LABEL_GAP));
    spread.collect()
}

/// `1,234`; with decimals below ten.
pub fn thousands(n: f64) -> String {
    match n {
        n if n < 10.0 && n.fract() != 0.0 => format!("{n:.1}"),
        n if n < 1000.0 => format!("{n:.0}"),
        n if n < 1e6 => format!("{},{:03}", (n as u64) / 1000, (n as u64) % 1000),
        n => format!("{n:.0e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_do_not_overlap() {
        assert_eq!(spread(&[10, 100]), [10, 100]);
        assert_eq!(spread(&[50, 50]), [41, 60]);
        let many = spread(&[10, 12, 14, 16, 300]);
        assert!(
            many.windows(2).all(|pair| pair[1] - pair[0] >= LABEL_GAP),
            "{many:?}"
        );
        assert_eq!(many[4], 300);
    }

    #[test]
    fn large_numbers_have_commas() {
        assert_eq!(thousands(3096.0), "3,096");
        assert_eq!(thousands(100.0), "100");
        assert_eq!(thousands(5.5), "5.5");
    }
}
