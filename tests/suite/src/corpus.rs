// SPDX-License-Identifier: MIT OR Apache-2.0

//! Programs of the fuzzer that have found a mistake, run again.

use crate::{child, runner::Case, runner::Suite};
use anyhow::{ensure, Result};
use mapwright_fuzz::replay_text;

pub const SUITE: Suite = Suite {
    name: "corpus",
    cases,
};

/// How often each is run: some need that threads meet.
const TIMES: u32 = 3;

macro_rules! programs {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../corpus/", $name, ".json")))),*]
    };
}

/// A line for each file of tests/corpus.
const PROGRAMS: &[(&str, &str)] = programs!["copy_window", "fork_reference", "private_page_cache"];

fn cases() -> Vec<Case> {
    let case = |(name, text): &(&str, &'static str)| {
        let text = *text;
        Case::new(*name, move |_| child::run(|| nothing_is_found(text)))
    };
    PROGRAMS.iter().map(case).collect()
}

fn nothing_is_found(text: &str) -> Result<()> {
    let found = replay_text(text, TIMES)?;
    ensure!(found.is_none(), "{}", found.unwrap_or_default());
    Ok(())
}
