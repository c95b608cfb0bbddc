// SPDX-License-Identifier: MIT OR Apache-2.0

//! A child that takes as much memory as it is told to.

use crate::anonymous::Anonymous;
use anyhow::{Context as _, Result};
use nix::{
    libc,
    sys::{
        signal::{kill, Signal},
        wait::{waitpid, WaitPidFlag, WaitStatus},
    },
    unistd::{fork, ForkResult, Pid},
};
use std::{
    cell::Cell,
    fs,
    io::{ErrorKind, Read as _, Write as _},
    os::unix::net::UnixStream,
    time::Duration,
};

/// A child that is silent for so long is stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// A child, which is gone when this is dropped.
pub struct Glutton {
    pid: Pid,
    line: UnixStream,
    /// Bytes that it has taken.
    taken: Cell<usize>,
    /// How it has ended, if it has.
    ended: Cell<Option<WaitStatus>>,
}

impl Glutton {
    /// Starts it. The process must have one thread.
    pub fn start() -> Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_read_timeout(Some(PATIENCE))?;
        // SAFETY: The process has one thread, so the child may do what it likes; it leaves by `_exit`.
        let pid = match unsafe { fork() }? {
            ForkResult::Parent { child } => child,
            ForkResult::Child => {
                drop(ours);
                let status = i32::from(serve(&theirs).is_err());
                // SAFETY: Ends the child without running what belongs to the parent.
                unsafe { libc::_exit(status) }
            }
        };
        Ok(Self {
            pid,
            line: ours,
            taken: Cell::new(0),
            ended: Cell::new(None),
        })
    }

    /// The number of the process.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw().unsigned_abs()
    }

    /// Bytes that it has taken.
    pub fn taken(&self) -> usize {
        self.taken.get()
    }

    /// Has it take more. Returns whether it lives.
    pub fn take(&self, bytes: usize) -> Result<bool> {
        let mut line = &self.line;
        let asked = line.write_all(&(bytes as u64).to_ne_bytes());
        let answered = asked.and_then(|()| line.read_exact(&mut [0]));
        match answered {
            Ok(()) => {
                self.taken.set(self.taken.get() + bytes);
                Ok(true)
            }
            // Nobody is at the other end any more.
            Err(err)
                if matches!(
                    err.kind(),
                    ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
                ) =>
            {
                self.ended.set(Some(waitpid(self.pid, None)?));
                Ok(false)
            }
            Err(err) => Err(err).context("a child does not answer"),
        }
    }

    /// How the kernel should judge it when somebody has to be killed: /proc/PID/oom_score_adj.
    pub fn adjust(&self, score: i32) -> Result<()> {
        let path = format!("/proc/{}/oom_score_adj", self.pid);
        fs::write(&path, score.to_string()).with_context(|| format!("writing {path}"))
    }

    /// The signal that ended it, if one has.
    pub fn killed(&self) -> Result<Option<Signal>> {
        if self.ended.get().is_none() {
            match waitpid(self.pid, Some(WaitPidFlag::WNOHANG))? {
                WaitStatus::StillAlive => return Ok(None),
                ended => self.ended.set(Some(ended)),
            }
        }
        match self.ended.get() {
            Some(WaitStatus::Signaled(_, signal, _)) => Ok(Some(signal)),
            _ => Ok(None),
        }
    }
}

impl Drop for Glutton {
    fn drop(&mut self) {
        if self.ended.get().is_none() {
            let _ = kill(self.pid, Signal::SIGKILL);
            let _ = waitpid(self.pid, None);
        }
    }
}

/// In the child: takes as much as it is told to, until it is left alone.
fn serve(mut line: &UnixStream) -> Result<()> {
    let mut all = Vec::new();
    loop {
        let mut bytes = [0; 8];
        line.read_exact(&mut bytes)?;
        let memory = Anonymous::small(usize::try_from(u64::from_ne_bytes(bytes))?)?;
        memory.touch(0..memory.len())?;
        all.push(memory);
        line.write_all(&[0])?;
    }
}
