// SPDX-License-Identifier: MIT OR Apache-2.0

//! D10: what a stack meets that grows, and what a heap.

use crate::{
    finding::plural,
    growth::{grow_heap, grow_stack, Ended},
    read, Claim, Document, Finding, Lab, Table, Verdict, Vm,
};
use anyhow::{ensure, Context as _, Result};
use mapwright::page_bytes;
use nix::libc;
use procfs::process::{MMapPath, MemoryMap, Process};

pub const CLAIM: Claim = Claim {
    id: "D10",
    title: "Stack and heap collide",
    sources: &[
        Document::Reference.section("2.3, What's in User Space?"),
        Document::Reference.section("2.6, Stack vs Heap Collision"),
        Document::Reference.section("5, User Space Memory Layout"),
    ],
    says: "The stack grows down and the heap up, with a gap between them. On 32-bit ARM the two can meet; a gap of \
           zero is a segmentation fault.",
    needs: &[],
    vms: &[Vm::Normal, Vm::Arm, Vm::Arm64],
    prove,
};

/// Bytes that the child's stack may have.
const LIMIT: u64 = 4 << 20;
/// How far from the stack's or the heap's end something is mapped, in pages.
const BELOW: usize = 700;
const ABOVE: usize = 32;
/// Pages that a kernel keeps free below a stack, if it is not told otherwise.
const USUAL_GAP: usize = 256;

fn prove(lab: &Lab) -> Result<Finding> {
    let page = page_bytes();
    let maps = Process::myself()?
        .maps()
        .context("reading /proc/self/maps")?;
    let maps: Vec<&MemoryMap> = maps.iter().collect();
    let (heap, stack) = (find(&maps, MMapPath::Heap)?, find(&maps, MMapPath::Stack)?);
    let between = maps
        .iter()
        .filter(|map| map.address.0 >= heap.address.1 && map.address.1 <= stack.address.0)
        .count();
    let (start, end) = (
        usize::try_from(stack.address.0)?,
        usize::try_from(stack.address.1)?,
    );
    // What was allocated to read the mappings may have moved the heap's end.
    // SAFETY: It only asks where that is.
    let heap_end = unsafe { libc::syscall(libc::SYS_brk, 0usize) } as usize;
    let heap_end = heap_end.next_multiple_of(page);

    let alone = grow_stack(start, LIMIT, None)?;
    let other = start - BELOW * page;
    let room = (end - start + 2 * BELOW * page) as u64;
    let met = grow_stack(start, room, Some(other))?;
    let grown = grow_heap(heap_end, ABOVE)?;
    // The store that failed was to the first page that the stack does not have.
    let last_page = |ended: Ended| -> Result<usize> {
        let address = ended.address().context("nothing stops a stack")?;
        Ok(address / page * page + page)
    };
    let size = end - last_page(alone)?;
    let gap = (last_page(met)?.checked_sub(other + page))
        .context("the stack has grown into another mapping")?
        / page;
    let heap_gap = grown
        .address()
        .and_then(|at| (heap_end + ABOVE * page).checked_sub(at));
    let heap_gap = heap_gap.context("the heap has grown into another mapping")? / page;
    ensure!(
        size as u64 <= LIMIT,
        "a stack of {LIMIT} bytes has grown to {size}"
    );

    let mut table = Table::new(
        "Children that use one page after the other, until something stops them",
        ["what grows", "towards", "it ended at", "pages left", "with"],
    );
    let hex = |address: usize| format!("{address:#x}");
    let at = |ended: Ended| ended.address().map_or("none".into(), hex);
    let limit = format!(
        "RLIMIT_STACK, {} KiB: {}",
        LIMIT >> 10,
        hex(end.saturating_sub(LIMIT as usize))
    );
    let left = (LIMIT as usize - size) / page;
    table.row([
        "the stack".into(),
        limit,
        at(alone),
        left.to_string(),
        alone.describe().into(),
    ]);
    let mapping = format!("a mapping that ends at {}", hex(other + page));
    table.row([
        "the stack".into(),
        mapping,
        at(met),
        gap.to_string(),
        met.describe().into(),
    ]);
    let mapping = format!("a mapping at {}", hex(heap_end + ABOVE * page));
    table.row([
        "the heap".into(),
        mapping,
        at(grown),
        heap_gap.to_string(),
        grown.describe().into(),
    ]);
    Ok(Finding::new(format!(
        "{} between heap and stack; a stack ends {} before another mapping",
        plural(between, "mapping"),
        plural(gap, "page")
    ))
    .statement(
        "Between heap and stack is nothing but a gap",
        Verdict::of(between == 0),
        format!(
            "{} between them, over {} MiB",
            plural(between, "mapping"),
            (start - heap_end) >> 20
        ),
    )
    .said_in(&[
        Document::Reference.section("2.3, What's in User Space?"),
        Document::Reference.section("5, User Space Memory Layout"),
    ])
    .statement(
        "A stack that cannot grow is a segmentation fault",
        Verdict::of(alone.is_fault() && met.is_fault()),
        format!("{} at its limit, {} before another mapping", alone.describe(), met.describe()),
    )
    .said_in(&[Document::Reference.section("2.6, Stack vs Heap Collision")])
    .statement(
        "That is when the gap is zero",
        Verdict::of(gap == 0),
        format!(
            "{} left before the other mapping; the kernel keeps {} free (stack_guard_gap)",
            plural(gap, "page"),
            kept(lab)?
        ),
    )
    .said_in(&[Document::Reference.section("2.6, Stack vs Heap Collision")])
    .statement(
        "A heap that meets something else is one, too",
        Verdict::of(grown.is_fault()),
        format!(
            "{}, {} before another mapping: brk() does not move the heap's end",
            grown.describe(),
            plural(heap_gap, "page")
        ),
    )
    .said_in(&[
        Document::Reference.section("2.3, What's in User Space?"),
        Document::Reference.section("2.6, Stack vs Heap Collision"),
    ])
    .table(table)
    .table(places(&maps, heap, stack))
    .fact("gap", gap as u64)
    .instead(
        "Libraries, files and what mmap() gives are between the two. A stack ends at RLIMIT_STACK, or stack_guard_gap \
         pages (256) before the next mapping below it, whichever it comes to first. A heap that cannot grow is an error of \
         brk(), and malloc() asks mmap() instead.",
    ))
}

