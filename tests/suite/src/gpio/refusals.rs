// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is refused, each with its errno and its reason.

use super::{line, modelled_bank, settled};
use crate::{
    rights::{expect_refused, GPIO_CHANGES},
    runner::Context,
};
use anyhow::{ensure, Result};
use mapwright::{
    gpio::{Bank, EDGE_RISING},
    uapi::{gpio as uapi, Request as _},
};
use nix::errno::Errno;
use std::process::Command;

pub(super) fn refusals_have_their_errno(_: &Context) -> Result<()> {
    let (mut model, bank) = modelled_bank()?;
    let (input, output) = (line(8), line(23));
    bank.set_direction(input, false)?;
    bank.set_direction(output, true)?;
    bank.blink(output, 10_000)?;
    let blink = |line, period, reserved| {
        let mut blink = uapi::Blink {
            line,
            period,
            reserved,
            ..uapi::Blink::new()
        };
        bank.request(&mut blink).err()
    };
    let set = |set, clear| {
        let mut outputs = uapi::Outputs {
            set,
            clear,
            ..uapi::Outputs::new()
        };
        bank.request(&mut outputs).err()
    };
    let wait = |line, edges| {
        let mut wait = uapi::Wait {
            line,
            edges,
            timeout: 1,
            ..uapi::Wait::new()
        };
        bank.request(&mut wait).err()
    };
    let direct = |line, output| {
        let mut direction = uapi::Direction {
            line,
            output,
            ..uapi::Direction::new()
        };
        bank.request(&mut direction).err()
    };
    let from = settled(&mut model, &bank)?;
    let result = [
        ("a line beyond the bank", blink(32, 1000, 0), Errno::EINVAL),
        ("a line far beyond", blink(u32::MAX, 1000, 0), Errno::EINVAL),
        ("too short a period", blink(24, 99, 0), Errno::EINVAL),
        (
            "too long a period",
            blink(24, 100_000_001, 0),
            Errno::EINVAL,
        ),
        ("a reserved field", blink(24, 1000, 1), Errno::EINVAL),
        (
            "blinking an input",
            blink(input.number(), 1000, 0),
            Errno::EPERM,
        ),
        (
            "blinking twice",
            blink(output.number(), 1000, 0),
            Errno::EBUSY,
        ),
        (
            "stopping what does not blink",
            blink(24, 0, 0),
            Errno::ENOENT,
        ),
        ("setting what blinks", set(output.mask(), 0), Errno::EBUSY),
        ("setting an input", set(input.mask(), 0), Errno::EPERM),
        ("setting and clearing", set(1, 1), Errno::EINVAL),
        ("waiting on no line", wait(32, EDGE_RISING), Errno::EINVAL),
        ("waiting for no edge", wait(1, 0), Errno::EINVAL),
        ("waiting for another edge", wait(1, 4), Errno::EINVAL),
        ("a direction of no line", direct(32, 1), Errno::EINVAL),
        ("a third direction", direct(1, 2), Errno::EINVAL),
        (
            "the direction of what blinks",
            direct(output.number(), 0),
            Errno::EBUSY,
        ),
    ];
    // The line that blinks does, all the time.
    let writes = model.writes(from)?;
    bank.blink(output, 0)?;
    for (what, result, expected) in result {
        ensure!(
            result == Some(expected),
            "{what}: {result:?} instead of {expected}"
        );
    }
    let others = writes.iter().find(|(_, value)| *value != output.mask());
    ensure!(others.is_none(), "a refusal wrote {others:x?}");
    Ok(())
}

pub(super) fn a_reading_descriptor_drives_nothing(_: &Context) -> Result<()> {
    let (_, bank) = modelled_bank()?;
    expect_refused(&Bank::path(0), GPIO_CHANGES)?;
    // It may look.
    bank.levels()?;
    Ok(())
}

/// What the command says to those who ask for what there is not.
pub(super) fn mistakes_are_told_why(_: &Context) -> Result<()> {
    let (_model, bank) = modelled_bank()?;
    let (input, output) = (line(8), line(23));
    bank.set_direction(input, false)?;
    bank.set_direction(output, true)?;
    bank.blink(output, 100_000)?;
    let result = [
        (
            &["set", "32"][..],
            "there is no line \"32\": lines are numbers from 0 to 31",
        ),
        (&["blink", "USR9"], "there is no line \"USR9\""),
        (
            &["blink", "USR0", "--hz", "0"],
            "a line can blink 0.01 to 10000 times",
        ),
        (
            &["blink", "USR0", "--hz", "20000"],
            "a line can blink 0.01 to 10000 times",
        ),
        (&["--bank", "9", "read", "1"], "there is no bank 9"),
        (&["set", "8"], "line 8 is an input: make it an output first"),
        (
            &["set", "23"],
            "line 23 (USR2) is in use: stop it if it blinks",
        ),
        (&["blink", "23"], "line 23 (USR2) is in use"),
        (&["stop", "24"], "line 24 (USR3) does not blink"),
        (
            &["wait", "8", "--timeout", "0.01"],
            "line 8 had no such edge in that time",
        ),
    ];
    for (arguments, expected) in result {
        let output = Command::new("/proc/self/exe")
            .arg("gpio")
            .args(arguments)
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        // Wrapped where it is long.
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        ensure!(
            !output.status.success() && said.contains(expected),
            "{arguments:?}: {}: {said}",
            output.status
        );
    }
    bank.blink(output, 0)?;
    Ok(())
}
