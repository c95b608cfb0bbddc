// SPDX-License-Identifier: MIT OR Apache-2.0

//! `mapwright test`: tests the loaded module.

use anyhow::Result;
use std::{path::PathBuf, process::ExitCode};

#[derive(clap::Args)]
pub struct Args {
    /// Run only tests whose `suite.test` name contains this
    filter: Option<String>,
    /// Print the names of the tests instead of running them
    #[arg(long)]
    list: bool,
    /// Where mapwright.ko is, for the tests that insert and remove it
    #[arg(long, env = "MAPWRIGHT_MODULES", value_name = "DIR")]
    modules: Option<PathBuf>,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let filter = args.filter.as_deref().unwrap_or("");
    if args.list {
        for name in mapwright_suite::names(filter) {
            println!("{name}");
        }
        return Ok(ExitCode::SUCCESS);
    }
    let passed = mapwright_suite::run(filter, args.modules.as_deref())?;
    Ok(if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
