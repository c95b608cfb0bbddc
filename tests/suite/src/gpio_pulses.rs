// SPDX-License-Identifier: MIT OR Apache-2.0

//! Pulses that are over before an interrupt's handler can look: programs that wait are told of both edges. gpiolib is
//! told of the kind that was asked for.

use crate::{
    gpio::{last_write, line, modelled_bank, press, settled, wait_for},
    gpio_lines::{chip, expect_interrupts},
    runner::{suite, Context},
};
use anyhow::{anyhow, ensure, Context as _, Result};
use gpio_model::{Client, Level, Register};
use gpiocdev::{
    line::{EdgeDetection, EdgeKind},
    Request,
};
use mapwright::gpio::{Bank, EDGE_FALLING, EDGE_RISING};
use nix::poll::{poll, PollFd, PollFlags};
use std::{fs, os::fd::AsFd as _, thread, time::Duration};

suite! { "gpio.pulses":
    a_pulse_wakes_both_waiters,
    a_pulse_is_two_edges_to_one_waiter,
    a_pulse_is_told_to_each_who_watches,
    pulses_of_many_lines_at_once,
    an_edge_alone_is_one,
    an_output_that_pulses,
    gpiolib_tells_the_kind_that_was_asked_for,
    what_gpiolib_was_not_told_of_is_counted,
}

const TIMEOUT: u32 = 20_000;

/// How a line is before a pulse, and after it.
const IDLE: [Level; 2] = [Level::Low, Level::High];

/// Waits until edges of both kinds of the lines `mask` are detected.
fn wait_until_both(model: &mut Client, mask: u32) -> Result<()> {
    wait_for("both kinds of edges to be detected", || {
        [Register::RisingDetect, Register::FallingDetect]
            .into_iter()
            .all(|register| {
                last_write(model, register).is_ok_and(|last| last.unwrap_or(0) & mask == mask)
            })
    })
}

/// One waits for rising, one for falling edges, 25 times each.
fn a_pulse_wakes_both_waiters(context: &Context) -> Result<()> {
    const PULSES: u32 = 25;
    let (mut model, bank) = modelled_bank()?;
    let button = line(7);
    bank.set_direction(button, false)?;
    let mut woken = [0, 0];
    for pulse in 0..PULSES {
        let idle = IDLE[pulse as usize % 2];
        press(&mut model, &bank, button.number(), idle)?;
        let waited = thread::scope(|scope| {
            let waits = [EDGE_RISING, EDGE_FALLING]
                .map(|edge| scope.spawn(move || Bank::open(0)?.wait(button, edge, TIMEOUT)));
            wait_until_both(&mut model, button.mask())?;
            model.pulse(button.mask())?;
            anyhow::Ok(waits.map(|wait| wait.join().ok()))
        })?;
        for (woken, waited) in woken.iter_mut().zip(waited) {
            let waited = waited.context("panicked")?;
            *woken += u32::from(waited.is_ok_and(|(edges, _)| edges > 0));
        }
    }
    press(&mut model, &bank, button.number(), Level::Floating)?;
    context.note(format!("of {PULSES} pulses: {woken:?}"));
    ensure!(woken == [PULSES; 2], "of {PULSES} pulses: {woken:?}");
    Ok(())
}

fn a_pulse_is_two_edges_to_one_waiter(_: &Context) -> Result<()> {
    let (mut model, bank) = modelled_bank()?;
    let button = line(7);
    bank.set_direction(button, false)?;
    for idle in IDLE {
        press(&mut model, &bank, button.number(), idle)?;
        let waited = thread::scope(|scope| {
            let wait = scope.spawn(|| bank.wait(button, EDGE_RISING | EDGE_FALLING, TIMEOUT));
            wait_until_both(&mut model, button.mask())?;
            model.pulse(button.mask())?;
            wait.join()
                .map_err(|_| anyhow!("panicked"))?
                .map_err(anyhow::Error::from)
        })?;
        ensure!(
            waited == (2, idle == Level::High),
            "a pulse of a line that is {idle:?}: {waited:?}"
        );
    }
    press(&mut model, &bank, button.number(), Level::Floating)
}

