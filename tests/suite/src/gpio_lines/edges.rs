// SPDX-License-Identifier: MIT OR Apache-2.0

//! Edges and levels as events of gpiolib, and as interrupts.

use super::{chip, expect_interrupts};
use crate::{
    gpio::{armed, line, modelled_bank, press, settled, settled_write, unbind, wait_for},
    runner::{skip, Context},
};
use anyhow::{ensure, Context as _, Result};
use gpio_model::{Level, Register};
use gpiocdev::{
    line::{EdgeDetection, EdgeKind},
    Request,
};
use mapwright::gpio::{Bank, EDGE_FALLING, EDGE_RISING};
use nix::{
    errno::Errno,
    kmod::{delete_module, finit_module, DeleteModuleFlags, ModuleInitFlags},
    poll::{poll, PollFd, PollFlags, PollTimeout},
};
use std::{
    ffi::CString,
    fs::{self, File},
    os::fd::AsFd as _,
    path::PathBuf,
    thread,
    time::Duration,
};

pub(super) fn edges_are_events(_: &Context) -> Result<()> {
    let (mut model, bank) = modelled_bank()?;
    let chip = chip()?;
    expect_interrupts()?;
    for (edges, expected) in [
        (
            EdgeDetection::BothEdges,
            &[EdgeKind::Rising, EdgeKind::Falling][..],
        ),
        (EdgeDetection::RisingEdge, &[EdgeKind::Rising]),
        (EdgeDetection::FallingEdge, &[EdgeKind::Falling]),
    ] {
        press(&mut model, &bank, 7, Level::Low)?;
        let request = Request::builder()
            .on_chip(&chip)
            .with_line(7)
            .with_edge_detection(edges)
            .request()?;
        for level in [Level::High, Level::Low, Level::High, Level::Low] {
            press(&mut model, &bank, 7, level)?;
            // One interrupt for each: two that come at once are one.
            bank.levels()?;
            let is_told = match level {
                Level::High => edges != EdgeDetection::FallingEdge,
                _ => edges != EdgeDetection::RisingEdge,
            };
            if is_told {
                ensure!(
                    request.wait_edge_event(Duration::from_secs(10))?,
                    "{edges:?}: {level:?} is no event"
                );
                let event = request.read_edge_event()?;
                let kind = match level {
                    Level::High => EdgeKind::Rising,
                    _ => EdgeKind::Falling,
                };
                ensure!(
                    event.offset == 7 && event.kind == kind && expected.contains(&kind),
                    "{level:?}: {event:?}"
                );
            }
        }
        ensure!(!request.has_edge_event()?, "{edges:?}: one too many");
    }
    for register in [Register::RisingDetect, Register::FallingDetect] {
        let value = settled_write(&mut model, &bank, register)?;
        ensure!(value == Some(0), "{register} was left {value:x?}");
    }
    let interrupts = fs::read_to_string("/proc/interrupts")?;
    ensure!(
        interrupts.lines().all(|line| !line.contains("gpiocdev")),
        "an interrupt stayed requested:\n{interrupts}"
    );
    Ok(())
}

/// A line whose edges were events for somebody else is new to whoever requests it next.
pub(super) fn nothing_that_was_before_is_an_event(_: &Context) -> Result<()> {
    let (mut model, bank) = modelled_bank()?;
    let chip = chip()?;
    expect_interrupts()?;
    press(&mut model, &bank, 8, Level::Low)?;
    let request = || {
        Request::builder()
            .on_chip(&chip)
            .with_line(8)
            .with_edge_detection(EdgeDetection::BothEdges)
            .request()
    };
    drop(request()?);
    press(&mut model, &bank, 8, Level::High)?;
    bank.levels()?;
    let again = request()?;
    ensure!(
        !again.wait_edge_event(Duration::from_millis(200))?,
        "an edge of before is an event"
    );
    press(&mut model, &bank, 8, Level::Floating)?;
    ensure!(
        again.wait_edge_event(Duration::from_secs(10))?,
        "an edge is none"
    );
    Ok(())
}

/// The file of the module that is a consumer of a level's interrupts.
pub(crate) fn level_module() -> Result<PathBuf> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    // From the repository, where the test harness's guests begin.
    let file = PathBuf::from(format!("build/{}/level/mapwright_level.ko", release.trim()));
    match file.exists() {
        true => Ok(file),
        false => skip("there is no consumer of a level's interrupts: make test builds one"),
    }
}

