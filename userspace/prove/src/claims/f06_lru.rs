// SPDX-License-Identifier: MIT OR Apache-2.0

//! F6: a small program with two lists of pages.

use super::model;
use crate::{models::lru, Claim, Document, Finding, Lab, Verdict, Vm};
use anyhow::{Context as _, Result};
use mapwright_models::Kind;

pub const CLAIM: Claim = Claim {
    id: "F6",
    title: "The program of the two lists",
    sources: &[
        Document::Memory.section("17, Page Cache & LRU Reclaim"),
        Document::Memory.section("19, Minimal C Demo"),
        Document::Memory.section("21, Interview Prep, Q12"),
    ],
    says: "Pages come to the inactive list and are promoted when they are used again; a scan that touches each page once \
           does not evict those. Pages that are no more used are demoted to the tail of the inactive list.",
    needs: lru::NEEDS,
    vms: &[Vm::Normal],
    prove,
};

fn prove(_: &Lab) -> Result<Finding> {
    let (comparison, finding) = model::compared(
        Kind::Lru,
        "With MGLRU off, pages are promoted and stay as in the program",
    )?;
    let scan = comparison
        .steps
        .iter()
        .find(|step| step.step.starts_with("scan"));
    let scan = scan.context("no scan was compared")?;
    Ok(finding
        .statement(
            "A scan does not evict what was used twice",
            Verdict::of(scan.agrees),
            format!("`{}`: {}", scan.step, scan.kernel),
        )
        .said_in(&[
            Document::Memory.section("17, Page Cache & LRU Reclaim"),
            Document::Memory.section("21, Interview Prep, Q12"),
        ])
        .instead(
            "Many kernels use MGLRU, which has generations instead of two lists: see D2. What the two lists demote \
             goes to the head of the inactive list, not to its tail, from which reclaim takes.",
        ))
}
