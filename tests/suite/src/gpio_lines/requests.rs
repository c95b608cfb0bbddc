// SPDX-License-Identifier: MIT OR Apache-2.0

//! Who may have a line, and what a request holds.

use super::{chip, errno, expect_interrupts};
use crate::{
    gpio::{
        expect_untouched, insert, last_write, led_parameter, line, load, modelled_bank, remove,
        settled, unbind, wait_for, AsUsual, MODULE,
    },
    inject::each_failure,
    runner::{skip, Context},
};
use anyhow::{ensure, Context as _, Result};
use gpio_model::{Level, Register};
use gpiocdev::{
    chip::Chip,
    line::{EdgeDetection, Value},
    Request,
};
use mapwright::gpio::{Bank, EDGE_RISING};
use nix::errno::Errno;
use std::{
    fs::{self},
    path::Path,
};

pub(super) fn debugfs_witnesses_a_request(_: &Context) -> Result<()> {
    let (_model, _bank) = modelled_bank()?;
    let _request = Request::builder()
        .on_chip(chip()?)
        .with_consumer("witness")
        .with_line(22)
        .as_output(Value::Active)
        .request()?;
    let text = fs::read_to_string("/sys/kernel/debug/gpio")?;
    let line = text
        .lines()
        .find(|line| line.contains("witness"))
        .with_context(|| format!("it is not in debugfs:\n{text}"))?;
    for word in ["USR1", "out", "hi"] {
        ensure!(line.contains(word), "no {word:?} in {line:?}");
    }
    Ok(())
}

pub(super) fn a_requested_line_is_refused_to_others(_: &Context) -> Result<()> {
    let (mut model, bank) = modelled_bank()?;
    let request = Request::builder()
        .on_chip(chip()?)
        .with_line(21)
        .as_output(Value::Inactive)
        .request()?;
    let led = line(21);
    ensure!(
        bank.info()?.requested == led.mask(),
        "requested: {:x}",
        bank.info()?.requested
    );
    let from = settled(&mut model, &bank)?;
    let refused = [
        ("set", bank.set(led.mask(), 0).map(drop)),
        ("clear with others", bank.set(0, led.mask() | 1).map(drop)),
        ("direction", bank.set_direction(led, false)),
        ("blink", bank.blink(led, 1000)),
        ("wait", bank.wait(led, EDGE_RISING, 1).map(drop)),
        ("watch", bank.watch(0, led.mask() | 1)),
    ];
    for (what, result) in refused {
        let answer = result.map_err(|err| err.errno());
        ensure!(answer == Err(Some(Errno::EBUSY)), "{what}: {answer:?}");
    }
    let writes = model.writes(from)?;
    ensure!(
        !writes.iter().any(|(register, _)| matches!(
            register,
            Register::SetDataOut | Register::ClearDataOut | Register::Oe
        )),
        "a refusal wrote: {writes:x?}"
    );
    drop(request);
    ensure!(bank.info()?.requested == 0, "it stayed requested");
    bank.set_direction(led, true)?;
    bank.set(0, led.mask())?;
    Ok(())
}

pub(super) fn a_line_in_use_is_refused_to_gpiolib(context: &Context) -> Result<()> {
    let (model, bank) = modelled_bank()?;
    let chip_path = chip()?;
    let request = |offset| {
        Request::builder()
            .on_chip(&chip_path)
            .with_line(offset)
            .as_input()
            .request()
            .map(drop)
            .map_err(|err| errno(&err))
    };
    let blinking = line(22);
    bank.set_direction(blinking, true)?;
    bank.blink(blinking, 100_000)?;
    let result = request(22);
    bank.blink(blinking, 0)?;
    ensure!(
        result == Err(Some(Errno::EBUSY)),
        "one that blinks: {result:?}"
    );
    bank.watch(line(5).mask(), 0)?;
    let result = request(5);
    bank.watch(0, 0)?;
    ensure!(
        result == Err(Some(Errno::EBUSY)),
        "one that is watched: {result:?}"
    );
    for offset in [22, 5] {
        let result = request(offset);
        ensure!(result == Ok(()), "line {offset}, which is free: {result:?}");
    }
    drop((model, bank));
    context.module_named(MODULE)?;
    let leds = led_parameter(line(21).mask())?;
    remove()?;
    insert(context, &leds)?;
    let _as_usual = AsUsual(context);
    let result = request(21);
    ensure!(result == Err(Some(Errno::EBUSY)), "an LED: {result:?}");
    let (_model, bank) = modelled_bank()?;
    ensure!(
        bank.info()?.leds == line(21).mask(),
        "LEDs: {:x}",
        bank.info()?.leds
    );
    let result = bank.set(line(21).mask(), 0).map_err(|err| err.errno());
    ensure!(
        result == Err(Some(Errno::EBUSY)),
        "an LED's line can be set: {result:?}"
    );
    Ok(())
}

