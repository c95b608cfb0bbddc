// SPDX-License-Identifier: MIT OR Apache-2.0

//! The driver, the device or its model goes while lines are in use.

use super::{
    armed, expect_untouched, insert, led_parameter, line, modelled_bank, remove, settled, unbind,
    wait_for, DEBUGFS, MODULE, REVISION,
};
use crate::runner::{skip, Context};
use anyhow::{anyhow, ensure, Result};
use gpio_model::{Client, Register, Request};
use mapwright::gpio::{Bank, EDGE_RISING};
use nix::errno::Errno;
use std::{
    fs::{self},
    path::Path,
    thread,
    time::Duration,
};

pub(super) fn unbinding_ends_what_waits(_: &Context) -> Result<()> {
    let (mut model, bank) = modelled_bank()?;
    let from = settled(&mut model, &bank)?;
    let (device, ended) = thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            bank.wait(line(9), EDGE_RISING, 0)
                .map_err(|err| err.errno())
        });
        wait_for("the interrupt to be enabled", || {
            model
                .since(from)
                .is_ok_and(|records| records.iter().any(armed))
        })?;
        let device = unbind()?;
        let ended = waiter.join().map_err(|_| anyhow!("panicked"))?;
        anyhow::Ok((device, ended))
    })?;
    ensure!(
        ended == Err(Some(Errno::ENODEV)),
        "the waiting call: {ended:?}"
    );
    let result = bank.info().map_err(|err| err.errno()).err();
    ensure!(
        result == Some(Some(Errno::ENODEV)),
        "a file that stayed open: {result:?}"
    );
    ensure!(!Bank::path(0).exists(), "the node stayed");
    drop(bank);
    device.bind()?;
    let info = Bank::open(0)?.info()?;
    ensure!(info.revision == REVISION, "bound again: {info:?}");
    Ok(())
}

pub(super) fn removed_while_blinking(context: &Context) -> Result<()> {
    let (mut model, bank) = modelled_bank()?;
    context.module_named(MODULE)?;
    let led = line(24);
    bank.set_direction(led, true)?;
    bank.blink(led, 1_000)?;
    drop(bank);
    let from = model.count()?;
    wait_for("edges", || {
        model.writes(from).is_ok_and(|writes| writes.len() >= 10)
    })?;
    remove()?;
    let writes = model.writes(from)?;
    let quiet = model.count()?;
    thread::sleep(Duration::from_millis(50));
    expect_untouched(&mut model, quiet, "its driver had left")?;
    ensure!(model.levels()? & led.mask() == 0, "the line is still high");
    let restored = writes
        .iter()
        .rev()
        .find(|(register, _)| *register == Register::Oe);
    ensure!(
        restored == Some(&(Register::Oe, u32::MAX)),
        "OE was left {restored:x?}"
    );
    insert(context, "")
}

pub(super) fn inserted_and_removed_twice(context: &Context) -> Result<()> {
    let (_model, bank) = modelled_bank()?;
    context.module_named(MODULE)?;
    let in_use = remove().err().map(|err| err.downcast::<Errno>());
    ensure!(
        matches!(in_use, Some(Ok(Errno::EWOULDBLOCK))),
        "with an open file: {in_use:?}"
    );
    drop(bank);
    let leds = led_parameter(0x01e0_0000)?;
    let modes = ["", &leds, "writable_registers=1"];
    for parameters in modes.iter().chain(&modes) {
        remove()?;
        ensure!(!Path::new(DEBUGFS).exists(), "{DEBUGFS} stayed");
        let iomem = fs::read_to_string("/proc/iomem")?;
        ensure!(
            !iomem.contains("mapwright_gpio"),
            "the resource in /proc/iomem stayed"
        );
        insert(context, parameters)?;
        Bank::open(0)?.info()?;
    }
    remove()?;
    insert(context, "")
}

/// The module is removed after it.
pub(super) fn the_device_vanishes(context: &Context) -> Result<()> {
    let (mut model, bank) = modelled_bank()?;
    let led = line(21);
    bank.set_direction(led, true)?;
    bank.blink(led, 10_000)?;
    model.ask(&Request::Vanish)?;
    let result = bank.info().map_err(|err| err.errno()).err();
    ensure!(result == Some(Some(Errno::ENODEV)), "{result:?}");
    let text = fs::read_to_string(DEBUGFS)?;
    ensure!(text.contains("the device is gone"), "debugfs says {text:?}");
    let quiet = model.count()?;
    thread::sleep(Duration::from_millis(50));
    let more = model.count()?;
    ensure!(
        more == quiet,
        "{} accesses after the loss was noticed",
        more - quiet
    );
    drop(bank);
    let _device = unbind()?;
    ensure!(!Bank::path(0).exists(), "the node stayed");
    expect_untouched(&mut model, quiet, "it was lost")?;
    context.module_named(MODULE)?;
    remove()
}

/// The last: nothing is there after it. The model ends, and with it QEMU's connection.
pub(super) fn the_model_is_killed(context: &Context) -> Result<()> {
    let Some(mut model) = Client::connect()? else {
        return skip("this machine has no modelled GPIO bank: boot it with --gpio DIR");
    };
    if model.others(0).is_ok() {
        return skip("the model is a part of this machine, and cannot be killed without it");
    }
    model.ask(&Request::Return)?;
    insert(context, "")?;
    let bank = Bank::open(0)?;
    let led = line(21);
    bank.set_direction(led, true)?;
    let from = settled(&mut model, &bank)?;
    // QEMU (11.1) aborts if it sends something between the model's end and noticing that: so that is in
    // the middle between two edges.
    bank.blink(led, 4_000_000)?;
    wait_for("the line to rise", || {
        model.writes(from).is_ok_and(|writes| !writes.is_empty())
    })?;
    model.kill()?;
    thread::sleep(Duration::from_secs(1));
    let result = bank.info().map_err(|err| err.errno()).err();
    ensure!(result == Some(Some(Errno::ENODEV)), "{result:?}");
    let text = fs::read_to_string(DEBUGFS)?;
    ensure!(text.contains("the device is gone"), "debugfs says {text:?}");
    drop(bank);
    let _device = unbind()?;
    ensure!(!Bank::path(0).exists(), "the node stayed");
    remove()
}
