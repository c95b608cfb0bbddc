// SPDX-License-Identifier: MIT OR Apache-2.0
//! A modelled GPIO bank: as a PCI device, from a program beside the guest; or, in the machine type virt, at its
//! true address, as a plugin of QEMU.

use crate::board;
use crate::guest::{GpioMode, Guest};
use crate::machine_type::MachineType;
use crate::qemu::value;
use anyhow::{bail, Context, Result};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The model of the bank.
const MODEL: &str = "build/bin/mapwright-gpio-device";
/// A QEMU that can connect to it, which scripts/setup puts there.
pub const EMULATOR: &str = "/usr/lib/mapwright/qemu/bin";
/// The name of the guest's serial port to the model.
const PORT: &str = "mapwright.gpio";
/// The model listens after this, and has written its files after the guest's end.
const PATIENCE: Duration = Duration::from_secs(10);

/// The files it leaves: each access, and the lines over time.
pub const RECORD: &str = "record.jsonl";
pub const WAVEFORM: &str = "waveform.vcd";

/// The model, and its sockets.
pub struct Model {
    program: Option<Program>,
    _sockets: TempDir,
}

impl Model {
    /// Whether the model is a program of its own: only a newer QEMU than Debian 13's can connect to that.
    pub fn is_apart(&self) -> bool {
        self.program.is_some()
    }
}

/// Starts the model, if the guest is to have one, and puts the device into it.
pub fn start(guest: &mut Guest) -> Result<Option<Model>> {
    let Some(to) = guest.gpio.clone() else {
        return Ok(None);
    };
    fs::create_dir_all(&to).with_context(|| format!("cannot make {}", to.display()))?;
    let sockets = tempfile::Builder::new()
        .prefix("mapwright-gpio-")
        .tempdir_in("/tmp")
        .context("cannot make a directory in /tmp")?;
    let control = sockets.path().join("control");
    let program = match (guest.machine, guest.gpio_mode) {
        (MachineType::Pc | MachineType::Arm64, _) | (MachineType::Virt, GpioMode::Pci) => {
            let device = sockets.path().join("device");
            let program = Program::start(guest, &to, &device, &control)?;
            guest.qemu.extend(pci_function(&device));
            Some(program)
        }
        (MachineType::Virt, _) => {
            let arguments = board::arguments(guest, &to, sockets.path(), &control)?;
            guest.qemu.extend(arguments);
            guest.memory = board::MEMORY.to_owned();
            None
        }
        (MachineType::Cubieboard, _) => bail!(
            "a {} has no modelled GPIO bank: use --machine virt",
            guest.machine
        ),
    };
    guest.qemu.extend(port(&control));
    Ok(Some(Model {
        program,
        _sockets: sockets,
    }))
}

fn pci_function(device: &Path) -> [String; 2] {
    let socket = device.to_string_lossy().replace(['\\', '"'], "");
    [
        "-device".into(),
        format!(
            r#"{{"driver":"vfio-user-pci","id":"bank","socket":{{"type":"unix","path":"{socket}"}}}}"#
        ),
    ]
}

/// QEMU opens its sockets before it starts plugins: one of them may not listen yet.
fn port(control: &Path) -> [String; 4] {
    [
        "-chardev".into(),
        format!(
            "socket,id=mapwright-gpio,path={},reconnect-ms=100",
            value(control)
        ),
        "-device".into(),
        format!("virtserialport,bus=mapwright.0,chardev=mapwright-gpio,name={PORT}"),
    ]
}

/// The running program. Dropping it waits for its files; if the guest never connected, it is killed.
struct Program(Child);

impl Program {
    /// Starts the program, and waits until QEMU can connect.
    fn start(guest: &Guest, to: &Path, device: &Path, control: &Path) -> Result<Self> {
        if !Path::new(EMULATOR).is_dir() {
            bail!("there is no QEMU with vfio-user in the toolchain root: run `make setup`");
        }
        let program = guest.repository.join(MODEL);
        let child = Command::new(&program)
            .arg("--device")
            .arg(device)
            .arg("--control")
            .arg(control)
            .arg("--record")
            .arg(to.join(RECORD))
            .arg("--waveform")
            .arg(to.join(WAVEFORM))
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot run {}", program.display()))?;
        let mut started = Self(child);
        started.wait_until(|_| device.exists() && control.exists())?;
        Ok(started)
    }

    fn wait_until(&mut self, done: impl Fn(&mut Child) -> bool) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !done(&mut self.0) {
            if Instant::now() > deadline {
                bail!("the modelled GPIO bank does not start, or end, within {PATIENCE:?}");
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let ended = |child: &mut Child| matches!(child.try_wait(), Ok(Some(_)));
        if self.wait_until(ended).is_err() {
            // It may have ended just now.
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_device_and_the_port() {
        let args = pci_function(Path::new("/tmp/x/device")).join(" ");
        assert!(args.contains(r#""path":"/tmp/x/device"}}"#), "{args}");
        let args = port(Path::new("/tmp/x,y")).join(" ");
        assert!(args.contains("path=/tmp/x,,y"), "{args}");
    }
}
