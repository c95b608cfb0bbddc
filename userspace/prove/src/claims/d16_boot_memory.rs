// SPDX-License-Identifier: MIT OR Apache-2.0

//! D16: who knows of memory at boot, and what becomes of it.

use crate::{
    finding::plural,
    read::{boot_memory, log::Log, zoneinfo},
    Claim, Document, Finding, Lab, Source, Table, Verdict, Vm,
};
use anyhow::{ensure, Context as _, Result};
use boot_memory::{bytes_of, firmware, memblock, system_ram, Memblock};
use procfs::{Current as _, Meminfo};

pub const CLAIM: Claim = Claim {
    id: "D16",
    title: "memblock and the map of memory",
    sources: &[
        Document::Walkthrough.section("3, Physical memory zones"),
        Document::Walkthrough.section("12, Boot"),
        Document::Memory.section("1, Overview"),
    ],
    says: "At boot the kernel learns where memory is from the firmware: e820 on x86, the device tree on ARM. memblock \
           records it, and what is reserved, before the page allocator goes live, into which its reservations are then \
           freed.",
    needs: &[],
    vms: &[Vm::Normal, Vm::Arm, Vm::Arm64],
    prove,
};

/// Where the documents say what memblock does.
const BY_MEMBLOCK: &[Source] = &[
    Document::Walkthrough.section("3, Physical memory zones"),
    Document::Walkthrough.section("12, Boot"),
];
/// How far the sums of the firmware and of the kernel may differ: the kernel keeps the first page on x86.
const NEARLY: u64 = 1 << 20;

fn prove(_: &Lab) -> Result<Finding> {
    let ram = system_ram()?;
    let all = bytes_of(&ram);
    ensure!(
        all > 0,
        "/proc/iomem hides its addresses, or has no System RAM"
    );
    let total = Meminfo::current()
        .context("reading /proc/meminfo")?
        .mem_total;
    let managed: u64 = zoneinfo::read()?.iter().map(|zone| zone.managed()).sum();
    let managed = managed * mapwright::page_size();
    let log = Log::all()?.read()?;
    let memory_line = log
        .iter()
        .zip(1usize..)
        .find_map(|(line, at)| Some((at, available(line)?)));
    let ranges = log
        .iter()
        .position(|line| line.contains("Early memory node ranges"));
    let memblock = memblock()?;

    let mut table = Table::new("Memory at boot, and now", ["what", "MiB", "seen in"]);
    let mib = |bytes: u64| format!("{:.1}", bytes as f64 / f64::from(1 << 20));
    let mut row =
        |what: &str, bytes: u64, note: &str| table.row([what.into(), mib(bytes), note.into()]);
    let from_firmware = firmware()?;
    if let Some((source, ranges)) = &from_firmware {
        row("memory, as the firmware tells", bytes_of(ranges), source);
    }
    row("System RAM", all, "/proc/iomem");
    if let Some(Memblock { memory, reserved }) = &memblock {
        row(
            "memblock's memory",
            bytes_of(memory),
            "/sys/kernel/debug/memblock/memory",
        );
        row(
            "memblock's reservations",
            bytes_of(reserved),
            "/sys/kernel/debug/memblock/reserved",
        );
    }
    if let Some((_, MemoryLine { free, of, .. })) = memory_line {
        row(
            "memory, when the page allocator took over",
            of,
            "the kernel's log",
        );
        row("of that, given to it then", free, "the kernel's log");
    }
    row(
        "managed by the page allocator now",
        managed,
        "/proc/zoneinfo",
    );
    row("MemTotal", total, "/proc/meminfo");

    let mut finding = Finding::new(format!(
        "{} of {} MiB are the page allocator's",
        mib(total),
        mib(all)
    ));
    let says = "Where memory is, the kernel knows from the firmware";
    finding = match &from_firmware {
        None => finding.statement(
            says,
            Verdict::NotTestableHere,
            "this kernel does not show what the firmware told",
        ),
        Some((source, ranges)) => finding.statement(
            says,
            Verdict::of(bytes_of(ranges).abs_diff(all) <= NEARLY),
            format!(
                "{} MiB in {source}, {} MiB of System RAM",
                mib(bytes_of(ranges)),
                mib(all)
            ),
        ),
    }
    .said_in(&[
        Document::Walkthrough.section("12, Boot"),
        Document::Memory.section("1, Overview"),
    ]);
    let says = "memblock records memory and what is reserved of it";
    finding = match &memblock {
        None => finding.statement(
            says,
            Verdict::NotTestableHere,
            "this kernel forgets memblock's lists after boot: it has no CONFIG_ARCH_KEEP_MEMBLOCK, as ARM has",
        ),
        Some(lists) => finding
            .statement(
                says,
                Verdict::of(bytes_of(&lists.memory) == all && !lists.reserved.is_empty()),
                format!(
                    "{} MiB of memory, and {} of {} MiB",
                    mib(bytes_of(&lists.memory)),
                    plural(lists.reserved.len(), "reservation"),
                    mib(bytes_of(&lists.reserved))
                ),
            )
            .table(lists.table()),
    }
    .said_in(BY_MEMBLOCK);
    let says = "It does so before there is a page allocator";
    finding = match (ranges, memory_line) {
        (Some(first), Some((then, _))) => finding.statement(
            says,
            Verdict::of(first < then),
            format!("line {} of the log tells memblock's ranges, line {then} what the page allocator got", first + 1),
        ),
        _ => finding.statement(says, Verdict::NotTestableHere, "the log no longer has the boot's lines"),
    }
    .said_in(BY_MEMBLOCK);
    Ok(taken_over(finding, all, total, managed, memory_line.map(|(_, memory_line)| memory_line)).table(table).instead(
        "What is reserved for the boot only, such as the initramfs and the kernel's own code for it, goes to the page \
         allocator later. The kernel's image and the struct pages never do: MemTotal is without them.",
    ))
}

