// SPDX-License-Identifier: MIT OR Apache-2.0

//! `mapwright`: make regions of kernel memory, map them, see what happened.

mod alloc;
mod bench;
mod buffer;
mod dma;
mod frames;
mod gpio;
mod layout;
mod manual;
mod map;
mod model;
mod observation;
mod prove;
mod reader;
mod size;
mod start;
mod stat;
mod style;
mod test;
mod tour;
mod walk;

use clap::{CommandFactory as _, Parser, Subcommand};
use std::process::ExitCode;

/// What stands below the list of commands, and at the end of the man page.
const MORE: &str = "\
Most commands need the module mapwright and its device /dev/mapwright, and show page frames to root only. walk, layout and \
frames need mapwright_inspect as well; alloc, buffer, dma and gpio have modules of their own (mapwright_alloc and so on). model needs none. Begin with \
`mapwright tour`.";

/// Make regions of kernel memory, map them, see what happened.
#[derive(Parser)]
#[command(name = "mapwright", version, max_term_width = 100, after_help = MORE)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
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
    /// Make, list and remove buffers with names
    Buffer(buffer::Args),
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
    /// Write the man pages and the completions of shells
    #[command(hide = true)]
    Manual(manual::Args),
}

fn main() -> ExitCode {
    let Some(command) = Cli::parse().command else {
        start::show();
        return ExitCode::SUCCESS;
    };
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
        Command::Buffer(args) => buffer::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Dma(args) => dma::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Gpio(args) => gpio::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Bench(args) => bench::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Model(args) => model::run(&args),
        Command::Prove(args) => prove::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Manual(args) => manual::run(&args, Cli::command()).map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|err| {
        if let Some(status) = reader::has_gone(&err) {
            return status;
        }
        eprintln!("mapwright: {err:#}");
        ExitCode::FAILURE
    })
}
