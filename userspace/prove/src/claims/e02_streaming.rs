// SPDX-License-Identifier: MIT OR Apache-2.0

//! E2: memory that is mapped for a device for a while.

use crate::{
    engine::{ensure_same, hex, pattern, Engine, NEEDS},
    finding::plural,
    read::trace,
    Claim, Document, Finding, Lab, Table, Verdict, Vm,
};
use anyhow::{Context as _, Result};
use mapwright::{page_size, Direction, Endpoint, MapCall, Region, Side, Transfer};
use nix::errno::Errno;
use std::fs;

pub const CLAIM: Claim = Claim {
    id: "E2",
    title: "Streaming DMA",
    sources: &[
        Document::Walkthrough.section("8, Device & MMIO mappings"),
        Document::Memory.section("18, Memory-Mapped I/O & DMA"),
    ],
    says: "A buffer is mapped for a transfer and unmapped after it; in between it belongs to the \
           device, and the CPU that wants to look must synchronize. It works with one stretch of memory \
           and with a list of pieces, in both directions.",
    needs: NEEDS,
    vms: &[
        Vm::Edu,
        Vm::EduIommu,
        Vm::EduBounce,
        Vm::Arm64Edu,
        Vm::Arm64EduIommu,
        Vm::Arm64EduBounce,
        Vm::Arm64EduNonCoherent,
    ],
    prove,
};

/// So much is moved in each way.
const BYTES: u64 = 10_000;

fn prove(_: &Lab) -> Result<Finding> {
    let engine = Engine::open()?;
    let (moved, all_moved) = each_way(&engine)?;
    let finding = Finding::new(format!(
        "{} ways of mapping, {BYTES} bytes each, through {}",
        moved.rows.len(),
        engine.path()
    ))
    .statement(
        "The device reads and writes memory that is mapped for it, in one stretch or as a list",
        Verdict::of(all_moved),
        "each byte was compared",
    )
    .said_in(&[Document::Memory.section("18, Memory-Mapped I/O & DMA")])
    .table(moved);
    match late_stores(&engine)? {
        Some(late) => Ok(late.judge(finding)),
        None => Ok(finding.instead(
            "Where the device reaches all memory and its caches are coherent, as here, it would see a \
             late store without a synchronization, too: nothing is copied.",
        )),
    }
}

/// Every way to map memory, in both directions.
fn each_way(engine: &Engine) -> Result<(Table, bool)> {
    let mut table = Table::new(
        "Mapped for the device, copied through it into coherent memory and back",
        ["memory", "call", "entries", "stretches of bus addresses"],
    );
    let contents = pattern(BYTES as usize);
    for (memory, map_call, call) in [
        ("contiguous pages", MapCall::Single, "dma_map_single()"),
        (
            "contiguous pages",
            MapCall::Scatter,
            "dma_map_sgtable(), one entry",
        ),
        (
            "contiguous pages",
            MapCall::ScatterPages,
            "dma_map_sgtable(), an entry for each page",
        ),
        ("scattered pages", MapCall::Scatter, "dma_map_sgtable()"),
    ] {
        let create = || match memory {
            "scattered pages" => engine.vmalloc(BYTES),
            _ => engine.pages(BYTES),
        };
        let (source, target, between) = (create()?, create()?, engine.coherent(BYTES)?);
        engine.session.write_at(&source, 0, &contents)?;
        engine.copy(&source, &between, BYTES, map_call)?;
        engine.copy(&between, &target, BYTES, map_call)?;
        ensure_same(&contents, &engine.contents(&target, contents.len())?, call)?;
        let mapping = engine
            .session
            .dma_map(&source, (0, BYTES), map_call, Direction::ToDevice)
            .context("mapping")?;
        table.row([
            memory.into(),
            call.into(),
            mapping.entries.to_string(),
            mapping.segments.to_string(),
        ]);
        engine.session.dma_unmap(mapping.id)?;
    }
    Ok((table, true))
}

/// What a device sees of a store that comes after the memory was mapped.
struct Late {
    physical: u64,
    bus: u64,
    without: bool,
    with: bool,
    /// Slots of bounce buffers in use, before and while the page was mapped.
    slots: [u64; 2],
    /// What the kernel said of it.
    bounced: Vec<String>,
}

