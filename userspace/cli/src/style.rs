// SPDX-License-Identifier: MIT OR Apache-2.0

//! How things look on a terminal. `anstream` takes the colours out where there is none.

use anstyle::{AnsiColor, Style};
use comfy_table::{presets::UTF8_FULL_CONDENSED, CellAlignment, Table};
use std::fmt::Display;

/// A heading.
pub const HEADING: Style = Style::new()
    .bold()
    .fg_color(Some(anstyle::Color::Ansi(AnsiColor::Cyan)));
/// What matters in a line.
pub const STRONG: Style = Style::new().bold();
/// What explains.
pub const DIM: Style = Style::new().dimmed();
/// What is as it should be.
pub const GOOD: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Green)));
/// What is not.
pub const BAD: Style = Style::new()
    .bold()
    .fg_color(Some(anstyle::Color::Ansi(AnsiColor::Red)));

/// What is neither.
pub const WARN: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Yellow)));

/// Columns of the terminal; where there is none, as many as anything takes.
pub fn width() -> usize {
    let size = terminal_size::terminal_size();
    size.map_or(usize::MAX, |(width, _)| width.0.into())
}

/// `text` in a style.
pub fn paint(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Prints a row: a name in a column of its own, and what there is to say.
pub fn row(name: &str, text: impl Display) {
    anstream::println!("  {}  {text}", paint(STRONG, format_args!("{name:<12}")));
}

/// Prints a row that goes on with the former.
pub fn more(text: impl Display) {
    anstream::println!("  {:<12}  {text}", "");
}

/// Prints a paragraph: a name in a column of its own, and lines that fit on the terminal.
pub fn block(name: &str, text: &str) {
    let mut lines = wrap(text, width().saturating_sub(16).clamp(24, 84)).into_iter();
    row(name, lines.next().unwrap_or_default());
    lines.for_each(more);
}

/// Lines of at most `width` characters, if no word is longer. What makes colours takes no room.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split_whitespace() {
        let length = anstream::adapter::strip_str(word)
            .to_string()
            .chars()
            .count();
        if used > 0 && used + 1 + length > width {
            lines.push(String::new());
            used = 0;
        }
        if let Some(line) = lines.last_mut() {
            if used > 0 {
                line.push(' ');
            }
            line.push_str(word);
        }
        used += length + usize::from(used > 0);
    }
    lines
}

/// A number of bytes: `64 KiB`, `1.5 MiB`.
pub fn bytes(n: u64) -> String {
    let units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let unit = (1..units.len())
        .rev()
        .find(|unit| n >= 1 << (10 * unit))
        .unwrap_or(0);
    let scaled = n as f64 / (1u64 << (10 * unit)) as f64;
    let decimals = usize::from(scaled.fract() != 0.0);
    format!("{scaled:.decimals$} {}", units[unit])
}

/// An empty table with a header, whose columns from `numbers` on are numbers.
pub fn table<const N: usize>(header: [&str; N], numbers: usize) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED).set_header(header);
    for column in table.column_iter_mut().skip(numbers) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// `1 page`, `2 pages`.
pub fn count(n: u64, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_rounded_to_the_largest_unit() {
        assert_eq!(bytes(0), "0 bytes");
        assert_eq!(bytes(4096), "4 KiB");
        assert_eq!(bytes(3 << 19), "1.5 MiB");
        assert_eq!(bytes(1 << 40), "1 TiB");
    }

    #[test]
    fn lines_are_broken_between_words() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap(&format!("{} two", paint(GOOD, "one")), 7).len(), 1);
        assert_eq!(wrap("", 7), [""]);
    }

    #[test]
    fn one_thing_is_singular() {
        assert_eq!(count(1, "run"), "1 run");
        assert_eq!(count(0, "run"), "0 runs");
    }
}
