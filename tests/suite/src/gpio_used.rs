// SPDX-License-Identifier: MIT OR Apache-2.0

//! What gpiolib, and so `gpioinfo`, tells of lines that the driver uses itself: that they are in use, by whom, and
//! their direction.

use crate::{
    child,
    gpio::{
        armed, insert, led_parameter, line, modelled_bank, remove, settled, unbind, wait_for,
        AsUsual, MODULE,
    },
    gpio_lines::{chip, errno},
    inject::each_failure,
    runner::{suite, Context},
};
use anyhow::{anyhow, ensure, Context as _, Result};
use gpiocdev::{
    chip::Chip,
    line::{Direction, InfoChangeKind, Value},
    Request,
};
use mapwright::gpio::{Bank, Line, EDGE_FALLING, EDGE_RISING};
use nix::{
    errno::Errno,
    sys::signal::{kill, Signal},
    sys::wait::waitpid,
};
use std::{
    fs, thread,
    time::{Duration, Instant},
};

suite! { "gpio.used":
    a_line_that_blinks_is_used,
    a_direction_is_told,
    a_line_that_is_waited_for_is_used,
    a_wait_that_is_killed_leaves_the_line,
    a_watched_line_is_used_until_the_last_file_closes,
    an_led_is_used,
    a_line_in_use_is_refused_always,
    others_who_try_do_not_keep_us_from_it,
    a_change_is_told_to_who_watches,
    debugfs_shows_who_uses_a_line,
    a_blinking_line_can_be_waited_for,
    unbound_while_all_is_used,
    each_allocation_fails_in_turn,
}

/// Who uses a line, and its direction.
fn user(offset: u32) -> Result<(Option<String>, Direction)> {
    let info = Chip::from_path(chip()?)?.line_info(offset)?;
    Ok((info.used.then_some(info.consumer), info.direction))
}

fn expect_user(of: Line, expected: Option<&str>, direction: Direction) -> Result<()> {
    let answer = user(of.number())?;
    ensure!(
        answer == (expected.map(str::to_owned), direction),
        "line {of}: {answer:?}, expected {expected:?}, {direction:?}"
    );
    Ok(())
}

/// What becomes of a program's request of a line.
fn request(offset: u32) -> Result<(), Option<Errno>> {
    let chip = chip().map_err(|_| None)?;
    let mut builder = Request::builder();
    builder.on_chip(chip).with_line(offset).as_is();
    builder.request().map(drop).map_err(|err| errno(&err))
}

const BLINK: &str = "mapwright:blink";
const EDGES: &str = "mapwright:edges";

fn a_line_that_blinks_is_used(_: &Context) -> Result<()> {
    let (_model, bank) = modelled_bank()?;
    let led = line(22);
    bank.set_direction(led, true)?;
    bank.blink(led, 100_000)?;
    expect_user(led, Some(BLINK), Direction::Output)?;
    bank.blink(led, 0)?;
    expect_user(led, None, Direction::Output)?;
    bank.set_direction(led, false)?;
    expect_user(led, None, Direction::Input)
}

/// Whoever sets it: also of a line that nobody uses.
fn a_direction_is_told(_: &Context) -> Result<()> {
    let (_model, bank) = modelled_bank()?;
    for offset in [0, 15, 31] {
        for (output, answer) in [(true, Direction::Output), (false, Direction::Input)] {
            bank.set_direction(line(offset), output)?;
            expect_user(line(offset), None, answer)?;
        }
    }
    // After a consumer of gpiolib, too.
    let builder = &mut Request::builder();
    builder.on_chip(chip()?).with_line(15);
    drop(builder.as_output(Value::Inactive).request()?);
    expect_user(line(15), None, Direction::Output)?;
    bank.set_direction(line(15), false)?;
    expect_user(line(15), None, Direction::Input)
}

fn a_line_that_is_waited_for_is_used(_: &Context) -> Result<()> {
    let (mut model, bank) = modelled_bank()?;
    let button = line(7);
    bank.set_direction(button, false)?;
    let from = settled(&mut model, &bank)?;
    thread::scope(|scope| {
        let waiter = scope.spawn(|| bank.wait(button, EDGE_RISING | EDGE_FALLING, 3_000));
        wait_for("the interrupt to be enabled", || {
            let records = model.since(from).unwrap_or_default();
            records.iter().any(armed)
        })?;
        let used = wait_for("its user to be told", || {
            expect_user(button, Some(EDGES), Direction::Input).is_ok()
        });
        let refused = request(button.number());
        let waited = waiter.join().map_err(|_| anyhow!("panicked"))?;
        let waited = waited.map_err(|err| err.errno());
        used?;
        ensure!(refused == Err(Some(Errno::EBUSY)), "{refused:?}");
        ensure!(waited == Err(Some(Errno::ETIMEDOUT)), "{waited:?}");
        anyhow::Ok(())
    })?;
    expect_user(button, None, Direction::Input)?;
    ensure!(request(button.number()) == Ok(()), "it stayed in use");
    Ok(())
}