/// A consumer in the kernel: programs can ask gpiolib for edges only.
pub(super) fn levels_interrupt_for_as_long_as_they_last(_: &Context) -> Result<()> {
    const NAME: &std::ffi::CStr = c"mapwright_level";
    let (mut model, bank) = modelled_bank()?;
    expect_interrupts()?;
    let file = level_module()?;
    let button = line(11);
    bank.set_direction(button, false)?;
    let parameter = |name: &str| -> Result<i32> {
        let text = fs::read_to_string(format!("/sys/module/mapwright_level/parameters/{name}"))?;
        Ok(text.trim().parse()?)
    };
    let count = || parameter("count");
    for (high, active, idle, register) in [
        (1, Level::High, Level::Low, Register::LevelDetect1),
        (0, Level::Low, Level::High, Register::LevelDetect0),
    ] {
        press(&mut model, &bank, button.number(), idle)?;
        let parameters = CString::new(format!("line={} high={high}", button.number()))?;
        finit_module(&File::open(&file)?, &parameters, ModuleInitFlags::empty())?;
        let counted = (|| {
            thread::sleep(Duration::from_millis(50));
            // A line wakes nobody, and nobody is told that it does.
            let wake = parameter("wake")?;
            ensure!(wake == -(Errno::ENXIO as i32), "enable_irq_wake: {wake}");
            ensure!(count()? == 0, "it interrupts before it is {active:?}");
            let detected = settled_write(&mut model, &bank, register)?;
            ensure!(detected == Some(button.mask()), "{register}: {detected:x?}");
            press(&mut model, &bank, button.number(), active)?;
            wait_for("three interrupts", || count().is_ok_and(|n| n >= 3))?;
            press(&mut model, &bank, button.number(), idle)?;
            thread::sleep(Duration::from_millis(100));
            let before = count()?;
            thread::sleep(Duration::from_millis(100));
            let after = count()?;
            ensure!(
                after == before,
                "{} more when it is {idle:?}",
                after - before
            );
            Ok(())
        })();
        delete_module(NAME, DeleteModuleFlags::O_NONBLOCK)?;
        counted?;
        let left = settled_write(&mut model, &bank, register)?;
        ensure!(left == Some(0), "{register} was left {left:x?}");
    }
    press(&mut model, &bank, button.number(), Level::Floating)?;
    Ok(())
}

pub(super) fn poll_tells_of_edges(_: &Context) -> Result<()> {
    let (mut model, bank) = modelled_bank()?;
    let (first, second) = (line(14), line(15));
    for line in [first, second] {
        bank.set_direction(line, false)?;
        press(&mut model, &bank, line.number(), Level::Low)?;
    }
    let polled = |bank: &Bank, timeout: u16| -> Result<PollFlags> {
        let mut fds = [PollFd::new(bank.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::from(timeout))?;
        fds[0].revents().context("unknown events")
    };
    ensure!(polled(&bank, 50)?.is_empty(), "nothing is watched yet");
    let from = settled(&mut model, &bank)?;
    bank.watch(first.mask() | second.mask(), second.mask())?;
    wait_for("the interrupt to be enabled", || {
        model
            .since(from)
            .is_ok_and(|records| records.iter().any(armed))
    })?;
    ensure!(polled(&bank, 50)?.is_empty(), "there was no edge yet");
    press(&mut model, &bank, first.number(), Level::High)?;
    let flags = polled(&bank, 10_000)?;
    ensure!(
        flags.contains(PollFlags::POLLIN),
        "a rising edge: {flags:?}"
    );
    let events = bank.events()?;
    ensure!(events == (first.mask(), 0), "{events:x?}");
    ensure!(polled(&bank, 0)?.is_empty(), "it was told already");
    press(&mut model, &bank, first.number(), Level::Low)?;
    ensure!(
        polled(&bank, 50)?.is_empty(),
        "its falling edges are not watched"
    );
    press(&mut model, &bank, second.number(), Level::High)?;
    let flags = polled(&bank, 10_000)?;
    ensure!(
        flags.contains(PollFlags::POLLIN),
        "the other line: {flags:?}"
    );
    ensure!(bank.events()? == (second.mask(), 0), "of the other line");
    press(&mut model, &bank, second.number(), Level::Low)?;
    let flags = polled(&bank, 10_000)?;
    ensure!(
        flags.contains(PollFlags::POLLIN),
        "a falling edge: {flags:?}"
    );
    ensure!(bank.events()? == (0, second.mask()), "a falling edge");
    // Another open file has its own, and a wait does not take them away.
    let other = Bank::open(0)?;
    ensure!(polled(&other, 0)?.is_empty(), "another file is told");
    let waited = other.wait(first, EDGE_RISING | EDGE_FALLING, 20);
    ensure!(
        waited.map_err(|err| err.errno()) == Err(Some(Errno::ETIMEDOUT)),
        "no edge"
    );
    press(&mut model, &bank, first.number(), Level::High)?;
    let flags = polled(&bank, 10_000)?;
    ensure!(
        flags.contains(PollFlags::POLLIN),
        "after a wait of another's: {flags:?}"
    );
    drop(other);
    let device = unbind()?;
    let flags = polled(&bank, 0)?;
    ensure!(flags.contains(PollFlags::POLLHUP), "unbound: {flags:?}");
    drop(bank);
    device.bind()
}
