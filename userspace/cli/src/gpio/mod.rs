// SPDX-License-Identifier: MIT OR Apache-2.0

//! `mapwright gpio`: the lines of a GPIO bank of an AM335x.

mod info;
mod scope;
mod svg;
mod terminal;
mod waveform;

use crate::style::{paint, row, DIM, GOOD, STRONG};
use anyhow::{anyhow, bail, Result};
use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use mapwright::beaglebone::NamedLine;
use mapwright::gpio::{Bank, EDGE_FALLING, EDGE_RISING, MAX_PERIOD, MIN_PERIOD, MODE_BANK};
use mapwright::Error;
use nix::errno::Errno;
use std::{collections::BTreeMap, thread, time::Duration};

#[derive(ClapArgs)]
pub struct Args {
    /// The bank: 0 is /dev/mapwright-gpio0. Without it, that of the line's name, or 0
    #[arg(long, value_name = "N", global = true)]
    bank: Option<u32>,
    #[command(subcommand)]
    action: Action,
}

/// Lines are numbers from 0 to 31, or what they are called on a BeagleBone Black: P9_12, USR0, GPIO1_28.
#[derive(Subcommand)]
enum Action {
    /// Show the bank, its lines and its registers
    Info(info::Args),
    /// Let the kernel blink a line
    Blink(Blink),
    /// Stop a line's blinking, and leave it low
    Stop {
        /// Number from 0 to 31, or a name such as USR0, P9_12 or GPIO1_28
        line: NamedLine,
    },
    /// Make lines high
    Set {
        /// Numbers from 0 to 31, or names such as USR0, P9_12 or GPIO1_28
        #[arg(required = true)]
        lines: Vec<NamedLine>,
    },
    /// Make lines low
    Clear {
        /// Numbers from 0 to 31, or names such as USR0, P9_12 or GPIO1_28
        #[arg(required = true)]
        lines: Vec<NamedLine>,
    },
    /// Make a line an output
    Output {
        /// Number from 0 to 31, or a name such as USR0, P9_12 or GPIO1_28
        line: NamedLine,
    },
    /// Make a line an input
    Input {
        /// Number from 0 to 31, or a name such as USR0, P9_12 or GPIO1_28
        line: NamedLine,
    },
    /// Print a line's level: 0 or 1
    Read {
        /// Number from 0 to 31, or a name such as USR0, P9_12 or GPIO1_28
        line: NamedLine,
    },
    /// Wait for an edge of a line
    Wait(Wait),
    /// Draw a waveform that a modelled bank wrote
    Scope(scope::Args),
}

#[derive(ClapArgs)]
struct Blink {
    /// Number from 0 to 31, or a name such as USR0, P9_12 or GPIO1_28
    line: NamedLine,
    /// How often a second
    #[arg(long, value_name = "HZ", default_value_t = 1.0)]
    hz: f64,
    /// Stop after so many seconds; without it, the kernel goes on by itself
    #[arg(long = "for", value_name = "SECS")]
    seconds: Option<f64>,
}

