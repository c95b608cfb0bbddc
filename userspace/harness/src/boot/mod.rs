// SPDX-License-Identifier: MIT OR Apache-2.0
//! What both ways to boot have in common.

pub mod tiny;
pub mod virtme;

use crate::guest::{script, Guest};
use crate::machine_type::MachineType;
use crate::qemu::{port_args, share_args, value};
use std::path::{Path, PathBuf};

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
    args.extend(port_args(script::PORT_MONITOR, socket));
    args
}

/// The ports to the test harness, the results directory, and what the user asked for.
fn common_args(guest: &Guest, sockets: &Sockets) -> Vec<String> {
    let mut args = Vec::new();
    // A modelled board has a port of its own there.
    if guest.command.is_some() && guest.machine.has_virtio() {
        args.extend(["-device", "virtio-serial-pci,id=mapwright"].map(str::to_owned));
    }
    if guest.command.is_some() && guest.has_ports() {
        args.extend(port_args(script::PORT_CONTROL, &sockets.control()));
        args.extend(port_args(script::PORT_OUT, &sockets.out()));
        args.extend(port_args(script::PORT_ERR, &sockets.err()));
    }
    if guest.monitor {
        args.extend(monitor_args(&sockets.monitor()));
    }
    if let Some(dir) = &guest.results {
        args.extend(share_args(script::TAG_RESULTS, dir, false));
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
    if guest.machine == MachineType::Pc {
        args.push("no_timer_check".to_owned());
    }
    args.extend(guest.append.iter().cloned());
    args
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::guest::{tests::guest, Boot};

    pub fn sockets() -> Sockets {
        Sockets {
            dir: "/tmp/mapwright-x".into(),
        }
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
