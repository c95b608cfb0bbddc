// SPDX-License-Identifier: MIT OR Apache-2.0

//! A4: the memory type of a mapping, of ordinary memory and of a device's.

use crate::{
    finding::not_testable, read::text, Claim, Document, Finding, Lab, Need, Table, Verdict, Vm,
};
use anyhow::{Context as _, Result};
use mapwright::{
    inspect::{Inspector, Layout, MemoryType, Target, Walk},
    Backing, Caching, Mapping, Method, Protection, Session,
};
use std::{
    fs,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
};

pub const CLAIM: Claim = Claim {
    id: "A4",
    title: "Memory types of mappings",
    sources: &[
        Document::Walkthrough.section("snippet C, Expose device memory"),
        Document::Driver.section("Step 3, Driver's .mmap() Function"),
        Document::Driver.section("Interview-Level Questions, 2"),
    ],
    says: "Device memory must not be cached: a driver maps it with pgprot_noncached().",
    needs: &[
        Need::Module("mapwright"),
        Need::Module("mapwright_inspect"),
        Need::Arch(&["x86_64", "aarch64"]),
    ],
    vms: &[Vm::Normal, Vm::Arm64],
    prove,
};

fn prove(lab: &Lab) -> Result<Finding> {
    let tables = Tables::new()?;
    let direct_map_agrees = lab.machine.arch == "x86_64";
    let (ours, as_asked) = of_regions(&tables, direct_map_agrees)?;
    let Some(device) = device_memory(lab, &tables)? else {
        return not_testable("no device here has memory that a program may map");
    };
    let is_uncached = matches!(
        device.memory_type,
        Some(MemoryType::Uncached | MemoryType::UncachedMinus | MemoryType::Device)
    );
    let memory_type = device.memory_type.map_or("nothing", MemoryType::name);
    Ok(Finding::new(format!("device memory is mapped {memory_type}"))
        .statement(
            "Device memory is mapped uncached",
            Verdict::of(is_uncached),
            format!("{}: {memory_type}", device.name),
        )
        .statement(
            "A mapping has the memory type that its driver asked for",
            Verdict::of(as_asked),
            match direct_map_agrees {
                true => "wb, wc and uc, in the page-table entries of the program and of the kernel",
                false => "wb, wc and uc, in the page-table entries of the program",
            },
        )
        .said_in(&[Document::Driver.section("Key Concepts")])
        .table(device.table)
        .table(ours)
        .instead(match direct_map_agrees {
            true => {
                "The type is in three bits of each page-table entry (PWT, PCD, PAT). Ordinary memory is in \
                 the kernel's own page tables already, where it must have the same type: the driver \
                 changes it there first."
            }
            false => {
                "The type is in three bits of each page-table entry, which select one of eight (MAIR_EL1). \
                 Ordinary memory is in the kernel's own page tables already, and stays write-back there: \
                 the driver takes it out of the caches, and nobody uses it there any more."
            }
        }))
}

/// Looks at page tables.
struct Tables {
    inspector: Inspector,
    layout: Layout,
}

impl Tables {
    fn new() -> Result<Self> {
        let inspector = Inspector::open()?;
        Ok(Self {
            layout: inspector.layout()?,
            inspector,
        })
    }

    fn of_program(&self, mapping: &Mapping) -> Result<Walk> {
        Ok(self.inspector.walk(Target::Myself, mapping.addr() as u64)?)
    }
}

/// What a walk ended with: the entry, and the type in it.
fn cells(walk: &Walk) -> [String; 2] {
    let entry = walk.last().map_or(0, |step| step.value);
    let memory_type = walk.memory_type.map_or("nothing", MemoryType::name);
    [format!("{entry:#018x}"), memory_type.to_owned()]
}

