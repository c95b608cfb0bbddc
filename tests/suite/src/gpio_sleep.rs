// SPDX-License-Identifier: MIT OR Apache-2.0

//! The system sleeps while a bank is ours, and something happens to the bank meanwhile: its lines change, with
//! nobody there to be told, or its power goes.

use crate::{
    gpio::{
        armed, insert, led_parameter, line, modelled_bank, press, remove, settled, unbind, wait_for,
    },
    gpio_lines::{chip, expect_interrupts, level_module},
    runner::{skip, suite, Context},
    sleep::{ports_anew, rehearse},
};
use anyhow::{anyhow, ensure, Context as _, Result};
use gpio_model::{Client, Level, Night, Operation, Record, Register};
use gpiocdev::{
    line::{EdgeDetection, EdgeKind, Value},
    Request,
};
use mapwright::gpio::{Bank, EDGE_RISING, MODE_BANK};
use nix::{
    kmod::{delete_module, finit_module, DeleteModuleFlags, ModuleInitFlags},
    poll::{poll, PollFd, PollFlags},
};
use std::{
    ffi::CString,
    fs::{self, File},
    os::fd::AsFd as _,
    thread,
    time::Duration,
};

suite! { "gpio.suspend":
    a_level_of_the_night_interrupts,
    an_edge_of_the_night_is_told_once,
    a_wait_goes_on_through_the_night,
    lost_registers_are_back,
    a_bank_that_kept_its_registers_is_left_alone,
}

/// How long the system sleeps. What happens meanwhile happens a second after the bank fell asleep.
const NIGHT: Duration = Duration::from_secs(5);
/// A program is told in this time, in milliseconds, or not at all.
const SOON: u16 = 20_000;

/// The model and the driver's bank, which is all ours.
fn ours() -> Result<(Client, Bank)> {
    let (model, bank) = modelled_bank()?;
    match bank.info()?.mode {
        MODE_BANK => Ok((model, bank)),
        _ => skip("the bank's registers are another driver's here"),
    }
}

/// The system sleeps, and that happens meanwhile.
fn pass(mut model: Client, night: Night) -> Result<Client> {
    let before = model.nights()?;
    model.at_night(night)?;
    drop(model);
    rehearse(NIGHT)?;
    let mut model = model_again()?;
    let nights = model.nights()?;
    ensure!(nights == before + 1, "{before} nights, then {nights}");
    Ok(model)
}

/// The model, after a sleep. It was let go before.
pub(crate) fn model_again() -> Result<Client> {
    ports_anew()?;
    let mut model = None;
    wait_for("the port to the model", || {
        model = Client::connect().ok().flatten();
        model.is_some()
    })?;
    model.context("there is no port to the model any more")
}

/// A line that rises, and then again.
fn rises_twice(line: u32) -> [(u32, Level); 3] {
    [Level::High, Level::Low, Level::High].map(|level| (line, level))
}

fn expect_event(request: &Request, line: u32, kind: EdgeKind) -> Result<()> {
    let came = request.wait_edge_event(Duration::from_millis(SOON.into()))?;
    ensure!(came, "line {line}: {kind:?} is no event");
    let event = request.read_edge_event()?;
    ensure!(event.offset == line && event.kind == kind, "{event:?}");
    ensure!(!request.has_edge_event()?, "one too many");
    Ok(())
}

/// The lines that rose and fell, once a program that polls is told that there are some.
fn expect_watched(bank: &Bank, expected: (u32, u32)) -> Result<()> {
    let mut fds = [PollFd::new(bank.as_fd(), PollFlags::POLLIN)];
    ensure!(poll(&mut fds, SOON)? == 1, "no edge of {expected:x?}");
    let events = bank.events()?;
    ensure!(
        events == expected,
        "{events:x?} instead of {expected:x?} is told"
    );
    ensure!(bank.events()? == (0, 0), "it is told twice");
    Ok(())
}

