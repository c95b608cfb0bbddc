// SPDX-License-Identifier: MIT OR Apache-2.0

//! `mapwright gpio` in a pipe whose reader goes away, and by members of the group that the bank belongs to.

use crate::{
    command::{after_the_first_line, as_member, without_a_reader, ForGroup},
    gpio::modelled_bank,
    runner::{suite, Context},
};
use anyhow::{ensure, Result};
use mapwright::{gpio::Bank, DEVICE};
use std::path::PathBuf;

suite! { "gpio.command":
    ends_quietly_without_a_reader,
    ends_quietly_after_the_first_line,
    drives_lines_for_the_group,
    the_tour_needs_no_bank,
}

const SUBCOMMANDS: &[&[&str]] = &[
    &["gpio", "info"],
    &["gpio", "info", "--json"],
    &["gpio", "read", "3"],
    &["gpio", "read", "P9_12"],
    &["gpio", "--help"],
];

fn ends_quietly_without_a_reader(_: &Context) -> Result<()> {
    drop(modelled_bank()?);
    without_a_reader(SUBCOMMANDS)
}

fn ends_quietly_after_the_first_line(_: &Context) -> Result<()> {
    drop(modelled_bank()?);
    after_the_first_line(SUBCOMMANDS)
}

/// All but the registers, which are root's.
fn drives_lines_for_the_group(_: &Context) -> Result<()> {
    drop(modelled_bank()?);
    let _for_group = ForGroup::new(&[Bank::path(0)])?;
    let answer = as_member(&["gpio", "info"])?;
    ensure!(answer.contains("for root"), "{answer}");
    for arguments in [
        &["gpio", "output", "P9_12"][..],
        &["gpio", "set", "P9_12"],
        &["gpio", "blink", "USR0", "--hz", "10", "--for", "0.3"],
        &["gpio", "input", "P9_12"],
        &["gpio", "input", "USR0"],
    ] {
        as_member(arguments)?;
    }
    Ok(())
}

/// A member of the group of one device node, who may not open the other.
fn the_tour_needs_no_bank(_: &Context) -> Result<()> {
    drop(modelled_bank()?);
    let _for_group = ForGroup::new(&[PathBuf::from(DEVICE)])?;
    let answer = as_member(&["tour"])?;
    ensure!(!answer.contains("LED"), "{answer}");
    let _for_group = ForGroup::new(&[Bank::path(0)])?;
    let answer = as_member(&["tour"])?;
    ensure!(answer.contains("blinking"), "{answer}");
    Ok(())
}
