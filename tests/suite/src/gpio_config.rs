// SPDX-License-Identifier: MIT OR Apache-2.0

//! How a line is configured through gpiolib. What the bank can do, it does: debouncing, with one period for all of its
//! lines. What it cannot, gpiolib does in its stead (other periods, open drain, open source), or leaves (a bias), as
//! the kernel documents it for all chips.

use crate::{
    gpio::{address, is_pci, line, modelled_bank, press, settled, settled_write, unbind},
    gpio_lines::{chip, expect_interrupts, set_by_somebody_else, Unbound},
    runner::{skip, suite, Context},
};
use anyhow::{ensure, Context as _, Result};
use gpio_model::{Client, Level, Operation, Register};
use gpiocdev::{
    chip::Chip,
    line::{Bias, Direction, Drive, EdgeDetection, EdgeKind, Value},
    Request,
};
use mapwright::gpio::Bank;
use std::{fs, time::Duration};

suite! { "gpio.config":
    the_bank_debounces,
    lines_of_one_period_share_it,
    another_period_is_gpiolibs,
    a_period_that_the_bank_has_not_is_gpiolibs,
    debouncing_ends_with_the_request,
    debouncing_is_given_back,
    open_drain_drives_low_only,
    open_source_drives_high_only,
    a_bias_changes_no_register,
}

/// The longest period that the bank has: 256 steps of 31 µs.
const LONGEST: u64 = 256 * 31;

/// An input whose edges are told, debounced.
fn debounced(number: u32, microseconds: u64) -> Result<Request> {
    let mut builder = Request::builder();
    builder
        .on_chip(chip()?)
        .with_line(number)
        .with_edge_detection(EdgeDetection::BothEdges)
        .with_debounce_period(Duration::from_micros(microseconds));
    Ok(builder.request()?)
}

/// What the bank's registers say of debouncing: which lines, and the period's steps but one.
fn in_registers() -> Result<(u32, u32)> {
    let text = fs::read_to_string("/sys/kernel/debug/mapwright-gpio0/registers")?;
    let value = |name: &str| -> Result<u32> {
        let row = text.lines().find(|row| row.contains(&format!(" {name} ")));
        let value = row.and_then(|row| row.split(' ').nth(2));
        let digits = value.and_then(|value| value.strip_prefix("0x"));
        Ok(u32::from_str_radix(digits.context("no register")?, 16)?)
    };
    Ok((value("DEBOUNCENABLE")?, value("DEBOUNCINGTIME")?))
}

fn expect_registers(lines: u32, steps: Option<u32>) -> Result<()> {
    let (enabled, time) = in_registers()?;
    ensure!(enabled == lines, "lines {enabled:#x}, not {lines:#x}");
    ensure!(steps.is_none_or(|steps| steps == time), "{time} steps");
    Ok(())
}

/// The period, as gpiolib tells it.
fn told_period(number: u32) -> Result<Option<Duration>> {
    let info = Chip::from_path(chip()?)?.line_info(number)?;
    Ok(info.debounce_period)
}

/// Whether the line's bank has a clock to debounce with: a function of PCI needs none.
fn expect_a_debouncing_bank() -> Result<(Client, Bank)> {
    let (model, bank) = modelled_bank()?;
    expect_interrupts()?;
    Ok((model, bank))
}

fn the_bank_debounces(_: &Context) -> Result<()> {
    let (mut model, bank) = expect_a_debouncing_bank()?;
    for (microseconds, steps) in [
        (1, 0),
        (31, 0),
        (32, 1),
        (1_000, 32),
        (LONGEST - 1, 255),
        (LONGEST, 255),
    ] {
        let from = settled(&mut model, &bank)?;
        let request = debounced(7, microseconds)?;
        expect_registers(1 << 7, Some(steps))?;
        let written: Vec<_> = model.writes(from)?.into_iter().map(|(r, _)| r).collect();
        let position = |of| written.iter().position(|register| *register == of);
        ensure!(
            position(Register::DebouncingTime) < position(Register::DebounceEnable),
            "the period comes first: {written:?}"
        );
        let answer = told_period(7)?;
        let expected = Some(Duration::from_micros(microseconds));
        ensure!(answer == expected, "{microseconds} µs: {answer:?}");
        drop(request);
        expect_registers(0, None)?;
    }
    Ok(())
}

