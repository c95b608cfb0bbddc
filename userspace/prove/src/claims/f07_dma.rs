// SPDX-License-Identifier: MIT OR Apache-2.0

//! F7: a small program that translates addresses for a device.

use super::model;
use crate::{models::dma, Claim, Document, Finding, Lab, Vm};
use anyhow::Result;
use mapwright_models::Kind;

pub const CLAIM: Claim = Claim {
    id: "F7",
    title: "The program of DMA addresses",
    sources: &[
        Document::Memory.section("18, Memory-Mapped I/O & DMA"),
        Document::Memory.section("19, Minimal C Demo"),
    ],
    says: "dma_map_single() turns a kernel address into a bus address: the physical address without an IOMMU, another one \
           with it, and the device is stopped elsewhere.",
    needs: dma::NEEDS,
    vms: &[Vm::Edu, Vm::EduIommu],
    prove,
};

fn prove(_: &Lab) -> Result<Finding> {
    let (comparison, finding) = model::compared(
        Kind::Dma,
        "A real device is given such addresses, and gets where the program says",
    )?;
    Ok(finding.instead(comparison.about.join(" ")))
}
