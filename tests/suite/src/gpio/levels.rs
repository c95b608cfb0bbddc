// SPDX-License-Identifier: MIT OR Apache-2.0

//! Levels and edges of lines: what is stored to registers, what is loaded, what a program learns.

use super::{armed, line, modelled_bank, press, settled, settled_write, wait_for};
use crate::{child, runner::Context};
use anyhow::{anyhow, ensure, Result};
use gpio_model::{Level, Operation, Record, Register};
use mapwright::gpio::{Bank, EDGE_FALLING, EDGE_RISING};
use nix::{
    errno::Errno,
    sys::wait::{waitpid, WaitStatus},
};
use std::{
    fs::{self},
    thread,
    time::Duration,
};

pub(super) fn outputs_take_a_single_store(_: &Context) -> Result<()> {
    let (mut model, bank) = modelled_bank()?;
    let led = line(21);
    bank.set_direction(led, true)?;
    let from = settled(&mut model, &bank)?;
    let high = bank.set(led.mask(), 0)?;
    let low = bank.set(0, led.mask())?;
    ensure!(
        high & led.mask() != 0 && low & led.mask() == 0,
        "{high:#x}, then {low:#x}"
    );
    let writes = model.writes(from)?;
    let expected = [
        (Register::SetDataOut, led.mask()),
        (Register::ClearDataOut, led.mask()),
    ];
    ensure!(writes == expected, "written: {writes:?}");
    Ok(())
}

pub(super) fn inputs_are_read(_: &Context) -> Result<()> {
    let (mut model, bank) = modelled_bank()?;
    let button = line(3);
    bank.set_direction(button, false)?;
    for (level, expected) in [
        (Level::High, true),
        (Level::Low, false),
        (Level::Floating, false),
    ] {
        press(&mut model, &bank, button.number(), level)?;
        let read = bank.levels()? & button.mask() != 0;
        ensure!(read == expected, "{level:?} is read as {read}");
        let text = fs::read_to_string(Bank::path(0))?;
        let levels = u32::from_str_radix(text.trim(), 16)?;
        ensure!(
            (levels & button.mask() != 0) == expected,
            "the file says {text:?}"
        );
    }
    Ok(())
}

pub(super) fn directions_leave_other_lines(_: &Context) -> Result<()> {
    let (mut model, bank) = modelled_bank()?;
    let (first, second) = (line(4), line(5));
    bank.set_direction(first, true)?;
    let before = bank.info()?.outputs;
    let from = settled(&mut model, &bank)?;
    bank.set_direction(second, true)?;
    bank.set_direction(second, false)?;
    ensure!(
        bank.info()?.outputs == before & !second.mask(),
        "other lines changed"
    );
    settled(&mut model, &bank)?;
    let writes = model.writes(from)?;
    let expected = [!(before | second.mask()), !(before & !second.mask())];
    ensure!(
        writes == expected.map(|oe| (Register::Oe, oe)),
        "written: {writes:x?}"
    );
    bank.set_direction(first, false)?;
    Ok(())
}

/// Whether `writes` are `mask` set and cleared in turn, beginning with set.
pub(super) fn alternate(writes: &[(Register, u32)], mask: u32) -> bool {
    let expected = [Register::SetDataOut, Register::ClearDataOut]
        .into_iter()
        .cycle();
    writes
        .iter()
        .zip(expected)
        .all(|(&write, register)| write == (register, mask))
}

pub(super) fn the_kernel_blinks(_: &Context) -> Result<()> {
    let (mut model, bank) = modelled_bank()?;
    let led = line(22);
    bank.set_direction(led, true)?;
    let from = settled(&mut model, &bank)?;
    bank.blink(led, 20_000)?;
    ensure!(bank.info()?.blinking == led.mask(), "it does not say so");
    wait_for("20 edges", || {
        model.writes(from).is_ok_and(|writes| writes.len() >= 20)
    })?;
    // The program that asked may go.
    drop(bank);
    let later = model.count()?;
    wait_for("edges without a program", || {
        model.writes(later).is_ok_and(|writes| writes.len() >= 4)
    })?;
    let bank = Bank::open(0)?;
    bank.blink(led, 0)?;
    let quiet = settled(&mut model, &bank)?;
    let writes = model.writes(from)?;
    let last = writes.last().map(|(register, _)| *register);
    ensure!(
        last == Some(Register::ClearDataOut),
        "it ends with {last:?}"
    );
    // What ends it may come after a low, so that there are two.
    let toggles = writes.len() - 1;
    ensure!(
        alternate(&writes[..toggles], led.mask()),
        "written: {writes:x?}"
    );
    thread::sleep(Duration::from_millis(100));
    settled(&mut model, &bank)?;
    let more = model.writes(quiet)?;
    ensure!(more.is_empty(), "it goes on: {more:x?}");
    Ok(())
}