/// A consumer in the kernel: programs can ask gpiolib for edges only. The first test, as its module is not there
/// any more after a sleep.
fn a_level_of_the_night_interrupts(_: &Context) -> Result<()> {
    const NAME: &std::ffi::CStr = c"mapwright_level";
    let (mut model, bank) = ours()?;
    expect_interrupts()?;
    let file = level_module()?;
    let button = line(11);
    bank.set_direction(button, false)?;
    press(&mut model, &bank, button.number(), Level::Low)?;
    let parameters = CString::new(format!("line={} high=1", button.number()))?;
    finit_module(&File::open(&file)?, &parameters, ModuleInitFlags::empty())?;
    let count = || -> Result<u32> {
        let text = fs::read_to_string("/sys/module/mapwright_level/parameters/count")?;
        Ok(text.trim().parse()?)
    };
    let counted = (|| {
        ensure!(count()? == 0, "it interrupts before it is high");
        let drive = vec![(button.number(), Level::High)];
        let night = Night {
            drive,
            ..Night::default()
        };
        let mut model = pass(model, night)?;
        wait_for("three interrupts", || count().is_ok_and(|n| n >= 3))?;
        press(&mut model, &bank, button.number(), Level::Floating)
    })();
    delete_module(NAME, DeleteModuleFlags::O_NONBLOCK)?;
    counted
}

fn an_edge_of_the_night_is_told_once(_: &Context) -> Result<()> {
    const WATCHED: u32 = 8;
    const REQUESTED: u32 = 9;
    let (mut model, bank) = ours()?;
    expect_interrupts()?;
    for number in [WATCHED, REQUESTED] {
        bank.set_direction(line(number), false)?;
        press(&mut model, &bank, number, Level::Low)?;
    }
    let request = Request::builder()
        .on_chip(chip()?)
        .with_line(REQUESTED)
        .with_edge_detection(EdgeDetection::BothEdges)
        .request()?;
    let watched = line(WATCHED).mask();
    bank.watch(watched, 0)?;
    settled(&mut model, &bank)?;
    let drive = [WATCHED, REQUESTED].map(rises_twice).concat();
    let night = Night {
        drive,
        ..Night::default()
    };
    let mut model = pass(model, night)?;
    expect_event(&request, REQUESTED, EdgeKind::Rising)?;
    expect_watched(&bank, (watched, 0))?;

    // And so it goes on.
    press(&mut model, &bank, REQUESTED, Level::Low)?;
    expect_event(&request, REQUESTED, EdgeKind::Falling)?;
    press(&mut model, &bank, WATCHED, Level::Low)?;
    press(&mut model, &bank, WATCHED, Level::High)?;
    expect_watched(&bank, (watched, 0))?;
    bank.watch(0, 0)?;
    for number in [WATCHED, REQUESTED] {
        press(&mut model, &bank, number, Level::Floating)?;
    }
    Ok(())
}

fn a_wait_goes_on_through_the_night(_: &Context) -> Result<()> {
    const TIMEOUT: u32 = 60_000;
    let (mut model, bank) = ours()?;
    let button = line(7);
    bank.set_direction(button, false)?;
    press(&mut model, &bank, button.number(), Level::Low)?;
    let from = settled(&mut model, &bank)?;
    let (waited, mut model) = thread::scope(|scope| {
        let waiter = scope.spawn(|| bank.wait(button, EDGE_RISING, TIMEOUT));
        wait_for("the interrupt to be enabled", || {
            let records = model.since(from).unwrap_or_default();
            records.iter().any(armed)
        })?;
        let drive = rises_twice(button.number()).to_vec();
        let night = Night {
            drive,
            ..Night::default()
        };
        let model = pass(model, night)?;
        let waited = waiter.join().map_err(|_| anyhow!("panicked"))?;
        anyhow::Ok((waited, model))
    })?;
    let waited = waited.map_err(|err| err.errno());
    ensure!(waited == Ok((1, true)), "the wait ended with {waited:?}");
    press(&mut model, &bank, button.number(), Level::Floating)
}

/// What was written there last, or read there first.
fn contents(
    records: &[Record],
    operation: Operation,
    registers: &[Register],
) -> Vec<(Register, Option<u32>)> {
    let of = |register: Register| {
        let mut values = records
            .iter()
            .filter(|record| record.operation == operation && record.register() == Some(register))
            .map(|record| record.value);
        match operation {
            Operation::Read => values.next(),
            Operation::Write => values.last(),
        }
    };
    let registers = registers.iter();
    registers
        .map(|register| (*register, of(*register)))
        .collect()
}

