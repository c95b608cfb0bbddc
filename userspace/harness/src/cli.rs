// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line.

use crate::prove::ProveArgs;
use crate::suite::args::{SmokeArgs, TestArgs, TestArmArgs, TestDebugArgs};
use crate::vm::{RunArgs, ShellArgs};
use clap::{Parser, Subcommand};

/// Boots the kernel with the project's modules in a virtual machine, and judges what happens there.
#[derive(Debug, Parser)]
#[command(name = "mapwright-harness", version, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    pub action: Action,
}

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Work with one VM
    #[command(subcommand)]
    Vm(VmAction),
    /// Run the unit tests on the host and the test suite in a guest of each kind
    Test(TestArgs),
    /// Run the test suite on VMs of 32-bit ARM
    TestArm(TestArmArgs),
    /// Run the test suite on VMs of 64-bit ARM
    TestArm64(TestArmArgs),
    /// Run the basics of the test suite in one small guest
    Smoke(SmokeArgs),
    /// Run the test suite on the kernel of scripts/debug-kernel, in a boot for each of its checkers
    TestDebug(TestDebugArgs),
    /// Boot the VMs that claims are proved in, and judge what textbooks say
    Prove(ProveArgs),
}

#[derive(Debug, Subcommand)]
pub enum VmAction {
    /// Boot a guest, insert the modules, run a command, and exit with the command's status
    ///
    /// The status is 70 if the command succeeded but the kernel reported a fault, and whenever the
    /// guest died or hung; 69 if nothing could be run.
    Run(RunArgs),
    /// Boot a guest, insert the modules and open a shell in it
    Shell(ShellArgs),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::Boot;
    use clap::CommandFactory;

    fn run(args: &[&str]) -> RunArgs {
        let cli =
            Cli::try_parse_from([&["mapwright-harness", "vm", "run"], args].concat()).unwrap();
        match cli.action {
            Action::Vm(VmAction::Run(run)) => run,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_command_with_options() {
        let run = run(&[
            "--boot",
            "tiny",
            "--qemu",
            "-device edu",
            "--",
            "ls",
            "-l",
            "--all",
        ]);
        assert_eq!(run.boot, Boot::Tiny);
        assert_eq!(run.guest.qemu, "-device edu");
        assert_eq!(run.command, ["ls", "-l", "--all"]);
        assert_eq!(run.timeout, 300);
    }

    #[test]
    fn debug_boots() {
        let args = [
            "mapwright-harness",
            "test-debug",
            "--kernel-dir",
            "/k",
            "--only",
            "kasan",
            "bare.",
        ];
        let cli = Cli::try_parse_from(args).unwrap();
        let Action::TestDebug(test) = cli.action else {
            panic!("{:?}", cli.action);
        };
        assert_eq!(
            (test.filter.as_deref(), test.timeout),
            (Some("bare."), 1800)
        );
        assert_eq!(test.only, ["kasan"]);
        assert!(Cli::try_parse_from(&args[..2]).is_err());
    }

    #[test]
    fn refused() {
        for args in [
            &["vm", "run"][..],
            &["vm", "run", "--no-modules", "--modules", "x", "--", "true"],
            &["vm", "run", "--cpus", "0", "--", "true"],
            &["vm", "run", "--boot", "grub", "--", "true"],
        ] {
            let args = [&["mapwright-harness"], args].concat();
            assert!(Cli::try_parse_from(&args).is_err(), "{args:?}");
        }
    }
}
