// SPDX-License-Identifier: MIT OR Apache-2.0
//! Follows a guest to its end.

use super::ended::How;
use super::events::{Event, Stream};
use super::tail::Tail;
use crate::guest::Guest;
use crate::judge;
use crate::patience::{Patience, Stage};
use anyhow::{bail, Context, Result};
use signal_hook::consts::SIGINT;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// A guest whose kernel has panicked, or which said that it has ended, is gone after this.
pub(super) const GRACE: Duration = Duration::from_secs(30);
/// What a guest wrote before it died has arrived after this.
const DRAIN: Duration = Duration::from_secs(2);

/// Where the command's output goes.
pub type Sink<'a> = dyn FnMut(Stream, &[u8]) -> io::Result<()> + 'a;

/// What is known of a guest so far.
pub(super) struct Following {
    has_ports: bool,
    deadline: Instant,
    pub(super) log: Vec<String>,
    verbose: bool,
    interactive: bool,
    pub(super) patience: Patience,
    control: Option<UnixStream>,
    status: Option<u8>,
    refused: Option<String>,
    out: Tail,
    err: Tail,
    answered: bool,
    /// The VM has ended.
    gone: bool,
    /// Ports whose end was not seen yet.
    open: usize,
    log_open: bool,
}

impl Following {
    /// Of a guest that is about to be started, and ends within `timeout`. Its output ends with `token`.
    pub(super) fn new(guest: &Guest, timeout: Duration, token: &str, stage: Stage) -> Self {
        let interactive = guest.command.is_none();
        let now = Instant::now();
        Self {
            has_ports: guest.has_ports(),
            deadline: now + timeout,
            log: Vec::new(),
            verbose: guest.verbose && !interactive,
            interactive,
            patience: Patience::new(stage, now),
            control: None,
            status: None,
            refused: None,
            out: Tail::new(token),
            err: Tail::new(token),
            answered: false,
            gone: false,
            open: 3,
            log_open: true,
        }
    }

    pub(super) fn follow(&mut self, received: &Receiver<Event>, sink: &mut Sink) -> Result<How> {
        loop {
            let patience = self.patience.ends().filter(|ends| *ends < self.deadline);
            let until = patience.unwrap_or(self.deadline);
            match received.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Err(RecvTimeoutError::Disconnected) => bail!("the test harness lost its guest"),
                Err(RecvTimeoutError::Timeout) => {
                    return Ok(match self.end() {
                        How::TimedOut if patience.is_some() => How::Hung,
                        how => how,
                    });
                }
                Ok(Event::Signal(SIGINT)) if self.interactive => {}
                Ok(Event::Signal(signal)) => return Ok(How::Interrupted(signal)),
                Ok(Event::Child(status)) => {
                    self.gone = true;
                    // What it said last may still be on its way.
                    self.drain(received, sink)?;
                    return Ok(match self.end() {
                        How::TimedOut => How::Died(self.death(status)),
                        how => how,
                    });
                }
                Ok(event) => self.take(event, sink)?,
            }
        }
    }

    /// The result, as far as it is known; `TimedOut` if it is not.
    fn end(&self) -> How {
        if let Some(why) = &self.refused {
            return How::Refused(why.clone());
        }
        match self.status {
            Some(status) if self.out.ended && self.err.ended => How::Exited(status),
            Some(_) => How::Died("the end of its output is missing".to_owned()),
            None if self.panicked() => How::Died("its kernel panicked".to_owned()),
            None => How::TimedOut,
        }
    }

    /// Whether it was let go, should have powered off, and has not.
    pub(super) fn stays_on(&self) -> bool {
        self.has_ports && self.answered && !self.gone && !self.panicked()
    }

    fn panicked(&self) -> bool {
        self.log.iter().any(|line| judge::is_panic(line))
    }

    fn death(&self, status: ExitStatus) -> String {
        // QEMU's and virtme-ng's own complaints have no time stamp.
        let booted = self.log.iter().any(|line| line.starts_with('['));
        match (status.code(), status.signal()) {
            _ if !booted => "its VM did not start".to_owned(),
            (Some(0), _) => "it powered off or rebooted".to_owned(),
            (_, Some(signal)) => format!("signal {signal} ended its VM"),
            _ => format!("its VM ended ({status})"),
        }
    }

    fn take(&mut self, event: Event, sink: &mut Sink) -> Result<()> {
        match event {
            Event::Connected(control) => self.control = Some(control),
            Event::Control(line) => self.control_line(&line),
            Event::Output(stream, bytes) => {
                let tail = match stream {
                    Stream::Out => &mut self.out,
                    Stream::Err => &mut self.err,
                };
                let bytes = tail.take(&bytes);
                if !bytes.is_empty() {
                    sink(stream, &bytes).context("cannot pass the guest's output on")?;
                }
            }
            Event::Log(line) => {
                if self.verbose {
                    eprintln!("{line}");
                }
                if judge::is_panic(&line) {
                    self.leave_soon();
                }
                self.patience.line(&line, Instant::now());
                self.log.push(line);
            }
            Event::LogEnded => self.log_open = false,
            Event::OutputEnded => self.open = self.open.saturating_sub(1),
            Event::Child(_) | Event::Signal(_) => {}
        }
        self.answer();
        Ok(())
    }

    fn control_line(&mut self, line: &str) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "ready" => self.patience.reached(Stage::Inserting, Instant::now()),
            "running" => self.patience.reached(Stage::Running, Instant::now()),
            "fail" => {
                self.refused.get_or_insert_with(|| rest.trim().to_owned());
            }
            "exit" => self.status = rest.trim().parse().ok(),
            _ => {}
        }
    }

    /// Lets the guest go once everything it had to say has arrived.
    fn answer(&mut self) {
        let all = self.status.is_some() && self.out.ended && self.err.ended;
        if self.answered || !(all || self.refused.is_some()) {
            return;
        }
        self.answered = true;
        if !self.has_ports {
            // It cannot end by itself.
            self.deadline = Instant::now();
            return;
        }
        if let Some(control) = &mut self.control {
            // If the guest is gone already, its end is seen anyway.
            let _ = control.write_all(b"bye\n");
        }
        self.leave_soon();
    }

    fn leave_soon(&mut self) {
        self.deadline = self.deadline.min(Instant::now() + GRACE);
    }

    /// Takes what is still on its way from a guest that has ended.
    pub(super) fn drain(&mut self, received: &Receiver<Event>, sink: &mut Sink) -> Result<()> {
        let until = Instant::now() + DRAIN;
        // The ports of a guest with a shell, or of one that never started, are never opened.
        let connected = self.control.is_some();
        while self.log_open || (connected && self.open > 0) {
            let left = until.saturating_duration_since(Instant::now());
            match received.recv_timeout(left) {
                Ok(event) => self.take(event, sink)?,
                Err(_) => break,
            }
        }
        Ok(())
    }
}