pub(super) fn a_requested_line_holds_the_module(context: &Context) -> Result<()> {
    drop(modelled_bank()?);
    context.module_named(MODULE)?;
    let chip = chip()?;
    let request = Request::builder()
        .on_chip(&chip)
        .with_line(3)
        .as_input()
        .request()?;
    let result = remove().err().map(|err| err.downcast::<Errno>());
    ensure!(
        matches!(result, Some(Ok(Errno::EWOULDBLOCK))),
        "rmmod with a requested line: {result:?}"
    );
    drop(request);
    // The chip alone does not: it answers that the device is gone.
    let open = Chip::from_path(&chip)?;
    remove()?;
    let result = open.line_info(0).map_err(|err| errno(&err)).err();
    ensure!(
        result == Some(Some(Errno::ENODEV)),
        "an open chip that is gone: {result:?}"
    );
    ensure!(!chip.exists(), "{} stayed", chip.display());
    drop(open);
    load(context, "")?;
    wait_for("the device node", || Bank::path(0).exists())
}

pub(super) fn unbinding_ends_requests(_: &Context) -> Result<()> {
    if Path::new("/sys/kernel/debug/kmemleak").exists() {
        return skip(
            "gpiolib (of 7.2) loses the name of who has requested a line, if the chip goes before him: \
             gpiod_free_commit() does nothing without a chip, which kmemleak would report",
        );
    }
    let (mut model, bank) = modelled_bank()?;
    let chip_path = chip()?;
    let mut builder = Request::builder();
    builder.on_chip(&chip_path).with_line(6).as_input();
    if expect_interrupts().is_ok() {
        builder.with_edge_detection(EdgeDetection::BothEdges);
    }
    let request = builder.request()?;
    let output = Request::builder()
        .on_chip(&chip_path)
        .with_line(10)
        .as_output(Value::Active)
        .request()?;
    drop(bank);
    let device = unbind()?;
    let from = model.count()?;
    let result = request.value(6).map_err(|err| errno(&err)).err();
    ensure!(result == Some(Some(Errno::ENODEV)), "a read: {result:?}");
    let result = output.set_value(10, Value::Inactive);
    let result = result.map_err(|err| errno(&err)).err();
    ensure!(result == Some(Some(Errno::ENODEV)), "a write: {result:?}");
    model.drive(6, Level::High)?;
    drop((request, output));
    expect_untouched(&mut model, from, "its driver had left")?;
    let oe = last_write(&mut model, Register::Oe)?;
    ensure!(oe == Some(u32::MAX), "OE was left {oe:x?}");
    device.bind()?;
    chip().map(drop)
}

pub(super) fn each_allocation_of_a_call_fails_in_turn(context: &Context) -> Result<()> {
    let (_model, bank) = modelled_bank()?;
    let led = line(21);
    let errno = |err: mapwright::Error| err.errno().unwrap_or(Errno::UnknownErrno);
    let clean = [Errno::ENOMEM, Errno::EFAULT];
    bank.set_direction(led, true)?;
    let blink = each_failure(
        &clean,
        || bank.blink(led, 10_000).map_err(errno),
        |started| {
            let blinking = bank.info()?.blinking;
            // The reply may be what could not be copied.
            if blinking != 0 {
                bank.blink(led, 0)?;
            }
            ensure!(
                started.is_none() || blinking == led.mask(),
                "does not blink"
            );
            Ok(())
        },
    )?;
    let open = each_failure(&clean, || Bank::open(0).map_err(errno), |_| Ok(()))?;
    let watch = each_failure(
        &clean,
        || bank.watch(1, 2).map_err(errno),
        |_| Ok(bank.watch(0, 0)?),
    )?;
    let read = each_failure(&clean, || bank.levels().map_err(errno), |_| Ok(()))?;
    context.note(format!(
        "blink {blink:?}, open {open:?}, watch {watch:?}, levels {read:?}"
    ));
    Ok(())
}
