// SPDX-License-Identifier: MIT OR Apache-2.0

//! Lines go by the names that a BeagleBone's headers have.

use super::{line, modelled_bank, settled};
use crate::runner::Context;
use anyhow::{ensure, Context as _, Result};
use mapwright::gpio::Bank;
use std::{fs, process::Command};

/// What the command says; fails unless it succeeds.
fn said_of(arguments: &[&str]) -> Result<String> {
    let output = Command::new("/proc/self/exe")
        .arg("gpio")
        .args(arguments)
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{arguments:?}: {said}");
    Ok(String::from_utf8(output.stdout)?)
}

/// The bank is GPIO1, whose line 28 is the pin 12 of the header P9.
pub(super) fn lines_go_by_the_boards_names(_: &Context) -> Result<()> {
    let (mut model, bank) = modelled_bank()?;
    let pin = line(28);
    for name in ["P9_12", "p9_12", "GPIO1_28", "28"] {
        said_of(&["output", name])?;
        ensure!(bank.info()?.outputs & pin.mask() != 0, "output {name}");
        said_of(&["set", name, "USR0"])
            .err()
            .map_or(Ok(()), |err| {
                // Line 21 is an input.
                ensure!(format!("{err:#}").contains("is an input"), "{err:#}");
                Ok(())
            })?;
        said_of(&["set", name])?;
        ensure!(bank.levels()? & pin.mask() != 0, "set {name}");
        ensure!(said_of(&["read", name])?.trim() == "1", "read {name}");
        said_of(&["clear", name, name])?;
        ensure!(said_of(&["read", name])?.trim() == "0", "read {name}");
        let answer = said_of(&["blink", name, "--hz", "50", "--for", "0.1"])?;
        ensure!(answer.contains("line 28"), "{answer}");
        said_of(&["input", name])?;
        ensure!(bank.info()?.outputs & pin.mask() == 0, "input {name}");
    }
    let answer = said_of(&["info"])?;
    ensure!(answer.contains("28 P9_12"), "{answer}");
    let rows: serde_json::Value = serde_json::from_str(&said_of(&["info", "--json"])?)?;
    ensure!(rows[28]["name"] == "P9_12", "{}", rows[28]);
    said_of(&["--bank", "0", "read", "P9_12"])?;
    let wait = ["wait", "P9_12", "--timeout", "0.05"];
    let result = said_of(&wait);
    let said = format!("{:#}", result.err().context("there was an edge")?);
    ensure!(said.contains("line 28 (P9_12) had no such edge"), "{said}");
    // Of another bank, which is another driver's.
    if fs::metadata(Bank::path(1)).is_err() {
        let result = said_of(&["read", "P8_7"]);
        let said = format!("{:#}", result.err().context("it was read")?);
        ensure!(said.contains("is of GPIO2"), "{said}");
    }
    settled(&mut model, &bank)?;
    Ok(())
}
