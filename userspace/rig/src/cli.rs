// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line.

use crate::machine::Machine;
use crate::suite::default_jobs;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::fmt;
use std::path::PathBuf;

/// Boots the kernel with the project's modules in a virtual machine, and judges what happens there.
#[derive(Debug, Parser)]
#[command(name = "mapwright-rig", version, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    pub action: Action,
}

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Work with one virtual machine
    #[command(subcommand)]
    Vm(VmAction),
    /// Run the unit tests on the host and the test suite in a guest of each kind
    Test(TestArgs),
    /// Run the test suite on machines of 32-bit ARM
    TestArm(TestArmArgs),
    /// Run the test suite on machines of 64-bit ARM
    TestArm64(TestArmArgs),
    /// Run the basics of the test suite in one small guest
    Smoke(SmokeArgs),
    /// Run the test suite on the kernel of scripts/debug-kernel, in a boot for each of its checkers
    TestDebug(TestDebugArgs),
    /// Boot the machines that claims are proved in, and judge what textbooks say
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

/// How a guest is booted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Boot {
    /// virtme-ng: the guest's programs are those of the toolchain root
    Virtme,
    /// A small initramfs: busybox, the project's own programs and nothing else
    Tiny,
}

impl fmt::Display for Boot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Boot::Virtme => "virtme",
            Boot::Tiny => "tiny",
        })
    }
}

/// Who drives the GPIO bank of a device tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GpioMode {
    /// The kernel's own drivers: gpio-omap, and leds-gpio for the LEDs
    Kernel,
    /// gpio-omap keeps lines, directions and clock; mapwright_gpio sets, clears and reads
    Hog,
    /// mapwright_gpio
    Bank,
    /// mapwright_gpio, with all four banks
    Banks,
    /// mapwright_gpio, and the bank is a PCI function as in a PC, in no device tree
    Pci,
}

impl fmt::Display for GpioMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            GpioMode::Kernel => "kernel",
            GpioMode::Hog => "hog",
            GpioMode::Bank => "bank",
            GpioMode::Banks => "banks",
            GpioMode::Pci => "pci",
        })
    }
}

#[derive(Clone, Debug, Args)]
pub struct GuestArgs {
    /// What to boot on; those of another architecture than this machine's only boot the small initramfs
    #[arg(long, env = "MACHINE", default_value_t = Machine::NATIVE, value_enum)]
    pub machine: Machine,
    /// The kernel to boot: its release; without it, the one the modules were built for
    #[arg(long, env = "MAPWRIGHT_RELEASE", value_name = "RELEASE")]
    pub kernel: Option<String>,
    /// Boot the kernel of this directory, which has vmlinuz, modules.dep and build/, instead
    #[arg(long, value_name = "DIR")]
    pub kernel_dir: Option<PathBuf>,
    /// Insert every *.ko of this directory; without it, of build/RELEASE
    #[arg(long, value_name = "DIR")]
    pub modules: Option<PathBuf>,
    /// Insert no modules
    #[arg(long, conflicts_with_all = ["modules", "module_params"])]
    pub no_modules: bool,
    /// Parameters for the modules that have them; MODULE.NAME=VALUE is for one of them only
    #[arg(long, value_name = "NAME=VALUE …", default_value = "")]
    pub module_params: String,
    /// More arguments for QEMU
    #[arg(
        long,
        value_name = "ARGS",
        default_value = "",
        allow_hyphen_values = true
    )]
    pub qemu: String,
    /// More arguments for the kernel's command line
    #[arg(long, value_name = "ARGS", default_value = "")]
    pub append: String,
    /// The guest's memory
    #[arg(long, value_name = "SIZE", default_value = "1G")]
    pub memory: String,
    /// The guest's processors
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub cpus: u32,
    /// A directory of the host which the guest may write to, as /results
    #[arg(long, value_name = "DIR")]
    pub results: Option<PathBuf>,
    /// Put a modelled GPIO bank of the AM335x into the guest; record.jsonl and waveform.vcd of this
    /// directory tell what happened to it. In the machine virt, all four are at their true addresses,
    /// and it has 192 MiB of memory
    #[arg(long, value_name = "DIR")]
    pub gpio: Option<PathBuf>,
    /// In the machine arm64: devices do not see what the processors' caches hold, as its device tree does not
    /// say that they do (dma-coherent)
    #[arg(long)]
    pub non_coherent: bool,
    /// Give the guest a port to QEMU's monitor, by which it can unplug its own devices: QMP, at the virtio
    /// port mapwright.monitor
    #[arg(long)]
    pub monitor: bool,
    /// Who drives the bank GPIO1 in the machine virt
    #[arg(long, default_value_t = GpioMode::Bank, value_enum)]
    pub gpio_mode: GpioMode,
    /// The programs of this directory of the repository; without it, those of the machine's architecture
    #[arg(long, value_name = "DIR")]
    pub programs: Option<PathBuf>,
    /// Put the program into the guest's memory: in the system's sleep, the host's files are lost
    #[arg(long)]
    pub own_program: bool,
    /// Show how QEMU is started, and the kernel's log as it is written
    #[arg(short, long)]
    pub verbose: bool,
}

