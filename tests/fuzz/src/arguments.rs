// SPDX-License-Identifier: MIT OR Apache-2.0

//! The arguments of the command.

use clap::Parser;
use mapwright_fuzz::{fuzz, replay, Options};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Run programs of random calls on the modules' devices, and look whether the kernel bears them
#[derive(Parser)]
#[command(name = "mapwright-fuzz", max_term_width = 100)]
struct Arguments {
    /// For how many seconds
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// What the programs follow from; with one CPU, the same programs follow from the same number
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Begin with the programs in this directory
    #[arg(long, value_name = "DIR")]
    corpus: Option<PathBuf>,
    /// Write programs that are kept, what is found, and how far it is, into this directory
    #[arg(long, value_name = "DIR")]
    results: Option<PathBuf>,
    /// Only run the programs of this file or directory
    #[arg(long, value_name = "PATH")]
    replay: Option<PathBuf>,
    /// How often each of these is run
    #[arg(long, default_value_t = 3)]
    times: u32,
}

pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.replay {
        Some(path) => replay(path, arguments.times),
        None => fuzz(&Options {
            seed: arguments.seed,
            time: Duration::from_secs(arguments.seconds),
            corpus: arguments.corpus,
            results: arguments.results,
        }),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(err) => {
            eprintln!("mapwright-fuzz: {err:#}");
            ExitCode::from(2)
        }
    }
}
