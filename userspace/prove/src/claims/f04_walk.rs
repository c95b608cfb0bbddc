// SPDX-License-Identifier: MIT OR Apache-2.0

//! F4: a small program that takes an address apart.

use super::model;
use crate::{models::walk, Claim, Document, Finding, Lab, Verdict, Vm};
use anyhow::Result;
use mapwright::inspect::{EntryKind, Inspector, Step, Target};
use mapwright_models::Kind;

pub const CLAIM: Claim = Claim {
    id: "F4",
    title: "The program of the page-table walk",
    sources: &[
        Document::Memory.section("10, Virtual Memory & Paging"),
        Document::Memory.section("11, Minimal C Demo"),
    ],
    says: "An address of 48 bits has four indices of nine bits and an offset of twelve, one for each level that the processor \
           walks through.",
    needs: walk::NEEDS,
    vms: &[Vm::Normal],
    prove,
};

fn prove(lab: &Lab) -> Result<Finding> {
    let (_, finding) = model::compared(
        Kind::Walk,
        "The walk takes the indices and finds the frame that the program says",
    )?;
    let levels = levels()?;
    Ok(finding
        .statement(
            "There are four levels",
            Verdict::Config.if_else(levels != 4, Verdict::Confirmed),
            format!("{levels} on this {} machine", lab.machine.arch),
        )
        .said_in(&[Document::Memory.section("10, Virtual Memory & Paging")])
        .instead("Processors with five levels have the P4D between PGD and PUD, and addresses of 57 bits."))
}

/// The levels of the page tables that this program runs with.
fn levels() -> Result<usize> {
    let here = 0u8;
    let walk = Inspector::open()?.walk(Target::Myself, &raw const here as u64)?;
    let is_there = |step: &&Step| step.kind != EntryKind::Folded;
    Ok(walk.steps.iter().filter(is_there).count())
}
