// SPDX-License-Identifier: MIT OR Apache-2.0

//! B9: the buddy allocator splits blocks and merges them again.

use crate::{
    buddy::{buddy_of, Lists},
    not_testable,
    pin::Pinned,
    read::free_lists,
    Claim, Finding, Lab, Need, Shape, Table, Verdict,
};
use anyhow::{ensure, Context as _, Result};
use mapwright::alloc::{AllocDevice, Object, Pattern, Plan};

pub const CLAIM: Claim = Claim {
    id: "B9",
    title: "Buddies are split and merged",
    says: "The page allocator splits a larger block in halves until it has the size that is wanted; what is freed is \
           merged with its buddy. The address of a block's buddy is address XOR (1 << (order + PAGE_SHIFT)).",
    needs: &[Need::Module("mapwright_alloc")],
    shapes: &[Shape::Normal],
    prove,
};

/// Above those that each processor keeps a list of.
const ORDER: usize = 5;
/// Others allocate at the same time: how often it is tried to see nothing but what was done here.
const TRIES: usize = 200;
/// The block that is split is to be at least of this order.
const SPLIT_FROM: usize = ORDER + 3;
/// Blocks that are looked at for buddies.
const BLOCKS: u32 = 64;

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
    let pairs = pairs(&device, lab.machine.page_size)?;
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
        Verdict::of(pairs.buddies > 0 && pairs.aligned),
        format!(
            "of {BLOCKS} blocks of order {ORDER} allocated one after the other, {} are pairs of such addresses; all are \
             aligned to their size",
            pairs.buddies
        ),
    )
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
                let other = AllocDevice::open()?;
                other.run(&held_block(from)?)?;
                held.push(other);
            }
            _ => {}
        }
    }
    not_testable(format!(
        "in {TRIES} tries, others always allocated at the same time, or the model is wrong"
    ))
}

struct Pairs {
    buddies: usize,
    aligned: bool,
    table: Table,
}

/// How many of many blocks have the buddy that comes next to them, or before.
fn pairs(device: &AllocDevice, page_size: u64) -> Result<Pairs> {
    let plan = Plan::pages(u32::try_from(ORDER)?)
        .repeated(BLOCKS)
        .with_pattern(Pattern::Batches { batch: BLOCKS });
    let (_, objects) = device.record(&plan, BLOCKS)?;
    ensure!(
        objects.len() == BLOCKS as usize,
        "{} of {BLOCKS} blocks",
        objects.len()
    );
    let bit = page_size << ORDER;
    let is_buddy = |pair: &&[Object]| {
        let by_frame = buddy_of(pair[0].pfn, ORDER) == pair[1].pfn;
        by_frame && pair[0].address ^ bit == pair[1].address
    };
    let mut table = Table::new(
        format!("Blocks of order {ORDER} allocated one after the other that are buddies (the first four pairs)"),
        ["address", "XOR", "gives", "the next block is at"],
    );
    let buddies: Vec<&[Object]> = objects.windows(2).filter(is_buddy).collect();
    for pair in buddies.iter().take(4) {
        table.row([
            format!("{:#x}", pair[0].address),
            format!("{bit:#x}"),
            format!("{:#x}", pair[0].address ^ bit),
            format!("{:#x}", pair[1].address),
        ]);
    }
    Ok(Pairs {
        buddies: buddies.len(),
        aligned: objects.iter().all(|object| object.pfn % (1 << ORDER) == 0),
        table,
    })
}
