// SPDX-License-Identifier: MIT OR Apache-2.0

//! F5: a small program that shares pages after fork().

use super::model;
use crate::{models::cow, Claim, Document, Finding, Lab, Verdict, Vm};
use anyhow::{Context as _, Result};
use mapwright_models::Kind;

pub const CLAIM: Claim = Claim {
    id: "F5",
    title: "The program of copy-on-write",
    sources: &[
        Document::Memory.section("16, Copy-on-Write"),
        Document::Memory.section("19, Minimal C Demo"),
    ],
    says: "After fork() both processes have the page read-only. The first write copies it; when one owner is left, its entry is \
           made writable, and it needs no further fault.",
    needs: cow::NEEDS,
    vms: &[Vm::Normal],
    prove,
};

fn prove(_: &Lab) -> Result<Finding> {
    let (comparison, finding) = model::compared(
        Kind::Cow,
        "Frames, write bits and counts are as in the program, step by step",
    )?;
    let last = comparison.steps.last().context("nothing was compared")?;
    let faulted = last.kernel.starts_with("fault");
    Ok(finding
        .statement(
            "The last owner needs no further fault",
            Verdict::of(!faulted),
            format!("`{}`: {}", last.step, last.kernel),
        )
        .said_in(&[Document::Memory.section("16, Copy-on-Write")])
        .instead(
            "The last owner's write faults once more; that fault copies nothing, and makes the entry writable. The \
             document's table shows it so, its text does not.",
        ))
}
