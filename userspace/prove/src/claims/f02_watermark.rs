// SPDX-License-Identifier: MIT OR Apache-2.0

//! F2: a small program that checks a zone's watermarks.

use super::model;
use crate::{models::watermark, Claim, Document, Finding, Lab, Vm};
use anyhow::Result;
use mapwright_models::Kind;

pub const CLAIM: Claim = Claim {
    id: "F2",
    title: "The program of the watermark check",
    sources: &[Document::Memory.section("4, Minimal C Demo")],
    says: "The check of a zone's watermarks decides whether an allocation can proceed or must wait until memory is reclaimed.",
    needs: watermark::NEEDS,
    vms: &[Vm::Normal],
    prove,
};

fn prove(_: &Lab) -> Result<Finding> {
    let (_, finding) = model::compared(
        Kind::Watermark,
        "The kernel wakes kswapd, and has who allocates reclaim, when the program's check says so",
    )?;
    Ok(finding.instead(
        "The check is made twice: against low, which wakes kswapd, and against min, below which who allocates must \
         reclaim. The document's answers are one mark off: see B16.",
    ))
}