pub(super) fn edges_are_waited_for(_: &Context) -> Result<()> {
    let (mut model, bank) = modelled_bank()?;
    let button = line(7);
    bank.set_direction(button, false)?;
    press(&mut model, &bank, button.number(), Level::Low)?;
    let none = bank
        .wait(button, EDGE_RISING, 50)
        .map_err(|err| err.errno());
    ensure!(
        none == Err(Some(Errno::ETIMEDOUT)),
        "without an edge: {none:?}"
    );
    for (edges, level, high) in [
        (EDGE_RISING, Level::High, true),
        (EDGE_FALLING, Level::Low, false),
        (EDGE_RISING | EDGE_FALLING, Level::High, true),
        (EDGE_RISING | EDGE_FALLING, Level::Low, false),
    ] {
        let from = settled(&mut model, &bank)?;
        let outcome = thread::scope(|scope| {
            let waiter = scope.spawn(|| bank.wait(button, edges, 10_000));
            wait_for("the interrupt to be enabled", || {
                model
                    .since(from)
                    .is_ok_and(|records| records.iter().any(armed))
            })?;
            press(&mut model, &bank, button.number(), level)?;
            waiter
                .join()
                .map_err(|_| anyhow!("panicked"))?
                .map_err(anyhow::Error::from)
        })?;
        ensure!(outcome == (1, high), "edges {edges}: {outcome:?}");
    }
    // Nobody waits: nothing is detected any more.
    for register in [Register::RisingDetect, Register::FallingDetect] {
        let value = settled_write(&mut model, &bank, register)?;
        ensure!(value == Some(0), "{register} was left {value:x?}");
    }
    Ok(())
}

pub(super) fn two_programs_at_once(_: &Context) -> Result<()> {
    let (mut model, _bank) = modelled_bank()?;
    let lines = [line(12), line(13)];
    let from = model.count()?;
    let children = lines.map(|line| {
        child::spawn(move || {
            let bank = Bank::open(0)?;
            bank.set_direction(line, true)?;
            for _ in 0..100 {
                bank.set(line.mask(), 0)?;
                bank.set(0, line.mask())?;
            }
            bank.set_direction(line, false)?;
            Ok(())
        })
    });
    for child in children {
        let ended = waitpid(child?, None)?;
        ensure!(
            matches!(ended, WaitStatus::Exited(_, 0)),
            "a program: {ended:?}"
        );
    }
    let writes = model.writes(from)?;
    for line in lines {
        let own: Vec<_> = writes
            .iter()
            .copied()
            .filter(|(register, value)| *register != Register::Oe && value & line.mask() != 0)
            .collect();
        ensure!(own.len() == 200, "line {line}: {} stores", own.len());
        ensure!(
            alternate(&own, line.mask()),
            "line {line}: stores are mixed up"
        );
    }
    let oe = writes
        .iter()
        .rev()
        .find(|(register, _)| *register == Register::Oe);
    let both = lines[0].mask() | lines[1].mask();
    ensure!(
        oe.is_some_and(|(_, oe)| oe & both == both),
        "a direction was lost: {oe:x?}"
    );
    Ok(())
}

/// Linux gates the clock of a bank that idles for 12 s; ours is held.
pub(super) fn blinks_beyond_the_idle_delay(context: &Context) -> Result<()> {
    const SECONDS: u64 = 20;
    const PERIOD: u32 = 500_000;
    let (mut model, bank) = modelled_bank()?;
    let led = line(21);
    bank.set_direction(led, true)?;
    let from = settled(&mut model, &bank)?;
    bank.blink(led, PERIOD)?;
    drop(bank);
    thread::sleep(Duration::from_secs(SECONDS));
    let bank = Bank::open(0)?;
    bank.blink(led, 0)?;
    settled(&mut model, &bank)?;
    let records = model.since(from)?;
    let edges: Vec<_> = records
        .iter()
        .filter(|r| r.operation == Operation::Write)
        .filter_map(|r| Some((r.register()?, r.value)))
        .collect();
    // A VM may be late, but not by half.
    let expected = SECONDS as usize * 1_000_000 / (PERIOD as usize / 2);
    ensure!(
        (expected / 2..=expected + 3).contains(&edges.len()),
        "{} edges instead of {expected}",
        edges.len()
    );
    ensure!(
        alternate(&edges[..edges.len() - 1], led.mask()),
        "written: {edges:x?}"
    );
    ensure!(
        records.iter().all(Record::is_proper),
        "an access without a clock"
    );
    context.note(format!("{} edges in {SECONDS} s", edges.len()));
    Ok(())
}
