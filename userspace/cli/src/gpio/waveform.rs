// SPDX-License-Identifier: MIT OR Apache-2.0

//! A waveform: signals over time, read from a VCD file.

use anyhow::{bail, Context, Result};
use mapwright::gpio::Line;
use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead, BufReader},
    ops::Range,
    path::Path,
};
use vcd::{Command, IdCode, ScopeItem, Value};

/// A level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    High,
    Low,
    /// Nobody drives it, or nobody knows.
    Floating,
}

/// A wire and its changes, in nanoseconds.
#[derive(Clone, Debug)]
pub struct Signal {
    pub name: String,
    pub changes: Vec<(u64, Level)>,
}

/// All wires of a file.
#[derive(Clone, Debug)]
pub struct Waveform {
    pub signals: Vec<Signal>,
    /// When the recording ended.
    pub end: u64,
}

impl Signal {
    /// A line by the name that people know it by.
    pub fn title(&self) -> String {
        let number = self.name.strip_prefix("line");
        let line: Option<Line> = number.and_then(|number| number.parse().ok());
        line.map_or_else(|| self.name.clone(), |line| line.to_string())
    }

    /// The level at a time.
    pub fn level_at(&self, time: u64) -> Level {
        let after = self.changes.partition_point(|(at, _)| *at <= time);
        after
            .checked_sub(1)
            .map_or(Level::Floating, |at| self.changes[at].1)
    }

    /// The changes between low and high in a time: when, and whether to high.
    pub fn edges(&self, within: Range<u64>) -> impl Iterator<Item = (u64, bool)> + '_ {
        let pairs = self
            .changes
            .windows(2)
            .filter_map(|pair| match (pair[0].1, pair[1].1) {
                (Level::Low, Level::High) => Some((pair[1].0, true)),
                (Level::High, Level::Low) => Some((pair[1].0, false)),
                _ => None,
            });
        pairs.filter(move |(at, _)| within.contains(at))
    }

    /// The usual time from one rise to the next (the median), and the part of it that it is high.
    pub fn rhythm(&self) -> Option<(u64, f64)> {
        let edges: Vec<_> = self.edges(0..u64::MAX).collect();
        let rises: Vec<u64> = edges
            .iter()
            .filter(|(_, rise)| *rise)
            .map(|(at, _)| *at)
            .collect();
        let mut periods: Vec<u64> = rises.windows(2).map(|pair| pair[1] - pair[0]).collect();
        periods.sort_unstable();
        let period = *periods.get(periods.len() / 2)?;
        let (first, last) = (*rises.first()?, *rises.last()?);
        let high: u64 = edges
            .windows(2)
            .filter(|pair| pair[0].1 && pair[1].0 <= last)
            .map(|pair| pair[1].0 - pair[0].0)
            .sum();
        Some((period, high as f64 / (last - first) as f64))
    }
}

impl Waveform {
    /// Reads a VCD file.
    pub fn read(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(BufReader::new(file))
            .with_context(|| format!("{} is no waveform (VCD)", path.display()))
    }

    fn parse(from: impl BufRead) -> Result<Self> {
        let mut parser = vcd::Parser::new(from);
        let header = parser.parse_header()?;
        let Some((count, unit)) = header.timescale else {
            bail!("it has no timescale");
        };
        // Of what is coarser than nanoseconds or finer, only the former is whole.
        let scale = u64::from(count) * (1_000_000_000 / unit.divisor().clamp(1, 1_000_000_000));
        let mut signals = Vec::new();
        let mut places = HashMap::new();
        wires(&header.items, &mut signals, &mut places);
        let mut time = 0;
        for command in parser {
            match command? {
                Command::Timestamp(at) => time = at.saturating_mul(scale),
                Command::ChangeScalar(code, value) => {
                    if let Some(signal) = places
                        .get(&code)
                        .and_then(|at: &usize| signals.get_mut(*at))
                    {
                        change(signal, time, level(value));
                    }
                }
                _ => {}
            }
        }
        Ok(Self { signals, end: time })
    }

    /// The signals that have edges.
    pub fn busy(&self) -> Vec<&Signal> {
        let busy = |signal: &&Signal| signal.edges(0..u64::MAX).next().is_some();
        self.signals.iter().filter(busy).collect()
    }

    /// The time in which these signals have edges, with a margin.
    pub fn window(&self, signals: &[&Signal]) -> Range<u64> {
        let edges = || {
            signals
                .iter()
                .flat_map(|s| s.edges(0..u64::MAX))
                .map(|(at, _)| at)
        };
        let (Some(first), Some(last)) = (edges().min(), edges().max()) else {
            return 0..self.end.max(1);
        };
        let margin = ((last - first) / 20).max(1);
        first.saturating_sub(margin)..(last + margin).min(self.end.max(last + 1))
    }
}

fn level(value: Value) -> Level {
    match value {
        Value::V0 => Level::Low,
        Value::V1 => Level::High,
        Value::X | Value::Z => Level::Floating,
    }
}

fn change(signal: &mut Signal, time: u64, level: Level) {
    if signal.changes.last().map(|(_, last)| *last) != Some(level) {
        signal.changes.push((time, level));
    }
}

/// Finds the wires, in all modules.
fn wires(items: &[ScopeItem], signals: &mut Vec<Signal>, places: &mut HashMap<IdCode, usize>) {
    for item in items {
        match item {
            ScopeItem::Scope(scope) => wires(&scope.items, signals, places),
            ScopeItem::Var(var) if var.size == 1 => {
                places.insert(var.code, signals.len());
                signals.push(Signal {
                    name: var.reference.clone(),
                    changes: Vec::new(),
                });
            }
            _ => {}
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A wire of 1 ms high, 3 ms low, three times, and one that floats.
    pub const BLINK: &str = "$timescale 1 us $end $scope module gpio1 $end $var wire 1 ! line21 $end \
        $var wire 1 # line3 $end $upscope $end $enddefinitions $end\n#0\n0!\nz#\n#1000\n1!\n#2000\n0!\n\
        #5000\n1!\n#6000\n0!\n#9000\n1!\n#10000\n0!\n#12000\n";

    #[test]
    fn is_parsed() {
        let waveform = Waveform::parse(BLINK.as_bytes()).unwrap();
        assert_eq!(waveform.end, 12_000_000);
        let busy = waveform.busy();
        assert_eq!(busy.len(), 1);
        assert_eq!(busy[0].name, "line21");
        assert_eq!(busy[0].edges(0..u64::MAX).count(), 6);
        assert_eq!(busy[0].level_at(999_999), Level::Low);
        assert_eq!(busy[0].level_at(1_000_000), Level::High);
        assert_eq!(busy[0].rhythm(), Some((4_000_000, 0.25)));
        assert_eq!(waveform.window(&busy), 550_000..10_450_000);
    }

    #[test]
    fn something_else_is_refused() {
        for text in ["", "hello", "$timescale 1 us $end $enddefinitions $end\n1?"] {
            let parsed = Waveform::parse(text.as_bytes());
            assert!(
                parsed.is_err() || parsed.is_ok_and(|w| w.signals.is_empty()),
                "{text:?}"
            );
        }
    }
}