fn find<'a>(maps: &[&'a MemoryMap], path: MMapPath) -> Result<&'a MemoryMap> {
    let map = maps.iter().find(|map| map.pathname == path);
    map.copied()
        .with_context(|| format!("/proc/self/maps has no {path:?}"))
}

/// Pages that the kernel was told to keep free below a stack.
fn kept(lab: &Lab) -> Result<usize> {
    let words = lab.machine.command_line.split_whitespace();
    let gap = words
        .filter_map(|word| word.strip_prefix("stack_guard_gap="))
        .next_back();
    gap.map_or(Ok(USUAL_GAP), |pages| {
        pages.parse().context("stack_guard_gap is no number")
    })
}

/// Heap and stack, and the mappings nearest to them.
fn places(maps: &[&MemoryMap], heap: &MemoryMap, stack: &MemoryMap) -> Table {
    let mut table = Table::new(
        "From the heap to the stack, in /proc/self/maps: these two and what is next to them",
        ["mapping", "addresses", "KiB", "KiB to the next one"],
    );
    let place = |of: &MemoryMap| {
        maps.iter()
            .position(|map| map.address == of.address)
            .unwrap_or(0)
    };
    let (first, last) = (place(heap), place(stack));
    for (at, map) in maps.iter().enumerate().take(last + 1).skip(first) {
        if at > first + 2 && at + 2 < last {
            continue;
        }
        let name = match &map.pathname {
            MMapPath::Path(path) => read::file_name(path),
            other => format!("{other:?}").to_lowercase(),
        };
        let next = maps.get(at + 1).filter(|_| at < last);
        let next = next.map(|next| ((next.address.0 - map.address.1) >> 10).to_string());
        table.row([
            name,
            format!("{:x}-{:x}", map.address.0, map.address.1),
            ((map.address.1 - map.address.0) >> 10).to_string(),
            next.unwrap_or_default(),
        ]);
    }
    table
}
