// SPDX-License-Identifier: MIT OR Apache-2.0

//! D15: what a context switch does to the TLB, and how many entries that has.

use crate::{
    anonymous::Anonymous,
    pin::Pinned,
    read::{is_emulated, text, trace},
    Claim, Document, Finding, Lab, Need, Source, Table, Verdict, Vm,
};
use anyhow::{ensure, Context as _, Result};
use mapwright::page_bytes;
use nix::{
    libc,
    sys::wait::waitpid,
    unistd::{fork, gettid, ForkResult},
};
use std::{
    hint::black_box,
    io::{Read as _, Write as _},
    ops::RangeInclusive,
    os::unix::net::UnixStream,
    thread,
    time::Instant,
};

pub const CLAIM: Claim = Claim {
    id: "D15",
    title: "The TLB over context switches",
    sources: &[
        Document::Memory.section("10, Virtual Memory & Paging"),
        Document::Reference.section("0.5, TLB"),
    ],
    says: "A context switch flushes all TLB entries of a process. A TLB has 32, or 64, to 1024 entries.",
    needs: &[
        Need::Arch(&["x86_64", "aarch64"]),
        Need::File(SWITCH, "tracefs mounted there"),
    ],
    vms: &[Vm::Normal, Vm::Arm64],
    prove,
};

const SWITCH: &str = "/sys/kernel/tracing/events/sched/sched_switch";
/// Bytes that are sent to the partner and back, one at a time.
const TURNS: usize = 300;
/// What the documents say of the TLB's size, and which.
const CLAIMED: [(RangeInclusive<usize>, Source); 2] = [
    (
        64..=1024,
        Document::Memory.section("10, Virtual Memory & Paging"),
    ),
    (32..=1024, Document::Reference.section("0.5, TLB")),
];
/// Pages whose loads are timed, most last.
const MOST_PAGES: usize = 16384;
/// Loads of a measurement, and what is clearly dearer.
const LOADS: usize = 400_000;
const CLEARLY: f64 = 1.5;

/// What was seen while this thread and a partner took turns on one processor.
struct Switching {
    partner: &'static str,
    switches: usize,
    flushes: usize,
}

impl Switching {
    fn all(&self) -> bool {
        self.flushes * 10 >= self.switches * 9
    }

    fn hardly_any(&self) -> bool {
        self.flushes * 10 <= self.switches
    }
}

fn prove(lab: &Lab) -> Result<Finding> {
    let (other, thread) = (with_process()?, with_thread()?);
    for switching in [&other, &thread] {
        ensure!(
            switching.switches >= TURNS / 2,
            "{TURNS} turns with {} took {} switches",
            switching.partner,
            switching.switches
        );
    }
    let mut table = Table::new(
        format!("This thread and another one take {TURNS} turns on one processor (sched_switch, {FLUSH})"),
        ["the other one", "switches to it", "of them with a flush"],
    );
    for switching in [&other, &thread] {
        table.row([
            switching.partner.into(),
            switching.switches.to_string(),
            switching.flushes.to_string(),
        ]);
    }
    let tags = tags(lab)?;
    let finding = Finding::new(format!(
        "{} of {} switches to another process flushed: {tags}",
        other.flushes, other.switches
    ))
    .statement(
        "A context switch flushes the TLB",
        match (other.all(), other.hardly_any()) {
            (true, _) => Verdict::Confirmed,
            (_, true) => Verdict::Outdated,
            _ => Verdict::Config,
        },
        format!(
            "{} of {} switches to another process did: {tags}",
            other.flushes, other.switches
        ),
    )
    .said_in(&[Document::Memory.section("10, Virtual Memory & Paging")]);
    Ok(entries(finding)?
        .fact("flushes", other.flushes as u64)
        .fact("switches", other.switches as u64)
        .table(table)
        .instead(
            "A processor that tags its TLB's entries with the process they are of (ASID on ARM, PCID on x86, used since Linux \
             4.14) keeps them over a switch. Only one without tags, or whose tags are used up, has to flush.",
        ))
}

