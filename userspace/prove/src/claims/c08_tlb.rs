// SPDX-License-Identifier: MIT OR Apache-2.0

//! C8: what the TLB gains, and what a change of the page tables costs other processors.

use crate::{
    anonymous::Anonymous, finding::plural, pin::Pinned, read::text, Claim, Document, Finding, Lab,
    Need, Table, Verdict, Vm,
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{block_bytes, page_bytes};
use std::{
    hint::{black_box, spin_loop},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Instant,
};

pub const CLAIM: Claim = Claim {
    id: "C8",
    title: "The TLB",
    sources: &[
        Document::Walkthrough.section("1, Big picture"),
        Document::Walkthrough.section("6, Page tables & huge pages"),
        Document::Memory.section("10, Virtual Memory & Paging"),
        Document::Memory.section("13, Interview Prep, Q9"),
        Document::Reference.section("0.5, TLB"),
        Document::Overview.section("5, Page Tables"),
    ],
    says: "The TLB caches translations: a hit is nearly free, a miss costs a walk, and huge pages need \
           fewer entries. When a processor changes a page table, it interrupts the others that use it \
           (a TLB shootdown).",
    needs: &[Need::Arch(&["x86_64", "aarch64"]), Need::Cpus(2)],
    vms: &[Vm::Normal, Vm::Arm64],
    prove,
};

/// Mappings that are made, touched and unmapped.
const UNMAPPED: usize = 200;
/// Shootdowns for them that are no chance.
const ENOUGH: u64 = UNMAPPED as u64 / 10;
/// Bytes that are read through.
const MEMORY: usize = 64 << 20;
/// Loads of a measurement.
const LOADS: usize = 400_000;
/// Measurements, of which the fastest counts.
const ROUNDS: usize = 5;
/// A measured ratio above this is not chance.
const CLEARLY: f64 = 1.2;

fn prove(lab: &Lab) -> Result<Finding> {
    let broadcasts = lab.machine.arch == "aarch64";
    let alone = shootdowns(false)?;
    let shared = most_shootdowns()?;
    let (by_byte, by_page, by_huge) = measure()?;
    let emulated = is_emulated()?;
    let (miss, gain) = (by_page / by_byte, by_page / by_huge);
    let timed = |holds: bool| match (holds, emulated) {
        (true, _) => Verdict::Confirmed,
        (false, true) => Verdict::NotTestableHere,
        (false, false) => Verdict::Refuted,
    };
    let note = match emulated {
        true => " (an emulated processor: its TLB is the emulator's, which knows only the smallest pages)",
        false => "",
    };
    let mut table = Table::new(
        format!("{UNMAPPED} pages are mapped, touched and unmapped on one processor"),
        ["meanwhile, on another processor", "interrupts for it"],
    );
    table.row(["nothing of this program".into(), alone.to_string()]);
    table.row(["a thread of it runs".into(), shared.to_string()]);
    let mut times = Table::new(
        format!(
            "{LOADS} loads from {} MiB, the fastest of {ROUNDS}",
            MEMORY >> 20
        ),
        ["one load after the other is", "pages", "ns per load"],
    );
    for (what, bytes, ns) in [
        ("64 bytes on", page_bytes(), by_byte),
        ("a page on", page_bytes(), by_page),
        ("a page on", block_bytes(), by_huge),
    ] {
        let pages = match bytes >> 20 {
            0 => format!("{} KiB", bytes >> 10),
            mib => format!("{mib} MiB"),
        };
        times.row([what.into(), pages, format!("{ns:.1}")]);
    }
    Ok(Finding::new(format!(
        "{} for {UNMAPPED} unmaps beside a running thread, {alone} without",
        plural(shared, "interrupt")
    ))
    .statement(
        "A changed page table costs an interrupt of each other processor that uses it",
        match shared >= ENOUGH && alone < shared / 4 {
            true => Verdict::Confirmed,
            false => Verdict::Refuted.if_else(!broadcasts, Verdict::Config),
        },
        format!(
            "{shared} with a thread on another processor, {alone} without one{}",
            match broadcasts {
                true => ": the processor tells the others itself, by an instruction (TLBI)",
                false => "",
            }
        ),
    )
    .said_in(&[
        Document::Memory.section("10, Virtual Memory & Paging"),
        Document::Memory.section("13, Interview Prep, Q9"),
    ])
    .statement(
        "Loads that stay in a page are faster than loads that change it",
        timed(miss > CLEARLY),
        format!("{miss:.1} times{note}"),
    )
    .said_in(&[
        Document::Walkthrough.section("1, Big picture"),
        Document::Memory.section("10, Virtual Memory & Paging"),
        Document::Reference.section("0.5, TLB"),
    ])
    .statement(
        "Huge pages make loads that change the page faster",
        timed(gain > CLEARLY),
        format!("{gain:.1} times{note}"),
    )
    .said_in(&[
        Document::Walkthrough.section("6, Page tables & huge pages"),
        Document::Memory.section("10, Virtual Memory & Paging"),
    ])
    .table(table)
    .table(times))
}

/// Shootdowns beside a running thread: the most of some rounds. While something else runs on the
/// thread's processor, that one needs no interrupt.
fn most_shootdowns() -> Result<u64> {
    let mut most = 0;
    for _ in 0..ROUNDS {
        most = most.max(shootdowns(true)?);
        if most >= UNMAPPED as u64 / 2 {
            break;
        }
    }
    Ok(most)
}

/// Maps, touches and unmaps pages on one processor, perhaps while another thread runs on a second one;
/// returns how many shootdowns the processors have received in that time.
fn shootdowns(with_thread: bool) -> Result<u64> {
    let (running, ended) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        let other = with_thread.then(|| {
            scope.spawn(|| {
                let pinned = Pinned::to(1);
                running.store(true, Ordering::Release);
                while !ended.load(Ordering::Acquire) {
                    spin_loop();
                }
                pinned.map(drop)
            })
        });
        let counted = scope.spawn(|| -> Result<u64> {
            let _pinned = Pinned::to(0)?;
            while with_thread && !running.load(Ordering::Acquire) {
                thread::yield_now();
            }
            let before = received()?;
            for _ in 0..UNMAPPED {
                let page = page_bytes();
                Anonymous::small(page)?.touch(0..page)?;
            }
            Ok(received()? - before)
        });
        let counted = counted.join();
        ended.store(true, Ordering::Release);
        if let Some(other) = other {
            other.join().ok().context("the other thread panicked")??;
        }
        counted.ok().context("a thread panicked")?
    })
}

