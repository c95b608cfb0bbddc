// SPDX-License-Identifier: MIT OR Apache-2.0

//! Programs that wait for an edge, and are stopped meanwhile or cannot be told of it.

use crate::{
    alarms, child,
    gpio::{armed, line, modelled_bank, press, settled, wait_for},
    raw,
    runner::{suite, Context},
};
use anyhow::{anyhow, ensure, Result};
use gpio_model::Level;
use mapwright::gpio::{Bank, EDGE_RISING};
use mapwright::uapi::{gpio as uapi, Request as _};
use nix::{errno::Errno, sys::signal::SaFlags, unistd::Pid};
use std::{
    os::fd::AsFd as _,
    thread::sleep,
    time::{Duration, Instant},
};

suite! { "gpio.waits":
    a_stopped_wait_goes_on,
    a_stopped_wait_keeps_its_deadline,
    a_wait_that_is_given_up_leaves_no_deadline,
    edges_are_told_when_they_can_be,
}

fn stop_and_continue(pid: Pid, after: Duration) -> Result<()> {
    child::stop(pid)?;
    sleep(after);
    child::go_on(pid)
}

fn a_stopped_wait_goes_on(_: &Context) -> Result<()> {
    let (mut model, bank) = modelled_bank()?;
    let button = line(7);
    bank.set_direction(button, false)?;
    press(&mut model, &bank, button.number(), Level::Low)?;
    for timeout in [0, 60_000] {
        let from = settled(&mut model, &bank)?;
        let pid = child::spawn(|| {
            let (nr_edges, high) = Bank::open(0)?.wait(button, EDGE_RISING, timeout)?;
            ensure!(nr_edges == 1 && high, "{nr_edges} edges, {high}");
            Ok(())
        })?;
        let mut waits = |times| {
            wait_for("the interrupt to be enabled", || {
                let records = model.since(from).unwrap_or_default();
                records.iter().filter(|record| armed(record)).count() == times
            })
        };
        waits(1)?;
        stop_and_continue(pid, Duration::from_millis(200))?;
        // It begins again.
        waits(2)?;
        press(&mut model, &bank, button.number(), Level::High)?;
        child::ends_well(pid)?;
        press(&mut model, &bank, button.number(), Level::Low)?;
    }
    Ok(())
}

fn a_stopped_wait_keeps_its_deadline(_: &Context) -> Result<()> {
    const WAITS: Duration = Duration::from_secs(12);
    let (_model, bank) = modelled_bank()?;
    let button = line(7);
    bank.set_direction(button, false)?;
    let began = Instant::now();
    let pid = child::spawn(|| {
        let result = Bank::open(0)?.wait(button, EDGE_RISING, WAITS.as_millis() as u32);
        let errno = result.err().and_then(|err| err.errno());
        ensure!(errno == Some(Errno::ETIMEDOUT), "{errno:?}");
        Ok(())
    })?;
    for _ in 0..3 {
        sleep(Duration::from_millis(100));
        stop_and_continue(pid, WAITS / 4)?;
    }
    child::ends_well(pid)?;
    let took = began.elapsed();
    ensure!(took >= WAITS, "it was over after {took:?}");
    // Begun again after each stop, it would end after more than 1.75 times as long.
    ensure!(took < WAITS * 3 / 2, "it took {took:?}");
    Ok(())
}

/// A handler ends a wait, and the program waits for something else: what it waits for later, with the time that
/// was left, has all of that time.
fn a_wait_that_is_given_up_leaves_no_deadline(_: &Context) -> Result<()> {
    let (_model, bank) = modelled_bank()?;
    let button = line(7);
    bank.set_direction(button, false)?;
    child::run(|| {
        let bank = Bank::open(0)?;
        let wait = |timeout| uapi::Wait {
            line: button.number(),
            edges: EDGE_RISING,
            timeout,
            ..uapi::Wait::new()
        };
        alarms::handle(SaFlags::empty())?;
        alarms::every(200)?;
        let mut given_up = wait(3000);
        let ended = bank.request(&mut given_up);
        alarms::every(0)?;
        ensure!(ended == Err(Errno::EINTR), "{ended:?}");
        let left = given_up.timeout;
        ensure!((1..3000).contains(&left), "{left} ms are left");
        ensure!(bank.request(&mut wait(1)) == Err(Errno::ETIMEDOUT));
        sleep(Duration::from_millis(500));
        let began = Instant::now();
        ensure!(bank.request(&mut wait(left)) == Err(Errno::ETIMEDOUT));
        let took = began.elapsed();
        ensure!(took >= Duration::from_millis(left.into()), "{took:?}");
        Ok(())
    })
}

/// A program that cannot be told of edges is told later.
fn edges_are_told_when_they_can_be(_: &Context) -> Result<()> {
    let (mut model, bank) = modelled_bank()?;
    let button = line(7);
    bank.set_direction(button, false)?;
    press(&mut model, &bank, button.number(), Level::Low)?;
    let bit = 1 << button.number();
    bank.watch(bit, 0)?;
    press(&mut model, &bank, button.number(), Level::High)?;
    let mut fds = [nix::poll::PollFd::new(
        bank.as_fd(),
        nix::poll::PollFlags::POLLIN,
    )];
    let ready = nix::poll::poll(&mut fds, 10_000u16)?;
    ensure!(ready == 1, "there was no edge");
    for _ in 0..3 {
        let result = raw::ioctl_read_only(&bank, uapi::IOCTL_EVENTS, uapi::Events::new().size);
        ensure!(result == Err(Errno::EFAULT), "{result:?}");
    }
    ensure!(bank.events()? == (bit, 0), "the edge was lost");
    ensure!(bank.events()? == (0, 0), "it was told twice");
    press(&mut model, &bank, button.number(), Level::Low)?;
    bank.watch(0, 0).map_err(|err| anyhow!("{err}"))
}
