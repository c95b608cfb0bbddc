// SPDX-License-Identifier: MIT OR Apache-2.0

//! Programs that wait for an edge, and are stopped meanwhile or cannot be told of it.

use crate::{
    child,
    gpio::{armed, line, press, rig, settled, wait_for},
    raw::Map,
    runner::{suite, Context},
};
use anyhow::{anyhow, ensure, Result};
use gpio_model::Level;
use mapwright::gpio::{Bank, EDGE_RISING};
use mapwright::uapi::{gpio as uapi, Request as _};
use nix::{
    errno::Errno,
    libc,
    sys::{
        mman::ProtFlags,
        signal::{kill, Signal},
        wait::{waitpid, WaitPidFlag, WaitStatus},
    },
    unistd::Pid,
};
use std::{
    os::fd::{AsFd as _, AsRawFd as _},
    thread::sleep,
    time::{Duration, Instant},
};

suite! { "gpio.waits":
    a_stopped_wait_goes_on,
    a_stopped_wait_keeps_its_deadline,
    edges_are_told_when_they_can_be,
}

fn stop_and_continue(pid: Pid, after: Duration) -> Result<()> {
    kill(pid, Signal::SIGSTOP)?;
    waitpid(pid, Some(WaitPidFlag::WUNTRACED))?;
    sleep(after);
    kill(pid, Signal::SIGCONT)?;
    Ok(())
}

fn ends_well(pid: Pid) -> Result<()> {
    let ended = waitpid(pid, None)?;
    ensure!(matches!(ended, WaitStatus::Exited(_, 0)), "{ended:?}");
    Ok(())
}

fn a_stopped_wait_goes_on(_: &Context) -> Result<()> {
    let (mut model, bank) = rig()?;
    let button = line(7);
    bank.set_direction(button, false)?;
    press(&mut model, &bank, button.number(), Level::Low)?;
    for timeout in [0, 60_000] {
        let from = settled(&mut model, &bank)?;
        let pid = child::spawn(|| {
            let (seen, high) = Bank::open(0)?.wait(button, EDGE_RISING, timeout)?;
            ensure!(seen == 1 && high, "{seen} edges, {high}");
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
        ends_well(pid)?;
        press(&mut model, &bank, button.number(), Level::Low)?;
    }
    Ok(())
}

fn a_stopped_wait_keeps_its_deadline(_: &Context) -> Result<()> {
    const WAITS: Duration = Duration::from_millis(2000);
    let (_model, bank) = rig()?;
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
        stop_and_continue(pid, Duration::from_millis(300))?;
    }
    ends_well(pid)?;
    let took = began.elapsed();
    ensure!(took >= WAITS, "it was over after {took:?}");
    // With each stop, it would be 0.9 s longer.
    ensure!(
        took < WAITS + Duration::from_millis(700),
        "it took {took:?}"
    );
    Ok(())
}

/// A program that cannot be told of edges is told later.
fn edges_are_told_when_they_can_be(_: &Context) -> Result<()> {
    let (mut model, bank) = rig()?;
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
    let page = Map::anonymous(
        mapwright::page_bytes(),
        ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
    )?;
    for (at, byte) in uapi::Events::new()
        .size
        .to_ne_bytes()
        .into_iter()
        .enumerate()
    {
        page.store(at, byte);
    }
    page.protect(ProtFlags::PROT_READ)?;
    for _ in 0..3 {
        // SAFETY: The kernel may be asked for anything.
        let ret =
            unsafe { libc::ioctl(bank.as_fd().as_raw_fd(), uapi::IOCTL_EVENTS as _, page.addr) };
        ensure!(
            Errno::result(ret) == Err(Errno::EFAULT),
            "it returned {ret}"
        );
    }
    ensure!(bank.events()? == (bit, 0), "the edge was lost");
    ensure!(bank.events()? == (0, 0), "it was told twice");
    press(&mut model, &bank, button.number(), Level::Low)?;
    bank.watch(0, 0).map_err(|err| anyhow!("{err}"))
}