fn lines_of_one_period_share_it(_: &Context) -> Result<()> {
    let (_model, _bank) = expect_a_debouncing_bank()?;
    let first = debounced(4, 500)?;
    // Rounded up to the same steps.
    let second = debounced(5, 510)?;
    expect_registers(0b11 << 4, Some(16))?;
    drop(first);
    expect_registers(1 << 5, Some(16))?;
    // The first to come after all have gone has its own.
    drop(second);
    let third = debounced(6, 2_000)?;
    expect_registers(1 << 6, Some(64))?;
    drop(third);
    expect_registers(0, None)
}

/// Fails unless a line is debounced, by whomever: of a short pulse nothing is told, of a long one both edges.
fn expect_filtered(model: &mut Client, bank: &Bank, request: &Request, number: u32) -> Result<()> {
    for _ in 0..5 {
        model.pulse(1 << number)?;
    }
    let came = request.wait_edge_event(Duration::from_secs(1))?;
    ensure!(!came, "a pulse is told: {:?}", request.read_edge_event()?);
    for (level, kind) in [
        (Level::High, EdgeKind::Rising),
        (Level::Low, EdgeKind::Falling),
    ] {
        press(model, bank, number, level)?;
        let came = request.wait_edge_event(Duration::from_secs(10))?;
        ensure!(came, "{level:?} is no event");
        let event = request.read_edge_event()?;
        ensure!(event.kind == kind, "{level:?}: {event:?}");
    }
    Ok(())
}

/// A second line with another period: the first keeps its own, the second is debounced all the same.
fn another_period_is_gpiolibs(_: &Context) -> Result<()> {
    let (mut model, bank) = expect_a_debouncing_bank()?;
    let first = debounced(4, 500)?;
    press(&mut model, &bank, 5, Level::Low)?;
    let second = debounced(5, 5_000)?;
    expect_registers(1 << 4, Some(16))?;
    let answer = told_period(5)?;
    ensure!(answer == Some(Duration::from_millis(5)), "{answer:?}");
    expect_filtered(&mut model, &bank, &second, 5)?;
    drop((first, second));
    expect_registers(0, None)?;
    press(&mut model, &bank, 5, Level::Floating)
}

fn a_period_that_the_bank_has_not_is_gpiolibs(_: &Context) -> Result<()> {
    let (mut model, bank) = expect_a_debouncing_bank()?;
    press(&mut model, &bank, 7, Level::Low)?;
    for microseconds in [LONGEST + 1, 20_000, 200_000] {
        let request = debounced(7, microseconds)?;
        expect_registers(0, None)?;
        let answer = told_period(7)?;
        let expected = Some(Duration::from_micros(microseconds));
        ensure!(answer == expected, "{microseconds} µs: {answer:?}");
        expect_filtered(&mut model, &bank, &request, 7)?;
    }
    press(&mut model, &bank, 7, Level::Floating)
}

fn debouncing_ends_with_the_request(_: &Context) -> Result<()> {
    let (_model, _bank) = expect_a_debouncing_bank()?;
    drop(debounced(7, 1_000)?);
    let mut builder = Request::builder();
    builder
        .on_chip(chip()?)
        .with_line(7)
        .with_edge_detection(EdgeDetection::BothEdges);
    let plain = builder.request()?;
    expect_registers(0, None)?;
    let answer = told_period(7)?;
    ensure!(answer.is_none_or(|period| period.is_zero()), "{answer:?}");
    drop(plain);
    Ok(())
}

