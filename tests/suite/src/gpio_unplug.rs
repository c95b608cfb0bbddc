// SPDX-License-Identifier: MIT OR Apache-2.0

//! A bank that is a PCI function is pulled out of its slot, while a program waits for an edge and another,
//! which is stopped, has its registers mapped.

use crate::{
    child,
    gpio::{armed, line, modelled_bank, settled, wait_for},
    monitor::Monitor,
    runner::{suite, Context},
};
use anyhow::{ensure, Result};
use mapwright::gpio::{Bank, EDGE_RISING};
use nix::{
    errno::Errno,
    sys::signal::Signal,
    unistd::{pipe, write},
};
use std::time::{Duration, Instant};

suite! { "gpio.unplug":
    from_programs_that_wait_or_are_stopped,
}

/// Its name in QEMU.
const BANK: &str = "bank";
/// A driver that waited for programs would wait for ever.
const SOON: Duration = Duration::from_secs(10);

/// Waits for an edge that does not come.
fn waits() -> Result<()> {
    let bank = Bank::open(0)?;
    let ended = bank.wait(line(9), EDGE_RISING, 0).err();
    let errno = ended.and_then(|err| err.errno());
    ensure!(errno == Some(Errno::ENODEV), "the wait ended: {errno:?}");
    Ok(())
}

/// Has the registers mapped when it is stopped, and finds nothing when it goes on.
fn holds(ready: impl FnOnce() -> Result<()>) -> Result<()> {
    let bank = Bank::open(0)?;
    let registers = bank.map(false)?;
    registers.read(0);
    ready()?;
    wait_for("the bank to go", || bank.info().is_err())?;
    let errno = bank.info().err().and_then(|err| err.errno());
    ensure!(errno == Some(Errno::ENODEV), "a call: {errno:?}");
    let signal = child::killed_by(|| {
        registers.read(0);
        Ok(())
    })?;
    ensure!(signal == Some(Signal::SIGBUS), "a load: {signal:?}");
    Ok(())
}

fn from_programs_that_wait_or_are_stopped(context: &Context) -> Result<()> {
    let mut monitor = Monitor::open()?;
    let (mut model, bank) = modelled_bank()?;
    let from = settled(&mut model, &bank)?;
    drop(bank);
    let waiter = child::spawn(waits)?;
    wait_for("the interrupt to be enabled", || {
        model
            .since(from)
            .is_ok_and(|records| records.iter().any(armed))
    })?;
    let (reader, writer) = pipe()?;
    let stopped = child::spawn(|| {
        holds(|| {
            ensure!(write(&writer, &[1])? == 1);
            Ok(())
        })
    })?;
    drop(writer);
    ensure!(
        nix::unistd::read(&reader, &mut [0])? == 1,
        "nothing is held"
    );
    child::stop(stopped)?;

    let began = Instant::now();
    monitor.unplug(BANK)?;
    let took = began.elapsed();
    context.note(format!("gone after {} ms", took.as_millis()));
    ensure!(took < SOON, "it took {took:?}");
    child::ends_well(waiter)?;
    child::go_on(stopped)?;
    child::ends_well(stopped)?;
    ensure!(!Bank::path(0).exists(), "the node stayed");
    Ok(())
}