#[derive(ClapArgs)]
struct Wait {
    /// Number from 0 to 31, or a name such as USR0, P9_12 or GPIO1_28
    line: NamedLine,
    /// Which edge
    #[arg(long, value_enum, default_value_t = Edge::Both)]
    edge: Edge,
    /// Give up after so many seconds
    #[arg(long, value_name = "SECS")]
    timeout: Option<f64>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Edge {
    /// From low to high
    Rising,
    /// From high to low
    Falling,
    /// Either
    Both,
}

pub fn run(args: &Args) -> Result<()> {
    let of = |named: &NamedLine| bank_of(args.bank, named);
    match &args.action {
        Action::Info(info) => {
            let number = args.bank.unwrap_or(0);
            info::show(&open(number)?, number, info)
        }
        Action::Blink(request) => blink(&of(&request.line)?, request),
        Action::Stop { line } => explained(of(line)?.blink(line.line, 0), *line),
        Action::Set { lines } => set(args.bank, lines, true),
        Action::Clear { lines } => set(args.bank, lines, false),
        Action::Output { line } => explained(of(line)?.set_direction(line.line, true), *line),
        Action::Input { line } => explained(of(line)?.set_direction(line.line, false), *line),
        Action::Read { line } => {
            let levels = explained(of(line)?.levels(), *line)?;
            println!("{}", u32::from(levels & line.line.mask() != 0));
            Ok(())
        }
        Action::Wait(request) => wait(&of(&request.line)?, request),
        Action::Scope(request) => scope::draw(request),
    }
}

fn open(number: u32) -> Result<Bank> {
    Bank::open(number).map_err(|err| no_bank(number, err))
}

/// The number of the bank that a line is of, by its name or as `asked` for.
fn number_of(asked: Option<u32>, named: &NamedLine) -> Result<u32> {
    let Some(gpio) = named.gpio else {
        return Ok(asked.unwrap_or(0));
    };
    match (Bank::number_of(gpio), asked) {
        (Some(number), None) => Ok(number),
        (Some(number), Some(asked)) if number == asked => Ok(number),
        (Some(number), Some(asked)) => bail!(
            "line {named} is of GPIO{gpio}, which is bank {number} here, and not {asked}: leave out --bank"
        ),
        (None, _) => bail!(
            "line {named} is of GPIO{gpio}, which this driver does not have here: see docs/beaglebone.md"
        ),
    }
}

fn bank_of(asked: Option<u32>, named: &NamedLine) -> Result<Bank> {
    open(number_of(asked, named)?)
}

/// Blinks the first user LED, for the tour.
pub fn show_blinking() -> Result<()> {
    let request = Blink {
        line: "USR0".parse()?,
        hz: 2.0,
        seconds: Some(2.8),
    };
    blink(&bank_of(None, &request.line)?, &request)
}

/// What to do where there is no such bank.
fn no_bank(number: u32, err: Error) -> anyhow::Error {
    match err {
        Error::NotLoaded { path } => anyhow!(
            "{path} does not exist: there is no bank {number}, or its driver mapwright_gpio is not loaded"
        ),
        err => err.into(),
    }
}

/// What the driver's refusal means for this line.
fn refusal(err: Error, line: NamedLine) -> anyhow::Error {
    let number = line.line.number();
    match err.errno() {
        Some(Errno::EPERM) => anyhow!(
            "line {line} is an input: make it an output first (`mapwright gpio output {number}`)"
        ),
        Some(Errno::EBUSY) => anyhow!(
            "line {line} is in use: stop it if it blinks (`mapwright gpio stop {number}`), or end the program \
             that has requested it (`mapwright gpio info` and `gpioinfo` tell)"
        ),
        Some(Errno::ENOENT) => anyhow!("line {line} does not blink"),
        Some(Errno::EOPNOTSUPP) => anyhow!(
            "this bank's directions and edges are another driver's: only set, clear, read and blink work"
        ),
        Some(Errno::ENODEV) => anyhow!("the device is gone: unbind its driver, or remove the module"),
        _ => err.into(),
    }
}

fn explained<T>(result: mapwright::Result<T>, line: NamedLine) -> Result<T> {
    result.map_err(|err| refusal(err, line))
}

/// Those of a bank with a single store.
fn set(asked: Option<u32>, lines: &[NamedLine], high: bool) -> Result<()> {
    let mut banks: BTreeMap<u32, (u32, NamedLine)> = BTreeMap::new();
    for named in lines {
        let number = number_of(asked, named)?;
        banks.entry(number).or_insert((0, *named)).0 |= named.line.mask();
    }
    for (number, (mask, first)) in banks {
        let bank = open(number)?;
        let (set, clear) = if high { (mask, 0) } else { (0, mask) };
        explained(bank.set(set, clear), first)?;
    }
    Ok(())
}

/// The period in microseconds.
fn period(hz: f64) -> Result<u32> {
    let period = 1e6 / hz;
    if !(f64::from(MIN_PERIOD)..=f64::from(MAX_PERIOD)).contains(&period) {
        let (slowest, fastest) = (1e6 / f64::from(MAX_PERIOD), 1e6 / f64::from(MIN_PERIOD));
        bail!("a line can blink {slowest} to {fastest} times a second, not {hz} times");
    }
    Ok(period.round() as u32)
}

fn seconds(given: f64) -> Result<Duration> {
    Duration::try_from_secs_f64(given).map_err(|_| anyhow!("{given} is no number of seconds"))
}

fn blink(bank: &Bank, request: &Blink) -> Result<()> {
    let period = period(request.hz)?;
    let length = request.seconds.map(seconds).transpose()?;
    let (named, of) = (request.line, request.line.line);
    let info = bank.info()?;
    if info.mode == MODE_BANK && info.blinking & of.mask() == 0 {
        explained(bank.set_direction(of, true), named)?;
    }
    explained(bank.blink(of, period), named)?;
    let rate = paint(GOOD, format_args!("{} Hz", request.hz));
    row(
        "blinking",
        format_args!("line {named} at {rate}, by a timer in the kernel"),
    );
    match length {
        Some(length) => {
            thread::sleep(length);
            explained(bank.blink(of, 0), named)?;
            row("stopped", format_args!("after {} s", length.as_secs_f64()));
        }
        None => {
            let stop = format!("mapwright gpio stop {}", of.number());
            row("goes on", format_args!("until {}", paint(STRONG, stop)));
        }
    }
    Ok(())
}

fn wait(bank: &Bank, request: &Wait) -> Result<()> {
    let edges = match request.edge {
        Edge::Rising => EDGE_RISING,
        Edge::Falling => EDGE_FALLING,
        Edge::Both => EDGE_RISING | EDGE_FALLING,
    };
    // 0 would be for ever.
    let timeout = match request.timeout.map(seconds).transpose()? {
        Some(given) => u32::try_from(given.as_millis()).unwrap_or(u32::MAX).max(1),
        None => 0,
    };
    let result = bank.wait(request.line.line, edges, timeout);
    if result
        .as_ref()
        .is_err_and(|err| err.errno() == Some(Errno::ETIMEDOUT))
    {
        bail!("line {} had no such edge in that time", request.line);
    }
    let (nr_edges, high) = explained(result, request.line)?;
    let level = if high { "high" } else { "low" };
    let note = paint(DIM, format_args!("({nr_edges} seen)"));
    row(
        "edge",
        format_args!("line {} is {level} now {note}", request.line),
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods() {
        assert_eq!(period(2.0).unwrap(), 500_000);
        assert_eq!(period(10_000.0).unwrap(), MIN_PERIOD);
        for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY, 10_001.0, 0.009] {
            let said = period(wrong).unwrap_err().to_string();
            assert!(said.contains("0.01 to 10000"), "{said}");
        }
    }
}
