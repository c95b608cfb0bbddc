// SPDX-License-Identifier: MIT OR Apache-2.0

//! A walk as a picture: the address above, the tables from left to right below it, the frame at
//! the end.

use super::{bits, flags, offset_bits, real_steps, terminal::binary, DescribedWalk};
use crate::style::{bytes, count};
use anyhow::{anyhow, Result};
use mapwright::inspect::{EntryKind, Step};
use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};
use std::path::Path;

const HEIGHT: i32 = 620;
const COLUMN: i32 = 218;
const MARGIN: i32 = 40;
/// Where the boxes of the address begin and end.
const ADDRESS: (i32, i32) = (84, 158);
/// Where the tables begin and end.
const TABLE: (i32, i32) = (236, 466);
const TABLE_WIDTH: i32 = 118;
const INK: RGBColor = RGBColor(40, 44, 52);
const PALE: RGBColor = RGBColor(120, 126, 138);
const EDGE: RGBColor = RGBColor(170, 176, 188);
/// A colour per level, and for the offset.
const COLOURS: [RGBColor; 6] = [
    RGBColor(136, 78, 160),
    RGBColor(40, 100, 190),
    RGBColor(0, 130, 150),
    RGBColor(40, 140, 70),
    RGBColor(190, 120, 0),
    RGBColor(200, 60, 50),
];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = std::result::Result<(), Box<dyn std::error::Error>>;

/// Writes the picture.
pub fn draw(described: &DescribedWalk, file: &Path) -> Result<()> {
    let columns = real_steps(&described.walk).count() + 1;
    let width = 2 * MARGIN + COLUMN * i32::try_from(columns)?;
    let size = (u32::try_from(width)?, u32::try_from(HEIGHT)?);
    let root = SVGBackend::new(file, size).into_drawing_area();
    draw_walk(&root, described).map_err(|err| anyhow!("drawing {}: {err}", file.display()))
}

fn draw_walk(root: &Area<'_>, described: &DescribedWalk) -> Drawn {
    root.fill(&WHITE)?;
    text(root, &described.title, (MARGIN, 30), 21, INK, HPos::Left)?;
    if !described.about.is_empty() {
        text(root, described.about, (MARGIN, 56), 14, PALE, HPos::Left)?;
    }
    let steps: Vec<&Step> = real_steps(&described.walk).collect();
    let top = format!("top table at {:#x}", described.walk.root);
    text(root, &top, (left(0), TABLE.0 - 30), 13, PALE, HPos::Left)?;
    for (i, step) in steps.iter().enumerate() {
        let field = Field {
            title: format!("{}  bits {}", step.level.name(), bits(step)),
            number: step.index.to_string(),
            binary: binary(u64::from(step.index), step.bits),
        };
        draw_field(root, i, &field)?;
        draw_table(root, i, step)?;
        let next = matches!(
            step.kind,
            EntryKind::Table | EntryKind::Page | EntryKind::Blocked
        );
        if next {
            draw_arrow(root, i, step)?;
        }
    }
    draw_end(root, described, steps.len())?;
    root.present()?;
    Ok(())
}

/// Left edge of a column.
fn left(column: usize) -> i32 {
    MARGIN + COLUMN * i32::try_from(column).unwrap_or(0)
}

fn colour(column: usize) -> RGBColor {
    COLOURS.get(column).copied().unwrap_or(INK)
}

fn text(
    root: &Area<'_>,
    text: &str,
    at: (i32, i32),
    size: i32,
    colour: RGBColor,
    side: HPos,
) -> Drawn {
    let style = ("monospace", size)
        .into_font()
        .color(&colour)
        .pos(Pos::new(side, VPos::Center));
    root.draw(&Text::new(text.to_owned(), at, style))?;
    Ok(())
}

/// A field of the address.
struct Field {
    title: String,
    number: String,
    binary: String,
}

fn draw_field(root: &Area<'_>, column: usize, field: &Field) -> Drawn {
    let (x, colour) = (left(column), colour(column));
    let corners = [(x, ADDRESS.0), (x + COLUMN - 8, ADDRESS.1)];
    root.draw(&Rectangle::new(corners, colour.mix(0.12).filled()))?;
    root.draw(&Rectangle::new(corners, colour.stroke_width(1)))?;
    let middle = x + (COLUMN - 8) / 2;
    let line = |shown: &str, y, size, ink| {
        text(
            root,
            shown,
            (middle, ADDRESS.0 + y),
            size,
            ink,
            HPos::Center,
        )
    };
    line(&field.title, 18, 14, colour)?;
    line(&field.number, 42, 22, INK)?;
    line(&field.binary, 63, 11, PALE)
}

/// Where a step's entry is in the picture of its table.
fn entry_at(step: &Step) -> i32 {
    let entries = 1i64 << step.bits;
    let room = i64::from(TABLE.1 - TABLE.0 - 22);
    let at = i64::from(step.index) * room / (entries - 1).max(1);
    TABLE.0 + 11 + i32::try_from(at).unwrap_or(0)
}

