// SPDX-License-Identifier: MIT OR Apache-2.0

//! Lines that gpiolib sets and reads.

use super::chip;
use crate::{
    gpio::{line, modelled_bank, settled},
    runner::Context,
};
use anyhow::{ensure, Result};
use gpio_model::{Level, Register};
use gpiocdev::{
    line::{Value, Values},
    Request,
};

pub(super) fn outputs_are_set_with_a_store(_: &Context) -> Result<()> {
    let (mut model, bank) = modelled_bank()?;
    let led = line(21);
    let from = settled(&mut model, &bank)?;
    let request = Request::builder()
        .on_chip(chip()?)
        .with_line(21)
        .as_output(Value::Active)
        .request()?;
    settled(&mut model, &bank)?;
    let writes = model.writes(from)?;
    let (set, oe) = (Register::SetDataOut, Register::Oe);
    ensure!(
        matches!(writes[..], [(a, mask), (b, value)]
            if a == set && b == oe && mask == led.mask() && value & led.mask() == 0),
        "the level comes first, then the direction: {writes:x?}"
    );
    for (value, register) in [
        (Value::Inactive, Register::ClearDataOut),
        (Value::Active, Register::SetDataOut),
    ] {
        let from = settled(&mut model, &bank)?;
        request.set_value(21, value)?;
        settled(&mut model, &bank)?;
        let writes = model.writes(from)?;
        ensure!(writes == [(register, led.mask())], "{value:?}: {writes:x?}");
        let high = model.levels()? & led.mask() != 0;
        ensure!(
            high == (value == Value::Active),
            "{value:?}: the line is not"
        );
    }
    Ok(())
}

pub(super) fn many_outputs_take_two_stores(_: &Context) -> Result<()> {
    let (mut model, bank) = modelled_bank()?;
    let mut values = Values::default();
    for offset in 0..32 {
        values.set(offset, Value::Inactive);
    }
    let request = Request::builder()
        .on_chip(chip()?)
        .with_output_lines(&values)
        .request()?;
    for offset in (0..32).step_by(2) {
        values.set(offset, Value::Active);
    }
    let from = settled(&mut model, &bank)?;
    request.set_values(&values)?;
    settled(&mut model, &bank)?;
    let writes = model.writes(from)?;
    let expected = [
        (Register::SetDataOut, 0x5555_5555),
        (Register::ClearDataOut, 0xaaaa_aaaa),
    ];
    ensure!(writes == expected, "written: {writes:x?}");
    ensure!(model.levels()? == 0x5555_5555, "the lines are not");
    drop(request);
    for offset in 0..32 {
        bank.set_direction(line(offset), false)?;
    }
    Ok(())
}

pub(super) fn inputs_are_read(_: &Context) -> Result<()> {
    let (mut model, _bank) = modelled_bank()?;
    let request = Request::builder()
        .on_chip(chip()?)
        .with_lines(&[3, 4])
        .as_input()
        .request()?;
    for (level, expected) in [
        (Level::High, Value::Active),
        (Level::Low, Value::Inactive),
        (Level::Floating, Value::Inactive),
    ] {
        model.drive(3, level)?;
        let read = request.value(3)?;
        ensure!(read == expected, "{level:?} is read as {read:?}");
    }
    model.drive(4, Level::High)?;
    let mut values = Values::default();
    request.values(&mut values)?;
    let read = (values.get(3), values.get(4));
    ensure!(
        read == (Some(Value::Inactive), Some(Value::Active)),
        "both at once: {read:?}"
    );
    model.drive(4, Level::Floating)?;
    Ok(())
}

/// The pin of an output may have no receiver, as the user LEDs' on a BeagleBone Black.
pub(super) fn an_output_is_read_as_it_drives(_: &Context) -> Result<()> {
    let (mut model, bank) = modelled_bank()?;
    bank.set_direction(line(21), true)?;
    bank.set(line(21).mask(), 0)?;
    let from = settled(&mut model, &bank)?;
    ensure!(bank.levels()? & line(21).mask() != 0, "it is not high");
    let read: Vec<_> = model.since(from)?.iter().map(|r| r.register()).collect();
    let expected = [Register::Oe, Register::DataIn, Register::DataOut].map(Some);
    ensure!(read == expected, "read: {read:?}");
    bank.set(0, line(21).mask())?;
    bank.set_direction(line(21), false)?;
    Ok(())
}