/// Whether the processor knows of which process an entry is.
fn tags(lab: &Lab) -> Result<&'static str> {
    let flagged = text("/proc/cpuinfo")?
        .split_whitespace()
        .any(|flag| flag == "pcid");
    Ok(match (lab.machine.arch.as_str(), flagged) {
        ("aarch64", _) => "the processor tags its entries (ASID)",
        (_, true) => "the processor tags its entries (PCID)",
        (_, false) if lab.machine.booted_with("nopcid") => "the kernel was booted with nopcid",
        (_, false) => "this processor has no tags for its entries (no PCID)",
    })
}

/// Turns with a child.
fn with_process() -> Result<Switching> {
    let _pinned = Pinned::to(0)?;
    let (ours, mut theirs) = UnixStream::pair()?;
    // SAFETY: The child only makes system calls on what it was given, and ends.
    match unsafe { fork() }? {
        ForkResult::Child => {
            drop(ours);
            answer(&mut theirs);
            // SAFETY: Ends the child without running what belongs to the parent.
            unsafe { libc::_exit(0) }
        }
        ForkResult::Parent { child } => {
            drop(theirs);
            let switching = turns("another process", ours, child.as_raw());
            waitpid(child, None)?;
            switching
        }
    }
}

/// Turns with a thread of this process.
fn with_thread() -> Result<Switching> {
    let _pinned = Pinned::to(0)?;
    let (ours, mut theirs) = UnixStream::pair()?;
    let (send, receive) = std::sync::mpsc::channel();
    let partner = thread::spawn(move || {
        // The parent waits for this.
        let _ = send.send(gettid().as_raw());
        answer(&mut theirs);
    });
    let number = receive.recv().context("a thread has not begun")?;
    let switching = turns("a thread of this process", ours, number);
    partner.join().ok().context("a thread panicked")?;
    switching
}

/// Sends each byte back, until there are no more.
fn answer(stream: &mut UnixStream) {
    let mut byte = [0];
    while stream.read_exact(&mut byte).is_ok() && stream.write_all(&byte).is_ok() {}
}

fn turns(partner: &'static str, mut stream: UnixStream, number: i32) -> Result<Switching> {
    let turn = |stream: &mut UnixStream| -> Result<()> {
        stream.write_all(b"x")?;
        Ok(stream.read_exact(&mut [0])?)
    };
    // What is copied after a fork, and has to be flushed for that, is over then.
    for _ in 0..10 {
        turn(&mut stream)?;
    }
    let (switches, flushes) = count(number, || (0..TURNS).try_for_each(|_| turn(&mut stream)))?;
    Ok(Switching {
        partner,
        switches,
        flushes,
    })
}

/// Switches from this thread to the thread `next` while `f` runs, and flushes by them.
#[cfg(target_arch = "x86_64")]
fn count(next: i32, mut f: impl FnMut() -> Result<()>) -> Result<(usize, usize)> {
    let ((), events) = trace::record(&["sched:sched_switch", "tlb:tlb_flush"], |_| f())?;
    let (mut switches, mut flushes, mut switching) = (0, 0, false);
    for event in &events {
        let text = event.text();
        if event.name == "sched_switch" {
            switching = is_to(event, next);
            switches += usize::from(switching);
        } else if switching && text.contains("task switch") {
            // The first event after it is the switch's own.
            flushes += usize::from(text.contains("pages:-1"));
            switching = false;
        }
    }
    Ok((switches, flushes))
}

#[cfg(target_arch = "x86_64")]
const FLUSH: &str = "tlb_flush";

