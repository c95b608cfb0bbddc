// SPDX-License-Identifier: MIT OR Apache-2.0

//! The system sleeps while a line blinks. It is the last that a machine does: the host's files, which
//! come through a virtio device that cannot sleep, are gone after it.

use super::{all_proper, board};
use crate::{
    gpio::{line, wait_for},
    runner::{skip, suite, Context},
};
use anyhow::{ensure, Result};
use nix::sys::mman::{mlockall, MlockAllFlags};
use std::fs;

suite! { "gpio.sleep":
    a_blink_sleeps_with_its_clock,
}

/// All devices are suspended, and the machine waits for so many seconds instead of sleeping.
const SECONDS: u64 = 2;

fn a_blink_sleeps_with_its_clock(context: &Context) -> Result<()> {
    let (is_hog, (mut model, bank)) = match board("hog") {
        Ok(hog) => (true, hog),
        Err(_) => (false, board("bank")?),
    };
    if fs::write("/sys/power/pm_test", "platform").is_err() {
        return skip("this kernel cannot rehearse its sleep (CONFIG_PM_DEBUG)");
    }
    let delay = "/sys/module/suspend/parameters/pm_test_delay";
    fs::write(delay, SECONDS.to_string())?;
    mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE)?;
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
    fs::write("/sys/power/state", "freeze")?;
    let awake = model.count()?;
    edges(&mut model, awake, 10)?;
    bank.blink(led, 0)?;
    let records = model.since(from)?;
    let pairs = records.windows(2);
    let longest = pairs.map(|pair| pair[1].time - pair[0].time).max();
    let longest = longest.unwrap_or(0) / 1_000_000;
    context.note(format!("longest rest between accesses: {longest} ms"));
    if is_hog {
        ensure!(
            longest >= SECONDS * 1000,
            "accesses went on while the bank's driver slept: they rested for {longest} ms"
        );
    }
    all_proper(&mut model, context)
}
