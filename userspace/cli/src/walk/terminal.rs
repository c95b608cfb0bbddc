// SPDX-License-Identifier: MIT OR Apache-2.0

//! A walk on a terminal: the bits of the address over the indices that they select, then level by
//! level to the frame.

use super::{bits, flags, offset_bits, page_flags, real_steps, DescribedWalk};
use crate::style::{bytes, count, more, paint, row, width, BAD, DIM, GOOD, STRONG, WARN};
use anstyle::{AnsiColor, Color, Style};
use mapwright::{
    architecture,
    inspect::{EntryKind, Frame, MemoryType, Step, Walk},
    Architecture,
};

/// A colour per field of the address, so that the eye finds a field's level again.
const COLOURS: [AnsiColor; 6] = [
    AnsiColor::Magenta,
    AnsiColor::Blue,
    AnsiColor::Cyan,
    AnsiColor::Green,
    AnsiColor::Yellow,
    AnsiColor::Red,
];

/// Prints a walk.
pub fn show(described: &DescribedWalk) {
    if !described.about.is_empty() {
        anstream::println!("{}", paint(DIM, described.about));
    }
    anstream::println!();
    show_fields(&fields(&described.walk));
    anstream::println!();
    show_levels(&described.walk);
    show_end(&described.walk, described.frame.as_ref());
    if let Some(name) = &described.slab_cache {
        more(format_args!("a slab of the cache {name}"));
    }
}

/// A field of the address.
struct Field {
    name: String,
    bits: String,
    binary: String,
    number: String,
    style: Style,
}

impl Field {
    fn width(&self) -> usize {
        let texts = [&self.name, &self.bits, &self.binary, &self.number];
        texts
            .iter()
            .map(|text| text.chars().count())
            .max()
            .unwrap_or(0)
    }
}

/// The style of the real level number `number`, from the top.
fn style_of(number: usize) -> Style {
    let colour = COLOURS.get(number).copied().unwrap_or(AnsiColor::White);
    Style::new().bold().fg_color(Some(Color::Ansi(colour)))
}

/// The lowest `count` bits of a number, in groups of four from the right.
pub fn binary(number: u64, count: u32) -> String {
    let mut text = String::new();
    for bit in (0..count).rev() {
        text.push(if (number >> bit) & 1 == 1 { '1' } else { '0' });
        if bit > 0 && bit % 4 == 0 && count > 9 {
            text.push(' ');
        }
    }
    text
}

fn fields(walk: &Walk) -> Vec<Field> {
    let mut fields = Vec::new();
    let top = real_steps(walk)
        .next()
        .map_or(64, |step| step.shift + step.bits);
    if top < 64 {
        let above = walk.address >> top;
        fields.push(Field {
            name: "sign".into(),
            bits: format!("63…{top}"),
            binary: if above == 0 { "0…0" } else { "1…1" }.into(),
            number: String::new(),
            style: DIM,
        });
    }
    for (i, step) in real_steps(walk).enumerate() {
        fields.push(Field {
            name: step.level.name().into(),
            bits: bits(step),
            binary: binary(u64::from(step.index), step.bits),
            number: step.index.to_string(),
            style: style_of(i),
        });
    }
    let below = offset_bits(walk);
    let offset = walk.address & ((1 << below) - 1);
    let is_page = walk.physical.is_some();
    fields.push(Field {
        name: if is_page { "offset" } else { "not used" }.into(),
        bits: format!("{}…0", below.saturating_sub(1)),
        binary: binary(offset, below.min(30)),
        number: format!("{offset:#x}"),
        style: if is_page { STRONG } else { DIM },
    });
    fields
}

/// Prints the address as boxes, narrow ones where there is no room.
fn show_fields(fields: &[Field]) {
    let needed: usize = fields.iter().map(|field| field.width() + 3).sum();
    let margin = usize::from(needed + 3 <= width());
    let space = " ".repeat(margin);
    let rule = |left: char, middle: char, right: char| {
        let lines: Vec<String> = fields
            .iter()
            .map(|field| "─".repeat(field.width() + 2 * margin))
            .collect();
        format!("{left}{}{right}", lines.join(&middle.to_string()))
    };
    let row = |text: &dyn Fn(&Field) -> &str| {
        let cells: Vec<String> = fields
            .iter()
            .map(|field| {
                let cell = format!("{:^width$}", text(field), width = field.width());
                format!("{space}{}{space}", paint(field.style, cell))
            })
            .collect();
        format!("│{}│", cells.join("│"))
    };
    anstream::println!("  {}", rule('┌', '┬', '┐'));
    anstream::println!("  {}", row(&|field| &field.name));
    anstream::println!("  {}", row(&|field| &field.bits));
    anstream::println!("  {}", row(&|field| &field.binary));
    anstream::println!("  {}", row(&|field| &field.number));
    anstream::println!("  {}", rule('└', '┴', '┘'));
}

