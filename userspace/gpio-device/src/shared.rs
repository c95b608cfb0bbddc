// SPDX-License-Identifier: MIT OR Apache-2.0

//! The bank, which the VM's accesses and the tests' requests share.

use anyhow::{Context, Result};
use gpio_model::{Bank, Bench, Reply, Request, Waveform, Width, DUSK};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

type Instruments = Bench<BufWriter<File>>;

/// The bank with its instruments, and the way to interrupt the VM.
pub struct Shared {
    state: Mutex<State>,
    /// Where the record of all accesses goes.
    record: PathBuf,
    started: Instant,
}

struct State {
    bench: Instruments,
    /// An eventfd, while the guest has the interrupt enabled.
    interrupt: Option<File>,
}

impl Shared {
    /// A bank with its clock on, whose lines are written to `waveform`, and all accesses to `record`.
    pub fn new(name: &str, waveform: &Path, record: &Path) -> Result<Self> {
        let mut bank = Bank::default();
        bank.set_clock(true);
        let file = File::create(waveform)
            .with_context(|| format!("cannot write {}", waveform.display()))?;
        let waveform = Waveform::new(BufWriter::new(file), name, &bank)?;
        Ok(Self {
            state: Mutex::new(State {
                bench: Bench::new(bank, Some(waveform)),
                interrupt: None,
            }),
            record: record.to_owned(),
            started: Instant::now(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something to the bank, and interrupts the VM if the bank does.
    ///
    /// A message is sent when the interrupt becomes active, and again after each step that leaves it
    /// so: its handler may have cleared one event while the next came.
    pub fn with<T>(
        &self,
        act: impl FnOnce(&mut Instruments, Duration) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.state();
        let result = act(&mut state.bench, self.started.elapsed())?;
        state.signal()?;
        Ok(result)
    }

    /// Does what a test asks for. What only looks interrupts nobody.
    pub fn answer(&self, request: &Request) -> io::Result<Reply> {
        let mut state = self.state();
        let reply = state.bench.answer(self.started.elapsed(), request)?;
        if let Request::Drive(..) | Request::Pulse(_) | Request::Clock(_) | Request::Return =
            request
        {
            state.signal()?;
        }
        Ok(reply)
    }

    /// A load of the VM: looks, and interrupts nobody.
    pub fn read(&self, offset: u32, width: Width) -> io::Result<u32> {
        let now = self.started.elapsed();
        self.state().bench.read(now, offset, width)
    }

    /// The bus has suspended the bank. What happens then interrupts nobody.
    pub fn suspended(self: &Arc<Self>) {
        let Some(night) = self.state().bench.suspended() else {
            return;
        };
        let shared = self.clone();
        thread::spawn(move || {
            thread::sleep(DUSK);
            let now = shared.started.elapsed();
            if let Err(error) = shared.state().bench.pass(now, &night) {
                eprintln!("mapwright-gpio-device: {error:#}");
            }
        });
    }

    /// How the VM is interrupted from now on.
    pub fn set_interrupt(&self, eventfd: Option<File>) -> io::Result<()> {
        let mut state = self.state();
        state.interrupt = eventfd;
        state.signal()
    }

    /// Writes the record of all accesses, and the end of the waveform.
    pub fn finish(&self) -> Result<()> {
        self.write_out(&mut self.state())
    }

    /// Ends this process at once, as if it was killed, but for what it has to tell.
    pub fn die(&self) -> ! {
        let mut state = self.state();
        let status = match self.write_out(&mut state) {
            Ok(()) => 0,
            Err(error) => {
                eprintln!("mapwright-gpio-device: {error:#}");
                1
            }
        };
        std::process::exit(status)
    }

    fn write_out(&self, state: &mut State) -> Result<()> {
        state.bench.finish(self.started.elapsed())?;
        let write = || -> io::Result<()> {
            let mut file = BufWriter::new(File::create(&self.record)?);
            for record in state.bench.records() {
                serde_json::to_writer(&mut file, record)?;
                file.write_all(b"\n")?;
            }
            file.flush()
        };
        write().with_context(|| format!("cannot write {}", self.record.display()))
    }
}

impl State {
    fn signal(&mut self) -> io::Result<()> {
        match &mut self.interrupt {
            Some(eventfd) if self.bench.bank().interrupt(0) => {
                eventfd.write_all(&1u64.to_ne_bytes())
            }
            _ => Ok(()),
        }
    }
}
