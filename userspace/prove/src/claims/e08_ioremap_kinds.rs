// SPDX-License-Identifier: MIT OR Apache-2.0

//! E8: how the kernel's mappings of devices are cached.

use super::gpio::bank;
use crate::{
    not_testable,
    read::{self, vmallocinfo},
    Claim, Document, Finding, Lab, Need, Table, Verdict, Vm,
};
use anyhow::{Context as _, Result};
use mapwright::inspect::{Inspector, MemoryType, Target};
use std::{fs, ops::Range, process::Command, thread, time::Duration};

pub const CLAIM: Claim = Claim {
    id: "E8",
    title: "Kinds of ioremap",
    sources: &[
        Document::Walkthrough.section("8, Device & MMIO mappings"),
        Document::Walkthrough.section("9, kmalloc vs vmalloc vs ioremap"),
        Document::Memory.section("18, Memory-Mapped I/O & DMA"),
    ],
    says: "ioremap() maps a device's registers uncached; ioremap_wc() and ioremap_cache() give other memory \
           types.",
    needs: &[
        Need::Module("mapwright_inspect"),
        Need::Module("mapwright_gpio"),
    ],
    vms: &[Vm::Gpio, Vm::GpioArm, Vm::Arm64Gpio],
    prove,
};

/// QEMU's display, whose driver maps its memory with `ioremap_wc()` and its registers with `ioremap()`:
/// drivers/gpu/drm/tiny/bochs.c.
const DISPLAY: (&str, &str) = ("0x1234", "0x1111");
const DISPLAY_DRIVER: &str = "bochs";

/// An ioremap of the kernel's, as it is in the page tables.
struct Mapping {
    phys: u64,
    bytes: u64,
    caller: String,
    memory_type: Option<MemoryType>,
}

impl Mapping {
    fn is(&self, types: &[MemoryType]) -> bool {
        self.memory_type.is_some_and(|of| types.contains(&of))
    }

    fn type_name(&self) -> &'static str {
        self.memory_type.map_or("nothing", MemoryType::name)
    }
}

const UNCACHED: &[MemoryType] = &[
    MemoryType::Uncached,
    MemoryType::UncachedMinus,
    MemoryType::Device,
];

fn prove(_: &Lab) -> Result<Finding> {
    bank()?;
    let registers = registers()?;
    let Some(frame_buffer) = frame_buffer()? else {
        return not_testable(
            "no device here is mapped with ioremap_wc(): it takes QEMU's bochs-display",
        );
    };
    let all = mappings()?;
    let of = |place: &Range<u64>| all.iter().find(|mapping| place.contains(&mapping.phys));
    let plain = of(&registers).context("the bank's registers are mapped nowhere")?;
    let Some(combining) = of(&frame_buffer) else {
        return not_testable("the display's driver has not mapped its memory");
    };
    // The tables of the firmware, which are in ordinary memory.
    let cached = all.iter().find(|m| m.caller == "acpi_os_map_iomem");
    let finding = Finding::new(format!(
        "ioremap: {}, ioremap_wc: {}",
        plain.type_name(),
        combining.type_name()
    ))
    .statement(
        "ioremap() is uncached",
        Verdict::of(plain.is(UNCACHED)),
        format!(
            "the bank's registers at {:#x}: {}",
            plain.phys,
            plain.type_name()
        ),
    )
    .statement(
        "ioremap_wc() is write-combining",
        Verdict::of(combining.is(&[MemoryType::WriteCombine])),
        format!(
            "the display's memory at {:#x}: {}",
            combining.phys,
            combining.type_name()
        ),
    )
    .said_in(&[Document::Walkthrough.section("8, Device & MMIO mappings")]);
    let finding = match cached {
        None => finding,
        Some(tables) => finding
            .statement(
                "ioremap_cache() is cached",
                Verdict::of(tables.is(&[MemoryType::WriteBack])),
                format!(
                    "the firmware's tables at {:#x}: {}",
                    tables.phys,
                    tables.type_name()
                ),
            )
            .said_in(&[Document::Walkthrough.section("8, Device & MMIO mappings")]),
    };
    Ok(finding.table(table(&all)).instead(
        "The type is in the page-table entry: on x86 PWT, PCD and PAT choose one of eight in a register, \
         where uc- gives way to a range register; on ARM TEX, C and B do, \"device\" keeps each access as \
         it is, and memory that is not cached may combine stores.",
    ))
}

/// Where the bank's registers are.
fn registers() -> Result<Range<u64>> {
    let iomem = read::text("/proc/iomem")?;
    let claim = iomem.lines().find(|l| l.ends_with(": mapwright_gpio"));
    let claim = claim.context("/proc/iomem has no claim of mapwright_gpio")?;
    let range = claim.trim().split(' ').next().unwrap_or_default();
    let (start, end) = range.split_once('-').context("a claim without addresses")?;
    let parse = |digits| u64::from_str_radix(digits, 16);
    Ok(parse(start)?..parse(end)? + 1)
}

/// Where the display's memory is, once its driver has mapped it.
fn frame_buffer() -> Result<Option<Range<u64>>> {
    for device in fs::read_dir("/sys/bus/pci/devices")?.flatten() {
        let of = |name: &str| {
            let text = fs::read_to_string(device.path().join(name)).unwrap_or_default();
            text.trim().to_owned()
        };
        if (of("vendor").as_str(), of("device").as_str()) != DISPLAY {
            continue;
        }
        // It may be built in, or be there already.
        let _ = Command::new("modprobe").arg(DISPLAY_DRIVER).output();
        for _ in 0..100 {
            if device.path().join("driver").exists() {
                break;
            }
            thread::sleep(Duration::from_millis(50));
        }
        let resources = of("resource");
        let first = resources.lines().next().unwrap_or_default();
        let words: Vec<u64> = first
            .split(' ')
            .filter_map(|word| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok())
            .collect();
        if let [start, end, ..] = words[..] {
            return Ok(Some(start..end + 1));
        }
    }
    Ok(None)
}

/// All ioremaps whose addresses the kernel tells.
fn mappings() -> Result<Vec<Mapping>> {
    let inspector = Inspector::open()?;
    let mut mappings = Vec::new();
    for area in vmallocinfo::read()? {
        let (Some(start), Some(phys)) = (area.start, area.phys) else {
            continue;
        };
        let walk = inspector.walk(Target::Kernel, start)?;
        mappings.push(Mapping {
            phys,
            bytes: area.bytes,
            caller: area.caller,
            memory_type: walk.memory_type,
        });
    }
    Ok(mappings)
}

fn table(all: &[Mapping]) -> Table {
    let mut table = Table::new(
        "The kernel's mappings of devices, by /proc/vmallocinfo and the page tables",
        ["physical address", "bytes", "made by", "memory type"],
    );
    for mapping in all {
        table.row([
            format!("{:#x}", mapping.phys),
            mapping.bytes.to_string(),
            mapping.caller.clone(),
            mapping.type_name().to_owned(),
        ]);
    }
    table
}