/// Prints the levels, each under the one that points to it.
fn show_levels(walk: &Walk) {
    anstream::println!(
        "  {}   the top table is at {:#x}",
        paint(STRONG, register(walk)),
        walk.root
    );
    let names = real_steps(walk).map(|step| name_of(step).len());
    let column = names.max().unwrap_or(0);
    let mut number = 0;
    for step in &walk.steps {
        if step.kind == EntryKind::Folded {
            let name = paint(DIM, format_args!("{}  folded", step.level.name()));
            let why = paint(DIM, "a level that this machine does not have");
            anstream::println!("   │    {name}: {why}");
            continue;
        }
        show_step(step, style_of(number), column);
        number += 1;
    }
}

/// What tells the CPU where the top table is.
fn register(walk: &Walk) -> &'static str {
    let is_kernels = walk.address >> 63 == 1;
    match architecture() {
        Architecture::X86 if walk.root == walk.table_in_register() => "CR3",
        Architecture::X86 => "top",
        Architecture::Arm64 if is_kernels => "TTBR1",
        Architecture::Arm64 => "TTBR0",
        Architecture::Other => "TTBR",
    }
}

/// The entry, as `PGD[254]`.
fn name_of(step: &Step) -> String {
    format!("{}[{}]", step.level.name(), step.index)
}

fn show_step(step: &Step, style: Style, column: usize) {
    let name = name_of(step);
    let kind = match step.kind {
        EntryKind::Table => paint(DIM, "table ↓"),
        EntryKind::Page => paint(GOOD, "page →"),
        EntryKind::Empty => paint(BAD, "empty"),
        kind => paint(WARN, kind.name()),
    };
    let flags = flags(step).join(" ");
    let start = format!("  at {:#011x}  {:#018x}  ", step.entry, step.value);
    // The longest name of a kind, and what is before and after it.
    let needed = 6 + column + start.len() + 13 + flags.len();
    let (same_line, next_line) = match needed <= width() {
        true => (flags, String::new()),
        false => (String::new(), flags),
    };
    anstream::println!(
        "   ├─ {}{start}{kind}  {}",
        paint(style, format_args!("{name:<column$}")),
        paint(DIM, same_line),
    );
    if !next_line.is_empty() {
        anstream::println!("   │  {:column$}  {}", "", paint(DIM, next_line));
    }
}

/// Prints what is at the end.
fn show_end(walk: &Walk, frame: Option<&Frame>) {
    let Some(physical) = walk.physical else {
        let what = match walk.last().map(|step| step.kind) {
            Some(EntryKind::NotPresent) => {
                "a note of the kernel's for itself: swapped out, being moved, or a marker"
            }
            _ => "nothing is mapped here: an access is a page fault",
        };
        anstream::println!("   └─ {}", paint(BAD, what));
        return;
    };
    let page = physical & !(walk.page_size - 1);
    let within = physical - page;
    anstream::println!(
        "   └─ {} page of {} at {page:#x}, and {within:#x} into it:\n      {}",
        match walk.is_present() {
            true => paint(GOOD, "a"),
            false => paint(WARN, "a blocked"),
        },
        bytes(walk.page_size),
        paint(STRONG, format_args!("physical address {physical:#x}")),
    );
    anstream::println!();
    let may = |yes: bool, what: &str| match yes {
        true => what.to_owned(),
        false => paint(DIM, format_args!("not {what}")),
    };
    row(
        "allowed",
        format_args!(
            "{}, {}, {}",
            may(walk.is_user(), "user mode"),
            may(walk.is_writable(), "stores"),
            may(walk.is_executable(), "running code"),
        ),
    );
    if let Some(memory_type) = walk.memory_type {
        row("cached", cached(memory_type));
    }
    match frame {
        Some(frame) => show_frame(frame),
        None => row("frame", "no memory with a struct page: a device's"),
    }
}

/// A memory type, on ARM with what it is called there.
fn cached(memory_type: MemoryType) -> String {
    let name = memory_type.name();
    if architecture() == Architecture::X86 {
        return name.to_owned();
    }
    let called = match memory_type {
        MemoryType::WriteBack => "Normal",
        MemoryType::Tagged => "Normal-Tagged",
        MemoryType::WriteCombine => "Normal-NC",
        MemoryType::Uncached => "Device-nGnRnE",
        _ => return name.to_owned(),
    };
    format!("{name}, which ARM calls {called}")
}

fn show_frame(frame: &Frame) {
    row(
        "frame",
        format_args!(
            "{:#x}: {}, {}, zone {}, node {}, block {}",
            frame.pfn,
            count(u64::try_from(frame.refcount).unwrap_or(0), "reference"),
            count(u64::try_from(frame.mapcount).unwrap_or(0), "mapping"),
            frame.zone,
            frame.node,
            frame.migrate_type.name(),
        ),
    );
    if frame.order > 0 {
        more(format_args!(
            "part of a compound page of 2^{} pages from {:#x} on",
            frame.order, frame.head
        ));
    }
    let names = page_flags(frame);
    if !names.is_empty() {
        more(paint(DIM, names.join(" ")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_fields_are_in_groups_of_four() {
        assert_eq!(binary(0x1ff, 9), "111111111");
        assert_eq!(binary(0xe72, 12), "1110 0111 0010");
        assert_eq!(binary(1, 14), "00 0000 0000 0001");
    }
}
