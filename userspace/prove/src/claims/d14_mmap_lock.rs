// SPDX-License-Identifier: MIT OR Apache-2.0

//! D14: which locks a page fault takes.

use crate::{
    anonymous::Anonymous,
    finding::{plural, NotTestable},
    read::{
        config::Config,
        trace::{self, Call, Event, MARK},
    },
    Claim, Document, Finding, Lab, Need, Table, Verdict, Vm,
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{page_bytes, page_faults, settle};
use nix::sys::mman::MmapAdvise;

pub const CLAIM: Claim = Claim {
    id: "D14",
    title: "mmap_lock",
    sources: &[Document::Memory.section("15, Key Data Structures")],
    says: "mmap_lock, of which a process has one, is taken as a writer by mmap() and munmap(), and as a reader by each page \
           fault.",
    needs: &[Need::File(EVENTS, "CONFIG_TRACING, and tracefs mounted there")],
    vms: &[Vm::Normal, Vm::Arm64],
    prove,
};

/// The events of mmap_lock.
const EVENTS: &str = "/sys/kernel/tracing/events/mmap_lock/mmap_lock_acquire_returned";
const ACQUIRED: &str = "mmap_lock:mmap_lock_acquire_returned";
/// Pages that are touched for the first time.
const PAGES: usize = 256;
/// What makes the kernel have a lock for each VMA.
const OPTION: &str = "CONFIG_PER_VMA_LOCK";
/// The function that takes the lock of one VMA, and the one that does the rest of a fault.
const VMA_LOCK: &str = "lock_vma_under_rcu";
const FAULT: &str = "handle_mm_fault";

/// How often mmap_lock was taken while something was done.
#[derive(Debug)]
struct Taken {
    what: &'static str,
    faults: u64,
    readers: usize,
    writers: usize,
}

impl Taken {
    fn by(what: &'static str, f: impl FnOnce() -> Result<()>) -> Result<Self> {
        let (faults, events) = trace::record(&[ACQUIRED], |buffer| {
            let before = page_faults()?;
            // Tracing itself takes locks, too: what counts is between two marks.
            buffer.mark(0)?;
            f()?;
            buffer.mark(1)?;
            let after = page_faults()?;
            Ok(after.0 + after.1 - before.0 - before.1)
        })?;
        let mut parts = events.split(|event| event.name == MARK);
        let events = parts.nth(1).context("a mark is missing")?;
        let count = |write: &str| events.iter().filter(|event| is(event, write)).count();
        Ok(Self {
            what,
            faults,
            readers: count("false"),
            writers: count("true"),
        })
    }
}

/// An event of a lock that was got: `mm=… memcg_id=1 write=false success=true`.
fn is(event: &Event, write: &str) -> bool {
    event.field("write") == write && event.field("success") != "false"
}

fn prove(lab: &Lab) -> Result<Finding> {
    let bytes = PAGES * page_bytes();
    settle();
    let mut memory = None;
    let mapped = Taken::by("mmap()", || {
        memory = Some(Anonymous::new(bytes)?);
        Ok(())
    })?;
    let memory = memory.context("nothing was mapped")?;
    // A fault for each page; madvise() takes the lock, too, and is not counted.
    memory.advise(MmapAdvise::MADV_NOHUGEPAGE)?;
    let touched = Taken::by("a page fault for each page", || memory.touch(0..bytes))?;
    let unmapped = Taken::by("munmap()", || {
        drop(memory);
        Ok(())
    })?;
    ensure!(
        touched.faults >= PAGES as u64,
        "{PAGES} pages were touched, with {} faults",
        touched.faults
    );
    let locks = calls(lab, bytes)?;

    let all = [&mapped, &touched, &unmapped];
    let mut table = Table::new(
        format!("{PAGES} pages: how often mmap_lock was taken ({ACQUIRED})"),
        ["what was done", "page faults", "as a reader", "as a writer"],
    );
    for taken in all {
        table.row([
            taken.what.into(),
            taken.faults.to_string(),
            taken.readers.to_string(),
            taken.writers.to_string(),
        ]);
    }
    // Even where a VMA has a lock of its own, some faults need this one: that for its first page does.
    let each = touched.readers as u64 >= touched.faults * 9 / 10;
    let hardly = (touched.readers as u64) < touched.faults / 10;
    let mut finding = Finding::new(format!(
        "{} took mmap_lock {}",
        plural(touched.faults, "page fault"),
        plural(touched.readers, "time")
    ))
    .statement(
        "Each page fault takes mmap_lock as a reader",
        match (each, hardly) {
            (true, _) => Verdict::Confirmed,
            (_, true) => Verdict::Outdated,
            _ => Verdict::Config,
        },
        format!(
            "{} for {} faults",
            plural(touched.readers, "time"),
            touched.faults
        ),
    )
    .statement(
        "mmap() and munmap() take it as a writer",
        Verdict::of(mapped.writers > 0 && unmapped.writers > 0),
        format!(
            "{} and {}",
            plural(mapped.writers, "time"),
            plural(unmapped.writers, "time")
        ),
    )
    .table(table);
    if let Some((faults, vma_locks)) = locks {
        let mut table = Table::new(
            "The same faults, by calls of the kernel's functions",
            ["function", "for", "calls"],
        );
        table.row([FAULT.into(), "the fault".into(), faults.to_string()]);
        table.row([
            VMA_LOCK.into(),
            "the lock of its VMA".into(),
            vma_locks.to_string(),
        ]);
        finding = finding.table(table).fact("vma_locks", vma_locks as u64);
    }
    Ok(finding.fact("readers", touched.readers as u64).instead(
        "Since Linux 6.4 a fault takes a lock of the one VMA that it is in, and mmap_lock only if that cannot do: for the \
         first page of a VMA, or a VMA that is just being changed. So threads that fault do not wait for one that \
         maps.",
    ))
}

/// How often the kernel handled a fault and took a VMA's lock for it, if it can be asked.
fn calls(lab: &Lab, bytes: usize) -> Result<Option<(usize, usize)>> {
    let config = Config::read(&lab.machine.release)?;
    let option = config.as_ref().and_then(|config| config.line(OPTION));
    if option != Some("CONFIG_PER_VMA_LOCK=y") {
        return Ok(None);
    }
    let memory = Anonymous::small(bytes)?;
    let calls = match trace::calls(&[VMA_LOCK, FAULT], || memory.touch(0..bytes)) {
        // Without a tracer of functions, the events have to do.
        Err(err) if err.is::<NotTestable>() => return Ok(None),
        traced => traced?.1,
    };
    let count = |name: &str| {
        calls
            .iter()
            .filter(|call: &&Call| call.name == name)
            .count()
    };
    Ok(Some((count(FAULT), count(VMA_LOCK))))
}