/// TLB shootdowns that all processors have received since the boot; where the kernel has no interrupt of
/// its own for them, all calls of a function on another processor.
fn received() -> Result<u64> {
    parse_received(&text("/proc/interrupts")?)
}

fn parse_received(interrupts: &str) -> Result<u64> {
    let line = interrupts
        .lines()
        .find(|line| line.trim_start().starts_with("TLB:"))
        .or_else(|| {
            let mut lines = interrupts.lines();
            lines.find(|line| line.ends_with("Function call interrupts"))
        })
        .context("/proc/interrupts counts no TLB shootdowns")?;
    Ok(line
        .split_whitespace()
        .filter_map(|word| word.parse::<u64>().ok())
        .sum())
}

/// Nanoseconds of a load: nearly always in the same small page, each in another, each in another part of
/// huge pages.
fn measure() -> Result<(f64, f64, f64)> {
    let (small, huge) = (
        Anonymous::small(MEMORY)?,
        Anonymous::huge(MEMORY + block_bytes())?,
    );
    small.populate(0..small.len())?;
    huge.populate(0..huge.len())?;
    let by_byte = fastest(&small, 64);
    // A line further in each page, so that the loads do not share a place in the data cache.
    let by_page = fastest(&small, page_bytes() + 64);
    let by_huge = fastest(&huge, page_bytes() + 64);
    ensure!(by_byte > 0.0 && by_huge > 0.0, "the clock stands still");
    Ok((by_byte, by_page, by_huge))
}

fn fastest(memory: &Anonymous, stride: usize) -> f64 {
    let time = |_| {
        let start = Instant::now();
        black_box(memory.sum(LOADS, stride));
        start.elapsed().as_nanos() as f64 / LOADS as f64
    };
    (0..ROUNDS).map(time).fold(f64::MAX, f64::min)
}

/// Whether the processor says that QEMU emulates it.
#[cfg(target_arch = "x86_64")]
fn is_emulated() -> Result<bool> {
    // The hypervisor's signature: `TCGTCGTCGTCG`.
    // SAFETY: The instruction is there on each x86-64 processor; a leaf that it lacks has other bytes.
    let leaf = unsafe { std::arch::x86_64::__cpuid(0x4000_0000) };
    Ok(leaf.ebx.to_le_bytes() == *b"TCGT")
}

#[cfg(not(target_arch = "x86_64"))]
use crate::read::is_emulated;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shootdowns_of_all_processors_are_added() {
        let text = "           CPU0       CPU1\n LOC:   1  2  Local timer\n TLB:         12         30   TLB shootdowns\n";
        assert_eq!(parse_received(text).unwrap(), 42);
        let text = "IPI0:  3  4  Rescheduling interrupts\nIPI1:  5  6  Function call interrupts\n";
        assert_eq!(parse_received(text).unwrap(), 11);
        assert!(parse_received("").is_err());
    }
}