/// A table with its one entry, and what the entry says below.
fn draw_table(root: &Area<'_>, column: usize, step: &Step) -> Drawn {
    let (x, colour) = (left(column), colour(column));
    let table = [(x, TABLE.0), (x + TABLE_WIDTH, TABLE.1)];
    root.draw(&Rectangle::new(table, RGBColor(248, 249, 251).filled()))?;
    root.draw(&Rectangle::new(table, EDGE.stroke_width(1)))?;
    let entries = format!("{} entries", 1u64 << step.bits);
    text(root, &entries, (x, TABLE.0 - 12), 13, PALE, HPos::Left)?;

    let y = entry_at(step);
    let entry = [(x, y - 11), (x + TABLE_WIDTH, y + 11)];
    let is_page = step.kind != EntryKind::Empty;
    let fill = colour.mix(if is_page { 0.85 } else { 0.15 });
    root.draw(&Rectangle::new(entry, fill.filled()))?;
    let name = format!("{}[{}]", step.level.name(), step.index);
    let ink = if is_page { WHITE } else { INK };
    text(root, &name, (x + TABLE_WIDTH / 2, y), 14, ink, HPos::Center)?;

    let value = match step.kind {
        EntryKind::Empty => "empty".to_owned(),
        _ => format!("{:#x}", step.value),
    };
    text(root, &value, (x, TABLE.1 + 22), 14, colour, HPos::Left)?;
    for (line, flag) in flags(step).iter().enumerate() {
        let y = TABLE.1 + 42 + 17 * i32::try_from(line)?;
        text(root, flag, (x, y), 13, PALE, HPos::Left)?;
    }
    Ok(())
}

/// From an entry to the start of what it points to.
fn draw_arrow(root: &Area<'_>, column: usize, step: &Step) -> Drawn {
    let (x, y) = (left(column) + TABLE_WIDTH, entry_at(step));
    let (end, target) = (left(column + 1), TABLE.0 + 4);
    let bend = x + (end - x) / 2;
    let line = colour(column).stroke_width(2);
    let path = vec![(x, y), (bend, y), (bend, target), (end - 7, target)];
    root.draw(&PathElement::new(path, line))?;
    let head = vec![(end - 9, target - 5), (end, target), (end - 9, target + 5)];
    root.draw(&Polygon::new(head, colour(column).filled()))?;
    Ok(())
}

/// The page and the address in it, or that there is none.
fn draw_end(root: &Area<'_>, described: &DescribedWalk, column: usize) -> Drawn {
    let walk = &described.walk;
    let x = left(column);
    let below = offset_bits(walk);
    let offset = walk.address & ((1 << below) - 1);
    let Some(physical) = walk.physical else {
        let corners = [(x, TABLE.0), (x + TABLE_WIDTH, TABLE.1)];
        root.draw(&Rectangle::new(corners, EDGE.stroke_width(1)))?;
        let middle = (x + TABLE_WIDTH / 2, (TABLE.0 + TABLE.1) / 2);
        return text(root, "no page", middle, 15, PALE, HPos::Center);
    };
    let field = Field {
        title: format!("offset  bits {}…0", below.saturating_sub(1)),
        number: format!("{offset:#x}"),
        binary: binary(offset, below),
    };
    draw_field(root, column, &field)?;
    let colour = colour(column);
    let page = [(x, TABLE.0), (x + TABLE_WIDTH, TABLE.1)];
    root.draw(&Rectangle::new(page, colour.mix(0.12).filled()))?;
    root.draw(&Rectangle::new(page, colour.stroke_width(2)))?;
    let name = format!("page of {}", bytes(walk.page_size));
    text(root, &name, (x, TABLE.0 - 12), 13, PALE, HPos::Left)?;
    let within = physical & (walk.page_size - 1);
    let room = u64::try_from(TABLE.1 - TABLE.0)?;
    let y = TABLE.0 + i32::try_from(within * room / walk.page_size)?;
    let path = vec![(x, y), (x + TABLE_WIDTH, y)];
    root.draw(&PathElement::new(path, colour.stroke_width(3)))?;

    let mut lines = vec![
        format!("physical {physical:#x}"),
        format!("frame {:#x}", physical / mapwright::page_size()),
    ];
    lines.extend(
        walk.memory_type
            .map(|kind| format!("cached {}", kind.name())),
    );
    if let Some(frame) = &described.frame {
        lines.push(format!("zone {}", frame.zone));
        let references = u64::try_from(frame.refcount).unwrap_or(0);
        lines.push(count(references, "reference"));
    }
    for (line, label) in lines.iter().enumerate() {
        let y = TABLE.1 + 22 + 19 * i32::try_from(line)?;
        let ink = if line == 0 { INK } else { PALE };
        text(root, label, (x, y), 14, ink, HPos::Left)?;
    }
    Ok(())
}
