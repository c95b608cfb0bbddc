// SPDX-License-Identifier: MIT OR Apache-2.0

//! C1: the levels of the page tables, walked for a page of this program.

use crate::{anonymous::Anonymous, Claim, Document, Finding, Lab, Need, Table, Verdict, Vm};
use anyhow::{ensure, Context as _, Result};
use mapwright::{
    inspect::{EntryKind, Inspector, Level, Step, Target, Walk},
    pagemap_pfns,
};

pub const CLAIM: Claim = Claim {
    id: "C1",
    title: "Levels of page tables",
    sources: &[
        Document::Walkthrough.section("6, Page tables & huge pages"),
        Document::Memory.section("10, Virtual Memory & Paging"),
        Document::Overview.section("5, Page Tables"),
    ],
    says: "An address is translated through four levels of tables, PGD, PUD, PMD and PTE, or five \
           with the P4D between the first two. Nine bits of a 48-bit address select one of 512 entries \
           of 8 bytes at each level, twelve the byte in the page. CR3 holds the physical address of the \
           top table.",
    needs: &[Need::Module("mapwright_inspect")],
    vms: &[Vm::Normal, Vm::FiveLevels, Vm::Arm, Vm::Arm64, Vm::Arm64Max],
    prove,
};

fn prove(lab: &Lab) -> Result<Finding> {
    let inspector = Inspector::open()?;
    let page = usize::try_from(lab.machine.page_size)?;
    let memory = Anonymous::small(8 * page)?;
    memory.touch(0..memory.len())?;
    // The third byte of the second page.
    let address = (memory.addr() + page + 2) as u64;
    let walk = inspector.walk(Target::Myself, address)?;
    let next = inspector.walk(Target::Myself, address + page as u64)?;
    let physical = walk
        .physical
        .context("a page that was touched is not mapped")?;
    agrees_with_pagemap(&walk, address, page as u64)?;

    let real: Vec<&Step> = real(&walk).collect();
    let names: Vec<&str> = real.iter().map(|step| step.level.name()).collect();
    let layout = inspector.layout()?;
    let entry_bytes = entry_bytes(&walk, &next)?;
    let indices: Vec<String> = real
        .iter()
        .map(|step| format!("{} {}", step.level.name(), step.index))
        .collect();

    let finding = Finding::new(format!("{} levels: {}", real.len(), indices.join(" → "),))
        .statement(
            "The walk goes through PGD, PUD, PMD and PTE, or with the P4D through five levels",
            Verdict::Confirmed.if_else(
                names == ["PGD", "PUD", "PMD", "PTE"]
                    || names == ["PGD", "P4D", "PUD", "PMD", "PTE"],
                Verdict::Config,
            ),
            format!("{}, then frame {:#x}", names.join(", "), physical / page as u64),
        )
        .statement(
            "Each level takes nine bits of the address",
            Verdict::Confirmed.if_else(real.iter().all(|step| step.bits == 9), Verdict::Config),
            each(&real, |step| step.bits.to_string()),
        )
        .said_in(&[Document::Memory.section("10, Virtual Memory & Paging")])
        .statement(
            "An entry has 8 bytes, so that a table of 512 fills a page",
            Verdict::Confirmed.if_else(
                (entry_bytes, page as u64 / entry_bytes) == (8, 512),
                Verdict::Config,
            ),
            format!(
                "the PTE entries of two neighbouring pages are {entry_bytes} bytes apart, and a page has {page}"
            ),
        )
        .said_in(&[Document::Memory.section("10, Virtual Memory & Paging")])
        .statement(
            "Virtual addresses have 48 bits",
            Verdict::Confirmed.if_else(layout.address_bits == 48, Verdict::Config),
            format!("{} bits are translated", layout.address_bits),
        )
        .said_in(&[
            Document::Memory.section("10, Virtual Memory & Paging"),
            Document::Reference.section("0.6, ARM MMU"),
        ])
        .statement(
            "The CPU's register (CR3) holds the physical address of the top table",
            Verdict::of(walk.table_in_register() == walk.root),
            format!(
                "{} is {:#x}, the top table at {:#x}",
                register(lab),
                walk.register,
                walk.root
            ),
        )
        .said_in(&[Document::Memory.section("10, Virtual Memory & Paging")]);
    Ok(finding
        .fact("levels", real.len() as u64)
        .table(evidence(&walk))
        .instead(instead(&walk, layout.address_bits)))
}