impl Late {
    fn judge(self, finding: Finding) -> Finding {
        let mut table = Table::new(
            "A page beyond the device's address bits, and its copy in the bounce buffer (swiotlb)",
            [
                "physical",
                "bus",
                "slots in use before, while mapped",
                "late store seen",
                "seen after SYNC",
            ],
        );
        let word = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
        table.row([
            hex(self.physical),
            hex(self.bus),
            format!("{}, {}", self.slots[0], self.slots[1]),
            word(self.without),
            word(self.with),
        ]);
        let mut said = Table::new(
            "The kernel's event swiotlb_bounced",
            ["while it was mapped"],
        );
        for line in &self.bounced {
            said.row([line.clone()]);
        }
        let was_bounced = self.slots[1] > self.slots[0] && !self.bounced.is_empty();
        finding
            .statement(
                "What the CPU writes to a mapped buffer reaches the device after a synchronization",
                Verdict::of(!self.without && self.with),
                "the device reads a copy, which is made when the memory is mapped, and again by SYNC",
            )
            .said_in(&[Document::Walkthrough.section("8, Device & MMIO mappings")])
            .statement(
                "Memory beyond the device's address bits is copied to where it reaches",
                Verdict::of(was_bounced && self.bus != self.physical),
                format!(
                    "{} of 2 KiB in use, {}",
                    plural(self.slots[1] - self.slots[0].min(self.slots[1]), "slot"),
                    plural(self.bounced.len(), "event")
                ),
            )
            .asked_here()
            .table(table)
            .table(said)
    }
}

/// Slots of bounce buffers in use.
fn slots() -> Result<u64> {
    let text = fs::read_to_string("/sys/kernel/debug/swiotlb/io_tlb_used");
    Ok(text.map_or(Ok(0), |text| text.trim().parse())?)
}

/// Stores into a page that the device cannot reach, after it was mapped. `None` if there is none, or
/// nothing copies it.
fn late_stores(engine: &Engine) -> Result<Option<Late>> {
    let region = engine.vmalloc(16 << 20)?;
    let reach = 1 << engine.info.address_bits;
    let pages = engine.session.pages(&region, 0, u64::MAX)?;
    let far = pages
        .iter()
        .position(|page| page.pfn * page_size() >= reach);
    let Some(page) = far.filter(|_| !engine.is_translated()) else {
        return Ok(None);
    };
    let (at, physical) = (page as u64 * page_size(), pages[page].pfn * page_size());
    let range = (at, page_size());
    let before = slots()?;
    let (mapped, events) = trace::record(&["swiotlb:swiotlb_bounced"], |_| {
        let session = &engine.session;
        Ok(session.dma_map(&region, range, MapCall::Page, Direction::ToDevice))
    })?;
    let mapping = match mapped {
        Err(Errno::EADDRNOTAVAIL) => return Ok(None),
        mapped => mapped.context("mapping a page that the device does not reach")?,
    };
    let slots = [before, slots()?];
    let sync = |owner| engine.session.sync(&region, at, page_size(), owner);
    engine.session.write_at(&region, at, b"late")?;
    let without = device_reads(engine, &region, at)? == *b"late";
    sync(Side::Cpu)?;
    engine.session.write_at(&region, at, b"seen")?;
    sync(Side::Device)?;
    let with = device_reads(engine, &region, at)? == *b"seen";
    let bus = mapping.bus.context("root is told the bus address")?;
    engine.session.dma_unmap(mapping.id)?;
    Ok(Some(Late {
        physical,
        bus,
        without,
        with,
        slots,
        bounced: events.iter().map(|event| event.text().to_owned()).collect(),
    }))
}

/// Four bytes as the device reads them.
fn device_reads(engine: &Engine, region: &Region, at: u64) -> Result<[u8; 4]> {
    let seen_by_device = engine.coherent(page_size())?;
    engine.session.transfer(&Transfer {
        source: Endpoint::Region(*region, at),
        target: Endpoint::Region(seen_by_device, 0),
        bytes: 4,
        map_call: MapCall::Page,
    })?;
    let mut bytes = [0; 4];
    engine.session.read_at(&seen_by_device, 0, &mut bytes)?;
    Ok(bytes)
}
