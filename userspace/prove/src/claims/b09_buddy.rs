// SPDX-License-Identifier: MIT OR Apache-2.0

//! B9: the buddy allocator splits blocks and merges them again.

use crate::{
    buddy::{buddy_of, Lists},
    finding::plural,
    not_testable,
    pin::Pinned,
    read::free_lists,
    Claim, Document, Finding, Lab, Need, Table, Verdict, Vm,
};
use anyhow::{Context as _, Result};
use mapwright::{
    alloc::{AllocDevice, Object, Pattern, Plan},
    page_size, Backing, Method, Session,
};
use std::collections::BTreeMap;

pub const CLAIM: Claim = Claim {
    id: "B9",
    title: "Buddies are split and merged",
    sources: &[
        Document::Memory.section("3, Buddy Allocator Split & Coalesce"),
        Document::Reference.section("9, Memory Allocation Hierarchy"),
        Document::Overview.section("3, Page Management"),
    ],
    says: "The page allocator splits a larger block in halves until it has the size that is wanted; what is freed is \
           merged with its buddy. The address of a block's buddy is address XOR (1 << (order + PAGE_SHIFT)).",
    needs: &[Need::Module("mapwright"), Need::Module("mapwright_alloc")],
    vms: &[Vm::Normal],
    prove,
};

/// Above those that each processor keeps a list of.
const ORDER: usize = 5;
/// Others allocate at the same time: how often it is tried to see nothing but what was done here.
const TRIES: usize = 200;
/// The block that is split is to be at least of this order.
const SPLIT_FROM: usize = ORDER + 3;
/// Bytes of all blocks that are looked at for buddies, at most.
const MOST: u64 = 48 << 20;

/// The lists of the type that the kernel's own pages come from, before, while a block is taken, and after.
struct Split {
    zone: String,
    before: Lists,
    during: Lists,
    after: Lists,
    /// The order of the block that was split, as the model says.
    from: usize,
}

fn prove(lab: &Lab) -> Result<Finding> {
    let _pinned = Pinned::to(0)?;
    let device = AllocDevice::open()?;
    let split = observe(&device)?;
    let mut table = Table::new(
        format!(
            "Free unmovable blocks of the zone {}, by order, in /proc/pagetypeinfo: a block of order {ORDER} is taken \
             and given back",
            split.zone
        ),
        ["order", "before", "while it is taken", "model", "after it was freed"],
    );
    let mut model = split.before.clone();
    model.take(ORDER);
    for order in 0..split.before.0.len() {
        table.row([
            order.to_string(),
            split.before.0[order].to_string(),
            split.during.0[order].to_string(),
            model.0[order].to_string(),
            split.after.0[order].to_string(),
        ]);
    }
    let pairs = pairs(&device, &split.zone, lab.machine.page_size)?;
    let halves = split.from - ORDER;
    Ok(Finding::new(format!(
        "a block of order {} leaves {halves} halves, and is whole again when freed",
        split.from
    ))
    .statement(
        "A larger block is split in halves until it has the size",
        Verdict::of(split.during == model && halves > 0),
        format!("the list of order {} lost a block, each list from {ORDER} to {} got one", split.from, split.from - 1),
    )
    .statement(
        "What is freed is merged with its buddy",
        Verdict::of(split.after == split.before),
        "all lists are as before",
    )
    .statement(
        "The address of the buddy is address XOR (1 << (order + PAGE_SHIFT))",
        match (pairs.buddies, pairs.all_smaller_taken) {
            (0, false) => Verdict::NotTestableHere,
            (buddies, _) => Verdict::of(buddies > 0 && pairs.aligned),
        },
        format!(
            "among {} blocks of order {ORDER}: {} with such addresses; {}",
            pairs.blocks,
            plural(pairs.buddies, "pair"),
            match pairs.aligned {
                true => "all are aligned to their size",
                false => "some are not aligned to their size",
            }
        ),
    )
    .said_in(&[Document::Memory.section("3, Buddy Allocator Split & Coalesce")])
    .table(table)
    .table(pairs.table)
    .instead(format!(
        "Blocks up to order 3 do not show this at once: each processor keeps a list of them. There are such lists for \
         each migrate type. In terms of frame numbers, the buddy is pfn ^ (1 << order): here pfn ^ {}.",
        1 << ORDER
    )))
}

