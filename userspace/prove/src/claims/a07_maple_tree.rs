// SPDX-License-Identifier: MIT OR Apache-2.0

//! A7: in what the kernel keeps a process's VMAs.

use crate::{Claim, Document, Finding, Lab, Need, Table, Verdict, Vm};
use anyhow::Result;
use mapwright::btf::{Btf, FILE};

pub const CLAIM: Claim = Claim {
    id: "A7",
    title: "Where VMAs are kept",
    sources: &[Document::Memory.section("15, Key Data Structures")],
    says: "The VMAs of a process are in a sorted linked list, and in a red-black tree.",
    needs: &[Need::File(FILE, "CONFIG_DEBUG_INFO_BTF")],
    vms: &[Vm::Normal],
    prove,
};

/// Fields: of which structure, and what for.
const FIELDS: [(&str, &str, &str); 5] = [
    ("mm_struct", "mmap", "the list's first VMA"),
    ("vm_area_struct", "vm_next", "the list's next VMA"),
    ("mm_struct", "mm_rb", "the red-black tree's root"),
    ("vm_area_struct", "vm_rb", "the VMA's place in that tree"),
    ("mm_struct", "mm_mt", "a maple tree"),
];

fn prove(_: &Lab) -> Result<Finding> {
    let btf = Btf::read()?;
    let mut table = Table::new(
        format!("The kernel's type information ({FILE})"),
        ["field", "for", "at byte"],
    );
    let mut there = Vec::new();
    for (structure, field, what) in FIELDS {
        let at = btf.structure(structure)?.byte_of(field).ok();
        there.push(at.is_some());
        table.row([
            format!("{structure}.{field}"),
            what.to_owned(),
            at.map_or("not there".to_owned(), |at| at.to_string()),
        ]);
    }
    let list = there[0] && there[1];
    let red_black = there[2] && there[3];
    let maple = there[4];
    let was = |holds: bool| match (holds, maple) {
        (true, _) => Verdict::Confirmed,
        (false, true) => Verdict::Outdated,
        (false, false) => Verdict::Refuted,
    };
    let observed = |holds: bool| match holds {
        true => "the fields are there",
        false => "there are no such fields; there is a maple tree",
    };
    Ok(Finding::new(match maple {
        true => "they are in a maple tree, mm_struct.mm_mt",
        false => "mm_struct has no maple tree",
    })
    .statement("VMAs are in a sorted linked list", was(list), observed(list))
    .statement("VMAs are in a red-black tree", was(red_black), observed(red_black))
    .table(table)
    .instead(
        "A maple tree is a B-tree of ranges that readers walk under RCU, which is what lets a page fault find its VMA \
         without the lock of the address space. It is in the kernel since 6.1.",
    ))
}
