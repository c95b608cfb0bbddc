// SPDX-License-Identifier: MIT OR Apache-2.0

//! The kernel's trace events, of this thread, recorded while something is done.

use super::text;
use crate::not_testable;
use anyhow::{ensure, Context as _, Result};
use std::{fs, path::Path};

const TRACEFS: &str = "/sys/kernel/tracing";

/// A trace event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The event's name, without that of its system.
    pub name: String,
    /// What it tells: `order=0 migratetype=1 …`.
    text: String,
}

impl Event {
    #[cfg(test)]
    pub fn new(name: &str, text: &str) -> Self {
        Self {
            name: name.to_owned(),
            text: text.to_owned(),
        }
    }

    /// All that it tells.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The value of a field; empty if there is none.
    pub fn field(&self, name: &str) -> &str {
        let mut fields = self.text.split_whitespace();
        fields
            .find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
            .unwrap_or("")
    }

    /// The value of a field that is a number, decimal or with `0x`.
    pub fn number(&self, name: &str) -> Result<u64> {
        let text = self.field(name);
        let number = match text.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16),
            None => text.parse(),
        };
        number.with_context(|| format!("{} has no number {name}: {}", self.name, self.text))
    }
}

/// Records the events (`kmem:mm_page_alloc`) of this thread while `f` runs, which may put marks between
/// them.
///
/// A filter of each event chooses the thread. `set_event_pid` would, too, but has the kernel patch its
/// scheduler each time, and QEMU's processors, each in a thread, have been seen to run half a patch.
pub fn record<T>(events: &[&str], f: impl FnOnce(&Buffer) -> Result<T>) -> Result<(T, Vec<Event>)> {
    let buffer = Buffer::new()?;
    let of_this_thread = format!("common_pid == {}", nix::unistd::gettid());
    for event in events {
        let event = format!("events/{}", event.replace(':', "/"));
        buffer.write(&format!("{event}/filter"), &of_this_thread)?;
        buffer.write(&format!("{event}/enable"), "1")?;
    }
    let result = f(&buffer);
    buffer.write("events/enable", "0")?;
    Ok((result?, buffer.events()?))
}

/// A call of one of the kernel's functions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The function.
    pub name: String,
    /// The function that called it.
    pub caller: String,
}

/// Records the calls of the kernel's functions with these names (`kfree`, `_raw_spin_lock*`) by this
/// thread while `f` runs, without those of interrupts that come meanwhile.
pub fn calls<T>(functions: &[&str], f: impl FnOnce() -> Result<T>) -> Result<(T, Vec<Call>)> {
    let buffer = Buffer::new()?;
    if !text(format!("{TRACEFS}/available_tracers"))?
        .split_whitespace()
        .any(|tracer| tracer == "function")
    {
        return not_testable("the kernel has no function tracer: CONFIG_FUNCTION_TRACER");
    }
    buffer.write("set_ftrace_filter", &functions.join(" "))?;
    buffer.write("current_tracer", "function")?;
    let result = f();
    buffer.write("tracing_on", "0")?;
    let traced = buffer.text();
    buffer.write("current_tracer", "nop")?;
    let thread = nix::unistd::gettid().as_raw();
    Ok((result?, parse_calls(&traced?, thread)))
}

/// `    mapwright-132     [000] d..1.    12.345678: _raw_spin_lock <-get_from_partial_node`
fn parse_calls(text: &str, thread: i32) -> Vec<Call> {
    let thread = thread.to_string();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let call = |line: &str| {
        let (task, rest) = line.split_once(" [")?;
        let (_, number) = task.trim().rsplit_once('-')?;
        let (context, called) = rest.split_once(": ")?;
        // Interrupts off, need to reschedule, hard or soft interrupt, depth.
        let interrupt = context.split_whitespace().nth(1)?.chars().nth(2)?;
        let (name, caller) = called.split_once(" <-")?;
        (number == thread && interrupt == '.').then(|| Call {
            name: name.trim().to_owned(),
            caller: caller.trim().to_owned(),
        })
    };
    lines.filter_map(call).collect()
}

/// The event that a mark is.
pub const MARK: &str = "tracing_mark_write";

/// A trace buffer of its own, removed when dropped.
pub struct Buffer(String);

impl Buffer {
    fn new() -> Result<Self> {
        if !Path::new(TRACEFS).join("instances").exists() {
            return not_testable(format!(
                "{TRACEFS} is not mounted: mount -t tracefs tracefs {TRACEFS}"
            ));
        }
        let buffer = Self(format!(
            "{TRACEFS}/instances/mapwright-prove-{}",
            std::process::id()
        ));
        fs::create_dir(&buffer.0).with_context(|| format!("making {}", buffer.0))?;
        // For each CPU; a smaller one where low memory is short. An event that is lost is noticed.
        buffer
            .write("buffer_size_kb", "8192")
            .or_else(|_| buffer.write("buffer_size_kb", "2048"))?;
        Ok(buffer)
    }

    /// Puts an event [`MARK`] with the field `number` here.
    pub fn mark(&self, number: usize) -> Result<()> {
        self.write("trace_marker", &format!("number={number}"))
    }

    fn write(&self, file: &str, value: &str) -> Result<()> {
        let path = format!("{}/{file}", self.0);
        fs::write(&path, value).with_context(|| format!("writing {value} to {path}"))
    }

    fn events(&self) -> Result<Vec<Event>> {
        Ok(parse(&self.text()?))
    }

    /// All that was traced.
    fn text(&self) -> Result<String> {
        for cpu in fs::read_dir(format!("{}/per_cpu", self.0))? {
            let stats = text(cpu?.path().join("stats"))?;
            let lost = stats
                .lines()
                .any(|line| line.starts_with("overrun:") && line != "overrun: 0");
            ensure!(!lost, "more was traced than the buffer holds");
        }
        text(format!("{}/trace", self.0))
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// `    mapwright-132     [001] .....    12.345678: mm_page_free: page=… pfn=0x1234 order=0`
fn parse(text: &str) -> Vec<Event> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let event = |line: &str| {
        let mut parts = line.splitn(3, ": ");
        let (_, name, text) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Event {
            name: name.to_owned(),
            text: text.to_owned(),
        })
    };
    lines.filter_map(event).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_other_threads_and_of_interrupts_are_left_out() {
        let text = "\
# tracer: function
       mapwright-132     [000] d..1.    12.345678: _raw_spin_lock <-get_from_partial_node
       mapwright-132     [000] d.h1.    12.345679: _raw_spin_lock <-update_process_times
     kworker/0:1-9       [000] .....    12.345680: kfree <-process_one_work
";
        let call = Call {
            name: "_raw_spin_lock".to_owned(),
            caller: "get_from_partial_node".to_owned(),
        };
        assert_eq!(parse_calls(text, 132), [call]);
    }

    #[test]
    fn events_have_fields() {
        let text = "\
# tracer: nop
       mapwright-132     [001] .....    12.345678: mm_page_alloc: page=00000000c0ffee pfn=0x1f order=3 gfp_flags=GFP_KERNEL|__GFP_ZERO
       mapwright-132     [001] .....    12.345679: kfree: call_site=x ptr=0
";
        let events = parse(text);
        assert_eq!(events.len(), 2);
        assert_eq!(events[0].name, "mm_page_alloc");
        assert_eq!(events[0].number("pfn").unwrap(), 31);
        assert_eq!(events[0].number("order").unwrap(), 3);
        assert_eq!(events[0].field("gfp_flags"), "GFP_KERNEL|__GFP_ZERO");
        assert!(events[1].number("order").is_err());
    }
}
