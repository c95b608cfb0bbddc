// SPDX-License-Identifier: MIT OR Apache-2.0

//! `mapwright`: make regions of kernel memory, map them, see what happened.

mod alloc;
mod bench;
mod dma;
mod frames;
mod gpio;
mod layout;
mod map;
mod model;
mod observation;
mod prove;
mod reader;
mod size;
mod stat;
mod style;
mod test;
mod tour;
mod walk;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Make regions of kernel memory, map them, see what happened.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// A guided tour: two regions, mapped two ways, seen from both sides
    Tour,
    /// Make a region, map it and show everything about it
    Map(map::Args),
    /// Draw the way of an address through the page tables
    Walk(walk::Args),
    /// Draw the address space of the kernel and of a process, to scale
    Layout(layout::Args),
    /// Draw where the physical frames of a region are
    Frames(frames::Args),
    /// Run an allocation plan: what the kernel's allocators give, and what that costs
    Alloc(alloc::Args),
    /// Show the module's counters and live regions
    Stat(stat::Args),
    /// Have a device copy memory by DMA
    Dma(dma::Args),
    /// Drive the lines of a GPIO bank of an AM335x
    Gpio(gpio::Args),
    /// Measure what mapping and allocating cost
    Bench(bench::Args),
    /// Run a small model of memory management, step by step; and the same on the kernel
    Model(model::Args),
    /// Judge what textbooks say by the running kernel
    Prove(prove::Args),
    /// Test the loaded module and print KTAP
    Test(test::Args),
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    let experiments = match &command {
        Command::Model(args) => args.checks(),
        Command::Prove(args) => args.proves(),
        Command::Test(args) => args.tests(),
        _ => false,
    };
    reader::end_without_one(!experiments);
    let done = match command {
        Command::Tour => tour::run().map(|()| ExitCode::SUCCESS),
        Command::Map(args) => map::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Walk(args) => walk::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Layout(args) => layout::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Frames(args) => frames::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Alloc(args) => alloc::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Stat(args) => stat::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Dma(args) => dma::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Gpio(args) => gpio::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Bench(args) => bench::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Model(args) => model::run(&args),
        Command::Prove(args) => prove::run(&args),
        Command::Test(args) => test::run(&args),
    };
    done.unwrap_or_else(|err| {
        if let Some(status) = reader::has_gone(&err) {
            return status;
        }
        eprintln!("mapwright: {err:#}");
        ExitCode::FAILURE
    })
}
