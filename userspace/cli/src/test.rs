// SPDX-License-Identifier: MIT OR Apache-2.0

//! `mapwright test`: tests the loaded module.

use anyhow::Result;
use std::{path::PathBuf, process::ExitCode};

#[derive(clap::Args)]
pub struct Args {
    /// Run only tests whose `suite.test` name contains one of these
    filter: Vec<String>,
    /// Leave out tests whose `suite.test` name contains this; may be given several times
    #[arg(long, value_name = "TEXT")]
    skip: Vec<String>,
    /// Print the names of the tests instead of running them
    #[arg(long)]
    list: bool,
    /// Where mapwright.ko is, for the tests that insert and remove it
    #[arg(long, env = "MAPWRIGHT_MODULES", value_name = "DIR")]
    modules: Option<PathBuf>,
}

impl Args {
    /// Whether it tries things on the kernel.
    pub fn tests(&self) -> bool {
        !self.list
    }
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let choice = mapwright_suite::Choice {
        with: &args.filter,
        without: &args.skip,
    };
    if args.list {
        for name in mapwright_suite::names(choice) {
            println!("{name}");
        }
        return Ok(ExitCode::SUCCESS);
    }
    let passed = mapwright_suite::run(choice, args.modules.as_deref())?;
    Ok(if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
