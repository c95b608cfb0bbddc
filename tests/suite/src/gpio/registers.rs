// SPDX-License-Identifier: MIT OR Apache-2.0

//! The registers as debugfs and the read-only page show them.

use super::{
    expect_untouched, insert, levels::alternate, line, modelled_bank, remove, settled, unbind,
    AsUsual, DEBUGFS, MODULE, REVISION,
};
use crate::{child, runner::Context};
use anyhow::{ensure, Context as _, Result};
use gpio_model::Register;
use nix::{errno::Errno, sys::signal::Signal};
use std::fs::{self};

pub(super) fn debugfs_shows_each_register_once(_: &Context) -> Result<()> {
    let (mut model, bank) = modelled_bank()?;
    bank.set_direction(line(21), true)?;
    let from = settled(&mut model, &bank)?;
    let text = fs::read_to_string(DEBUGFS)?;
    let shown: Vec<Vec<&str>> = text
        .lines()
        .skip(1)
        .map(|l| l.split(' ').collect())
        .collect();
    ensure!(
        shown.len() == Register::ALL.len(),
        "{} registers:\n{text}",
        shown.len()
    );
    for (register, words) in Register::ALL.iter().zip(&shown) {
        let offset = format!("{:#05x}", register.offset());
        ensure!(
            words[..2] == [offset.as_str(), register.name()],
            "{register}: {words:?}"
        );
    }
    let oe = shown
        .iter()
        .find(|words| words[1] == "OE")
        .context("no OE")?;
    ensure!(
        !oe[3].split([',', '=']).any(|line| line == "21"),
        "line 21 is an output: {oe:?}"
    );
    let read: Vec<_> = model.since(from)?.iter().map(|r| r.offset).collect();
    let expected: Vec<_> = [0]
        .into_iter()
        .chain(Register::ALL.iter().map(|r| r.offset()))
        .collect();
    ensure!(read == expected, "read: {read:x?}");
    Ok(())
}

pub(super) fn the_page_of_registers_is_read_only(_: &Context) -> Result<()> {
    let (_model, bank) = modelled_bank()?;
    let refused = bank.map(true).map_err(|err| err.errno()).err();
    ensure!(
        refused == Some(Some(Errno::EACCES)),
        "writable: {refused:?}"
    );
    let registers = bank.map(false)?;
    let revision = registers.read(0);
    ensure!(
        revision == REVISION,
        "REVISION is {revision:#x} in the page"
    );
    child::run(move || {
        child::become_nobody()?;
        let refused = bank.map(false).map_err(|err| err.errno()).err();
        ensure!(
            refused == Some(Some(Errno::EPERM)),
            "without a capability: {refused:?}"
        );
        Ok(())
    })
}

pub(super) fn a_store_to_the_page_is_an_edge(context: &Context) -> Result<()> {
    const EDGES: u32 = 100;
    drop(modelled_bank()?);
    context.module_named(MODULE)?;
    remove()?;
    insert(context, "writable_registers=1")?;
    let _as_usual = AsUsual(context);
    let (mut model, bank) = modelled_bank()?;
    let led = line(21);
    bank.set_direction(led, true)?;
    let registers = bank.map(true)?;
    let from = settled(&mut model, &bank)?;
    for edge in 0..EDGES {
        let register = [Register::SetDataOut, Register::ClearDataOut][edge as usize % 2];
        registers.write(register.offset() as usize, led.mask());
    }
    // Stores are posted: a load comes after them.
    registers.read(Register::DataIn.offset() as usize);
    let records = model.since(from)?;
    ensure!(
        records.len() == EDGES as usize + 1,
        "{} accesses",
        records.len()
    );
    ensure!(alternate(&model.writes(from)?, led.mask()), "not in order");
    Ok(())
}

pub(super) fn the_page_goes_with_the_driver(_: &Context) -> Result<()> {
    let (mut model, bank) = modelled_bank()?;
    let registers = bank.map(false)?;
    ensure!(registers.read(0) == REVISION, "not mapped");
    let device = unbind()?;
    let from = model.count()?;
    let signal = child::killed_by(|| {
        registers.read(0);
        Ok(())
    })?;
    ensure!(
        signal == Some(Signal::SIGBUS),
        "a load is answered by {signal:?}"
    );
    drop(registers);
    expect_untouched(&mut model, from, "its driver had left")?;
    drop(bank);
    device.bind()
}