fn a_wait_that_is_killed_leaves_the_line(_: &Context) -> Result<()> {
    let (_model, bank) = modelled_bank()?;
    let button = line(7);
    bank.set_direction(button, false)?;
    let pid = child::spawn(|| {
        Bank::open(0)?.wait(button, EDGE_RISING, 0)?;
        Ok(())
    })?;
    let used = wait_for("its user to be told", || {
        expect_user(button, Some(EDGES), Direction::Input).is_ok()
    });
    kill(pid, Signal::SIGKILL)?;
    waitpid(pid, None)?;
    used?;
    expect_user(button, None, Direction::Input)
}

fn a_watched_line_is_used_until_the_last_file_closes(_: &Context) -> Result<()> {
    let (_model, bank) = modelled_bank()?;
    let (first, second) = (line(14), line(15));
    for line in [first, second] {
        bank.set_direction(line, false)?;
    }
    let other = Bank::open(0)?;
    bank.watch(first.mask(), 0)?;
    other.watch(first.mask(), first.mask() | second.mask())?;
    for line in [first, second] {
        expect_user(line, Some(EDGES), Direction::Input)?;
    }
    // Instead of what was watched.
    bank.watch(0, second.mask())?;
    expect_user(first, Some(EDGES), Direction::Input)?;
    drop(other);
    expect_user(first, None, Direction::Input)?;
    expect_user(second, Some(EDGES), Direction::Input)?;
    drop(bank);
    expect_user(second, None, Direction::Input)
}

fn an_led_is_used(context: &Context) -> Result<()> {
    drop(modelled_bank()?);
    context.module_named(MODULE)?;
    let leds = led_parameter(line(21).mask() | line(23).mask())?;
    remove()?;
    insert(context, &leds)?;
    let _as_usual = AsUsual(context);
    expect_user(line(21), Some("mapwright:usr0"), Direction::Output)?;
    expect_user(line(23), Some("mapwright:usr2"), Direction::Output)?;
    expect_user(line(22), None, Direction::Input)?;
    let refused = request(21);
    ensure!(refused == Err(Some(Errno::EBUSY)), "{refused:?}");
    Ok(())
}

fn a_line_in_use_is_refused_always(_: &Context) -> Result<()> {
    const TRIES: usize = 200;
    let (_model, bank) = modelled_bank()?;
    let led = line(22);
    bank.set_direction(led, true)?;
    bank.blink(led, 1_000)?;
    let answers: Vec<_> = (0..TRIES).map(|_| request(led.number())).collect();
    bank.blink(led, 0)?;
    let granted = answers.iter().filter(|a| **a != Err(Some(Errno::EBUSY)));
    let granted: Vec<_> = granted.collect();
    ensure!(granted.is_empty(), "of {TRIES}: {granted:?}");
    ensure!(request(led.number()) == Ok(()), "it stayed in use");
    Ok(())
}

/// A program that requests the line again and again, and is refused, is in nobody's way: neither at the beginning
/// of a use, when gpiolib believes for a moment that the line is that program's.
fn others_who_try_do_not_keep_us_from_it(_: &Context) -> Result<()> {
    let (_model, bank) = modelled_bank()?;
    let (led, button) = (line(22), line(7));
    bank.set_direction(led, true)?;
    bank.set_direction(button, false)?;
    let (pressed, watched) = (led.number(), button.number());
    let tries = child::spawn(move || loop {
        let _ = (request(pressed), request(watched));
    })?;
    let until = Instant::now() + Duration::from_secs(3);
    let mut begun = 0;
    let result = (|| {
        while Instant::now() < until {
            match bank.blink(led, 10_000).map_err(|err| err.errno()) {
                Ok(()) => {
                    begun += 1;
                    expect_user(led, Some(BLINK), Direction::Output)?;
                    bank.blink(led, 0)?;
                }
                // The line is that program's at this moment.
                Err(Some(Errno::EBUSY)) => {}
                Err(err) => return Err(anyhow!("{err:?}")),
            }
            match bank.watch(button.mask(), 0).map_err(|err| err.errno()) {
                Ok(()) => {
                    begun += 1;
                    expect_user(button, Some(EDGES), Direction::Input)?;
                    bank.watch(0, 0)?;
                }
                Err(Some(Errno::EBUSY)) => {}
                Err(err) => return Err(anyhow!("{err:?}")),
            }
        }
        ensure!(begun > 0, "it never began");
        Ok(())
    })();
    kill(tries, Signal::SIGKILL)?;
    waitpid(tries, None)?;
    result
}

