// SPDX-License-Identifier: MIT OR Apache-2.0

//! QEMU's monitor, where the machine has a port to it: QEMU's Machine Protocol (QMP).

use crate::runner::skip;
use anyhow::{bail, Context as _, Result};
use serde_json::{json, Value};
use std::{
    fs::{File, OpenOptions},
    io::{BufRead as _, BufReader, Write as _},
};

/// The virtio port's name.
const PORT: &str = "mapwright.monitor";

/// The monitor, ready for commands.
pub struct Monitor(BufReader<File>);

impl Monitor {
    /// Opens it, or skips the test.
    pub fn open() -> Result<Self> {
        let Some(path) = gpio_model::virtio_port(PORT) else {
            return skip("the machine has no port to its monitor: boot with --monitor");
        };
        let port = OpenOptions::new().read(true).write(true).open(&path)?;
        let mut monitor = Self(BufReader::new(port));
        // Refused, if a test before has done it; what it was for is refused then, too.
        let _ = monitor.execute("qmp_capabilities", json!({}));
        Ok(monitor)
    }

    /// Has it do something, and waits for its answer.
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<()> {
        let request = json!({ "execute": command, "arguments": arguments });
        self.0
            .get_mut()
            .write_all(format!("{request}\n").as_bytes())?;
        loop {
            let line = self.line()?;
            if let Some(error) = line.get("error") {
                bail!("{command}: {error}");
            }
            if line.get("return").is_some() {
                return Ok(());
            }
        }
    }

    /// Pulls a device out, and returns when the guest has let it go.
    pub fn unplug(&mut self, id: &str) -> Result<()> {
        self.execute("device_del", json!({ "id": id }))?;
        loop {
            let line = self.line()?;
            if line["event"] == "DEVICE_DELETED" && line["data"]["device"] == id {
                return Ok(());
            }
        }
    }

    fn line(&mut self) -> Result<Value> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        serde_json::from_str(&line).with_context(|| format!("the monitor says {line:?}"))
    }
}
