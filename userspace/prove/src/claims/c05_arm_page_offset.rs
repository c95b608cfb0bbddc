// SPDX-License-Identifier: MIT OR Apache-2.0

//! C5: where the kernel's half of the addresses begins on 32-bit ARM, and where its memory does.

use crate::{
    read::{symbols, text},
    Claim, Finding, Lab, Need, Shape, Table, Verdict,
};
use anyhow::{Context as _, Result};
use mapwright::inspect::{Area, Inspector};

pub const CLAIM: Claim = Claim {
    id: "C5",
    title: "PAGE_OFFSET on ARM",
    says:
        "On 32-bit ARM, PAGE_OFFSET is 0x80000000, with 3 GB for programs and 1 GB for the kernel; \
           memory begins at the physical address 0x20000000.",
    needs: &[Need::Module("mapwright_inspect"), Need::Arch("armv7l")],
    shapes: &[Shape::Normal],
    prove,
};

/// What the documents say.
const PAGE_OFFSET: u64 = 0x8000_0000;
const MEMORY: u64 = 0x2000_0000;

fn prove(_: &Lab) -> Result<Finding> {
    let layout = Inspector::open()?.layout()?;
    let direct_map = layout.area(Area::DirectMap).context("no direct map")?;
    let memory = text("/proc/iomem")?;
    let memory = memory
        .lines()
        .find(|line| line.ends_with(": System RAM"))
        .and_then(|line| line.split('-').next())
        .context("/proc/iomem tells no memory")?;
    let memory = u64::from_str_radix(memory.trim(), 16)?;
    let for_programs = direct_map.start >> 20;
    let mut table = Table::new("Where things begin", ["what", "address"]);
    table.row(["the direct map".into(), format!("{:#x}", direct_map.start)]);
    table.row(["physical memory".into(), format!("{memory:#x}")]);
    for (name, address) in symbols::addresses(&["_text", "_end"])? {
        table.row([
            format!("the kernel's symbol {name}"),
            format!("{address:#x}"),
        ]);
    }
    Ok(Finding::new(format!("the direct map begins at {:#x}", direct_map.start))
        .statement(
            "PAGE_OFFSET is 0x80000000",
            Verdict::of(direct_map.start == PAGE_OFFSET),
            format!("{:#x}", direct_map.start),
        )
        .statement(
            "Programs have 3 GB, the kernel 1 GB",
            Verdict::Confirmed.if_else(direct_map.start >> 30 == 3, Verdict::Config),
            format!("{for_programs} MiB of addresses are below the direct map"),
        )
        .statement(
            "Memory begins at the physical address 0x20000000",
            Verdict::of(memory == MEMORY),
            format!("{memory:#x}"),
        )
        .table(table)
        .instead(
            "3 GB for programs and 1 GB for the kernel means a PAGE_OFFSET of 0xC0000000; 0x80000000 would \
             be 2 GB each. Where memory begins depends on the board.",
        ))
}