impl GuestArgs {
    /// A guest as it is when nothing is asked for.
    pub fn plain(machine: Machine, memory: &str) -> Self {
        Self {
            machine,
            kernel: None,
            kernel_dir: None,
            modules: None,
            no_modules: false,
            module_params: String::new(),
            qemu: String::new(),
            append: String::new(),
            memory: memory.to_owned(),
            cpus: 2,
            results: None,
            gpio: None,
            gpio_mode: GpioMode::Bank,
            non_coherent: false,
            monitor: false,
            programs: None,
            own_program: false,
            verbose: false,
        }
    }
}

#[derive(Debug, Args)]
pub struct RunArgs {
    /// How to boot
    #[arg(long, env = "VM", default_value_t = Boot::Virtme, value_enum)]
    pub boot: Boot,
    #[command(flatten)]
    pub guest: GuestArgs,
    /// Stop the guest after this many seconds, boot included
    #[arg(long, value_name = "SECS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: u64,
    /// Show what the kernel reports, but let the command's status decide
    #[arg(long)]
    pub allow_warnings: bool,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

#[derive(Debug, Args)]
pub struct ShellArgs {
    /// How to boot
    #[arg(long, env = "VM", default_value_t = Boot::Virtme, value_enum)]
    pub boot: Boot,
    #[command(flatten)]
    pub guest: GuestArgs,
}

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
    #[arg(long, env = "MACHINE", default_value_t = Machine::NATIVE, value_enum)]
    pub machine: Machine,
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

#[derive(Debug, Args)]
pub struct ProveArgs {
    /// Claims, or whole parts: `B4`, `B` [default: all]
    #[arg(value_name = "CLAIM")]
    pub claims: Vec<String>,
    /// Only these machines; may be given several times [default: all that are needed]
    #[arg(long, value_name = "NAME")]
    pub only: Vec<String>,
    /// The kernel to boot: its release; without it, the one the modules were built for
    #[arg(long, env = "MAPWRIGHT_RELEASE", value_name = "RELEASE")]
    pub kernel: Option<String>,
    /// What scripts/debug-kernel printed; without it, what needs that kernel is not testable
    #[arg(long, value_name = "DIR")]
    pub debug_kernel: Option<PathBuf>,
    /// The kernel for 32-bit ARM: its release; without it, what needs that is not testable
    #[arg(long, value_name = "RELEASE")]
    pub arm_kernel: Option<String>,
    /// The kernel for 64-bit ARM: its release; without it, what needs that is not testable
    #[arg(long, value_name = "RELEASE")]
    pub arm64_kernel: Option<String>,
    /// Show how QEMU is started, and the kernel's log as it is written
    #[arg(short, long)]
    pub verbose: bool,
    /// Stop a machine after this many seconds, boot included
    #[arg(long, value_name = "SECS", default_value_t = 900, value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn run(args: &[&str]) -> RunArgs {
        let cli = Cli::try_parse_from([&["mapwright-rig", "vm", "run"], args].concat()).unwrap();
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
            "mapwright-rig",
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
            let args = [&["mapwright-rig"], args].concat();
            assert!(Cli::try_parse_from(&args).is_err(), "{args:?}");
        }
    }
}
