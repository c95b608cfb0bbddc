// SPDX-License-Identifier: MIT OR Apache-2.0

//! E9: where the kernel shows which registers are requested and mapped.

use super::gpio::bank;
use crate::{read, Claim, Document, Finding, Lab, Need, Table, Verdict, Vm};
use anyhow::{Context as _, Result};

pub const CLAIM: Claim = Claim {
    id: "E9",
    title: "/proc/iomem and /proc/vmallocinfo",
    sources: &[
        Document::Walkthrough.section("13, Practical breadcrumbs"),
        Document::Reference.section("1.5, View ARM Memory"),
        Document::Reference.section("2.2, What's in Kernel Space?"),
    ],
    says: "/proc/iomem shows which driver has requested a device's registers, and /proc/vmallocinfo their \
           ioremap.",
    needs: &[Need::Module("mapwright_gpio")],
    vms: &[Vm::Gpio, Vm::GpioArm, Vm::Arm64Gpio],
    prove,
};

fn prove(_: &Lab) -> Result<Finding> {
    bank()?;
    let iomem = read::text("/proc/iomem")?;
    let resource = iomem
        .lines()
        .find(|line| line.ends_with(": mapwright_gpio"));
    let resource = resource
        .context("/proc/iomem has no resource of mapwright_gpio")?
        .trim();
    let start = resource.split('-').next().unwrap_or_default();
    let start = u64::from_str_radix(start, 16).context("/proc/iomem has no address")?;
    let areas = read::text("/proc/vmallocinfo")?;
    // As wide as the machine's addresses.
    let phys_of = |line: &str| {
        let word = line
            .split_whitespace()
            .find_map(|w| w.strip_prefix("phys=0x"))?;
        u64::from_str_radix(word, 16).ok()
    };
    let phys = format!("phys={start:#x}");
    let area = areas
        .lines()
        .find(|line| phys_of(line) == Some(start) && line.contains("ioremap"));
    let by_us = area.is_some_and(|line| line.contains("[mapwright_gpio]"));
    let maker = match by_us {
        true => "mapwright_gpio",
        false => "another part of the kernel",
    };
    let mut table = Table::new(
        "The same page of registers in both",
        ["file", "physical address", "by"],
    );
    let range = resource.split(' ').next().unwrap_or_default();
    table.row(["/proc/iomem".into(), range.into(), "mapwright_gpio".into()]);
    let mapped = area.map_or("none".into(), |_| format!("{phys} ioremap"));
    table.row(["/proc/vmallocinfo".into(), mapped, maker.into()]);
    Ok(Finding::new(format!("requested and mapped at {start:#x}"))
        .statement(
            "/proc/iomem names the driver that has requested them",
            Verdict::Confirmed,
            resource,
        )
        .said_in(&[
            Document::Walkthrough.section("13, Practical breadcrumbs"),
            Document::Reference.section("1.5, View ARM Memory"),
        ])
        .statement(
            "/proc/vmallocinfo tells the mapping, by the physical address and the module that made it",
            Verdict::of(by_us),
            format!("{phys} ioremap, made by a function of {maker}"),
        )
        .said_in(&[Document::Reference.section("2.2, What's in Kernel Space?")])
        .table(table))
}