/// The same where no event tells of a flush: a new tag may bring one, if they are used up.
#[cfg(not(target_arch = "x86_64"))]
fn count(next: i32, mut f: impl FnMut() -> Result<()>) -> Result<(usize, usize)> {
    // Another thread may run in between, and be the one that switches to it.
    let mut was_called = false;
    for _ in 0..5 {
        was_called = was_called || !new_process()?.is_empty();
    }
    ensure!(
        was_called,
        "a process that is new has no tag, and {FLUSH}() was not called for it"
    );
    let ((), events) = trace::record(&["sched:sched_switch"], |_| f())?;
    let ((), calls) = trace::calls(&[FLUSH], || f())?;
    let switches = events.iter().filter(|event| is_to(event, next));
    Ok((switches.count(), calls.len()))
}

/// Calls when this thread waits for a process that has never run.
#[cfg(not(target_arch = "x86_64"))]
fn new_process() -> Result<Vec<trace::Call>> {
    let ((), calls) = trace::calls(&[FLUSH], || {
        // SAFETY: The child ends at once.
        match unsafe { fork() }? {
            // SAFETY: Ends the child without running what belongs to the parent.
            ForkResult::Child => unsafe { libc::_exit(0) },
            ForkResult::Parent { child } => waitpid(child, None)?,
        };
        Ok(())
    })?;
    Ok(calls)
}

#[cfg(not(target_arch = "x86_64"))]
const FLUSH: &str = "new_context";

fn is_to(event: &trace::Event, next: i32) -> bool {
    event.name == "sched_switch" && event.field("next_pid") == next.to_string()
}

/// How many small pages can be used in turn before loads become dearer than those from huge ones.
fn entries(finding: Finding) -> Result<Finding> {
    if is_emulated()? {
        let why = "QEMU emulates this processor: its TLB is a table of the emulator's, and loads take the time that emulating \
                   them takes";
        return Ok(sized(finding, |_| Verdict::NotTestableHere, why));
    }
    // The same loads with huge pages need few entries, and as much of the data caches.
    let small = Anonymous::small(MOST_PAGES * page_bytes())?;
    let huge = Anonymous::huge(MOST_PAGES * page_bytes())?;
    small.populate(0..small.len())?;
    huge.populate(0..huge.len())?;
    let mut table = Table::new(
        "Loads from one page after the other, around and around",
        ["pages", "ns for a load", "ns where huge pages map them"],
    );
    let mut reach = None;
    let mut pages = 16;
    while pages <= MOST_PAGES {
        let best =
            |memory: &Anonymous| (0..3).map(|_| time(memory, pages)).fold(f64::MAX, f64::min);
        let (ns, of_huge) = (best(&small), best(&huge));
        table.row([
            pages.to_string(),
            format!("{ns:.2}"),
            format!("{of_huge:.2}"),
        ]);
        if ns > CLEARLY * of_huge && reach.is_none() {
            reach = Some(pages / 2);
        }
        pages *= 2;
    }
    let finding = finding.table(table);
    Ok(match reach {
        None => sized(
            finding,
            |_| Verdict::NotTestableHere,
            "loads from many small pages are not clearly dearer than those from huge ones",
        ),
        Some(pages) => sized(
            finding,
            |claimed| Verdict::Confirmed.if_else(claimed.contains(&pages), Verdict::Config),
            &format!("with more than {pages} pages in turn, a load takes {CLEARLY} times as long as from a huge one"),
        ),
    })
}

/// What each document says of the TLB's size.
fn sized(
    finding: Finding,
    verdict: impl Fn(&RangeInclusive<usize>) -> Verdict,
    observed: &str,
) -> Finding {
    CLAIMED.iter().fold(finding, |finding, (claimed, source)| {
        let says = format!("A TLB has {} to {} entries", claimed.start(), claimed.end());
        finding
            .statement(says, verdict(claimed), observed)
            .said_in(&[*source])
    })
}

/// Nanoseconds of a load, each from another one of so many pages.
fn time(memory: &Anonymous, pages: usize) -> f64 {
    let begun = Instant::now();
    // A line further in each page, so that the loads do not share a place in the data cache.
    let around = LOADS / pages;
    for _ in 0..around.max(1) {
        black_box(memory.sum(pages, page_bytes() + 64));
    }
    begun.elapsed().as_nanos() as f64 / (around.max(1) * pages) as f64
}
