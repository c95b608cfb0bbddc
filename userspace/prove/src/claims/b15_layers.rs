// SPDX-License-Identifier: MIT OR Apache-2.0

//! B15: the allocators as layers.

use crate::{
    finding::plural,
    read::trace::{self, Event},
    Claim, Document, Finding, Lab, Need, Table, Verdict, Vm,
};
use anyhow::{ensure, Context as _, Result};
use mapwright::alloc::{AllocDevice, Allocator, CacheFlag, Pattern, Plan};
use std::collections::BTreeMap;

pub const CLAIM: Claim = Claim {
    id: "B15",
    title: "Layers of allocators",
    sources: &[Document::Reference.section("9, Memory Allocation Hierarchy")],
    says: "The page allocator is the base. kmalloc() takes objects from slabs, and slabs take pages from it; vmalloc() \
           and get_free_pages() take pages directly, vmalloc() one at a time.",
    needs: &[Need::Module("mapwright_alloc")],
    vms: &[Vm::Normal],
    prove,
};

const OBJECT_BYTES: u64 = 256;
const OBJECTS: u32 = 256;
const VMALLOC_PAGES: u64 = 96;
const ORDER: u32 = 1;

/// Blocks that the page allocator gave, by order.
type Blocks = BTreeMap<u64, u64>;

fn prove(lab: &Lab) -> Result<Finding> {
    let page = lab.machine.page_size;
    let batches = Pattern::Batches { batch: OBJECTS };
    let many = Plan {
        cache_flags: vec![CacheFlag::NoMerge],
        ..Plan::new(Allocator::KmemCache, OBJECT_BYTES)
            .repeated(OBJECTS)
            .with_pattern(batches)
    };
    let again = Plan::new(Allocator::Kmalloc, OBJECT_BYTES).repeated(OBJECTS);
    let vmalloc = Plan::new(Allocator::Vmalloc, VMALLOC_PAGES * page);
    let slabs = blocks(&many)?;
    // The first one may be a miss; what comes after is not.
    blocks(&again)?;
    let hits = blocks(&again)?;
    let area = blocks(&vmalloc)?;
    let direct = blocks(&Plan::pages(ORDER))?;

    let mut table = Table::new(
        "What was taken from the page allocator (kmem:mm_page_alloc)",
        ["done", "blocks taken, by order", "pages"],
    );
    let slab_name = format!("{OBJECTS} objects of {OBJECT_BYTES} bytes of a new cache");
    for (done, blocks) in [
        (slab_name, &slabs),
        (
            format!("{OBJECTS} times kmalloc({OBJECT_BYTES}) and kfree()"),
            &hits,
        ),
        (format!("vmalloc() of {VMALLOC_PAGES} pages"), &area),
        (format!("alloc_pages() of order {ORDER}"), &direct),
    ] {
        let by_order = blocks
            .iter()
            .map(|(order, count)| format!("{count} of order {order}"));
        let by_order: Vec<String> = by_order.collect();
        let listed = if by_order.is_empty() {
            "none".to_owned()
        } else {
            by_order.join(", ")
        };
        table.row([done, listed, pages(blocks).to_string()]);
    }
    let needed = u64::from(OBJECTS) * OBJECT_BYTES / page;
    let largest = area
        .keys()
        .next_back()
        .copied()
        .context("vmalloc() took no pages")?;
    // A page fault of this program may come in between.
    ensure!(
        direct.contains_key(&u64::from(ORDER)),
        "a block of 2^{ORDER} pages took {direct:?}"
    );
    let singles = largest == 0;
    Ok(Finding::new(format!(
        "{OBJECTS} objects take {} pages, {OBJECTS} hits {}; vmalloc() of {VMALLOC_PAGES} pages takes {} blocks",
        pages(&slabs),
        pages(&hits),
        area.values().sum::<u64>()
    ))
    .statement(
        "Slabs take their pages from the page allocator",
        Verdict::of((needed..=2 * needed + 16).contains(&pages(&slabs))),
        format!("{} pages for {needed} pages of objects", pages(&slabs)),
    )
    .said_in(&[
        Document::Walkthrough.section("4, Kernel allocators & mappings"),
        Document::Memory.section("9, Slab Allocation Fast & Slow Path"),
        Document::Reference.section("9, Memory Allocation Hierarchy"),
    ])
    .statement(
        "An object that a slab still has takes no page",
        Verdict::of(hits.is_empty()),
        format!("{} for {OBJECTS} allocations", plural(pages(&hits), "page")),
    )
    .said_in(&[
        Document::Memory.section("9, Slab Allocation Fast & Slow Path"),
        Document::Reference.section("9, Memory Allocation Hierarchy"),
    ])
    .statement(
        "vmalloc() takes its pages directly from the page allocator",
        Verdict::of(pages(&area) >= VMALLOC_PAGES),
        format!("{} pages for {VMALLOC_PAGES}", pages(&area)),
    )
    .statement(
        "vmalloc() takes one page at a time",
        Verdict::Confirmed.if_else(singles, Verdict::Outdated),
        format!("the largest block that it took was of order {largest}"),
    )
    .table(table)
    .instead(
        "vmalloc() tries large blocks first, which it splits into single pages; only where there are none does it take \
         single pages.",
    ))
}

fn pages(blocks: &Blocks) -> u64 {
    blocks.iter().map(|(order, count)| count << order).sum()
}

/// What the page allocator gives this thread while the plan runs.
fn blocks(plan: &Plan) -> Result<Blocks> {
    let device = AllocDevice::open()?;
    let (_, events) = trace::record(&["kmem:mm_page_alloc"], |_| Ok(device.run(plan)?))?;
    let mut blocks = Blocks::new();
    let given = |event: &&Event| event.name == "mm_page_alloc";
    for event in events.iter().filter(given) {
        *blocks.entry(event.number("order")?).or_insert(0) += 1;
    }
    Ok(blocks)
}
