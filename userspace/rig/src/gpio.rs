// SPDX-License-Identifier: MIT OR Apache-2.0
//! A modelled GPIO bank beside the guest, as a PCI device in it.

use crate::boot::{value, Guest};
use crate::machine::Machine;
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

/// The running model. Dropping it waits for its files; if the guest never connected, it is killed.
pub struct Model {
    child: Child,
    /// Its sockets.
    _sockets: TempDir,
}

/// Starts the model, if the guest is to have one, and puts the device into it.
pub fn start(guest: &mut Guest) -> Result<Option<Model>> {
    let Some(to) = guest.gpio.clone() else {
        return Ok(None);
    };
    if guest.machine != Machine::Pc {
        bail!("only the machine pc can have a modelled GPIO bank");
    }
    if !Path::new(EMULATOR).is_dir() {
        bail!("there is no QEMU with vfio-user in the toolchain root: run `make setup`");
    }
    fs::create_dir_all(&to).with_context(|| format!("cannot make {}", to.display()))?;
    let sockets = tempfile::Builder::new()
        .prefix("mapwright-gpio-")
        .tempdir_in("/tmp")
        .context("cannot make a directory in /tmp")?;
    let (device, control) = (
        sockets.path().join("device"),
        sockets.path().join("control"),
    );
    let program = guest.repository.join(MODEL);
    let child = Command::new(&program)
        .arg("--device")
        .arg(&device)
        .arg("--control")
        .arg(&control)
        .arg("--record")
        .arg(to.join(RECORD))
        .arg("--waveform")
        .arg(to.join(WAVEFORM))
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot run {}", program.display()))?;
    let mut model = Model {
        child,
        _sockets: sockets,
    };
    model.wait_until(|_| device.exists() && control.exists())?;
    guest.qemu.extend(arguments(&device, &control));
    Ok(Some(model))
}

fn arguments(device: &Path, control: &Path) -> [String; 6] {
    let socket = device.to_string_lossy().replace(['\\', '"'], "");
    [
        "-device".into(),
        format!(r#"{{"driver":"vfio-user-pci","socket":{{"type":"unix","path":"{socket}"}}}}"#),
        "-chardev".into(),
        format!("socket,id=mapwright-gpio,path={}", value(control)),
        "-device".into(),
        format!("virtserialport,bus=mapwright.0,chardev=mapwright-gpio,name={PORT}"),
    ]
}

impl Model {
    fn wait_until(&mut self, done: impl Fn(&mut Child) -> bool) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !done(&mut self.child) {
            if Instant::now() > deadline {
                bail!("the modelled GPIO bank does not start, or end, within {PATIENCE:?}");
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        let ended = |child: &mut Child| matches!(child.try_wait(), Ok(Some(_)));
        if self.wait_until(ended).is_err() {
            // It may have ended just now.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_device_and_the_port() {
        let args = arguments(Path::new("/tmp/x/device"), Path::new("/tmp/x,y")).join(" ");
        assert!(args.contains(r#""path":"/tmp/x/device"}}"#), "{args}");
        assert!(args.contains("path=/tmp/x,,y"), "{args}");
    }
}