/// Regions of each type, and whether all of them have the type that was asked for.
fn of_regions(tables: &Tables, direct_map_agrees: bool) -> Result<(Table, bool)> {
    let session = Session::open()?;
    let mut as_asked = true;
    let mut table = Table::new(
        "Ordinary memory that a driver mapped, and the same memory in the kernel's direct map",
        [
            "asked",
            "entry of the program",
            "type",
            "entry of the kernel",
            "its type",
        ],
    );
    for caching in Caching::ALL {
        let bytes = mapwright::page_size();
        let region = session.create_cached(Backing::Pages, Method::Remap, *caching, bytes)?;
        let mapping = session.map(&region, Protection::ReadWrite)?;
        let program = tables.of_program(&mapping)?;
        let physical = program.physical.context("the mapping has no page")?;
        let address = tables.layout.direct_map_address(physical);
        let address = address.context("memory that is not in the direct map")?;
        let kernel = tables.inspector.walk(Target::Kernel, address)?;
        let in_kernel = match direct_map_agrees {
            true => *caching,
            false => Caching::WriteBack,
        };
        for (walk, asked) in [(&program, *caching), (&kernel, in_kernel)] {
            as_asked &= walk.memory_type.is_some_and(|actual| is(actual, asked));
        }
        let ([entry, actual], [kernel_entry, kernel_type_name]) = (cells(&program), cells(&kernel));
        table.row([
            caching.name().to_owned(),
            entry,
            actual,
            kernel_entry,
            kernel_type_name,
        ]);
    }
    Ok((table, as_asked))
}

/// Whether an entry's type is what a driver calls that. The kernel's uncached is "uncached, unless a
/// range register says otherwise".
fn is(actual: MemoryType, asked: Caching) -> bool {
    match asked {
        Caching::WriteBack => matches!(actual, MemoryType::WriteBack | MemoryType::Tagged),
        Caching::WriteCombine => actual == MemoryType::WriteCombine,
        Caching::Uncached => matches!(actual, MemoryType::Uncached | MemoryType::UncachedMinus),
    }
}

/// A device's memory, mapped by the kernel's own driver for that.
struct DeviceMemory {
    name: String,
    memory_type: Option<MemoryType>,
    table: Table,
}

/// The first device's memory that can be mapped: none that a driver has, if the kernel forbids that.
fn device_memory(lab: &Lab, tables: &Tables) -> Result<Option<DeviceMemory>> {
    let mut files: Vec<PathBuf> = fs::read_dir("/sys/bus/pci/devices")?
        .flatten()
        .flat_map(|device| (0..6).map(move |bar| device.path().join(format!("resource{bar}"))))
        .filter(|file| file.exists())
        .collect();
    files.sort();
    for file in files {
        let Ok(opened) = fs::File::options().read(true).write(true).open(&file) else {
            continue;
        };
        let length = usize::try_from(lab.machine.page_size)?;
        // An I/O port, or a driver's own.
        let Ok(mapping) = Mapping::new(opened.as_fd(), 0, length, Protection::Read) else {
            continue;
        };
        return Ok(Some(describe(tables, &file, &mapping)?));
    }
    Ok(None)
}

fn describe(tables: &Tables, file: &Path, mapping: &Mapping) -> Result<DeviceMemory> {
    let walk = tables.of_program(mapping)?;
    let physical = walk.physical.context("the device's memory is not mapped")?;
    let device = file.parent().and_then(|device| device.file_name());
    let bar = file.file_name().unwrap_or_default().to_string_lossy();
    let name = format!("{} {bar}", device.unwrap_or_default().to_string_lossy());
    let mut table = Table::new(
        "Memory of a PCI device, as the kernel maps it for a program",
        [
            "device",
            "physical address",
            "entry",
            "type",
            "the kernel's list of types",
        ],
    );
    let [entry, type_name] = cells(&walk);
    let listed = listed(physical).unwrap_or_else(|| "not there".to_owned());
    table.row([
        name.clone(),
        format!("{physical:#x}"),
        entry,
        type_name,
        listed,
    ]);
    Ok(DeviceMemory {
        name,
        memory_type: walk.memory_type,
        table,
    })
}

/// What debugfs' `pat_memtype_list` says of a physical address: which type the kernel has reserved.
fn listed(physical: u64) -> Option<String> {
    let list = text("/sys/kernel/debug/x86/pat_memtype_list").ok()?;
    list.lines().find_map(|line| holds(line, physical))
}

/// `PAT: [mem 0x00000000febd1000-0x00000000febd2000] uncached-minus`, if the address is in there.
fn holds(line: &str, physical: u64) -> Option<String> {
    let (range, type_name) = line.split_once("[mem ")?.1.split_once("] ")?;
    let (start, end) = range.split_once('-')?;
    let number = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok();
    (number(start)? <= physical && physical < number(end)?).then(|| type_name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_types_is_read() {
        let line = "PAT: [mem 0x00000000febd1000-0x00000000febd2000] uncached-minus";
        assert_eq!(holds(line, 0xfebd_1000).as_deref(), Some("uncached-minus"));
        assert_eq!(holds(line, 0xfebd_2000), None);
        assert_eq!(holds("PAT memtype list:", 0), None);
    }
}
