// SPDX-License-Identifier: MIT OR Apache-2.0

//! B18: how large a kernel stack is, and what lies below it.

use crate::{
    read::{vmallocinfo, vmallocinfo::Area},
    Claim, Document, Finding, Lab, Table, Verdict, Vm,
};
use anyhow::{ensure, Context as _, Result};
use procfs::{Current as _, Meminfo};
use std::{sync::mpsc, thread};

pub const CLAIM: Claim = Claim {
    id: "B18",
    title: "Kernel stack",
    sources: &[Document::Reference.section("Stack Size and Overflow Protection")],
    says: "A kernel stack has a fixed size, 8 KB on most systems, and to overflow it is a kernel panic.",
    needs: &[],
    vms: &[Vm::Normal, Vm::Arm, Vm::Arm64],
    prove,
};

/// Threads that are started: each has a kernel stack.
const THREADS: usize = 64;
/// What the documents say.
const CLAIMED: u64 = 8 << 10;

fn prove(lab: &Lab) -> Result<Finding> {
    let before = stacks()?;
    let running = with_threads(THREADS, stacks)??;
    ensure!(
        running.bytes > before.bytes,
        "{THREADS} threads were started, and KernelStack in /proc/meminfo did not grow"
    );
    // Others start and end threads at the same time, and the kernel keeps some stacks for the next.
    let grown = (running.bytes - before.bytes) / THREADS as u64;
    let each = (grown + grown / 2 + 1).next_power_of_two() / 2;
    let mut table = Table::new(
        format!("{THREADS} threads are started, which do nothing"),
        ["seen", "before", "while they live"],
    );
    let row =
        |name: &str, before: u64, now: u64| [name.into(), before.to_string(), now.to_string()];
    table.row(row(
        "KernelStack in /proc/meminfo, bytes",
        before.bytes,
        running.bytes,
    ));
    table.row(row(
        "stacks in /proc/vmallocinfo",
        before.count(),
        running.count(),
    ));
    let finding = Finding::new(format!("{} KiB per thread", each >> 10))
        .statement(
            "A kernel stack has 8 KB",
            Verdict::of(each == CLAIMED),
            format!("{each} bytes: KernelStack grew by {grown} per thread"),
        )
        .table(table);
    match running.areas.first() {
        Some(area) => guarded(finding, area, each, lab.machine.page_size),
        None => Ok(finding.instead(
            "This kernel's stacks are not in the vmalloc area (no CONFIG_VMAP_STACK): nothing guards \
             them. 64-bit x86 has 16 KiB, 32-bit ARM 8 KiB.",
        )),
    }
}

/// What the areas that stacks are in tell besides.
fn guarded(finding: Finding, area: &Area, each: u64, page_size: u64) -> Result<Finding> {
    let mapped = area.pages.unwrap_or(0) * page_size;
    ensure!(
        mapped == each,
        "a stack has {each} bytes as /proc/meminfo counts, and {mapped} in /proc/vmallocinfo"
    );
    let guard = area.bytes - mapped;
    let mut table = Table::new(
        "One of them in /proc/vmallocinfo",
        [
            "made by",
            "bytes of addresses",
            "bytes mapped",
            "left as a guard",
        ],
    );
    table.row([
        area.caller.clone(),
        area.bytes.to_string(),
        mapped.to_string(),
        guard.to_string(),
    ]);
    Ok(finding
        .statement(
            "A guard page beside it catches an overflow",
            Verdict::of(guard > 0),
            format!("{guard} bytes of addresses beside it are mapped to nothing"),
        )
        .said_in(&[Document::Walkthrough.section("11, Security & isolation")])
        .table(table)
        .instead(
            "Stacks are mapped into the vmalloc area, with a page of addresses between two that is not \
             mapped (CONFIG_VMAP_STACK): an overflow is a fault at once, before anything is \
             overwritten. 64-bit x86 has 16 KiB, 32-bit ARM 8 KiB.",
        ))
}

/// Kernel stacks at one time.
struct Stacks {
    /// As `/proc/meminfo` sums them up.
    bytes: u64,
    /// Those that are in the vmalloc area.
    areas: Vec<Area>,
}

impl Stacks {
    fn count(&self) -> u64 {
        self.areas.len() as u64
    }
}

fn stacks() -> Result<Stacks> {
    let meminfo = Meminfo::current().context("reading /proc/meminfo")?;
    Ok(Stacks {
        bytes: meminfo.kernel_stack.unwrap_or(0),
        areas: stack_areas()?,
    })
}

/// The areas of the vmalloc area that stacks are in.
pub fn stack_areas() -> Result<Vec<Area>> {
    let is_stack = |area: &Area| STACK_MAKERS.contains(&area.caller.as_str());
    Ok(vmallocinfo::read()?.into_iter().filter(is_stack).collect())
}

/// Functions that allocate stacks: which of them is told depends on what the compiler has inlined.
const STACK_MAKERS: [&str; 4] = [
    "alloc_thread_stack_node",
    "dup_task_struct",
    "copy_process",
    "kernel_clone",
];

/// What `f` returns while `count` threads live.
fn with_threads<T>(count: usize, f: impl FnOnce() -> T) -> Result<T> {
    thread::scope(|scope| {
        let mut senders = Vec::new();
        for _ in 0..count {
            let (sender, receiver) = mpsc::channel::<()>();
            let begun = thread::Builder::new().stack_size(64 << 10);
            begun
                .spawn_scoped(scope, move || receiver.recv())
                .context("starting a thread")?;
            senders.push(sender);
        }
        // Dropped when this ends: that is what the threads wait for.
        Ok(f())
    })
}