/// Lines that are outputs for each reason, and inputs whose edges are events. And whoever had the bank before gets
/// it back as it was.
fn lost_registers_are_back(context: &Context) -> Result<()> {
    use Register as R;
    const RESTORED: [Register; 10] = [
        R::DataOut,
        R::Oe,
        R::DebouncingTime,
        R::DebounceEnable,
        R::LevelDetect0,
        R::LevelDetect1,
        R::RisingDetect,
        R::FallingDetect,
        R::IrqStatusSet0,
        R::Ctrl,
    ];
    let (mut model, bank) = ours()?;
    expect_interrupts()?;
    drop(bank);
    let parameter = led_parameter(line(24).mask())?;
    remove()?;
    let from = model.count()?;
    insert(context, &parameter)?;
    let before = contents(&model.since(from)?, Operation::Read, &RESTORED);

    let bank = Bank::open(0)?;
    let (output, blinks, watched) = (line(21), line(22), line(7));
    bank.set_direction(output, true)?;
    bank.set(output.mask(), 0)?;
    bank.set_direction(blinks, true)?;
    bank.blink(blinks, 20_000)?;
    fs::write("/sys/class/leds/mapwright:usr3/brightness", "1")?;
    let held = Request::builder()
        .on_chip(chip()?)
        .with_line(23)
        .as_output(Value::Active)
        .request()?;
    let edges = Request::builder()
        .on_chip(chip()?)
        .with_line(9)
        .with_edge_detection(EdgeDetection::BothEdges)
        .request()?;
    bank.watch(watched.mask(), 0)?;
    let outputs = bank.info()?.outputs;
    let high = [21, 23, 24].map(|number| line(number).mask());
    let high = high.iter().fold(0, |all, mask| all | mask);

    let from = settled(&mut model, &bank)?;
    let night = Night {
        powerless: true,
        ..Night::default()
    };
    let mut model = pass(model, night)?;
    let levels = model.levels()?;
    ensure!(levels & high == high, "{levels:#x} are high, of {high:#x}");
    let now = bank.info()?.outputs;
    ensure!(now == outputs, "outputs: {outputs:#x}, then {now:#x}");
    let writes = model.writes(from)?;
    let position = |of: Register| writes.iter().position(|(register, _)| *register == of);
    ensure!(
        position(R::DataOut) < position(R::Oe) && position(R::DataOut).is_some(),
        "outputs had no level from the beginning: {writes:x?}"
    );
    let awake = model.count()?;
    wait_for("ten edges", || {
        model.writes(awake).is_ok_and(|writes| writes.len() >= 10)
    })?;
    bank.blink(blinks, 0)?;
    press(&mut model, &bank, watched.number(), Level::High)?;
    expect_watched(&bank, (watched.mask(), 0))?;
    press(&mut model, &bank, 9, Level::High)?;
    expect_event(&edges, 9, EdgeKind::Rising)?;

    for number in [7, 9] {
        press(&mut model, &bank, number, Level::Floating)?;
    }
    drop((held, edges, bank));
    let from = model.count()?;
    let device = unbind()?;
    let after = contents(&model.since(from)?, Operation::Write, &RESTORED);
    device.bind()?;
    ensure!(before == after, "was {before:x?}, is {after:x?}");
    remove()?;
    insert(context, "")
}

fn a_bank_that_kept_its_registers_is_left_alone(_: &Context) -> Result<()> {
    let (mut model, bank) = ours()?;
    let (output, watched) = (line(21), line(7));
    bank.set_direction(output, true)?;
    bank.set(output.mask(), 0)?;
    bank.watch(watched.mask(), 0)?;
    let from = settled(&mut model, &bank)?;
    let mut model = pass(model, Night::default())?;
    let mut writes = model.writes(from)?;
    // The bus's.
    writes.retain(|(register, _)| *register != Register::SysConfig);
    let count = writes.len();
    writes.truncate(4);
    ensure!(count == 0, "{count} stores: {writes:x?} …");
    let levels = model.levels()?;
    ensure!(levels & output.mask() != 0, "the output fell");
    bank.watch(0, 0)?;
    bank.set(0, output.mask())?;
    bank.set_direction(output, false)?;
    Ok(())
}
