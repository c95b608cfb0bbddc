// SPDX-License-Identifier: MIT OR Apache-2.0

//! E1: one buffer for the CPU and a device.

use crate::{
    engine::{address_table, hex, Engine, NEEDS},
    Claim, Document, Finding, Lab, Table, Verdict, Vm,
};
use anyhow::Result;
use mapwright::{page_size, MapCall, Protection};

pub const CLAIM: Claim = Claim {
    id: "E1",
    title: "Coherent DMA memory",
    sources: &[
        Document::Walkthrough.section("8, Device & MMIO mappings"),
        Document::Memory.section("18, Memory-Mapped I/O & DMA"),
    ],
    says: "dma_alloc_coherent() gives a pointer for the CPU and an address for the device, of one \
           buffer: each sees at once what the other writes.",
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

fn prove(_: &Lab) -> Result<Finding> {
    let engine = Engine::open()?;
    let (source, target) = (engine.coherent(page_size())?, engine.coherent(page_size())?);
    let mut from = engine.session.map(&source, Protection::ReadWrite)?;
    let to = engine.session.map(&target, Protection::Read)?;

    let mut addresses = address_table("Two coherent buffers, a page each");
    for (name, region, mapping) in [("source", &source, &from), ("target", &target, &to)] {
        let (physical, bus) = engine.addresses(region, 0)?;
        addresses.row([
            name.into(),
            hex(mapping.addr() as u64),
            hex(physical),
            bus.map_or("none".into(), hex),
        ]);
    }

    let text = *b"a store of the program, no call";
    let mut looks = Table::new(
        "What each sees after a store, and after a transfer",
        ["step", "who looks", "bytes"],
    );
    let mut agree = 0;
    let mut look = |step: &str, who: &str, bytes: &[u8]| {
        agree += usize::from(bytes == text);
        let shown = String::from_utf8_lossy(bytes).replace('\0', "·");
        looks.row([step.into(), who.into(), shown]);
    };
    from.write(0, &text);
    let kernel = engine.contents(&source, text.len())?;
    look("the program has stored", "kernel, source", &kernel);
    engine.copy(&source, &target, text.len() as u64, MapCall::Scatter)?;
    let kernel = engine.contents(&target, text.len())?;
    look("the device has copied", "kernel, target", &kernel);
    let mut program = [0; 31];
    to.read(0, &mut program);
    look("the device has copied", "program, target", &program);

    Ok(Finding::new(format!(
        "{agree} of {} looks agree, through {}",
        looks.rows.len(),
        engine.path()
    ))
    .statement(
        "One buffer has an address for the CPU and one for the device",
        Verdict::of(addresses.rows.iter().all(|row| row[3] != "none")),
        "both are told for each of the two buffers",
    )
    .statement(
        "Both sides see the bytes, with nothing to be synchronized",
        Verdict::of(agree == looks.rows.len()),
        "a store of the program, copied by the device from buffer to buffer",
    )
    .table(addresses)
    .table(looks))
}
