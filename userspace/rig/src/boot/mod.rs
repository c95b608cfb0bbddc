// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is the same in both ways to boot.

pub mod tiny;
pub mod virtme;

use crate::cli::{Boot, GpioMode};
use crate::guest;
use crate::kvm::Accel;
use crate::machine::Machine;
use crate::place::{Kernel, Module};
use std::path::{Path, PathBuf};

/// A guest to be booted.
#[derive(Clone, Debug)]
pub struct Guest {
    pub boot: Boot,
    pub machine: Machine,
    pub accel: Accel,
    pub kernel: Kernel,
    pub modules: Vec<Module>,
    pub repository: PathBuf,
    pub results: Option<PathBuf>,
    pub qemu: Vec<String>,
    /// A modelled GPIO bank is in the guest, and leaves its files here.
    pub gpio: Option<PathBuf>,
    pub gpio_mode: GpioMode,
    /// It can mount directories of the host.
    pub has_9p: bool,
    pub non_coherent: bool,
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

/// The run's own directory, and the sockets in it which QEMU connects to.
#[derive(Clone, Debug)]
pub struct Sockets {
    pub dir: PathBuf,
}

impl Sockets {
    pub fn control(&self) -> PathBuf {
        self.dir.join("ctl")
    }

    pub fn out(&self) -> PathBuf {
        self.dir.join("out")
    }

    pub fn err(&self) -> PathBuf {
        self.dir.join("err")
    }

    pub fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    pub fn monitor(&self) -> PathBuf {
        self.dir.join("monitor")
    }
}

/// QEMU takes a comma in a value doubled.
pub fn value(path: &Path) -> String {
    path.to_string_lossy().replace(',', ",,")
}

/// A directory of the host, for the guest to mount by its tag.
fn share_args(tag: &str, dir: &Path, readonly: bool) -> Vec<String> {
    let id = tag.replace('.', "-");
    let access = if readonly { ",readonly=on" } else { "" };
    vec![
        "-fsdev".to_owned(),
        format!(
            "local,id={id},path={},security_model=none,multidevs=remap{access}",
            value(dir)
        ),
        "-device".to_owned(),
        format!("virtio-9p-pci,fsdev={id},mount_tag={tag}"),
    ]
}

fn port_args(name: &str, socket: &Path) -> Vec<String> {
    let id = name.replace('.', "-");
    vec![
        "-chardev".to_owned(),
        format!("socket,id={id},path={}", value(socket)),
        "-device".to_owned(),
        format!("virtserialport,bus=mapwright.0,chardev={id},name={name}"),
    ]
}

/// QEMU listens for its monitor, and connects the guest's port to itself.
fn monitor_args(socket: &Path) -> Vec<String> {
    let listener = format!(
        "socket,id=monitor,path={},server=on,wait=off",
        value(socket)
    );
    let mut args = [
        "-chardev",
        &listener,
        "-mon",
        "chardev=monitor,mode=control",
    ]
    .map(str::to_owned)
    .to_vec();
    args.extend(port_args(guest::PORT_MONITOR, socket));
    args
}

/// The ports to the rig, the results directory, and what the user asked for.
fn common_args(guest: &Guest, sockets: &Sockets) -> Vec<String> {
    let mut args = Vec::new();
    // A modelled board has a port of its own there.
    if guest.command.is_some() && guest.machine.has_virtio() {
        args.extend(["-device", "virtio-serial-pci,id=mapwright"].map(str::to_owned));
    }
    if guest.command.is_some() && guest.has_ports() {
        args.extend(port_args(guest::PORT_CONTROL, &sockets.control()));
        args.extend(port_args(guest::PORT_OUT, &sockets.out()));
        args.extend(port_args(guest::PORT_ERR, &sockets.err()));
    }
    if guest.monitor {
        args.extend(monitor_args(&sockets.monitor()));
    }
    if let Some(dir) = &guest.results {
        args.extend(share_args(guest::TAG_RESULTS, dir, false));
    }
    args.extend(guest.qemu.iter().cloned());
    args
}

/// A fault ends the guest at once, and everything the kernel says is in its log.
fn kernel_args(guest: &Guest) -> Vec<String> {
    // What the kernel says would come between what the guest says on the same line. It raises the
    // level itself when it has a fault to report.
    let loglevel = match guest.has_ports() {
        true => "loglevel=7",
        false => "loglevel=1",
    };
    let mut args: Vec<String> = [loglevel, "no_hash_pointers", "oops=panic", "panic=-1"]
        .map(str::to_owned)
        .to_vec();
    // Emulated beside others, a PC's timer may come too late for the kernel's check of it.
    if guest.machine == Machine::Pc {
        args.push("no_timer_check".to_owned());
    }
    args.extend(guest.append.iter().cloned());
    args
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn guest(boot: Boot) -> Guest {
        Guest {
            boot,
            machine: Machine::Pc,
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

    pub fn sockets() -> Sockets {
        Sockets {
            dir: "/tmp/mapwright-x".into(),
        }
    }

    #[test]
    fn commas_are_doubled() {
        let args = share_args("mapwright.repo", Path::new("/a,b"), true).join(" ");
        assert!(args.contains("path=/a,,b,"), "{args}");
        assert!(args.contains("readonly=on"), "{args}");
    }

    #[test]
    fn the_monitor_is_a_port_of_the_guest() {
        let mut guest = guest(Boot::Tiny);
        guest.monitor = true;
        let args = common_args(&guest, &sockets()).join(" ");
        for part in [
            "-chardev socket,id=monitor,path=/tmp/mapwright-x/monitor,server=on,wait=off",
            "-mon chardev=monitor,mode=control",
            "path=/tmp/mapwright-x/monitor -device virtserialport",
            "name=mapwright.monitor",
        ] {
            assert!(args.contains(part), "no {part} in {args}");
        }
    }

    #[test]
    fn a_shell_has_no_ports() {
        let mut guest = guest(Boot::Tiny);
        assert_eq!(common_args(&guest, &sockets()).len(), 2 + 3 * 4 + 4 + 2);
        guest.command = None;
        guest.results = None;
        assert_eq!(common_args(&guest, &sockets()), ["-device", "edu"]);
    }
}
