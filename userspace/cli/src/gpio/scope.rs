// SPDX-License-Identifier: MIT OR Apache-2.0

//! `mapwright gpio scope`: a waveform, in the terminal and as SVG.

use super::{
    svg, terminal,
    waveform::{Signal, Waveform},
};
use crate::style::{paint, table, DIM, GOOD, HEADING, STRONG};
use anyhow::{bail, Result};
use mapwright::beaglebone::NamedLine;
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Args {
    /// The VCD file: build/gpio/waveform.vcd after `scripts/vm run --gpio build/gpio`
    file: PathBuf,
    /// Show these lines only; without it, all that change
    #[arg(long = "line", value_name = "LINE")]
    lines: Vec<NamedLine>,
    /// Draw it into this file, too
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Characters that the picture is wide
    #[arg(long, value_name = "N", default_value_t = 76, value_parser = clap::value_parser!(u16).range(20..=1000))]
    width: u16,
}

pub fn draw(args: &Args) -> Result<()> {
    let waveform = Waveform::read(&args.file)?;
    let signals = chosen(&waveform, &args.lines);
    if signals.is_empty() {
        bail!(
            "no line of {} changes from low to high or back",
            args.file.display()
        );
    }
    let window = waveform.window(&signals);
    let columns = usize::from(args.width);
    anstream::println!(
        "{}",
        paint(HEADING, format_args!("{}", args.file.display()))
    );
    for signal in &signals {
        let (above, below) = terminal::rows(signal, &window, columns);
        anstream::println!("{:>10}  {}", "", paint(GOOD, above));
        anstream::println!(
            "{}  {}",
            paint(STRONG, format_args!("{:>10}", signal.title())),
            paint(GOOD, below)
        );
    }
    let (marks, labels) = terminal::axis(&window, columns);
    anstream::println!(
        "{:>10}  {}\n{:>10}  {}",
        "",
        paint(DIM, marks),
        "",
        paint(DIM, labels.trim_end())
    );
    anstream::println!("{}", rhythms(&signals));
    if let Some(file) = &args.svg {
        svg::draw(&signals, &window, file)?;
        println!("Written: {}", file.display());
    }
    Ok(())
}

/// All that change but the bank's clock and interrupt, or those asked for.
fn chosen<'a>(waveform: &'a Waveform, lines: &[NamedLine]) -> Vec<&'a Signal> {
    let asked = |signal: &&Signal| {
        lines
            .iter()
            .any(|line| signal.name == format!("line{}", line.line.number()))
    };
    match lines {
        [] => waveform.busy(),
        _ => waveform.signals.iter().filter(asked).collect(),
    }
}

fn rhythms(signals: &[&Signal]) -> comfy_table::Table {
    let mut rhythms = table(["line", "edges", "period", "frequency", "high"], 1);
    for signal in signals {
        let edges = signal.edges(0..u64::MAX).count().to_string();
        let (period, frequency, high) = match signal.rhythm() {
            Some((period, high)) => (
                terminal::show(period),
                format!("{:.2} Hz", 1e9 / period as f64),
                format!("{:.0} %", high * 100.0),
            ),
            None => Default::default(),
        };
        rhythms.add_row([signal.title(), edges, period, frequency, high]);
    }
    rhythms
}
