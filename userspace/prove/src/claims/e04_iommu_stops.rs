// SPDX-License-Identifier: MIT OR Apache-2.0

//! E4: a device that is aimed at memory that is not its own.

use crate::{
    engine::{ensure_same, hex, pattern, Engine, NEEDS},
    finding::not_testable,
    Claim, Document, Finding, Lab, Table, Verdict, Vm,
};
use anyhow::{Context as _, Result};
use mapwright::{page_size, uapi, uapi::Request as _, Region};
use std::{
    fs::OpenOptions, io::Read as _, os::unix::fs::OpenOptionsExt as _, thread::sleep,
    time::Duration,
};

pub const CLAIM: Claim = Claim {
    id: "E4",
    title: "An IOMMU stops a device",
    sources: &[
        Document::Walkthrough.section("8, Device & MMIO mappings"),
        Document::Memory.section("18, Memory-Mapped I/O & DMA"),
        Document::Memory.section("21, Interview Prep, Q15"),
    ],
    says: "An IOMMU keeps a device from reading and writing memory that is not mapped for it.",
    needs: NEEDS,
    vms: &[Vm::EduIommu, Vm::Arm64EduIommu],
    prove,
};

/// What lines of the kernel's log have that are about an IOMMU: of Intel's, of ARM's.
const IOMMUS: [&str; 2] = ["DMAR:", "arm-smmu-v3"];
/// And those about an address that is not mapped.
const FAULTS: [&str; 2] = ["fault addr", "F_TRANSLATION"];

fn prove(_: &Lab) -> Result<Finding> {
    let engine = Engine::open()?;
    if !engine.is_translated() {
        return not_testable(
            "no IOMMU translates the device's addresses: aimed anywhere, it would write there",
        );
    }
    let source = engine.coherent(page_size())?;
    engine.session.write_at(&source, 0, &[0x66; 64])?;

    // Where the device may write, the same call does.
    let own = engine.coherent(page_size())?;
    let (_, own_bus) = engine.addresses(&own, 0)?;
    let own_bus = own_bus.context("coherent memory without a bus address")?;
    aim(&engine, &source, own_bus)?;
    let own_changed = engine.contents(&own, 64)? == [0x66; 64];

    let victim = within_reach(&engine)?;
    let (physical, _) = engine.addresses(&victim, 0)?;
    let before = pattern(page_size() as usize);
    engine.session.write_at(&victim, 0, &before)?;
    let mut log = Log::from_now()?;
    aim(&engine, &source, physical)?;
    // The IOMMU reports by an interrupt of its own.
    sleep(Duration::from_millis(200));
    let reports = log.lines_with(&IOMMUS)?;
    let after = engine.contents(&victim, before.len())?;
    let unchanged = ensure_same(&before, &after, "the page").is_ok();
    let is_fault = |line: &&String| FAULTS.iter().any(|word| line.contains(word));
    let fault = reports.iter().find(is_fault);

    let mut table = Table::new(
        "The device is told to write 64 bytes",
        ["to the bus address", "which is", "the memory"],
    );
    let word = |changed: bool| {
        if changed {
            "has the bytes"
        } else {
            "is as before"
        }
        .to_owned()
    };
    table.row([
        hex(own_bus),
        "mapped for it: a coherent region".into(),
        word(own_changed),
    ]);
    table.row([
        hex(physical),
        "not mapped: the physical address of a page of the kernel's".into(),
        word(!unchanged),
    ]);
    let mut said = Table::new("What the kernel's log says of it", ["line"]);
    for line in &reports {
        said.row([line.clone()]);
    }
    Ok(Finding::new(format!(
        "{} bytes of 64 were written",
        if unchanged { 0 } else { 64 }
    ))
    .statement(
        "Memory that is not mapped for the device stays as it is",
        Verdict::of(unchanged && own_changed),
        "all of the page was compared; where it may, the device did write",
    )
    .statement(
        "The attempt is reported",
        Verdict::of(fault.is_some()),
        fault.cloned().unwrap_or("the log has no such line".into()),
    )
    .said_in(&[Document::Memory.section("18, Memory-Mapped I/O & DMA")])
    .table(table)
    .table(said))
}

/// Has the device write 64 bytes to a bus address, whatever is there.
fn aim(engine: &Engine, source: &Region, bus: u64) -> Result<()> {
    let mut request = uapi::Transfer {
        flags: uapi::TRANSFER_RAW_TARGET,
        source: source.id,
        target_offset: bus,
        bytes: 64,
        ..uapi::Transfer::new()
    };
    let done = engine.session.request(&mut request);
    done.with_context(|| format!("a transfer to {bus:#x}"))
}

/// A page whose physical address the device could give out.
fn within_reach(engine: &Engine) -> Result<Region> {
    for _ in 0..64 {
        // Blocks of memory from all over it.
        let region = engine.pages(4 << 20)?;
        let (physical, _) = engine.addresses(&region, 0)?;
        if physical + page_size() <= 1 << engine.info.address_bits {
            return Ok(region);
        }
    }
    not_testable("no free memory is below what the device can address")
}

/// The kernel's log, from a point in time on.
struct Log(std::fs::File);

impl Log {
    fn from_now() -> Result<Self> {
        let mut options = OpenOptions::new();
        let nonblocking = options.read(true).custom_flags(nix::libc::O_NONBLOCK);
        let mut log = Self(
            nonblocking
                .open("/dev/kmsg")
                .context("opening the kernel's log")?,
        );
        log.lines_with(&[""])?;
        Ok(log)
    }

    /// Lines since the last call that contain one of `texts`.
    fn lines_with(&mut self, texts: &[&str]) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        let mut record = [0; 8192];
        loop {
            match self.0.read(&mut record) {
                Ok(length) => {
                    let line = String::from_utf8_lossy(&record[..length]);
                    // "level,number,time,flags;text", then a line for each property.
                    let said = line.split_once(';').map_or("", |(_, said)| said);
                    let said = said.lines().next().unwrap_or("");
                    if texts.iter().any(|text| said.contains(text)) {
                        lines.push(said.to_owned());
                    }
                }
                Err(err) if err.kind() == std::io::ErrorKind::WouldBlock => return Ok(lines),
                // Overwritten before it was read.
                Err(err) if err.raw_os_error() == Some(nix::libc::EPIPE) => {}
                Err(err) => return Err(err).context("reading the kernel's log"),
            }
        }
    }
}
