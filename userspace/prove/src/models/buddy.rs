// SPDX-License-Identifier: MIT OR Apache-2.0

//! F1: the buddy allocator, in a pool of the kernel's.
//!
//! The pool is a free block whose buddy is held, while no other unmovable block that is larger than what each
//! processor keeps, and smaller than the largest, is free. So the kernel takes what the script wants from there.

use super::{ComparedStep, Comparison};
use crate::{
    not_testable,
    pin::Pinned,
    read::{
        free_lists,
        trace::{self, Event},
    },
    Need, Table,
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{
    alloc::{AllocDevice, Pattern, Plan},
    Error,
};
use mapwright_models::{buddy::State as Model, run, Kind, State, Step};
use std::collections::BTreeMap;

/// A page of the model's is so many of the kernel's, as a power of two: each processor keeps lists of smaller
/// blocks, which would stand between.
const UNIT: usize = 4;
/// The order of the largest pool: each processor keeps huge pages, too, which have the order 9.
const LARGEST: usize = 4;
/// How often a pool is made until nobody else took from it.
const TRIES: usize = 20;
/// Blocks that are left for others, so that they take no part of the pool.
const CUSHION: usize = 48;
const EVENTS: [&str; 3] = [
    "kmem:mm_page_alloc",
    "kmem:mm_page_free",
    "kmem:mm_page_alloc_extfrag",
];
const REASONS: [&str; 3] = [
    "Blocks up to order 3, and huge pages, are kept in lists of each processor's: they are neither split nor merged \
     at once.",
    "There are such free lists for each migrate type. Where one has no block that is large enough, the kernel takes \
     one of another type (mm_page_alloc_extfrag).",
    "Others allocate at the same time.",
];

pub const NEEDS: &[Need] = &[
    Need::Module("mapwright_alloc"),
    Need::File("/proc/pagetypeinfo", "CONFIG_PROC_FS"),
    Need::Seconds(60),
];

/// What a try came to.
struct Tried {
    compared: Vec<ComparedStep>,
    events: Table,
    first: u64,
    zone: String,
}

pub fn check(script: &str) -> Result<Comparison> {
    let transcript = run(Kind::Buddy, script)?;
    let order = model(&transcript.steps[0])?.order;
    if order > LARGEST {
        return not_testable(format!(
            "the pool has the order {order}: beside the kernel it may have {LARGEST} at most, as a page of the \
             model's is {} of the kernel's",
            1 << UNIT
        ));
    }
    let _pinned = Pinned::to(0)?;
    let mut last = None;
    let mut tries = 0;
    while tries < TRIES && !last.as_ref().is_some_and(Tried::agrees) {
        tries += 1;
        last = attempt(order, &transcript.steps)?.or(last);
    }
    let Some(tried) = last else {
        return not_testable(format!(
            "in {TRIES} tries others always allocated at the same time: there is no quiet pool"
        ));
    };
    let about = vec![format!(
        "A page of the model's is a block of {} pages (order {UNIT}) in the zone {}. The pool is the block of order {} \
         at the frame {:#x}; its buddy is held, and so is what else was free between order {UNIT} and the largest. Try {tries}.",
        1 << UNIT,
        tried.zone,
        order + UNIT,
        tried.first
    )];
    let mut comparison = Comparison::new(about, tried.compared, &REASONS);
    comparison.evidence.push(tried.events);
    Ok(comparison)
}

impl Tried {
    fn agrees(&self) -> bool {
        self.compared.iter().all(|step| step.agrees)
    }
}

/// Makes a pool and does the steps there. `None` if others were in the way.
fn attempt(order: usize, steps: &[Step]) -> Result<Option<Tried>> {
    // What is traced into takes memory, which must not come from the pool: it is there before.
    let (done, events) = trace::record(&EVENTS, |buffer| {
        let Some(mut pool) = Pool::new(order)? else {
            return Ok(None);
        };
        buffer.mark(0)?;
        let compared = pool.steps(steps)?;
        Ok(Some((pool, compared)))
    })?;
    let Some((pool, compared)) = done else {
        return Ok(None);
    };
    let of_steps = events
        .iter()
        .skip_while(|event| event.name != trace::MARK)
        .skip(1);
    let events = pool.table(of_steps, model(&steps[0])?.start)?;
    Ok(Some(Tried {
        compared,
        events,
        first: pool.first,
        zone: pool.zone,
    }))
}

fn model(step: &Step) -> Result<&Model> {
    match &step.state {
        State::Buddy(state) => Ok(state),
        _ => anyhow::bail!("the model has no pool"),
    }
}

/// Takes and holds `count` blocks.
fn hold(device: &AllocDevice, order: usize, count: u32) -> Result<u64> {
    let plan = Plan::pages(u32::try_from(order)?).repeated(count);
    let plan = plan
        .with_pattern(Pattern::Batches { batch: count })
        .holding();
    let (_, objects) = match device.record(&plan, 1) {
        Err(Error::OverBudget { budget, .. }) => {
            return not_testable(format!(
                "small blocks take more of the free memory than mapwright_alloc may hold: {} MiB (budget_mib)",
                budget >> 20
            ))
        }
        recorded => recorded?,
    };
    Ok(objects.first().context("a block was refused")?.pfn)
}

/// A pool of the kernel's.
struct Pool {
    zone: String,
    /// The order that the model knows.
    order: usize,
    first: u64,
    held: Vec<AllocDevice>,
}

impl Pool {
    /// Makes one; `None` if others were in the way.
    fn new(order: usize) -> Result<Option<Self>> {
        let wanted = order + UNIT;
        let device = AllocDevice::open()?;
        let plan = Plan::pages(u32::try_from(wanted)?).with_pattern(Pattern::Batches { batch: 1 });
        let (_, objects) = device.record(&plan.holding(), 1)?;
        let zone = objects
            .first()
            .context("a block was refused")?
            .zone
            .name()
            .to_owned();
        let mut pool = Self {
            zone,
            order,
            first: 0,
            held: vec![device],
        };
        pool.leave_cushion()?;
        pool.take_all(UNIT)?;
        let Some((first, device)) = pool.pair(wanted)? else {
            return Ok(None);
        };
        pool.take_all(UNIT)?;
        pool.first = first;
        device.release()?;
        Ok(pool.is_whole()?.then_some(pool))
    }

    /// Leaves small blocks whose buddies are held, so that they stay small.
    fn leave_cushion(&mut self) -> Result<()> {
        let (left, kept) = (AllocDevice::open()?, AllocDevice::open()?);
        for _ in 0..CUSHION {
            hold(&left, UNIT - 1, 1)?;
            hold(&kept, UNIT - 1, 1)?;
        }
        left.release()?;
        self.held.push(kept);
        Ok(())
    }

    /// Takes all free blocks from an order on, but the largest.
    fn take_all(&mut self, from: usize) -> Result<()> {
        for _ in 0..TRIES {
            let lists = free_lists::unmovable(&self.zone)?;
            let top = lists.len().saturating_sub(1);
            // Blocks of order 9 are not taken whole: each processor has a list of them.
            let largest = LARGEST + UNIT;
            let mut any = false;
            for order in from..top.min(largest + 1) {
                // Those that are larger are taken in parts.
                let beyond = (order + 1..top).filter(|_| order == largest);
                let beyond: u64 = beyond.map(|larger| lists[larger] << (larger - order)).sum();
                let count = u32::try_from(lists[order] + beyond)?;
                if count > 0 {
                    let device = AllocDevice::open()?;
                    hold(&device, order, count)?;
                    self.held.push(device);
                    any = true;
                }
            }
            if !any {
                break;
            }
        }
        Ok(())
    }

    /// Two blocks that are each other's buddies: the first frame of the lower one, and what holds it.
    fn pair(&mut self, order: usize) -> Result<Option<(u64, AllocDevice)>> {
        let mut blocks: BTreeMap<u64, AllocDevice> = BTreeMap::new();
        for _ in 0..8 {
            let device = AllocDevice::open()?;
            let block = hold(&device, order, 1)?;
            blocks.insert(block, device);
            let other = block ^ (1 << order);
            if blocks.contains_key(&other) {
                let lower = block.min(other);
                let device = blocks.remove(&lower);
                self.held.extend(blocks.into_values());
                return Ok(device.map(|device| (lower, device)));
            }
        }
        Ok(None)
    }

    /// Free blocks, by the model's orders.
    fn lists(&self) -> Result<Vec<u64>> {
        let lists = free_lists::unmovable(&self.zone)?;
        Ok(lists.into_iter().skip(UNIT).take(self.order + 1).collect())
    }

    fn is_whole(&self) -> Result<bool> {
        let lists = self.lists()?;
        Ok(lists.iter().sum::<u64>() == 1 && lists.last() == Some(&1))
    }

    /// What was traced, without small blocks.
    fn table<'a>(&self, events: impl Iterator<Item = &'a Event>, start: u64) -> Result<Table> {
        let mut table = Table::new(
            format!("What the kernel traced of this thread, from order {UNIT} on"),
            ["event", "frame", "order", "migrate type", "the model's"],
        );
        for event in events {
            let order = event
                .number("order")
                .or_else(|_| event.number("alloc_order"))
                .unwrap_or(0);
            if order < UNIT as u64 {
                continue;
            }
            let pfn = event.number("pfn")?;
            table.row([
                event.name.clone(),
                format!("{pfn:#x}"),
                order.to_string(),
                event.field("migratetype").to_owned(),
                self.place(pfn).map_or("outside".to_owned(), |page| {
                    format!("0x{:X}", start + page * 4096)
                }),
            ]);
        }
        Ok(table)
    }

    /// The model's page that a frame is.
    fn place(&self, pfn: u64) -> Option<u64> {
        let within = pfn.checked_sub(self.first)?;
        (within < 1 << (self.order + UNIT)).then_some(within >> UNIT)
    }

    fn steps(&mut self, steps: &[Step]) -> Result<Vec<ComparedStep>> {
        let start = model(&steps[0])?.start;
        let mut given: BTreeMap<u64, AllocDevice> = BTreeMap::new();
        let mut compared = Vec::new();
        for pair in steps.windows(2) {
            let (before, after) = (model(&pair[0])?, model(&pair[1])?);
            let new = after.used.iter().find(|block| !before.used.contains(block));
            let (model_did, kernel_did) =
                match pair[1].text.split_whitespace().collect::<Vec<_>>()[..] {
                    ["alloc", order] => {
                        let order: usize = order.parse()?;
                        let model_did = new.map_or("none is large enough".to_owned(), |block| {
                            format!("0x{:X}", block.address)
                        });
                        let device = AllocDevice::open()?;
                        let pfn = hold(&device, order + UNIT, 1)?;
                        let kernel_did = match self.place(pfn) {
                            Some(page) => {
                                let address = start + page * 4096;
                                given.insert(address, device);
                                format!("0x{address:X}")
                            }
                            None => {
                                self.held.push(device);
                                // What else was split for it.
                                self.take_all(order + UNIT)?;
                                "none is large enough".to_owned()
                            }
                        };
                        (model_did, kernel_did)
                    }
                    _ => {
                        let gone = before.used.iter().find(|block| !after.used.contains(block));
                        let gone = gone.context("a step that neither takes nor gives")?;
                        let freed = given.remove(&gone.address);
                        let kernel_did = match freed {
                            Some(device) => {
                                let count = device.release()?;
                                ensure!(count == 1, "a block was freed {count} times");
                                "freed".to_owned()
                            }
                            None => "it has no such block".to_owned(),
                        };
                        ("freed".to_owned(), kernel_did)
                    }
                };
            let model_lists: Vec<u64> = after.free.iter().map(|list| list.len() as u64).collect();
            let lists = self.lists()?;
            compared.push(ComparedStep {
                line: pair[1].line,
                step: pair[1].text.clone(),
                agrees: model_did == kernel_did && model_lists == lists,
                model: format!("{model_did}; free {}", counts(&model_lists)),
                kernel: format!("{kernel_did}; free {}", counts(&lists)),
            });
        }
        for device in given.into_values() {
            device.release()?;
        }
        Ok(compared)
    }
}

/// `1×[0] 1×[2]`: free blocks by order.
fn counts(lists: &[u64]) -> String {
    let some = lists.iter().enumerate().filter(|(_, count)| **count > 0);
    let some: Vec<String> = some
        .map(|(order, count)| format!("{count}×[{order}]"))
        .collect();
    match some.is_empty() {
        true => "nothing".to_owned(),
        false => some.join(" "),
    }
}