/// The edges that a file is told of next.
fn next_events(bank: &Bank) -> Result<(u32, u32)> {
    let mut fds = [PollFd::new(bank.as_fd(), PollFlags::POLLIN)];
    ensure!(poll(&mut fds, 20_000u16)? == 1, "no edge");
    Ok(bank.events()?)
}

fn a_pulse_is_told_to_each_who_watches(_: &Context) -> Result<()> {
    let (mut model, bank) = modelled_bank()?;
    let button = line(8);
    let mask = button.mask();
    bank.set_direction(button, false)?;
    for idle in IDLE {
        press(&mut model, &bank, button.number(), idle)?;
        let files = [Bank::open(0)?, Bank::open(0)?, Bank::open(0)?];
        let wanted = [(mask, 0), (0, mask), (mask, mask)];
        for (file, (rising, falling)) in files.iter().zip(wanted) {
            file.watch(rising, falling)?;
        }
        for _ in 0..5 {
            settled(&mut model, &bank)?;
            model.pulse(mask)?;
            for (file, expected) in files.iter().zip(wanted) {
                let answer = next_events(file)?;
                ensure!(
                    answer == expected,
                    "{idle:?}: {answer:x?}, not {expected:x?}"
                );
            }
        }
    }
    press(&mut model, &bank, button.number(), Level::Floating)
}

/// In one interrupt there are pulses of both kinds, and an edge.
fn pulses_of_many_lines_at_once(_: &Context) -> Result<()> {
    const HIGH: u32 = 0x00f0;
    const ALL: u32 = 0x00ff;
    let (mut model, bank) = modelled_bank()?;
    for number in 0..8 {
        bank.set_direction(line(number), false)?;
        let idle = IDLE[usize::from(HIGH & (1 << number) != 0)];
        press(&mut model, &bank, number, idle)?;
    }
    bank.watch(ALL, ALL)?;
    settled(&mut model, &bank)?;
    model.pulse(ALL)?;
    let answer = next_events(&bank)?;
    ensure!(answer == (ALL, ALL), "{answer:x?}");
    model.drive(0, Level::High)?;
    let answer = next_events(&bank)?;
    ensure!(answer == (1, 0), "an edge after it: {answer:x?}");
    model.pulse(ALL)?;
    let answer = next_events(&bank)?;
    ensure!(answer == (ALL, ALL), "again: {answer:x?}");
    bank.watch(0, 0)?;
    for number in 0..8 {
        press(&mut model, &bank, number, Level::Floating)?;
    }
    Ok(())
}

/// What was no pulse is not taken for one.
fn an_edge_alone_is_one(_: &Context) -> Result<()> {
    let (mut model, bank) = modelled_bank()?;
    let button = line(7);
    bank.set_direction(button, false)?;
    press(&mut model, &bank, button.number(), Level::Low)?;
    bank.watch(button.mask(), button.mask())?;
    for _ in 0..20 {
        for (level, expected) in [
            (Level::High, (button.mask(), 0)),
            (Level::Low, (0, button.mask())),
        ] {
            press(&mut model, &bank, button.number(), level)?;
            let answer = next_events(&bank)?;
            ensure!(answer == expected, "{level:?}: {answer:x?}");
        }
    }
    // The line changes while nobody looks, and what it was then is no edge.
    bank.watch(0, 0)?;
    press(&mut model, &bank, button.number(), Level::High)?;
    bank.watch(button.mask(), button.mask())?;
    press(&mut model, &bank, button.number(), Level::Low)?;
    let answer = next_events(&bank)?;
    ensure!(answer == (0, button.mask()), "after a while: {answer:x?}");
    bank.watch(0, 0)?;
    press(&mut model, &bank, button.number(), Level::Floating)
}

fn an_output_that_pulses(_: &Context) -> Result<()> {
    const PULSES: u32 = 25;
    let (_model, bank) = modelled_bank()?;
    let led = line(21);
    bank.set_direction(led, true)?;
    bank.set(0, led.mask())?;
    let watcher = Bank::open(0)?;
    watcher.watch(led.mask(), led.mask())?;
    for _ in 0..PULSES {
        bank.set(led.mask(), 0)?;
        bank.set(0, led.mask())?;
        let mut answer = (0, 0);
        while answer != (led.mask(), led.mask()) {
            let (rising, falling) = next_events(&watcher)?;
            answer = (answer.0 | rising, answer.1 | falling);
        }
    }
    Ok(())
}

