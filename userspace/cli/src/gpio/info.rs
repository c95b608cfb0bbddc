// SPDX-License-Identifier: MIT OR Apache-2.0

//! `mapwright gpio info`: the bank, its lines and its registers.

use crate::style::{paint, row, table, DIM, GOOD, HEADING};
use anyhow::Result;
use mapwright::beaglebone::name_of;
use mapwright::gpio::{Bank, Line, LINES, MODE_BANK};
use serde::Serialize;
use std::fs;

#[derive(clap::Args)]
pub struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A line as it is now.
#[derive(Serialize)]
struct State {
    line: u32,
    /// On a BeagleBone Black.
    name: Option<String>,
    output: bool,
    high: bool,
    blinking: bool,
    led: bool,
    requested: bool,
}

pub fn show(bank: &Bank, number: u32, args: &Args) -> Result<()> {
    let info = bank.info()?;
    let gpio = Bank::gpio(number);
    let has = |mask: u32, line: Line| mask & line.mask() != 0;
    let states: Vec<State> = Line::all_of(u32::MAX)
        .map(|line| State {
            line: line.number(),
            name: gpio.and_then(|gpio| name_of(gpio, line)),
            output: has(info.outputs, line),
            high: has(info.levels, line),
            blinking: has(info.blinking, line),
            led: has(info.leds, line),
            requested: has(info.requested, line),
        })
        .collect();
    if args.json {
        println!("{}", serde_json::to_string_pretty(&states)?);
        return Ok(());
    }
    let (major, minor) = ((info.revision >> 8) & 7, info.revision & 0x3f);
    row(
        "bank",
        format_args!("{LINES} lines, revision {major}.{minor}"),
    );
    let mode = match info.mode {
        MODE_BANK => "the bank is this driver's",
        _ => "another driver has directions, edges and clock",
    };
    row("mode", mode);
    row("outputs", described(gpio, info.outputs, info.levels));
    row("inputs", described(gpio, !info.outputs, info.levels));
    row("blinking", described(gpio, info.blinking, 0));
    row("LEDs", described(gpio, info.leds, 0));
    row("requested", described(gpio, info.requested, 0));
    registers(number);
    Ok(())
}

/// The lines of a mask, with their names; those that are high stand out.
fn described(gpio: Option<u32>, mask: u32, levels: u32) -> String {
    if mask == 0 {
        return paint(DIM, "none");
    }
    let one = |line: Line| {
        let name = gpio.and_then(|gpio| name_of(gpio, line));
        let name = name.map_or(String::new(), |name| format!(" {name}"));
        match levels & line.mask() {
            0 => format!("{}{name}", line.number()),
            _ => paint(GOOD, format_args!("{}{name}=high", line.number())),
        }
    };
    Line::all_of(mask).map(one).collect::<Vec<_>>().join(", ")
}

/// Root may see them all, with their bits.
fn registers(number: u32) {
    let path = format!("/sys/kernel/debug/mapwright-gpio{number}/registers");
    let Ok(text) = fs::read_to_string(&path) else {
        anstream::println!(
            "{}",
            paint(DIM, format_args!("The registers are in {path}, for root."))
        );
        return;
    };
    let mut registers = table(["offset", "register", "value", "fields"], 4);
    for row in text.lines().skip(1) {
        let mut words = row.splitn(4, ' ');
        let mut next = || words.next().unwrap_or_default();
        registers.add_row([next(), next(), next(), next()]);
    }
    anstream::println!("\n{}\n{registers}", paint(HEADING, "Registers"));
}
