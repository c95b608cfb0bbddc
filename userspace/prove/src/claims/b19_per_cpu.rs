// SPDX-License-Identifier: MIT OR Apache-2.0

//! B19: counters of each processor's own against one that all share.

use crate::{
    pin::Pinned, read::is_emulated, Claim, Document, Finding, Lab, Need, Table, Verdict, Vm,
};
use anyhow::{ensure, Context as _, Result};
use std::{
    hint,
    sync::{
        atomic::{AtomicU64, AtomicUsize, Ordering},
        Barrier,
    },
    thread,
    time::{Duration, Instant},
};

pub const CLAIM: Claim = Claim {
    id: "B19",
    title: "Per-CPU memory",
    sources: &[Document::Walkthrough.section("10, NUMA, per-CPU, and memory control")],
    says: "Per-CPU memory avoids that cache lines go to and fro between processors.",
    needs: &[Need::Cpus(2)],
    vms: &[Vm::Normal],
    prove,
};

/// How long it is counted in a round: so short that often both processors run all the time.
const WINDOW: Duration = Duration::from_millis(2);
/// Each way is measured so often.
const ROUNDS: usize = 100;
/// So many times as fast is faster.
const CLEAR: f64 = 1.2;
/// Increments between two looks at the clock.
const BETWEEN: u64 = 256;

/// Two counters in a cache line that no other shares, nor the next one that is fetched with it.
#[repr(align(128))]
#[derive(Default)]
struct Line([AtomicU64; 2]);

/// As a counter of the processor's own is added to: by plain instructions.
fn plain(counter: &AtomicU64) {
    counter.store(
        counter.load(Ordering::Relaxed).wrapping_add(1),
        Ordering::Relaxed,
    );
}

/// As a counter that others use, too, has to be.
fn atomic(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn prove(_: &Lab) -> Result<Finding> {
    let lines = [Line::default(), Line::default()];
    let [[first, neighbour], [second, _]] = lines.each_ref().map(|line| line.0.each_ref());
    let per_cpu = best([first, second], plain)?;
    let one_line = best([first, neighbour], plain)?;
    let own = best([first, second], atomic)?;
    let shared = best([first, first], atomic)?;
    let mut table = Table::new(
        format!(
            "Increments by two processors in {} ms, the best of {ROUNDS} rounds in which both counted all the time",
            WINDOW.as_millis()
        ),
        ["counters", "increment", "increments", "nanoseconds for one", "rounds"],
    );
    for (name, how, score) in [
        ("each its own, as per-CPU memory", "plain", &per_cpu),
        ("each its own, both in one cache line", "plain", &one_line),
        ("each its own, as per-CPU memory", "atomic", &own),
        ("one that they share", "atomic", &shared),
    ] {
        table.row([
            name.to_owned(),
            how.to_owned(),
            score.increments.to_string(),
            format!("{:.2}", WINDOW.as_nanos() as f64 / score.increments as f64),
            score.rounds.to_string(),
        ]);
    }
    let times = |of: &Score, than: &Score| of.increments as f64 / than.increments as f64;
    let ratio = times(&per_cpu, &shared);
    let (plainly, atomically) = (times(&per_cpu, &one_line), times(&own, &shared));
    let of_lines = plainly.max(atomically);
    Ok(Finding::new(format!(
        "{ratio:.1} times as many increments as of one shared atomic counter; {plainly:.1} times as many as with both \
         counters in one cache line"
    ))
        .statement(
            "Counters of each processor's own are faster than one that processors share",
            Verdict::of(ratio > CLEAR),
            format!("{} increments against {}", per_cpu.increments, shared.increments),
        )
        .statement(
            "That is because cache lines do not go to and fro",
            match (of_lines > CLEAR, is_emulated()?) {
                (true, _) => Verdict::Confirmed,
                (false, true) => Verdict::NotTestableHere,
                (false, false) => Verdict::Refuted,
            },
            format!(
                "with the same instructions, counters in lines of their own are {plainly:.1} times as fast as two in one \
                 line (plain), and {atomically:.1} times as fast as a shared one (atomic)"
            ),
        )
        .table(table)
        .instead(
            "The counters are in the memory of a program. Per-CPU memory saves two things: cache lines stay where they \
             are, and no atomic instruction is needed. Emulated processors are threads on real ones, with real caches; \
             but the emulator spends so much on each instruction, and more on atomic ones, that less is seen of the \
             first than on hardware.",
        ))
}

struct Score {
    increments: u64,
    /// Rounds in which both counted.
    rounds: usize,
}

/// The most increments in a round in which both processors were at work.
fn best(counters: [&AtomicU64; 2], add: impl Fn(&AtomicU64) + Copy + Sync) -> Result<Score> {
    let mut score = Score {
        increments: 0,
        rounds: 0,
    };
    for _ in 0..ROUNDS {
        let counts = count(counters, add)?;
        let [less, more] = [counts[0].min(counts[1]), counts[0].max(counts[1])];
        // The machine's host may have something else to do.
        if less * 2 >= more {
            score.rounds += 1;
            score.increments = score.increments.max(less + more);
        }
    }
    ensure!(
        score.rounds > 0,
        "in {ROUNDS} rounds, the two processors never ran at the same time"
    );
    Ok(score)
}

/// How often two threads, on processors 0 and 1, increment their counters in the same window of time.
fn count(counters: [&AtomicU64; 2], add: impl Fn(&AtomicU64) + Copy + Sync) -> Result<[u64; 2]> {
    let begin = Barrier::new(2);
    let ready = AtomicUsize::new(0);
    let run = |cpu: usize| -> Result<u64> {
        let pinned = Pinned::to(cpu);
        begin.wait();
        // Together, to the microsecond.
        ready.fetch_add(1, Ordering::AcqRel);
        while ready.load(Ordering::Acquire) < 2 {
            hint::spin_loop();
        }
        let begun = Instant::now();
        let mut count = 0;
        while begun.elapsed() < WINDOW {
            for _ in 0..BETWEEN {
                add(counters[cpu]);
            }
            count += BETWEEN;
        }
        pinned.map(|_| count)
    };
    let run = &run;
    thread::scope(|scope| {
        let other = scope.spawn(move || run(1));
        let mine = run(0)?;
        let theirs = other.join().ok().context("a thread has panicked")??;
        Ok([mine, theirs])
    })
}
