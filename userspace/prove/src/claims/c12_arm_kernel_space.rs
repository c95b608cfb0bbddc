// SPDX-License-Identifier: MIT OR Apache-2.0

//! C12: what is where in 32-bit ARM's kernel addresses.

use crate::{
    read::{text, vmallocinfo},
    Claim, Document, Finding, Lab, Need, Table, Verdict, Vm,
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{
    alloc::{AllocDevice, Allocator, Plan},
    inspect::{Area, AreaRange, Inspector},
};
use std::ops::Range;

pub const CLAIM: Claim = Claim {
    id: "C12",
    title: "Kernel space of 32-bit ARM",
    sources: &[
        Document::Reference.section("2.2, What's in Kernel Space?"),
        Document::Reference.section("4.4, Kernel Virtual Space Layout"),
    ],
    says: "On 32-bit ARM, the kernel has from the top: modules, down to 0xF0000000; mappings of devices \
           (ioremap), down to 0xE0000000; the memory of kmalloc(), down to 0xC0000000; and memory mapped one \
           to one, down to 0x80000000.",
    needs: &[
        Need::Arch(&["armv7l"]),
        Need::Module("mapwright_inspect"),
        Need::Module("mapwright_alloc"),
    ],
    vms: &[Vm::Arm, Vm::ArmTwoGib, Vm::GpioArm],
    prove,
};

/// Something of the kernel's, and where its addresses are said to be.
struct Kind {
    says: &'static str,
    what: &'static str,
    said: Range<u64>,
    seen_in: &'static str,
    addresses: Vec<u64>,
}

impl Kind {
    /// How many are where they are said to be.
    fn right(&self) -> usize {
        let right = |address: &&u64| self.said.contains(address);
        self.addresses.iter().filter(right).count()
    }

    fn verdict(&self) -> Verdict {
        Verdict::of(self.right() == self.addresses.len())
    }

    fn range(&self) -> Result<(u64, u64)> {
        let ends = self.addresses.iter().min().zip(self.addresses.iter().max());
        let (first, last) = ends.with_context(|| format!("there are no {}", self.what))?;
        Ok((*first, *last))
    }
}

fn prove(_: &Lab) -> Result<Finding> {
    let layout = Inspector::open()?.layout()?;
    let direct = *layout.area(Area::DirectMap).context("no direct map")?;
    let kinds = [
        Kind {
            says: "Modules are at 0xF0000000 and above",
            what: "modules",
            said: 0xf000_0000..1 << 32,
            seen_in: "/proc/modules",
            addresses: modules()?,
        },
        Kind {
            says: "Mappings of devices are from 0xE0000000 to 0xF0000000",
            what: "ioremaps",
            said: 0xe000_0000..0xf000_0000,
            seen_in: "/proc/vmallocinfo",
            addresses: ioremaps(&direct)?,
        },
        Kind {
            says: "Memory of kmalloc() is from 0xC0000000 to 0xE0000000",
            what: "kmalloc() objects, and the ends of the memory that they are taken from",
            said: 0xc000_0000..0xe000_0000,
            seen_in: "mapwright_alloc, mapwright_inspect",
            addresses: [kmalloc()?, vec![direct.start, direct.last]].concat(),
        },
        Kind {
            says: "Memory is mapped one to one from 0x80000000 to 0xC0000000",
            what: "first and last byte of the direct map",
            said: 0x8000_0000..0xc000_0000,
            seen_in: "mapwright_inspect",
            addresses: vec![direct.start, direct.last],
        },
    ];
    // It is the direct map that kmalloc() takes its memory from.
    ensure!(
        kinds[2]
            .addresses
            .iter()
            .all(|address| (direct.start..=direct.last).contains(address)),
        "kmalloc() gave memory outside of the direct map"
    );

    let mut table = Table::new(
        "What is where",
        [
            "what", "how many", "lowest", "highest", "as said", "seen in",
        ],
    );
    let (first_module, _) = kinds[0].range()?;
    let mut finding = Finding::new(format!(
        "modules from {first_module:#x}, kmalloc() within {:#x}–{:#x}",
        direct.start, direct.last
    ));
    for kind in &kinds {
        let (first, last) = kind.range()?;
        let right = format!("{} of {}", kind.right(), kind.addresses.len());
        finding = finding.statement(
            kind.says,
            kind.verdict(),
            format!("{right}: they are at {first:#x} to {last:#x}"),
        );
        table.row([
            kind.what.into(),
            kind.addresses.len().to_string(),
            format!("{first:#x}"),
            format!("{last:#x}"),
            right,
            kind.seen_in.into(),
        ]);
    }
    let mut areas = Table::new(
        "The kernel's areas, from the top (mapwright_inspect)",
        ["area", "first", "last", "MiB"],
    );
    for area in layout.areas.iter().rev() {
        areas.row([
            area.area.name().into(),
            format!("{:#x}", area.start),
            format!("{:#x}", area.last),
            ((area.last - area.start + 1) >> 20).to_string(),
        ]);
    }
    Ok(finding.table(table).table(areas).instead(
        "Modules are below PAGE_OFFSET, so that a branch reaches the kernel. From PAGE_OFFSET on is the direct map, \
         as long as there is memory for it, which kmalloc() takes its memory from; then comes the vmalloc area, \
         where ioremap() and vmalloc() share the addresses.",
    ))
}

/// The first address of each module that is loaded.
fn modules() -> Result<Vec<u64>> {
    let text = text("/proc/modules")?;
    let address = |line: &str| {
        let mut words = line.split_whitespace();
        let digits = words.find_map(|word| word.strip_prefix("0x"))?;
        u64::from_str_radix(digits, 16).ok()
    };
    // Who may not know gets zeros.
    let addresses = text.lines().filter_map(address);
    Ok(addresses.filter(|address| *address != 0).collect())
}

/// Mappings of devices: memory for devices (CMA), which is in the direct map, is told in the same way.
fn ioremaps(direct: &AreaRange) -> Result<Vec<u64>> {
    let areas = vmallocinfo::read()?.into_iter();
    let starts = areas
        .filter(|area| area.phys.is_some())
        .filter_map(|area| area.start);
    Ok(starts
        .filter(|start| !(direct.start..=direct.last).contains(start))
        .collect())
}

/// Objects of small and large sizes.
fn kmalloc() -> Result<Vec<u64>> {
    let device = AllocDevice::open()?;
    let mut addresses = Vec::new();
    for bytes in [64, 4096, 1 << 20] {
        let (_, objects) = device.record(&Plan::new(Allocator::Kmalloc, bytes), 8)?;
        addresses.extend(objects.iter().map(|object| object.address));
    }
    Ok(addresses)
}