/// A plan that takes a block and holds it.
fn held_block(order: usize) -> Result<Plan> {
    let plan = Plan::pages(u32::try_from(order)?);
    Ok(plan.with_pattern(Pattern::Batches { batch: 1 }).holding())
}

/// What the model makes of the lists when the block is freed.
fn merged(during: &Lists, from: usize) -> Lists {
    let mut lists = during.clone();
    lists.give(ORDER, from);
    lists
}

/// Takes a block and gives it back, until nobody else was seen to do so at the same time.
fn observe(device: &AllocDevice) -> Result<Split> {
    let plan = held_block(ORDER)?;
    let mut zone = String::new();
    let session = Session::open()?;
    let mut held = Vec::new();
    for _ in 0..TRIES {
        let before = free_lists::unmovable(&zone)?;
        let (_, objects) = device.record(&plan, 1)?;
        let during = free_lists::unmovable(&zone)?;
        device.release()?;
        let after = free_lists::unmovable(&zone)?;
        let object = objects.first().context("a block was refused")?;
        if object.zone.name() != zone {
            object.zone.name().clone_into(&mut zone);
            continue;
        }
        let [before, during, after] = [before, during, after].map(Lists);
        let mut model = before.clone();
        let from = model.take(ORDER);
        match from {
            Some(from)
                if model == during && after == merged(&during, from) && from >= SPLIT_FROM =>
            {
                return Ok(Split {
                    zone,
                    before,
                    during,
                    after,
                    from,
                });
            }
            // A block of nearly the right size is there: take it away for a while, to see more splits.
            Some(from) if from < SPLIT_FROM => {
                // There may be more of them than the module of the plans may hold.
                let bytes = page_size() << from;
                held.push(session.create(Backing::Pages, Method::Remap, bytes)?);
            }
            _ => {}
        }
    }
    not_testable(format!(
        "in {TRIES} tries, others always allocated at the same time, or the model is wrong"
    ))
}

struct Pairs {
    blocks: u32,
    buddies: usize,
    aligned: bool,
    /// A block large enough to be split into buddies must be among them: none smaller was left.
    all_smaller_taken: bool,
    table: Table,
}

/// How many blocks have to be taken until one of order `SPLIT_FROM` is split, and all of it taken.
fn blocks_until_split(zone: &str) -> Result<u32> {
    let lists = free_lists::unmovable(zone)?;
    let smaller = lists.iter().enumerate().take(SPLIT_FROM).skip(ORDER);
    let smaller: u64 = smaller.map(|(order, free)| free << (order - ORDER)).sum();
    Ok(u32::try_from(smaller + 2 * (1 << (SPLIT_FROM - ORDER)))?)
}

/// How many of many blocks, taken one after the other, are each other's buddies.
fn pairs(device: &AllocDevice, zone: &str, page_size: u64) -> Result<Pairs> {
    let needed = blocks_until_split(zone)?;
    let blocks = needed.min(u32::try_from(MOST / (page_size << ORDER))?);
    let plan = Plan::pages(u32::try_from(ORDER)?)
        .repeated(blocks)
        .with_pattern(Pattern::Batches { batch: blocks });
    let (_, objects) = device.record(&plan, blocks)?;
    let by_frame: BTreeMap<u64, &Object> = objects.iter().map(|it| (it.pfn, it)).collect();
    let bit = page_size << ORDER;
    let mut table = Table::new(
        format!("Blocks of order {ORDER}, of {blocks} taken one after the other, that are buddies (the first four pairs)"),
        ["address", "XOR", "gives", "the other block is at"],
    );
    let mut buddies = 0;
    for object in by_frame.values() {
        let Some(other) = by_frame.get(&buddy_of(object.pfn, ORDER)) else {
            continue;
        };
        if object.pfn < other.pfn && object.address ^ bit == other.address {
            buddies += 1;
            if buddies <= 4 {
                table.row([
                    format!("{:#x}", object.address),
                    format!("{bit:#x}"),
                    format!("{:#x}", object.address ^ bit),
                    format!("{:#x}", other.address),
                ]);
            }
        }
    }
    Ok(Pairs {
        blocks,
        buddies,
        aligned: objects.iter().all(|object| object.pfn % (1 << ORDER) == 0),
        all_smaller_taken: blocks == needed && objects.len() == blocks as usize,
        table,
    })
}
