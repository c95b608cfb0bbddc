// SPDX-License-Identifier: MIT OR Apache-2.0

//! The trace events tell what happens, in order.

use crate::{
    cells::Cell,
    faults::WINDOW,
    raw::Map,
    runner::{skip, suite, Context},
};
use anyhow::{ensure, Result};
use mapwright::{page_bytes, Backing, Caching, Method, Session};
use nix::unistd::Pid;
use std::{fs, path::Path};

suite! { "tracing":
    each_step_is_an_event,
    nothing_is_traced_unless_asked,
}

const TRACEFS: &str = "/sys/kernel/tracing";

/// A trace buffer of the test's own, removed when dropped.
pub struct Instance(String);

impl Instance {
    pub fn new() -> Result<Self> {
        if !Path::new(TRACEFS).join("instances").exists() {
            return skip("tracefs is not mounted");
        }
        let instance = Self(format!(
            "{TRACEFS}/instances/mapwright-{}",
            std::process::id()
        ));
        fs::create_dir(&instance.0)?;
        Ok(instance)
    }

    /// Traces calls of functions of the kernel's. `None` if it has none with these names, or does not trace them.
    pub fn of_functions(names: &str) -> Result<Option<Self>> {
        let instance = Self::new()?;
        let set = |file: &str, to: &str| fs::write(format!("{}/{file}", instance.0), to);
        let set = set("set_ftrace_filter", names).and_then(|()| set("current_tracer", "function"));
        Ok(set.is_ok().then_some(instance))
    }

    /// How many calls of a function there were.
    pub fn calls_of(&self, name: &str) -> Result<usize> {
        let text = fs::read_to_string(format!("{}/trace", self.0))?;
        let call = format!(": {name} <-");
        Ok(text.lines().filter(|line| line.contains(&call)).count())
    }

    /// How often a thread called a function.
    pub fn calls_by(&self, thread: Pid, name: &str) -> Result<usize> {
        let text = fs::read_to_string(format!("{}/trace", self.0))?;
        let (thread, call) = (format!("-{thread} "), format!(": {name} <-"));
        let is_one = |line: &&str| line.contains(&thread) && line.contains(&call);
        Ok(text.lines().filter(is_one).count())
    }

    fn enable(&self, on: bool) -> Result<()> {
        let switch = format!("{}/events/mapwright/enable", self.0);
        Ok(fs::write(switch, if on { "1" } else { "0" })?)
    }

    /// The events, as `name field=value …`.
    fn events(&self) -> Result<Vec<String>> {
        let text = fs::read_to_string(format!("{}/trace", self.0))?;
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let event = |line: &str| line.find("region_").map(|at| line[at..].to_owned());
        Ok(lines.filter_map(event).collect())
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = fs::write(format!("{}/current_tracer", self.0), "nop");
        let _ = fs::remove_dir(&self.0);
    }
}

const CELL: Cell = Cell {
    backing: Backing::Vmalloc,
    method: Method::Fault,
    caching: Caching::WriteBack,
};

const BYTES: usize = 2 * WINDOW;

/// Makes a region, maps it, touches it, unmaps and destroys it. Returns its number and address.
fn a_short_life() -> Result<(u64, usize)> {
    let session = Session::open()?;
    let region = CELL.create(&session, BYTES as u64)?;
    let map = Map::shared(&session, region.offset, BYTES)?;
    map.load(0);
    map.store(BYTES - page_bytes(), 1);
    let addr = map.addr;
    drop(map);
    session.destroy(&region)?;
    Ok((region.id, addr))
}

fn each_step_is_an_event(_: &Context) -> Result<()> {
    let trace = Instance::new()?;
    trace.enable(true)?;
    let (id, start) = a_short_life()?;
    trace.enable(false)?;
    let (end, stored) = (start + BYTES, start + BYTES - page_bytes());
    let pages = WINDOW / page_bytes();
    let expected = [
        format!("region_create: region={id} backing=3 method=2 caching=0 bytes={BYTES}"),
        format!("region_mmap: region={id} start={start:#x} end={end:#x}"),
        format!("region_fault: region={id} address={start:#x} load pages={pages}"),
        format!("region_fault: region={id} address={stored:#x} store pages={pages}"),
        format!("region_munmap: region={id} start={start:#x} end={end:#x}"),
        format!("region_destroy: region={id}"),
    ];
    let events = trace.events()?;
    ensure!(events == expected, "{events:#?}");
    Ok(())
}

fn nothing_is_traced_unless_asked(_: &Context) -> Result<()> {
    let trace = Instance::new()?;
    a_short_life()?;
    let events = trace.events()?;
    ensure!(events.is_empty(), "{events:?}");
    Ok(())
}
