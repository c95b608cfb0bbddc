// SPDX-License-Identifier: MIT OR Apache-2.0

//! The system sleeps while a line blinks.

use super::{all_proper, board};
use crate::{
    gpio::{line, wait_for},
    gpio_sleep::model_again,
    runner::{suite, Context},
    sleep::rehearse,
};
use anyhow::{ensure, Result};
use std::time::Duration;

suite! { "gpio.sleep":
    a_blink_sleeps_with_its_clock,
}

const SLEEP: Duration = Duration::from_secs(2);

fn a_blink_sleeps_with_its_clock(context: &Context) -> Result<()> {
    let (is_hog, (mut model, bank)) = match board("hog") {
        Ok(hog) => (true, hog),
        Err(_) => (false, board("bank")?),
    };
    let led = line(21);
    if !is_hog {
        bank.set_direction(led, true)?;
    }
    bank.blink(led, 20_000)?;
    let from = model.count()?;
    let edges = |model: &mut gpio_model::Client, from, count| {
        wait_for("edges", || {
            model.writes(from).is_ok_and(|writes| writes.len() >= count)
        })
    };
    edges(&mut model, from, 10)?;
    drop(model);
    rehearse(SLEEP)?;
    let mut model = model_again()?;
    let awake = model.count()?;
    edges(&mut model, awake, 10)?;
    bank.blink(led, 0)?;
    let records = model.since(from)?;
    let pairs = records.windows(2);
    let longest = pairs.map(|pair| pair[1].time - pair[0].time).max();
    let longest = Duration::from_nanos(longest.unwrap_or(0));
    context.note(format!("longest rest between accesses: {longest:.1?}"));
    ensure!(
        longest >= SLEEP,
        "accesses went on while the bank slept: they rested for {longest:.1?}"
    );
    all_proper(&mut model, context)
}
