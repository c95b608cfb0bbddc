// SPDX-License-Identifier: MIT OR Apache-2.0

//! E3: virtual, physical and bus address of one buffer.

use crate::{
    engine::{address_table, hex, Engine, NEEDS},
    Claim, Document, Finding, Lab, Verdict, Vm,
};
use anyhow::{Context as _, Result};
use mapwright::{page_size, Direction, MapCall, Protection};
use nix::errno::Errno;

pub const CLAIM: Claim = Claim {
    id: "E3",
    title: "Three address spaces",
    sources: &[
        Document::Memory.section("18, Memory-Mapped I/O & DMA"),
        Document::Memory.section("19, Minimal C Demo"),
        Document::Memory.section("21, Interview Prep, Q14"),
    ],
    says:
        "A DMA buffer has a virtual address for the program, a physical one for memory and a bus \
           address for the device. Without an IOMMU the bus address is the physical one.",
    needs: NEEDS,
    vms: &[
        Vm::Edu,
        Vm::EduIommu,
        Vm::EduPassthrough,
        Vm::EduBounce,
        Vm::Arm64Edu,
        Vm::Arm64EduIommu,
        Vm::Arm64EduBounce,
    ],
    prove,
};

/// A buffer's addresses.
struct Addresses {
    virt: u64,
    physical: u64,
    bus: u64,
}

fn prove(_: &Lab) -> Result<Finding> {
    let engine = Engine::open()?;
    let (coherent, mapped) = (in_reach(&engine)?, mapped(&engine)?);
    let mut table = address_table(&format!("One buffer, three addresses: {}", engine.path()));
    let beyond = format!("mapped, beyond {} bits", engine.info.address_bits);
    let all = [("coherent", Some(&coherent)), (&beyond, mapped.as_ref())];
    for (name, addresses) in all {
        if let Some(a) = addresses {
            table.row([name.to_owned(), hex(a.virt), hex(a.physical), hex(a.bus)]);
        }
    }
    let same = coherent.bus == coherent.physical;
    let figure = match same {
        true => "bus = physical",
        false => "bus ≠ physical",
    };
    let core = match engine.is_translated() {
        false => (
            "Without an IOMMU the bus address is the physical one",
            Verdict::of(same),
        ),
        true => (
            "Behind an IOMMU the bus address is another than the physical one",
            Verdict::of(!same),
        ),
    };
    let (bus, physical) = (hex(coherent.bus), hex(coherent.physical));
    let distinct = coherent.virt != coherent.physical && coherent.virt != coherent.bus;
    let mut finding = Finding::new(format!("{figure}, with {}", engine.path()))
        .statement(core.0, core.1, format!("bus {bus}, physical {physical}"))
        .said_in(&[
            Document::Memory.section("19, Minimal C Demo"),
            Document::Memory.section("21, Interview Prep, Q14"),
        ])
        .statement(
            "The program's address is neither",
            Verdict::of(distinct),
            format!("virtual {}", hex(coherent.virt)),
        )
        .said_in(&[
            Document::Memory.section("18, Memory-Mapped I/O & DMA"),
            Document::Memory.section("21, Interview Prep, Q14"),
        ]);
    if let Some(a) = mapped.filter(|_| !engine.is_translated()) {
        finding = finding
            .statement(
                "Without an IOMMU the bus address of any memory is its physical one",
                Verdict::of(a.bus == a.physical),
                format!("bus {}, physical {}", hex(a.bus), hex(a.physical)),
            )
            .said_in(&[Document::Memory.section("21, Interview Prep, Q14")])
            .instead(
                "Memory that the device's address bits do not reach is copied into a bounce buffer \
                 (swiotlb) that they do, and the bus address is that of the copy.",
            );
    }
    Ok(finding.table(table))
}

/// Memory that was allocated for the device.
fn in_reach(engine: &Engine) -> Result<Addresses> {
    let region = engine.coherent(page_size())?;
    let mapping = engine.session.map(&region, Protection::ReadWrite)?;
    let (physical, bus) = engine.addresses(&region, 0)?;
    Ok(Addresses {
        virt: mapping.addr() as u64,
        physical,
        bus: bus.context("coherent memory without a bus address")?,
    })
}

/// A page that is beyond the device's reach, mapped for it, if there is one.
fn mapped(engine: &Engine) -> Result<Option<Addresses>> {
    let region = engine.vmalloc(16 << 20)?;
    let mapping = engine.session.map(&region, Protection::ReadWrite)?;
    let pages = engine.session.pages(&region, 0, u64::MAX)?;
    let reach = 1 << engine.info.address_bits;
    let Some(page) = pages
        .iter()
        .position(|page| page.pfn * page_size() >= reach)
    else {
        return Ok(None);
    };
    let at = page as u64 * page_size();
    let range = (at, page_size());
    let mapped = engine
        .session
        .dma_map(&region, range, MapCall::Page, Direction::ToDevice);
    let dma_mapping = match mapped {
        // Nothing between the device and memory helps.
        Err(Errno::EADDRNOTAVAIL) => return Ok(None),
        mapped => mapped.context("mapping a page that the device does not reach")?,
    };
    Ok(Some(Addresses {
        virt: mapping.addr() as u64 + at,
        physical: pages[page].pfn * page_size(),
        bus: dma_mapping.bus.context("root is told the bus address")?,
    }))
}