/// The next events of a request, as line and kind.
fn events(request: &Request, count: usize) -> Result<Vec<(u32, EdgeKind)>> {
    (0..count)
        .map(|at| {
            let came = request.wait_edge_event(Duration::from_secs(5))?;
            ensure!(came, "{at} events of {count}");
            let event = request.read_edge_event()?;
            Ok((event.offset, event.kind))
        })
        .collect()
}

/// Fails if there are more.
fn expect_no_more(request: &Request) -> Result<()> {
    let more = request.wait_edge_event(Duration::from_millis(100))?;
    ensure!(!more, "too many: {:?}", request.read_edge_event()?);
    Ok(())
}

fn requested(lines: &[u32], edges: EdgeDetection) -> Result<Request> {
    let mut builder = Request::builder();
    builder
        .on_chip(chip()?)
        .with_lines(lines)
        .with_edge_detection(edges);
    Ok(builder.request()?)
}

fn gpiolib_tells_the_kind_that_was_asked_for(_: &Context) -> Result<()> {
    let (mut model, bank) = modelled_bank()?;
    expect_interrupts()?;
    for (edges, kind) in [
        (EdgeDetection::RisingEdge, EdgeKind::Rising),
        (EdgeDetection::FallingEdge, EdgeKind::Falling),
    ] {
        for idle in IDLE {
            press(&mut model, &bank, 7, idle)?;
            let request = requested(&[7], edges)?;
            settled(&mut model, &bank)?;
            for _ in 0..3 {
                model.pulse(1 << 7)?;
                let answer = events(&request, 1)?;
                ensure!(answer == [(7, kind)], "{edges:?}, {idle:?}: {answer:?}");
            }
            expect_no_more(&request)?;
        }
    }
    press(&mut model, &bank, 7, Level::Floating)
}

/// Rising and falling edges of a line so far, and those of which gpiolib was not told.
fn counted(line: u32) -> Result<[u32; 3]> {
    let table = fs::read_to_string("/sys/kernel/debug/mapwright-gpio0/edges")?;
    let mut lines = table.lines();
    ensure!(
        lines.next() == Some("line rising falling missed"),
        "{table}"
    );
    let of_line = |text: &str| {
        let numbers: Vec<u32> = text.split(' ').map_while(|n| n.parse().ok()).collect();
        <[u32; 4]>::try_from(numbers).ok()
    };
    let rows = lines.map(|text| of_line(text).with_context(|| text.to_owned()));
    let rows: Vec<[u32; 4]> = rows.collect::<Result<_>>()?;
    let row = rows.iter().find(|row| row[0] == line);
    Ok(row.map_or([0; 3], |[_, counts @ ..]| *counts))
}

/// One who has asked for both kinds has an interrupt for each pulse.
fn what_gpiolib_was_not_told_of_is_counted(_: &Context) -> Result<()> {
    const PULSES: u32 = 25;
    let (mut model, bank) = modelled_bank()?;
    expect_interrupts()?;
    for idle in IDLE {
        press(&mut model, &bank, 7, idle)?;
        let request = requested(&[7], EdgeDetection::BothEdges)?;
        settled(&mut model, &bank)?;
        let before = counted(7)?;
        for _ in 0..PULSES {
            model.pulse(1 << 7)?;
            events(&request, 1)?;
        }
        expect_no_more(&request)?;
        let difference = |now: [u32; 3]| [0, 1, 2].map(|at| now[at] - before[at]);
        let pulses = difference(counted(7)?);
        ensure!(pulses == [PULSES; 3], "{idle:?}: {pulses:?}");
        // An edge alone is told.
        let other = match idle {
            Level::High => Level::Low,
            _ => Level::High,
        };
        press(&mut model, &bank, 7, other)?;
        events(&request, 1)?;
        let edge = difference(counted(7)?);
        ensure!(
            edge[0] + edge[1] == 2 * PULSES + 1 && edge[2] == PULSES,
            "{idle:?}: {edge:?}"
        );
    }
    press(&mut model, &bank, 7, Level::Floating)
}
