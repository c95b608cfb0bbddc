// SPDX-License-Identifier: MIT OR Apache-2.0

//! F3: a small program that keeps SLUB's list in free objects.

use super::model;
use crate::{models::slub, Claim, Document, Finding, Lab, Verdict, Vm};
use anyhow::Result;
use mapwright_models::Kind;

pub const CLAIM: Claim = Claim {
    id: "F3",
    title: "The program of SLUB's free list",
    sources: &[
        Document::Memory.section("9, Slab Allocation Fast & Slow Path"),
        Document::Memory.section("11, Minimal C Demo"),
    ],
    says: "Free objects hold the list of free objects: an allocation takes its first, a free makes an object the first, each with \
           one store to a pointer.",
    needs: slub::NEEDS,
    vms: &[Vm::Normal, Vm::Arm64],
    prove,
};

fn prove(_: &Lab) -> Result<Finding> {
    let (_, finding) = model::compared(
        Kind::Slub,
        "Objects are given and come back as in the program",
    )?;
    let last = model::last_of_example(Kind::Slub)?;
    Ok(finding
        .statement(
            "The free of obj[10], after the 65th allocation, is a fast one",
            Verdict::of(!last.starts_with("Slow path")),
            format!("the document's own rows lead to: {last}"),
        )
        .said_in(&[Document::Memory.section("9, Slab Allocation Fast & Slow Path")])
        .instead(
            "By the 65th allocation the processor has a second slab: an object of the first one goes back to its own \
             slab. Kernels with sheaves put it into an array of the processor's instead.",
        ))
}
