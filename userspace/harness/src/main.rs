// SPDX-License-Identifier: MIT OR Apache-2.0
//! Boots a kernel with the project's modules in a virtual machine, runs commands there and judges
//! what happened. It runs inside the toolchain root, where QEMU, virtme-ng and kmod are.

mod board;
mod boot;
mod cli;
mod device_tree;
mod gpio;
mod guest;
mod judge;
mod kvm;
mod machine_type;
mod patience;
mod place;
mod progress;
mod prove;
mod qemu;
mod suite;
mod vm;
mod vms;

use clap::Parser;
use std::process::ExitCode;

/// The command was fine, the kernel was not; or the guest died or hung.
const EXIT_JUDGED_BAD: u8 = 70;
/// There was nothing to run, or nothing to run it with.
const EXIT_CANNOT_RUN: u8 = 69;

fn main() -> ExitCode {
    // An empty variable is one that is not set; no thread runs yet.
    for name in ["VM", "MACHINE", "MAPWRIGHT_RELEASE", "JOBS"] {
        if std::env::var_os(name).is_some_and(|value| value.is_empty()) {
            std::env::remove_var(name);
        }
    }
    let args = cli::Cli::parse();
    let ended = match args.action {
        cli::Action::Vm(cli::VmAction::Run(run)) => vm::run(&run),
        cli::Action::Vm(cli::VmAction::Shell(shell)) => vm::shell(&shell),
        cli::Action::Test(test) => suite::run(&test),
        cli::Action::Prove(prove) => prove::run(&prove),
        cli::Action::TestArm(test) => suite::run_arm(&test),
        cli::Action::TestArm64(test) => suite::run_arm64(&test),
        cli::Action::Smoke(smoke) => suite::run_smoke(&smoke),
        cli::Action::TestDebug(test) => suite::run_debug(&test),
    };
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("mapwright-harness: {error:#}");
            ExitCode::from(EXIT_CANNOT_RUN)
        }
    }
}