/// Whoever had the bank before has debounced a line of it.
fn debouncing_is_given_back(_: &Context) -> Result<()> {
    const BEFORE: [(Register, u32); 2] = [
        (Register::DebounceEnable, 1 << 3),
        (Register::DebouncingTime, 99),
    ];
    let (_model, bank) = expect_a_debouncing_bank()?;
    let address = address()?;
    if !is_pci(&address) {
        return skip("without its driver, a bank of a device tree has no clock: only one behind PCI is looked at");
    }
    drop(bank);
    let device = unbind()?;
    let original = set_by_somebody_else(&address, BEFORE, 0)?;
    device.bind()?;
    expect_registers(0, None)?;
    let request = debounced(7, 1_000)?;
    expect_registers(1 << 7, Some(32))?;
    drop(request);
    let device = unbind()?;
    let registers = Unbound::map(&address)?;
    let after = BEFORE.map(|(register, _)| (register, registers.read(register)));
    for (register, value) in original {
        registers.write(register, value);
    }
    drop(registers);
    device.bind()?;
    ensure!(after == BEFORE, "was {BEFORE:?}, is {after:?}");
    Ok(())
}

/// An output of line 7 that is driven to one level only, `driven`, and let go for the other.
fn drives_one_level_only(drive: Drive, driven: Value) -> Result<()> {
    let (mut model, bank) = modelled_bank()?;
    let led = line(7);
    let request = Request::builder()
        .on_chip(chip()?)
        .with_line(7)
        .with_drive(drive)
        .as_output(driven)
        .request()?;
    for value in [driven, driven.not(), driven, driven.not()] {
        request.set_value(7, value)?;
        let is_driven = bank.info()?.outputs & led.mask() != 0;
        ensure!(is_driven == (value == driven), "{value:?}: {is_driven}");
        if is_driven {
            let high = model.levels()? & led.mask() != 0;
            ensure!(high == (value == Value::Active), "{value:?}: {high}");
        }
        let info = Chip::from_path(chip()?)?.line_info(7)?;
        ensure!(info.direction == Direction::Output, "{value:?}: {info:?}");
        ensure!(info.drive == Some(drive), "{value:?}: {info:?}");
    }
    // While it is let go, others on the wire are heard.
    let pulled = match driven {
        Value::Active => Level::Low,
        Value::Inactive => Level::High,
    };
    press(&mut model, &bank, 7, pulled)?;
    let heard = request.value(7)?;
    ensure!(heard == driven.not(), "the wire is {heard:?}");
    drop(request);
    bank.set_direction(led, false)?;
    press(&mut model, &bank, 7, Level::Floating)
}

fn open_drain_drives_low_only(_: &Context) -> Result<()> {
    drives_one_level_only(Drive::OpenDrain, Value::Inactive)
}

fn open_source_drives_high_only(_: &Context) -> Result<()> {
    drives_one_level_only(Drive::OpenSource, Value::Active)
}

/// The bank has no resistors: they are at the pin. The kernel's rule for such a chip is to leave it at that.
fn a_bias_changes_no_register(_: &Context) -> Result<()> {
    let (mut model, bank) = modelled_bank()?;
    bank.set_direction(line(7), false)?;
    for bias in [Bias::PullUp, Bias::PullDown, Bias::Disabled] {
        let from = settled(&mut model, &bank)?;
        let request = Request::builder()
            .on_chip(chip()?)
            .with_line(7)
            .with_bias(bias)
            .as_input()
            .request()?;
        settled(&mut model, &bank)?;
        let records = model.since(from)?;
        let stores = records
            .iter()
            .filter(|record| record.operation == Operation::Write);
        let other: Vec<_> = stores
            .filter(|record| record.register() != Some(Register::Oe))
            .collect();
        ensure!(other.is_empty(), "{bias:?}: {other:?}");
        drop(request);
    }
    let oe = settled_write(&mut model, &bank, Register::Oe)?;
    ensure!(oe.is_some_and(|oe| oe & (1 << 7) != 0), "OE: {oe:x?}");
    Ok(())
}