/// What the register is called here. ARM has another for the kernel's addresses: TTBR1.
fn register(lab: &Lab) -> &'static str {
    match lab.machine.arch.as_str() {
        "x86_64" => "CR3",
        _ => "TTBR0",
    }
}

/// The steps that the machine takes.
fn real(walk: &Walk) -> impl Iterator<Item = &Step> {
    walk.steps
        .iter()
        .filter(|step| step.kind != EntryKind::Folded)
}

fn each(steps: &[&Step], f: impl Fn(&Step) -> String) -> String {
    let texts: Vec<String> = steps
        .iter()
        .map(|step| format!("{} {}", step.level.name(), f(step)))
        .collect();
    texts.join(", ")
}

/// The walk and `/proc/self/pagemap` must find the same frame.
fn agrees_with_pagemap(walk: &Walk, address: u64, page: u64) -> Result<()> {
    let pfns = pagemap_pfns(usize::try_from(address)?, 1)?;
    let pfn = pfns.first().copied().flatten();
    ensure!(
        pfn == walk.physical.map(|physical| physical / page),
        "the walk found {:x?}, /proc/self/pagemap frame {pfn:x?}",
        walk.physical
    );
    Ok(())
}

/// Bytes from the last level's entry of a page to that of the next.
fn entry_bytes(walk: &Walk, next: &Walk) -> Result<u64> {
    let (first, second) = (
        walk.last().context("no level")?,
        next.last().context("no level")?,
    );
    ensure!(
        second.index == first.index + 1 || second.index == 0,
        "neighbouring pages have the entries {} and {}",
        first.index,
        second.index
    );
    // In another table, the distance says nothing: there, the entry's own place does.
    Ok(match second.index {
        0 => first.entry % mapwright::page_size() / u64::from(first.index.max(1)),
        _ => second.entry - first.entry,
    })
}

fn evidence(walk: &Walk) -> Table {
    let mut table = Table::new(
        format!(
            "The page tables for {:#x}, read from the running kernel",
            walk.address
        ),
        [
            "level",
            "bits of the address",
            "index",
            "entry at",
            "entry",
            "points to",
        ],
    );
    for step in &walk.steps {
        let to = match step.kind {
            EntryKind::Table => "the next table".to_owned(),
            EntryKind::Page => format!("the page, {} bytes", walk.page_size),
            kind => kind.name().to_owned(),
        };
        let bits = match step.kind {
            EntryKind::Folded => String::new(),
            _ => format!("{}…{}", step.shift + step.bits - 1, step.shift),
        };
        let number = |n: u64| match step.kind {
            EntryKind::Folded => String::new(),
            _ => format!("{n:#x}"),
        };
        table.row([
            step.level.name().to_owned(),
            bits,
            match step.kind {
                EntryKind::Folded => String::new(),
                _ => step.index.to_string(),
            },
            number(step.entry),
            number(step.value),
            to,
        ]);
    }
    table
}

fn instead(walk: &Walk, address_bits: u32) -> String {
    let folded = walk
        .steps
        .iter()
        .any(|step| step.level == Level::P4d && step.kind == EntryKind::Folded);
    match folded {
        true => "The kernel's code always has five levels. On a machine that has fewer, the missing ones \
                 are folded: they have one entry, which is the table above itself, and cost nothing."
            .to_owned(),
        false => format!(
            "This machine has five levels and addresses of {address_bits} bits. Programs still get addresses \
             of fewer bits unless they ask for higher ones."
        ),
    }
}
