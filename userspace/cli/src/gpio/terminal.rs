// SPDX-License-Identifier: MIT OR Apache-2.0

//! A waveform in the characters of a terminal: two rows a signal.

use super::waveform::{Level, Signal};
use std::ops::Range;

/// The upper and the lower row of a signal, of `columns` characters each.
pub fn rows(signal: &Signal, window: &Range<u64>, columns: usize) -> (String, String) {
    (0..columns)
        .map(|column| cell(signal, &span(window, columns, column)))
        .unzip()
}

/// The time that a column shows.
fn span(window: &Range<u64>, columns: usize, column: usize) -> Range<u64> {
    let at = |column: usize| {
        let length = u128::from(window.end - window.start);
        window.start + (length * column as u128 / columns.max(1) as u128) as u64
    };
    at(column)..at(column + 1)
}

/// What a column looks like, above and below.
fn cell(signal: &Signal, span: &Range<u64>) -> (char, char) {
    let mut edges = signal.edges(span.clone());
    match (edges.next(), edges.next()) {
        (Some((_, true)), None) => ('┌', '┘'),
        (Some((_, false)), None) => ('┐', '└'),
        (Some(_), Some(_)) => ('▒', '▒'),
        (None, _) => match signal.level_at(span.start) {
            Level::High => ('─', ' '),
            Level::Low => (' ', '─'),
            Level::Floating => (' ', '┄'),
        },
    }
}

/// The axis: marks, and their times below.
pub fn axis(window: &Range<u64>, columns: usize) -> (String, String) {
    let step = step(window.end - window.start, columns);
    let mut marks = vec!['─'; columns];
    let mut labels = vec![' '; columns];
    let mut free = 0;
    for number in 0u64.. {
        let time = number * step;
        let column =
            (u128::from(time) * columns as u128 / u128::from(window.end - window.start)) as usize;
        if column >= columns {
            break;
        }
        marks[column] = '┬';
        let label = show(time);
        if column >= free && column + label.chars().count() <= columns {
            for (place, character) in labels[column..].iter_mut().zip(label.chars()) {
                *place = character;
            }
            free = column + label.chars().count() + 2;
        }
    }
    (marks.into_iter().collect(), labels.into_iter().collect())
}

/// A round time, of which about one fits in ten columns.
pub fn step(length: u64, columns: usize) -> u64 {
    let wish = (length / (columns as u64 / 10).max(1)).max(1);
    let mut unit = 1;
    loop {
        for factor in [1, 2, 5] {
            if unit * factor >= wish {
                return unit * factor;
            }
        }
        unit *= 10;
    }
}

/// A time in nanoseconds, with the unit that suits it.
pub fn show(nanoseconds: u64) -> String {
    let (unit, name) = match nanoseconds {
        0 => return "0".into(),
        1..1_000 => (1, "ns"),
        1_000..1_000_000 => (1_000, "µs"),
        1_000_000..1_000_000_000 => (1_000_000, "ms"),
        _ => (1_000_000_000, "s"),
    };
    let number = format!("{:.3}", nanoseconds as f64 / f64::from(unit));
    format!(
        "{} {name}",
        number.trim_end_matches('0').trim_end_matches('.')
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blink() -> Signal {
        let changes = [
            (0, Level::Low),
            (10, Level::High),
            (20, Level::Low),
            (28, Level::High),
            (29, Level::Low),
        ];
        Signal {
            name: "line21".into(),
            changes: changes.to_vec(),
        }
    }

    #[test]
    fn edges_are_drawn_where_they_are() {
        let (above, below) = rows(&blink(), &(0..40), 8);
        assert_eq!(above, "  ┌─┐▒  ");
        assert_eq!(below, "──┘ └▒──");
    }

    #[test]
    fn an_axis_has_round_times() {
        let (marks, labels) = axis(&(1_000..4_000_000_001_000), 40);
        assert_eq!(marks.matches('┬').count(), 4, "{marks}");
        assert!(
            labels.starts_with("0 ") && labels.contains("1000 s"),
            "{labels}"
        );
    }

    #[test]
    fn times_have_units() {
        assert_eq!(show(0), "0");
        assert_eq!(show(1_500), "1.5 µs");
        assert_eq!(show(500_000_000), "500 ms");
        assert_eq!(show(2_000_000_000), "2 s");
    }
}
