// SPDX-License-Identifier: MIT OR Apache-2.0

//! Runs a program in this process: what it has open, made and mapped, and what each call does with that.

mod calls;
mod children;
mod count;
mod io;
mod ioctl;
mod maps;
mod memory;
mod uses;

use crate::access;
use crate::inject::Injector;
use crate::kcov::Kcov;
use crate::program::{Op, Program, Slot};
use anyhow::{bail, Result};
use memory::Contents;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Things of one kind that a program may have at a time; more are let go of at once.
const MOST: usize = 24;

/// A region of a session, and what a program should find there.
#[derive(Clone)]
struct Region {
    file: Arc<OwnedFd>,
    id: u64,
    offset: u64,
    pages: u64,
    contents: Arc<Contents>,
}

/// Pages that are mapped, as far as the program knows.
#[derive(Clone)]
struct Mapping {
    address: usize,
    pages: u64,
    /// Which region's, and from which page on, if what is stored there is to be found in that.
    of: Option<(Arc<Contents>, u64)>,
}

/// What a process has. Threads share it, but no lock is held during a call.
#[derive(Default)]
struct Things {
    files: Vec<Arc<OwnedFd>>,
    regions: Vec<Region>,
    maps: Vec<Mapping>,
    /// Numbers that calls returned.
    returned: Vec<u64>,
}

/// A process that runs a program.
pub struct Machine {
    things: Mutex<Things>,
    /// Whether it does one thing after the other, so that contents can be told beforehand.
    alone: bool,
}

fn of<T: Clone>(list: &[T], slot: Slot) -> Option<T> {
    (!list.is_empty()).then(|| list[usize::from(slot) % list.len()].clone())
}

fn keep<T>(list: &mut Vec<T>, thing: T) -> Option<T> {
    let first = (list.len() >= MOST).then(|| list.remove(0));
    list.push(thing);
    first
}

impl Machine {
    fn things(&self) -> MutexGuard<'_, Things> {
        self.things.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, slot: Slot) -> Option<Arc<OwnedFd>> {
        of(&self.things().files, slot)
    }

    fn region(&self, slot: Slot) -> Option<Region> {
        of(&self.things().regions, slot)
    }

    fn map(&self, slot: Slot) -> Option<Mapping> {
        of(&self.things().maps, slot)
    }

    fn add_file(&self, file: OwnedFd) {
        let gone = keep(&mut self.things().files, Arc::new(file));
        drop(gone);
    }

    /// Runs the calls of one thread. Fails if something is there that must not be.
    fn run(&self, ops: &[Op], injector: Option<&Injector>) -> Result<()> {
        let mut fails = None;
        for op in ops {
            if let Op::Fail { nth } = op {
                fails = Some(*nth);
                continue;
            }
            match (fails.take(), injector) {
                (Some(nth), Some(injector)) => injector.fail(nth, || self.call(op))?,
                _ => self.call(op)?,
            }
        }
        Ok(())
    }
}

/// Runs a program, and looks at the contents of its regions.
pub fn run(program: &Program, kcov: &[Kcov]) -> Result<()> {
    access::survive_faults()?;
    let alone = program.others.is_empty() && program.killed_after == 0;
    let machine = Machine {
        things: Mutex::default(),
        alone,
    };
    let injector = Injector::new().ok();
    if let Some(kcov) = kcov.first() {
        kcov.record_this_thread()?;
    }
    machine.run(&program.first, injector.as_ref())?;
    thread::scope(|scope| {
        let threads: Vec<_> = program
            .others
            .iter()
            .enumerate()
            .map(|(number, ops)| {
                let machine = &machine;
                scope.spawn(move || {
                    if let Some(kcov) = kcov.get(number + 1) {
                        kcov.record_this_thread()?;
                    }
                    machine.run(ops, Injector::new().ok().as_ref())
                })
            })
            .collect();
        for thread in threads {
            match thread.join() {
                Ok(ran) => ran?,
                Err(_) => bail!("a thread of the fuzzer panicked"),
            }
        }
        Ok(())
    })?;
    machine.expect_contents()?;
    machine.expect_no_vmas()
}
