// SPDX-License-Identifier: MIT OR Apache-2.0

//! This process and its children, which do what they are told: store, load, fork, end.

use crate::anonymous::Anonymous;
use anyhow::{bail, ensure, Context as _, Result};
use mapwright::{page_bytes, page_faults};
use nix::{
    errno::Errno,
    libc,
    sys::{
        prctl::set_child_subreaper,
        signal::{kill, Signal},
        wait::waitpid,
    },
    unistd::{fork, ForkResult, Pid},
};
use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    time::Duration,
};

/// The number of this process.
pub const PARENT: usize = 0;
/// Processes, with this one.
const MOST: usize = 16;
/// A child that is silent for so long is stuck.
const PATIENCE: Duration = Duration::from_secs(60);

const WRITE: u8 = b'w';
const READ: u8 = b'r';
const FORK: u8 = b'f';
const EXIT: u8 = b'x';

/// The processes, and memory that they store to. Its last page is nobody's.
pub struct Family<'a> {
    memory: &'a Anonymous,
    /// The ends of each child's line: this process's, and the child's.
    lines: Vec<(UnixStream, UnixStream)>,
    /// Numbers of the children; `None` of those that ended.
    pids: Vec<Option<Pid>>,
}

impl<'a> Family<'a> {
    /// This process alone.
    pub fn new(memory: &'a Anonymous) -> Result<Self> {
        let line = |_| -> Result<(UnixStream, UnixStream)> {
            let (ours, theirs) = UnixStream::pair()?;
            ours.set_read_timeout(Some(PATIENCE))?;
            Ok((ours, theirs))
        };
        let lines = (0..MOST).map(line).collect::<Result<_>>()?;
        // Grandchildren whose parents end become children of this process.
        set_child_subreaper(true)?;
        Ok(Self {
            memory,
            lines,
            pids: vec![None],
        })
    }

    /// Where the memory is, in each process.
    pub fn address(&self) -> u64 {
        self.memory.addr() as u64
    }

    /// The number of a child.
    pub fn pid(&self, who: usize) -> Result<u32> {
        let pid = self.pids.get(who).copied().flatten();
        Ok(pid
            .context("a child that has ended")?
            .as_raw()
            .unsigned_abs())
    }

    /// Does a step of a script that the model has done. Returns how often a store or load faulted.
    pub fn step(&mut self, text: &str, pages: &[u64]) -> Result<Option<u64>> {
        let words: Vec<&str> = text.split_whitespace().collect();
        match words[..] {
            [] => Ok(None),
            ["fork"] => self.fork(PARENT),
            ["fork", who] => self.fork(number(who)?),
            ["exit", who] => self.exit(number(who)?),
            [what @ ("write" | "read"), who, address] => {
                let address = mapwright_models::number(address).map_err(anyhow::Error::msg)?;
                let page = address - address % 4096;
                let at = pages
                    .iter()
                    .position(|other| *other == page)
                    .context("a page that nobody mapped")?;
                let command = if what == "write" { WRITE } else { READ };
                self.touch(number(who)?, command, u8::try_from(at)?)
                    .map(Some)
            }
            _ => bail!("{text} cannot be done by processes"),
        }
    }

    fn fork(&mut self, who: usize) -> Result<Option<u64>> {
        let child = self.pids.len();
        ensure!(child < MOST, "there are {MOST} processes already");
        let pid = match who {
            PARENT => begin(self.memory, &self.lines, child)?,
            who => {
                let answer = self.ask(who, FORK, u8::try_from(child)?)?;
                Pid::from_raw(i32::try_from(answer)?)
            }
        };
        self.pids.push(Some(pid));
        // It is there when it answers.
        self.ask(child, READ, 0)?;
        Ok(None)
    }

    fn exit(&mut self, who: usize) -> Result<Option<u64>> {
        let pid = Pid::from_raw(i32::try_from(self.pid(who)?)?);
        (&self.lines[who].0).write_all(&[EXIT, 0])?;
        self.pids[who] = None;
        match waitpid(pid, None) {
            // A grandchild: it is gone when it is a zombie of its parent's.
            Err(Errno::ECHILD) => wait_for_zombie(pid),
            result => result.map(drop).context("waiting for a child"),
        }?;
        Ok(None)
    }

    fn touch(&self, who: usize, command: u8, page: u8) -> Result<u64> {
        match who {
            PARENT => Ok(touch(self.memory, command, page)),
            who => self.ask(who, command, page),
        }
    }

    /// Tells a child what to do, and waits for its answer.
    fn ask(&self, who: usize, command: u8, with: u8) -> Result<u64> {
        let mut line = &self.lines.get(who).context("no such process")?.0;
        line.write_all(&[command, with])?;
        let mut answer = [0; 8];
        line.read_exact(&mut answer)
            .context("a child does not answer")?;
        Ok(u64::from_ne_bytes(answer))
    }
}

/// Stores to a page or loads from it; returns how often that faulted.
fn touch(memory: &Anonymous, command: u8, page: u8) -> u64 {
    // The code for it, and the stack, may take a fault at first, too: that is taken by the last page, which is
    // nobody's.
    let last = memory.len() - page_bytes();
    counted(memory, command, last);
    counted(memory, command, usize::from(page) * page_bytes())
}

#[inline(never)]
fn counted(memory: &Anonymous, command: u8, at: usize) -> u64 {
    let faults = || page_faults().map_or(0, |(minor, _)| minor);
    let before = faults();
    match command {
        WRITE => drop(memory.touch(at..at + page_bytes())),
        _ => drop(memory.load(at)),
    }
    faults() - before
}

/// Starts the child with this number.
fn begin(memory: &Anonymous, lines: &[(UnixStream, UnixStream)], child: usize) -> Result<Pid> {
    // SAFETY: The process has one thread, so the child may do what it likes; it leaves by `_exit`.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            let status = i32::from(serve(memory, lines, child).is_err());
            // SAFETY: Ends the child without running what belongs to the parent.
            unsafe { libc::_exit(status) }
        }
    }
}

/// Does what it is told, until it is told to end.
fn serve(memory: &Anonymous, lines: &[(UnixStream, UnixStream)], me: usize) -> Result<()> {
    let mut line = &lines.get(me).context("no line")?.1;
    loop {
        let mut command = [0; 2];
        line.read_exact(&mut command)?;
        let [command, with] = command;
        let answer = match command {
            EXIT => return Ok(()),
            FORK => begin(memory, lines, usize::from(with))?
                .as_raw()
                .unsigned_abs()
                .into(),
            _ => touch(memory, command, with),
        };
        line.write_all(&u64::to_ne_bytes(answer))?;
    }
}

/// `parent`, `child`, `child2`, …
fn number(name: &str) -> Result<usize> {
    Ok(match name {
        "parent" => PARENT,
        "child" => 1,
        name => name
            .strip_prefix("child")
            .context("no such process")?
            .parse()?,
    })
}

fn wait_for_zombie(pid: Pid) -> Result<()> {
    let path = format!("/proc/{pid}/stat");
    for _ in 0..10_000 {
        let Ok(stat) = std::fs::read_to_string(&path) else {
            return Ok(());
        };
        let state = stat
            .rsplit(") ")
            .next()
            .and_then(|rest| rest.chars().next());
        if state == Some('Z') {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    bail!("the process {pid} does not end")
}

impl Drop for Family<'_> {
    fn drop(&mut self) {
        // The youngest first: none is left to anybody else.
        for pid in self.pids.iter().flatten() {
            let _ = kill(*pid, Signal::SIGKILL);
        }
        while waitpid(None, None).is_ok() {}
        let _ = set_child_subreaper(false);
    }
}
