// SPDX-License-Identifier: MIT OR Apache-2.0
//! A guest: what a VM is made of, and what is done in it.

pub mod script;

use crate::machine_type::{Accel, MachineType};
use crate::place::{Kernel, Module};
use clap::{Args, ValueEnum};
use std::fmt;
use std::path::PathBuf;

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
    /// What machine type to boot on; those of another architecture than this machine's only boot the small initramfs
    #[arg(long, env = "MACHINE", default_value_t = MachineType::NATIVE, value_enum)]
    pub machine: MachineType,
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
    /// directory tell what happened to it. In the machine type virt, all four are at their true addresses,
    /// and it has 192 MiB of memory
    #[arg(long, value_name = "DIR")]
    pub gpio: Option<PathBuf>,
    /// In the machine type arm64: devices do not see what the processors' caches hold, as its device tree does not
    /// say that they do (dma-coherent)
    #[arg(long)]
    pub non_coherent: bool,
    /// In the machine types virt and arm64: the device tree has buffers for mapwright_buffer, of memory that it reserves
    /// below 512 MiB (tests/dts/virt-buffers.dtsi)
    #[arg(long, conflicts_with_all = ["gpio", "non_coherent"])]
    pub tree_buffers: bool,
    /// Give the guest a port to QEMU's monitor, by which it can unplug its own devices: QMP, at the virtio
    /// port mapwright.monitor
    #[arg(long)]
    pub monitor: bool,
    /// Who drives the bank GPIO1 in the machine type virt
    #[arg(long, default_value_t = GpioMode::Bank, value_enum)]
    pub gpio_mode: GpioMode,
    /// The programs of this directory of the repository; without it, those of the machine type's architecture
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
    pub fn plain(machine: MachineType, memory: &str) -> Self {
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
            tree_buffers: false,
            monitor: false,
            programs: None,
            own_program: false,
            verbose: false,
        }
    }
}

/// A guest to be booted.
#[derive(Clone, Debug)]
pub struct Guest {
    pub boot: Boot,
    pub machine: MachineType,
    pub accel: Accel,
    pub kernel: Kernel,
    pub modules: Vec<Module>,
    pub repository: PathBuf,
    pub results: Option<PathBuf>,
    pub qemu: Vec<String>,
    /// A modelled GPIO bank is in the guest, and leaves its files here.
    pub gpio: Option<PathBuf>,
    pub gpio_mode: GpioMode,
    /// The guest can mount directories of the host: it has virtio, and its kernel has 9P.
    pub has_9p: bool,
    pub non_coherent: bool,
    pub tree_buffers: bool,
    /// Whether it can reach QEMU's monitor.
    pub monitor: bool,
    /// The directory of the project's programs.
    pub programs: PathBuf,
    pub own_program: bool,
    pub append: Vec<String>,
    pub memory: String,
    pub cpus: u32,
    /// The command; without one, a shell on the terminal.
    pub command: Option<Vec<String>>,
    pub verbose: bool,
}

impl Guest {
    /// Whether the command is in the guest's own memory: where the host's files cannot be had, and where
    /// they are lost, since 9p does not survive the system's sleep.
    pub fn has_own_program(&self) -> bool {
        self.own_program || !self.sees_repository()
    }

    /// Whether the repository is in the guest where it is on the host.
    pub fn sees_repository(&self) -> bool {
        self.boot == Boot::Virtme || self.has_9p
    }

    /// Whether it speaks through virtio ports: since Linux 7.3 nothing comes out of them after the system's
    /// sleep, so a guest that sleeps speaks through its console.
    pub fn has_ports(&self) -> bool {
        self.machine.has_virtio() && !self.own_program
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn guest(boot: Boot) -> Guest {
        Guest {
            boot,
            machine: MachineType::Pc,
            accel: Accel::Tcg,
            kernel: Kernel {
                release: "7.2.12".into(),
                image: "/usr/lib/modules/7.2.12/vmlinuz".into(),
                modules: "/usr/lib/modules/7.2.12".into(),
            },
            modules: vec![Module {
                name: "mapwright".into(),
                file: "/repo/build/7.2.12/mapwright.ko".into(),
                needs: vec!["vfio".into(), "iommufd".into()],
                params: vec!["x=1".into()],
            }],
            repository: "/re,po".into(),
            results: Some("/tmp/results".into()),
            qemu: vec!["-device".into(), "edu".into()],
            gpio: None,
            gpio_mode: GpioMode::Bank,
            has_9p: true,
            non_coherent: false,
            tree_buffers: false,
            monitor: false,
            programs: "/re,po/build/bin".into(),
            own_program: false,
            append: vec!["nokaslr".into()],
            memory: "1G".into(),
            cpus: 2,
            command: Some(vec!["true".into()]),
            verbose: false,
        }
    }
}
