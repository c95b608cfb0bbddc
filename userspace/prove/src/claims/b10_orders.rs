// SPDX-License-Identifier: MIT OR Apache-2.0

//! B10: how large the page allocator's blocks are.

use crate::{
    read::{free_lists, trace},
    Claim, Document, Finding, Lab, Need, Table, Verdict, Vm,
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{Backing, Method, Session};
use std::collections::BTreeMap;

pub const CLAIM: Claim = Claim {
    id: "B10",
    title: "Orders of the page allocator",
    sources: &[
        Document::Memory.section("2, Key Data Structures"),
        Document::Reference.section("9, Memory Allocation Hierarchy"),
    ],
    says: "A zone has MAX_ORDER (11) lists of free blocks, for orders 0 to 10: a block of order k has 2^k \
           pages, the largest 1024 pages, 4 MB.",
    needs: &[Need::Module("mapwright")],
    vms: &[Vm::Normal],
    prove,
};

/// Lists that the documents know.
const CLAIMED_LISTS: usize = 11;

fn prove(lab: &Lab) -> Result<Finding> {
    let zones = free_lists::read()?;
    let lists = zones
        .first()
        .context("/proc/buddyinfo is empty")?
        .blocks
        .len();
    ensure!(
        zones.iter().all(|zone| zone.blocks.len() == lists),
        "zones have different numbers of lists in /proc/buddyinfo"
    );
    let mut table = Table::new(
        "Free blocks of each zone in /proc/buddyinfo, and the free pages that they make up",
        [
            "order",
            "pages of a block",
            "size",
            "free blocks",
            "free pages",
        ],
    );
    for order in 0..lists {
        let blocks: u64 = zones.iter().map(|zone| zone.blocks[order]).sum();
        table.row([
            order.to_string(),
            (1u64 << order).to_string(),
            format!("{} KiB", (lab.machine.page_size << order) >> 10),
            blocks.to_string(),
            (blocks << order).to_string(),
        ]);
    }
    let (asked, orders) = asked_for_much(lab.machine.page_size << lists)?;
    let largest = orders.keys().next_back().copied().unwrap_or(0);
    ensure!(
        largest < lists as u64,
        "a block of order {largest} was allocated, which /proc/buddyinfo has no list for"
    );
    let mut taken = Table::new(
        format!(
            "What was taken for {} MiB that should be contiguous (kmem:mm_page_alloc)",
            asked >> 20
        ),
        ["order", "blocks", "pages"],
    );
    for (order, blocks) in &orders {
        taken.row([
            order.to_string(),
            blocks.to_string(),
            (blocks << order).to_string(),
        ]);
    }
    let bytes = lab.machine.page_size << largest;
    Ok(Finding::new(format!(
        "{lists} lists, the largest block of order {largest}: {} MiB",
        bytes >> 20
    ))
    .statement(
        "There are 11 lists, for orders 0 to 10",
        Verdict::Config.if_else(lists != CLAIMED_LISTS, Verdict::Confirmed),
        format!("{lists} columns in /proc/buddyinfo"),
    )
    .statement(
        "The largest block that can be had is one of the last list",
        Verdict::of(largest as usize == lists - 1),
        format!("order {largest} was the largest of what was allocated"),
    )
    .said_in(&[Document::Memory.section("2, Key Data Structures")])
    .table(table)
    .table(taken)
    .instead(
        "The name MAX_ORDER is gone: since Linux 6.8, MAX_PAGE_ORDER is the largest order and \
         NR_PAGE_ORDERS the number of lists. 10 and 11 are usual; CONFIG_ARCH_FORCE_MAX_ORDER changes \
         them on some architectures.",
    ))
}

/// Asks for contiguous memory of twice the largest block, and returns how many blocks of which order it
/// was made of.
fn asked_for_much(bytes: u64) -> Result<(u64, BTreeMap<u64, u64>)> {
    let session = Session::open()?;
    let (_, events) = trace::record(&["kmem:mm_page_alloc"], |_| {
        Ok(session.create(Backing::Pages, Method::Remap, bytes)?)
    })?;
    let mut orders = BTreeMap::new();
    for event in &events {
        // What the module needs for itself is small.
        let order = event.number("order")?;
        if order > 1 {
            *orders.entry(order).or_insert(0) += 1;
        }
    }
    ensure!(
        !orders.is_empty(),
        "{bytes} bytes were allocated, and no event told"
    );
    Ok((bytes, orders))
}
