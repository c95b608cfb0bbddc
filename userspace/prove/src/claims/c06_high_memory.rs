// SPDX-License-Identifier: MIT OR Apache-2.0

//! C6: low and high memory of a 32-bit kernel.

use crate::{
    anonymous::Anonymous, read::symbols::Symbols, Claim, Document, Finding, Lab, Need, Table,
    Verdict, Vm,
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{
    inspect::{Area, AreaRange, Frame, Inspector, Target},
    pagemap_pfns, Backing, Method, Session,
};
use procfs::{Current as _, Meminfo};

pub const CLAIM: Claim = Claim {
    id: "C6",
    title: "High memory",
    sources: &[
        Document::Walkthrough.section("4, Kernel allocators & mappings"),
        Document::Memory.section("2, Key Data Structures"),
        Document::Reference.section("4.3, Physical Memory Organization - Zones"),
        Document::Reference.section("6, Low Memory & High Memory"),
        Document::Reference.section("10, kmalloc vs vmalloc Comparison"),
    ],
    says: "A 32-bit kernel maps the first 896 MB of memory for good (low memory, ZONE_NORMAL). What is above \
           is high memory (ZONE_HIGHMEM), mapped for a moment with kmap() or kmap_atomic(); kmalloc() takes \
           low memory, vmalloc() high memory.",
    needs: &[
        Need::Arch(&["armv7l"]),
        Need::Module("mapwright_inspect"),
        Need::Module("mapwright"),
    ],
    vms: &[Vm::ArmTwoGib, Vm::Arm],
    prove,
};

/// MiB of low memory that the documents know.
const CLAIMED_LOW: u64 = 896;
/// Bytes that are looked at, of each kind.
const SAMPLE: usize = 4 << 20;

fn prove(lab: &Lab) -> Result<Finding> {
    let meminfo = Meminfo::current().context("reading /proc/meminfo")?;
    let high = meminfo
        .high_total
        .context("no HighTotal in /proc/meminfo")?;
    let low = meminfo.low_total.context("no LowTotal in /proc/meminfo")?;
    let inspector = Inspector::open()?;
    let layout = inspector.layout()?;
    let direct = *layout.area(Area::DirectMap).context("no direct map")?;
    let mapped = direct.last - direct.start + 1;
    let pages = Pages::look(&inspector)?;

    let mut areas = Table::new(
        "The kernel's addresses (mapwright_inspect)",
        ["area", "first", "last", "MiB"],
    );
    for area in &layout.areas {
        areas.row([
            area.area.name().into(),
            format!("{:#x}", area.start),
            format!("{:#x}", area.last),
            ((area.last - area.start + 1) >> 20).to_string(),
        ]);
    }
    let mut zones = Table::new(
        format!("Zones of the pages of {} MiB each", SAMPLE >> 20),
        ["memory of", "in high memory", "in low memory"],
    );
    for (name, frames) in pages.all() {
        let high = frames.iter().filter(|frame| is_high(frame)).count();
        zones.row([
            name.into(),
            high.to_string(),
            (frames.len() - high).to_string(),
        ]);
    }

    let finding = Finding::new(format!(
        "{} MiB mapped for good, {} MiB of high memory",
        mapped >> 20,
        high >> 20
    ));
    if high == 0 {
        // As much as there is is mapped.
        return Ok(finding
            .statement(
                "A machine with less memory than that has no high memory",
                Verdict::of(
                    pages
                        .all()
                        .iter()
                        .all(|(_, frames)| !frames.iter().any(is_high)),
                ),
                format!(
                    "HighTotal 0, LowTotal {} MiB of {} MiB",
                    low >> 20,
                    lab.machine.memory_mib
                ),
            )
            .said_in(&[
                Document::Reference.section("4.3, Physical Memory Organization - Zones"),
                Document::Reference.section("7, Low Memory Details"),
            ])
            .table(areas)
            .table(zones));
    }
    let finding = finding
        .statement(
            "The first 896 MB of memory are mapped for good",
            Verdict::Confirmed.if_else(mapped >> 20 == CLAIMED_LOW, Verdict::Config),
            format!("{} MiB of {} MiB", mapped >> 20, lab.machine.memory_mib),
        )
        .said_in(&[
            Document::Reference.section("6, Low Memory & High Memory"),
            Document::Reference.section("7, Low Memory Details"),
        ])
        .statement(
            "A page of high memory has no address in the kernel",
            Verdict::of(has_no_address(&inspector, &direct, &pages.program)?),
            "where it would be if the direct map went on, there is something else or nothing",
        )
        .said_in(&[
            Document::Walkthrough.section("3, Physical memory zones"),
            Document::Memory.section("2, Key Data Structures"),
            Document::Reference.section("8, High Memory Details"),
        ])
        .statement(
            "kmalloc() takes low memory",
            Verdict::of(!pages.kmalloc.iter().any(is_high)),
            describe(&pages.kmalloc),
        )
        .said_in(&[
            Document::Reference.section("4.3, Physical Memory Organization - Zones"),
            Document::Reference.section("10, kmalloc vs vmalloc Comparison"),
        ])
        .statement(
            "vmalloc() takes high memory",
            Verdict::of(pages.vmalloc.iter().any(is_high)),
            describe(&pages.vmalloc),
        )
        .said_in(&[
            Document::Reference.section("4.3, Physical Memory Organization - Zones"),
            Document::Reference.section("10, kmalloc vs vmalloc Comparison"),
        ]);
    Ok(mapped_for_a_moment(finding)?.table(areas).table(zones).instead(
        "How much is mapped for good depends on the architecture and on what is kept free for vmalloc(): \
         896 MiB are 32-bit x86's. High memory is mapped with kmap_local_page() today, into the fixmap.",
    ))
}

/// What the documents map high memory with.
fn mapped_for_a_moment(finding: Finding) -> Result<Finding> {
    let symbols = Symbols::read()?;
    let of = |name: &str| match symbols.has(name) {
        true => format!("{name} is there"),
        false => format!("{name} is not"),
    };
    Ok(finding
        .statement(
            "High memory is mapped with kmap_atomic()",
            // An inline function of that name is left, which does the new thing.
            Verdict::Outdated.if_else(
                symbols.has("__kmap_local_page_prot") && !symbols.has("kmap_atomic"),
                Verdict::Confirmed,
            ),
            format!("{}, {}", of("__kmap_local_page_prot"), of("kmap_atomic")),
        )
        .said_in(&[
            Document::Walkthrough.section("4, Kernel allocators & mappings"),
            Document::Reference.section("4.9, Zone Selection for Allocation"),
        ]))
}

/// Page frames of different kinds of memory.
struct Pages {
    kmalloc: Vec<Frame>,
    vmalloc: Vec<Frame>,
    program: Vec<Frame>,
}

impl Pages {
    fn look(inspector: &Inspector) -> Result<Self> {
        let session = Session::open()?;
        let of_region = |backing, method, bytes: usize| -> Result<Vec<Frame>> {
            let region = session.create(backing, method, bytes as u64)?;
            let pages = session.pages(&region, 0, u64::MAX)?;
            frames(inspector, pages.iter().map(|page| page.pfn))
        };
        let memory = Anonymous::new(SAMPLE)?;
        memory.touch(0..SAMPLE)?;
        let page = usize::try_from(mapwright::page_size())?;
        let pfns = pagemap_pfns(memory.addr(), SAMPLE / page)?;
        let looked = Self {
            kmalloc: of_region(Backing::Kmalloc, Method::Remap, SAMPLE)?,
            vmalloc: of_region(Backing::Vmalloc, Method::Insert, SAMPLE)?,
            program: frames(inspector, pfns.into_iter().flatten())?,
        };
        ensure!(
            !looked.program.is_empty(),
            "no page that was touched is there"
        );
        Ok(looked)
    }

    fn all(&self) -> [(&'static str, &[Frame]); 3] {
        [
            ("kmalloc()", &self.kmalloc),
            ("vmalloc()", &self.vmalloc),
            ("a program", &self.program),
        ]
    }
}

fn frames(inspector: &Inspector, pfns: impl Iterator<Item = u64>) -> Result<Vec<Frame>> {
    pfns.map(|pfn| Ok(inspector.frame(pfn)?)).collect()
}

fn is_high(frame: &Frame) -> bool {
    frame.zone == "HighMem"
}

fn describe(frames: &[Frame]) -> String {
    let high = frames.iter().filter(|frame| is_high(frame)).count();
    format!("{high} of {} pages are in zone HighMem", frames.len())
}

/// Whether the direct map, went it on, would lead to none of these high frames.
fn has_no_address(inspector: &Inspector, direct: &AreaRange, frames: &[Frame]) -> Result<bool> {
    let page = mapwright::page_size();
    let first = inspector.walk(Target::Kernel, direct.start)?;
    let memory = first
        .physical
        .context("the direct map begins with a hole")?;
    let mut high = 0;
    for frame in frames.iter().filter(|frame| is_high(frame)) {
        high += 1;
        let physical = frame.pfn * page;
        let address = direct.start + (physical - memory);
        ensure!(
            address > direct.last,
            "frame {:#x} is in the direct map",
            frame.pfn
        );
        let reached = match u32::try_from(address) {
            Ok(_) => inspector.walk(Target::Kernel, address)?.physical,
            Err(_) => None,
        };
        if reached == Some(physical) {
            return Ok(false);
        }
    }
    Ok(high > 0)
}
