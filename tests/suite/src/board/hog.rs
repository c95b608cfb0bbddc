// SPDX-License-Identifier: MIT OR Apache-2.0

//! Mode "hog": gpio-omap keeps GPIO1, its clock and its directions; we set, clear and read.

use super::{all_proper, blink_past_idle, board, rebind, OMAP};
use crate::{
    gpio::{
        expect_untouched, insert, led_parameter, line, load, remove, settled, unbind, wait_for,
        MODULE,
    },
    runner::{suite, Context},
};
use anyhow::{ensure, Context as _, Result};
use gpio_model::{Operation, Register};
use mapwright::gpio::{Bank, EDGE_RISING};
use nix::errno::Errno;
use std::{fs, thread, time::Duration};

suite! { "gpio.hog":
    the_kernel_witnesses_our_stores,
    nothing_but_set_and_clear_is_written,
    directions_and_edges_are_the_kernels,
    blinks_past_the_idle_delay,
    bound_again,
    inserted_and_removed_while_blinking,
    the_clock_stays_when_the_kernels_driver_goes,
    all_accesses_were_proper,
}

/// What gpiolib says of a line of GPIO1.
fn witness(line: u32) -> Result<String> {
    let text = fs::read_to_string("/sys/kernel/debug/gpio")?;
    let chip = text
        .split("gpiochip")
        .find(|chip| chip.contains("4804c000.gpio"))
        .context("GPIO1 is not in debugfs")?;
    let line = format!(" gpio-{line} ");
    let row = chip.lines().find(|text| text.starts_with(&line));
    Ok(row.context("the line is in use by nobody")?.to_owned())
}

fn the_kernel_witnesses_our_stores(context: &Context) -> Result<()> {
    let (_model, bank) = board("hog")?;
    for name in 21..=24 {
        let led = line(name);
        bank.set(led.mask(), 0)?;
        let high = witness(name)?;
        bank.set(0, led.mask())?;
        let low = witness(name)?;
        ensure!(
            high.contains("mapwright") && high.contains("out hi") && low.contains("out lo"),
            "{high}, then {low}"
        );
        context.note(high);
    }
    Ok(())
}

fn nothing_but_set_and_clear_is_written(context: &Context) -> Result<()> {
    let (mut model, bank) = board("hog")?;
    let led = line(21);
    let from = settled(&mut model, &bank)?;
    for _ in 0..10 {
        bank.set(led.mask(), 0)?;
        bank.set(0, led.mask())?;
    }
    bank.blink(led, 2_000)?;
    wait_for("20 edges", || {
        model.writes(from).is_ok_and(|writes| writes.len() >= 40)
    })?;
    bank.blink(led, 0)?;
    drop(bank);
    context.module_named(MODULE)?;
    let leds = led_parameter(0x01e0_0000)?;
    remove()?;
    insert(context, &leds)?;
    fs::write("/sys/class/leds/mapwright:usr0/brightness", "1")?;
    fs::write("/sys/class/leds/mapwright:usr0/brightness", "0")?;
    remove()?;
    insert(context, "")?;
    // gpio-omap does nothing meanwhile: nobody uses its lines.
    let records = model.since(from)?;
    let writes = records.iter().filter(|r| r.operation == Operation::Write);
    let mut others = writes.filter(|r| {
        !matches!(
            r.register(),
            Some(Register::SetDataOut | Register::ClearDataOut)
        )
    });
    let other = others.next();
    ensure!(other.is_none(), "written: {other:?}");
    Ok(())
}

fn directions_and_edges_are_the_kernels(_: &Context) -> Result<()> {
    let (_model, bank) = board("hog")?;
    let result = [
        bank.set_direction(line(5), true).err(),
        bank.wait(line(5), EDGE_RISING, 1).map(drop).err(),
    ];
    for result in result {
        let errno = result.as_ref().and_then(mapwright::Error::errno);
        ensure!(errno == Some(Errno::EOPNOTSUPP), "{result:?}");
    }
    let input = bank.set(line(5).mask(), 0).err();
    let errno = input.as_ref().and_then(mapwright::Error::errno);
    ensure!(errno == Some(Errno::EPERM), "setting an input: {input:?}");
    Ok(())
}

fn blinks_past_the_idle_delay(_: &Context) -> Result<()> {
    let (mut model, bank) = board("hog")?;
    let from = settled(&mut model, &bank)?;
    blink_past_idle(&mut model, &bank, line(21), from).map(drop)
}

fn bound_again(_: &Context) -> Result<()> {
    let (_model, bank) = board("hog")?;
    drop(bank);
    for _ in 0..2 {
        unbind()?.bind()?;
        Bank::open(0)?.info()?;
    }
    Ok(())
}

fn inserted_and_removed_while_blinking(context: &Context) -> Result<()> {
    let (mut model, bank) = board("hog")?;
    context.module_named(MODULE)?;
    bank.blink(line(22), 1_000)?;
    let from = model.count()?;
    wait_for("edges", || {
        model.writes(from).is_ok_and(|writes| writes.len() >= 10)
    })?;
    drop(bank);
    remove()?;
    let quiet = model.count()?;
    thread::sleep(Duration::from_millis(50));
    expect_untouched(&mut model, quiet, "its driver had left")?;
    ensure!(
        model.levels()? & line(22).mask() == 0,
        "the line is still high"
    );
    load(context, "")?;
    wait_for("the device node", || Bank::path(0).exists())
}

/// The clock is gpio-omap's to switch; without its driver, it is still on for us.
fn the_clock_stays_when_the_kernels_driver_goes(_: &Context) -> Result<()> {
    const GPIO1: &str = "4804c000.gpio";
    let (mut model, bank) = board("hog")?;
    bank.blink(line(23), 10_000)?;
    rebind(OMAP, "unbind", GPIO1)?;
    let from = model.count()?;
    thread::sleep(Duration::from_secs(1));
    ensure!(
        model.writes(from)?.len() >= 10,
        "it does not blink any more"
    );
    rebind(OMAP, "bind", GPIO1)?;
    bank.blink(line(23), 0)?;
    bank.info()?;
    Ok(())
}

fn all_accesses_were_proper(context: &Context) -> Result<()> {
    let (mut model, _bank) = board("hog")?;
    all_proper(&mut model, context)
}