/// The end of the story: what the page allocator has.
fn taken_over(
    finding: Finding,
    all: u64,
    total: u64,
    managed: u64,
    memory_line: Option<MemoryLine>,
) -> Finding {
    let says = "What is not reserved, the page allocator takes over";
    // Counters of the page allocator are not all of one moment.
    let same = managed.abs_diff(total) <= NEARLY;
    let finding = match memory_line {
        None => finding.statement(says, Verdict::NotTestableHere, "the log no longer has the boot's lines"),
        Some(MemoryLine { free, of, cma }) => finding.statement(
            says,
            Verdict::of(same && free + cma <= total && total < of),
            format!(
                "{} KiB of {} KiB at boot, {} KiB that are set aside for devices (CMA), and {} KiB more since, which were \
                 reserved for the boot only",
                free >> 10,
                of >> 10,
                cma >> 10,
                total.saturating_sub(free + cma) >> 10
            ),
        ),
    }
    .asked_here();
    let kept = all.saturating_sub(total);
    finding
        .statement(
            "memblock's reservations are freed into the page allocator",
            Verdict::of(kept <= NEARLY),
            format!(
                "{} KiB of memory are not the page allocator's even now",
                kept >> 10
            ),
        )
        .said_in(&[Document::Walkthrough.section("12, Boot")])
        .fact("kept", kept)
}

/// What the page allocator was given at boot, in bytes, of how much, and what is set aside for devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct MemoryLine {
    free: u64,
    of: u64,
    cma: u64,
}

/// `Memory: 929952K/1048056K available (18255K kernel code, …, 0K cma-reserved)`
fn available(line: &str) -> Option<MemoryLine> {
    let (numbers, rest) = line.split_once("Memory: ")?.1.split_once(" available")?;
    let (free, of) = numbers.split_once('/')?;
    let kib = |text: &str| {
        text.strip_suffix('K')?
            .parse::<u64>()
            .ok()
            .map(|kib| kib << 10)
    };
    let words: Vec<&str> = rest.split([' ', ',', ')']).collect();
    let cma = words.windows(2).find(|pair| pair[1] == "cma-reserved");
    Some(MemoryLine {
        free: kib(free)?,
        of: kib(of)?,
        cma: cma.and_then(|pair| kib(pair[0])).unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_tells_what_was_given() {
        let line =
            "Memory: 929952K/1048056K available (18255K kernel code, 64K cma-reserved, 0K highmem)";
        let expected = MemoryLine {
            free: 929_952 << 10,
            of: 1_048_056 << 10,
            cma: 64 << 10,
        };
        assert_eq!(available(line), Some(expected));
        assert_eq!(available("x86/mm: Memory block size: 128MB"), None);
    }
}
