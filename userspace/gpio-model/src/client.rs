// SPDX-License-Identifier: MIT OR Apache-2.0

//! Talks to the model from the guest that has it, by a serial port.

use crate::{Level, Night, Operation, Record, Register, Reply, Request, PORT};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

/// The model of this VM's bank, or of one of its banks.
pub struct Client {
    port: BufReader<File>,
    bank: Option<usize>,
}

impl Client {
    /// Opens the serial port, if this VM has one to a model. It can be opened once at a time.
    pub fn connect() -> io::Result<Option<Self>> {
        let Some(port) = virtio_port(PORT) else {
            return Ok(None);
        };
        let file = OpenOptions::new().read(true).write(true).open(port)?;
        Ok(Some(Self {
            port: BufReader::new(file),
            bank: None,
        }))
    }

    /// Means this bank from now on, where there are several. Without, it is GPIO1.
    pub fn choose(&mut self, bank: usize) {
        self.bank = Some(bank);
    }

    /// Asks, and waits for the reply.
    pub fn ask(&mut self, request: &Request) -> io::Result<Reply> {
        let mut line = match self.bank {
            None => serde_json::to_vec(request)?,
            Some(bank) => serde_json::to_vec(&Request::Of(bank, Box::new(request.clone())))?,
        };
        line.push(b'\n');
        self.port.get_mut().write_all(&line)?;
        let mut reply = String::new();
        self.port.read_line(&mut reply)?;
        Ok(serde_json::from_str(&reply)?)
    }

    /// Ends the model, as if it was killed.
    pub fn kill(mut self) -> io::Result<()> {
        let mut line = serde_json::to_vec(&Request::Die)?;
        line.push(b'\n');
        self.port.get_mut().write_all(&line)
    }

    /// Does something to a line from outside.
    pub fn drive(&mut self, line: u32, level: Level) -> io::Result<()> {
        match self.ask(&Request::Drive(line, level))? {
            Reply::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Lets the lines of the mask `lines` change, and change back at once.
    pub fn pulse(&mut self, lines: u32) -> io::Result<()> {
        match self.ask(&Request::Pulse(lines))? {
            Reply::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// The levels of the lines.
    pub fn levels(&mut self) -> io::Result<u32> {
        match self.ask(&Request::Levels)? {
            Reply::Levels(levels) => Ok(levels),
            other => Err(unexpected(&other)),
        }
    }

    /// How many accesses there were.
    pub fn count(&mut self) -> io::Result<usize> {
        match self.ask(&Request::Count)? {
            Reply::Count(count) => Ok(count),
            other => Err(unexpected(&other)),
        }
    }

    /// Lets that happen when the VM sleeps next.
    pub fn at_night(&mut self, night: Night) -> io::Result<()> {
        match self.ask(&Request::Night(night))? {
            Reply::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// How often something happened while the VM slept.
    pub fn nights(&mut self) -> io::Result<usize> {
        match self.ask(&Request::Nights)? {
            Reply::Count(count) => Ok(count),
            other => Err(unexpected(&other)),
        }
    }

    /// The accesses from the number `from` on.
    pub fn since(&mut self, from: usize) -> io::Result<Vec<Record>> {
        match self.ask(&Request::Records(from))? {
            Reply::Records(records) => Ok(records),
            other => Err(unexpected(&other)),
        }
    }

    /// The accesses from the number `from` on that were to no bank, where there is more than one:
    /// by physical address.
    pub fn others(&mut self, from: usize) -> io::Result<Vec<Record>> {
        match self.ask(&Request::Others(from))? {
            Reply::Records(records) => Ok(records),
            other => Err(unexpected(&other)),
        }
    }

    /// What was written to registers from the access `from` on.
    pub fn writes(&mut self, from: usize) -> io::Result<Vec<(Register, u32)>> {
        let records = self.since(from)?;
        let writes = records.iter().filter(|r| r.operation == Operation::Write);
        Ok(writes
            .filter_map(|r| Some((r.register()?, r.value)))
            .collect())
    }
}

fn unexpected(reply: &Reply) -> io::Error {
    io::Error::other(format!("the model of the GPIO bank says {reply:?}"))
}

/// The virtio port of this VM that has this name.
pub fn virtio_port(name: &str) -> Option<PathBuf> {
    let ports = fs::read_dir("/sys/class/virtio-ports").ok()?;
    let port = ports.flatten().find(|port| {
        let its = fs::read_to_string(port.path().join("name")).unwrap_or_default();
        its.trim() == name
    })?;
    Some(Path::new("/dev").join(port.file_name()))
}
