// SPDX-License-Identifier: MIT OR Apache-2.0
//! The arguments of the commands that run tests.

use super::pool::default_jobs;
use crate::guest::{Boot, GuestArgs};
use crate::machine_type::MachineType;
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct TestArgs {
    /// Only the tests whose name contains this
    pub filter: Option<String>,
    /// How to boot; may be given several times [default: virtme and tiny]
    #[arg(long, env = "VM", value_enum)]
    pub boot: Vec<Boot>,
    /// Leave out the unit tests on the host
    #[arg(long)]
    pub no_host: bool,
    /// Leave out the guests
    #[arg(long, conflicts_with_all = ["boot", "no_host"])]
    pub no_guest: bool,
    #[command(flatten)]
    pub guest: GuestArgs,
    /// Stop a guest after this many seconds, boot included
    #[arg(long, value_name = "SECS", default_value_t = 1800, value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: u64,
    /// How many guests run at the same time [default: as many as there are processors, up to 4]
    #[arg(long, env = "JOBS", value_name = "N", default_value_t = default_jobs(), hide_default_value = true)]
    pub jobs: usize,
}

#[derive(Debug, Args)]
pub struct TestArmArgs {
    /// Only the tests whose name contains this
    pub filter: Option<String>,
    /// The kernel to boot: its release
    #[arg(long, env = "MAPWRIGHT_RELEASE", value_name = "RELEASE")]
    pub kernel: Option<String>,
    /// Only these runs; may be given several times [default: all]
    #[arg(long, value_name = "NAME")]
    pub only: Vec<String>,
    /// Show how QEMU is started, and the kernel's log as it is written
    #[arg(short, long)]
    pub verbose: bool,
    /// Stop a guest after this many seconds, boot included
    #[arg(long, value_name = "SECS", default_value_t = 1800, value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: u64,
    /// How many guests run at the same time [default: as many as there are processors, up to 4]
    #[arg(long, env = "JOBS", value_name = "N", default_value_t = default_jobs(), hide_default_value = true)]
    pub jobs: usize,
}

#[derive(Debug, Args)]
pub struct SmokeArgs {
    /// What to boot on
    #[arg(long, env = "MACHINE", default_value_t = MachineType::NATIVE, value_enum)]
    pub machine: MachineType,
    /// The kernel to boot: its release
    #[arg(long, env = "MAPWRIGHT_RELEASE", value_name = "RELEASE")]
    pub kernel: Option<String>,
    /// Show how QEMU is started, and the kernel's log as it is written
    #[arg(short, long)]
    pub verbose: bool,
    /// Stop the guest after this many seconds, boot included
    #[arg(long, value_name = "SECS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: u64,
}

#[derive(Debug, Args)]
pub struct TestDebugArgs {
    /// Only the tests whose name contains this
    pub filter: Option<String>,
    /// What scripts/debug-kernel printed
    #[arg(long, value_name = "DIR")]
    pub kernel_dir: PathBuf,
    /// Only these boots; may be given several times [default: all]
    #[arg(long, value_name = "NAME")]
    pub only: Vec<String>,
    /// More arguments for the kernel's command line
    #[arg(long, value_name = "ARGS", default_value = "")]
    pub append: String,
    /// Show how QEMU is started, and the kernel's log as it is written
    #[arg(short, long)]
    pub verbose: bool,
    /// Stop a guest after this many seconds, boot included
    #[arg(long, value_name = "SECS", default_value_t = 1800, value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: u64,
    /// How many guests run at the same time [default: as many as there are processors, up to 4]
    #[arg(long, env = "JOBS", value_name = "N", default_value_t = default_jobs(), hide_default_value = true)]
    pub jobs: usize,
}
