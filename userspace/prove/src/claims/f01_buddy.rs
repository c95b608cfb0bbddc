// SPDX-License-Identifier: MIT OR Apache-2.0

//! F1: a small program that splits buddies and merges them.

use super::model;
use crate::{models::buddy, Claim, Document, Finding, Lab, Verdict, Vm};
use anyhow::Result;
use mapwright_models::Kind;

pub const CLAIM: Claim = Claim {
    id: "F1",
    title: "The program of the buddy allocator",
    sources: &[
        Document::Memory.section("3, Buddy Allocator Split & Coalesce"),
        Document::Memory.section("4, Minimal C Demo"),
    ],
    says: "A request is answered from the list of its order, or a larger block is split, whose upper half goes to the list below; \
           a block that comes back is merged with its buddy, whose address is the block's XOR its size. The example has an \
           order-2 block at 0x1000.",
    needs: buddy::NEEDS,
    vms: &[Vm::Normal, Vm::Arm64],
    prove,
};

/// The example's block, and its size.
const BLOCK: (u64, u64) = (0x1000, 4 << 12);

fn prove(_: &Lab) -> Result<Finding> {
    let (_, finding) =
        model::compared(Kind::Buddy, "Blocks are split and merged as in the program")?;
    let (address, bytes) = BLOCK;
    let over = address % bytes;
    Ok(finding
        .statement(
            "An order-2 block may begin at 0x1000",
            Verdict::of(over == 0),
            format!("{address:#x} is {over:#x} more than a multiple of {bytes:#x}: blocks are aligned to their size"),
        )
        .said_in(&[Document::Memory.section("3, Buddy Allocator Split & Coalesce")])
        .instead(
            "The rule for a buddy's address takes blocks that are aligned to their size. Frame numbers are, and so is \
             the model's pool, which counts from its begin.",
        ))
}