fn a_change_is_told_to_who_watches(_: &Context) -> Result<()> {
    let (_model, bank) = modelled_bank()?;
    let led = line(22);
    bank.set_direction(led, true)?;
    let chip = Chip::from_path(chip()?)?;
    chip.watch_line_info(led.number())?;
    bank.blink(led, 100_000)?;
    bank.blink(led, 0)?;
    for (kind, used) in [
        (InfoChangeKind::Requested, true),
        (InfoChangeKind::Released, false),
    ] {
        let came = chip.wait_line_info_change_event(Duration::from_secs(10))?;
        ensure!(came, "{kind:?} is not told");
        let event = chip.read_line_info_change_event()?;
        ensure!(event.kind == kind && event.info.used == used, "{event:?}");
    }
    Ok(())
}

fn debugfs_shows_who_uses_a_line(_: &Context) -> Result<()> {
    let (_model, bank) = modelled_bank()?;
    let led = line(22);
    bank.set_direction(led, true)?;
    bank.blink(led, 100_000)?;
    let text = fs::read_to_string("/sys/kernel/debug/gpio")?;
    bank.blink(led, 0)?;
    let shown = text.lines().find(|line| line.contains(BLINK));
    let shown = shown.with_context(|| format!("it is not there:\n{text}"))?;
    ensure!(shown.contains("out"), "{shown:?}");
    Ok(())
}

/// Two uses of one line: it is in use until the last ends.
fn a_blinking_line_can_be_waited_for(_: &Context) -> Result<()> {
    let (_model, bank) = modelled_bank()?;
    let led = line(22);
    bank.set_direction(led, true)?;
    bank.blink(led, 50_000)?;
    let (edges, _) = bank.wait(led, EDGE_RISING | EDGE_FALLING, 10_000)?;
    ensure!(edges >= 1, "{edges} edges");
    expect_user(led, Some(BLINK), Direction::Output)?;
    let other = Bank::open(0)?;
    other.watch(led.mask(), 0)?;
    bank.blink(led, 0)?;
    ensure!(user(led.number())?.0.is_some(), "it is still watched");
    drop(other);
    expect_user(led, None, Direction::Output)
}

fn unbound_while_all_is_used(context: &Context) -> Result<()> {
    drop(modelled_bank()?);
    context.module_named(MODULE)?;
    let leds = led_parameter(line(21).mask())?;
    remove()?;
    insert(context, &leds)?;
    let _as_usual = AsUsual(context);
    let (mut model, bank) = modelled_bank()?;
    bank.set_direction(line(22), true)?;
    bank.blink(line(22), 1_000)?;
    bank.watch(line(5).mask(), line(6).mask())?;
    let from = settled(&mut model, &bank)?;
    let (device, ended) = thread::scope(|scope| {
        let waiter = scope.spawn(|| bank.wait(line(9), EDGE_RISING, 0));
        wait_for("the interrupt to be enabled", || {
            let records = model.since(from).unwrap_or_default();
            records.iter().any(armed)
        })?;
        let device = unbind()?;
        let ended = waiter.join().map_err(|_| anyhow!("panicked"))?;
        anyhow::Ok((device, ended.map_err(|err| err.errno())))
    })?;
    ensure!(ended == Err(Some(Errno::ENODEV)), "the wait: {ended:?}");
    let stopped = bank.watch(0, 0).map_err(|err| err.errno());
    drop(bank);
    device.bind()?;
    ensure!(stopped == Ok(()), "to watch no more: {stopped:?}");
    for offset in [5, 6, 9, 22] {
        expect_user(line(offset), None, Direction::Input)?;
    }
    expect_user(line(21), Some("mapwright:usr0"), Direction::Output)
}

/// A use that cannot begin for want of memory leaves the line to others.
fn each_allocation_fails_in_turn(context: &Context) -> Result<()> {
    let (_model, bank) = modelled_bank()?;
    let clean = [Errno::ENOMEM, Errno::EFAULT];
    let errno = |err: mapwright::Error| err.errno().unwrap_or(Errno::UnknownErrno);
    let led = line(22);
    bank.set_direction(led, true)?;
    let blink = each_failure(
        &clean,
        || bank.blink(led, 10_000).map_err(errno),
        |_| {
            if bank.info()?.blinking != 0 {
                bank.blink(led, 0)?;
            }
            expect_user(led, None, Direction::Output)?;
            ensure!(request(led.number()) == Ok(()), "it stayed in use");
            Ok(())
        },
    )?;
    let watch = each_failure(
        &clean,
        || bank.watch(0b11, 0b110).map_err(errno),
        |_| {
            bank.watch(0, 0)?;
            for offset in 0..3 {
                ensure!(request(offset) == Ok(()), "line {offset} stayed in use");
            }
            Ok(())
        },
    )?;
    let direction = each_failure(
        &clean,
        || bank.set_direction(line(3), true).map_err(errno),
        |_| {
            bank.set_direction(line(3), false)?;
            expect_user(line(3), None, Direction::Input)
        },
    )?;
    context.note(format!(
        "blink {blink:?}, watch {watch:?}, direction {direction:?}"
    ));
    Ok(())
}
