// SPDX-License-Identifier: GPL-2.0-only

//! A plan: from its numbers to a source of objects, and from what came of it back to numbers.

use crate::{
    device::Device,
    flags,
    holding::{
        Holding,
        Objects, //
    },
    pattern::{
        self,
        Loops,
        Spent,
        Tally,
        Turns,
        Watched, //
    },
    totals::Counted,
    watch::{
        Recorder,
        Timed, //
    }, //
};
use kernel::{
    prelude::*,
    str::CString,
    sync::Arc, //
};
use mapkit::{
    base::{
        budget::Charged,
        gfp::GFP_FOR_CALLER,
        sysinfo::OnlineNode,
        task, //
    },
    source::{
        Cache,
        CacheOnNode,
        CacheOptions,
        CoherentSource,
        Gfp,
        Kmalloc,
        KmallocOnNode,
        Krealloc,
        Kvmalloc,
        Nothing,
        PageBlocks,
        PageBlocksOnNode,
        PerCpu,
        Slots,
        Source,
        SplitBlocks,
        Unwatched,
        Vmalloc,
        VmallocOnNode,
        Watch, //
    }, //
};
use mapwright_uapi::alloc as uapi;
use uapi::{
    Allocator,
    Pattern, //
};

/// What a plan leaves beside numbers.
pub(crate) struct Outcome {
    pub(crate) records: KVVec<uapi::Record>,
    pub(crate) holding: Option<Holding>,
}

/// Runs a plan, and fills in what came of it. Errors as of [`uapi::Run`].
pub(crate) fn run(device: &Arc<Device>, run: &mut uapi::Run) -> Result<Outcome> {
    let info = device.info(0);
    if uapi::reason_against(run, &info).is_some() {
        return Err(EINVAL);
    }
    let allocator = Allocator::from_number(run.allocator).ok_or(EINVAL)?;
    let bytes = uapi::bytes_needed(run, &info);
    let plan = Plan {
        allocator,
        pattern: pattern::from_number(run.pattern)?,
        turns: Turns {
            count: run.count as usize,
            chunk: pattern::chunk(uapi::bytes_of_object(run, &info)),
            hold: run.flags & uapi::HOLD != 0,
            seed: run.seed,
        },
        too_large: run.bytes.max(run.old_bytes) > info.kmalloc_max_bytes
            && matches!(
                allocator,
                Allocator::Kmalloc | Allocator::Kzalloc | Allocator::Krealloc
            ),
        charged: Charged::new(&device.budget, bytes)?,
        device,
        run,
    };
    plan.with_source()
}

/// A place is no larger than what is counted for it.
const _: () = assert!(Slots::<CoherentSource>::bytes_of_one() as u64 <= uapi::PLACE);

/// A plan that can be run.
struct Plan<'a> {
    device: &'a Arc<Device>,
    run: &'a mut uapi::Run,
    allocator: Allocator,
    pattern: Pattern,
    turns: Turns,
    /// The allocator never gives so much.
    too_large: bool,
    charged: Charged,
}

impl Plan<'_> {
    /// Runs it with the allocator it asks for.
    fn with_source(self) -> Result<Outcome> {
        let gfp = flags::gfp(self.run)?;
        let bytes = usize::try_from(self.run.bytes).map_err(|_| ENOSPC)?;
        let old_bytes = usize::try_from(self.run.old_bytes).map_err(|_| ENOSPC)?;
        let zeroed = gfp | Gfp::ZERO;
        let node = match u32::try_from(self.run.node) {
            Ok(number) => Some(OnlineNode::new(number).ok_or(EINVAL)?),
            Err(_) => None,
        };
        match (self.allocator, node) {
            (Allocator::Kmalloc, None) => self.with(Kmalloc::new(bytes, gfp)),
            (Allocator::Kmalloc, Some(node)) => self.with(KmallocOnNode::new(bytes, gfp, node)),
            (Allocator::Kzalloc, None) => self.with(Kmalloc::new(bytes, zeroed)),
            (Allocator::Kzalloc, Some(node)) => self.with(KmallocOnNode::new(bytes, zeroed, node)),
            (Allocator::Krealloc, _) => self.with(Krealloc::new(old_bytes, bytes, gfp)),
            (Allocator::Kvmalloc, node) => self.with(Kvmalloc::new(bytes, gfp, node)),
            (Allocator::Vmalloc, None) => self.with(Vmalloc::new(bytes, gfp)),
            (Allocator::Vzalloc, None) => self.with(Vmalloc::new(bytes, zeroed)),
            (Allocator::Vmalloc, Some(node)) => {
                self.with(VmallocOnNode::new(bytes, gfp.has(Gfp::ZERO), node))
            }
            (Allocator::Vzalloc, Some(node)) => self.with(VmallocOnNode::new(bytes, true, node)),
            (Allocator::Pages, node) => self.with_pages(gfp, node),
            (Allocator::KmemCache, node) => self.with_cache(bytes, gfp, node),
            (Allocator::PerCpu, _) => {
                let align = self.run.align as usize;
                self.with(PerCpu::new(bytes, align, gfp)?)
            }
            (Allocator::Coherent, _) => {
                let source = CoherentSource::new(&self.device.dma, bytes, gfp);
                self.with(source)
            }
        }
    }

    fn with_pages(self, gfp: Gfp, node: Option<OnlineNode>) -> Result<Outcome> {
        let order = self.run.order;
        match (node, self.run.flags & uapi::SPLIT != 0) {
            (None, false) => self.with(PageBlocks::new(order, gfp)?),
            (None, true) => self.with(SplitBlocks::new(PageBlocks::new(order, gfp)?)?),
            (Some(node), false) => self.with(PageBlocksOnNode::new(order, gfp, node)?),
            (Some(node), true) => self.with(SplitBlocks::on_node(PageBlocksOnNode::new(
                order, gfp, node,
            )?)?),
        }
    }

    fn with_cache(self, bytes: usize, gfp: Gfp, node: Option<OnlineNode>) -> Result<Outcome> {
        let number = self.device.new_cache_number();
        let name = CString::try_from_fmt(fmt!("mapwright_alloc-{number}"))?;
        let options = CacheOptions {
            bytes,
            align: self.run.align,
            flags: flags::cache_flags(self.run.cache_flags),
        };
        self.run.cache_number = number;
        let cache = Cache::new(&name, options, gfp)?;
        match node {
            None => self.with(cache),
            Some(node) => self.with(CacheOnNode::new(cache, node)),
        }
    }

    /// Runs it with `source`.
    fn with<S: Source>(mut self, source: S) -> Result<Outcome> {
        let slots = Slots::new(source, self.run.batch as usize)?;
        let mut objects = Objects::new(slots, self.allocator, self.device.clone());
        let slots = &mut objects.slots;
        if self.run.flags & uapi::FREE_NULL != 0 {
            slots.source().free_null();
        }
        self.run.first_cpu = task::cpu();
        let mut records = KVVec::new();
        if self.run.nr_records > 0 {
            let mut recorder = Recorder::new(self.run.nr_records as usize, self.run.flags)?;
            self.exercise(&mut watched(slots, &mut recorder))?;
            records = recorder.into_records();
        } else if self.run.flags & uapi::HISTOGRAM != 0 {
            self.exercise_timed(slots)?;
        } else {
            let tally = self.exercise(&mut watched(slots, &mut Unwatched))?;
            self.tell_cost(&tally, &mut Unwatched)?;
        }
        self.run.last_cpu = task::cpu();
        self.run.nr_records = u32::try_from(records.len()).unwrap_or(u32::MAX);
        let holding = match self.turns.hold {
            true => Some(Holding {
                objects: KBox::new(objects, GFP_FOR_CALLER)?,
                _charged: self.charged,
            }),
            false => None,
        };
        Ok(Outcome { records, holding })
    }

    /// Runs the loop with each operation timed.
    fn exercise_timed<S: Source>(&mut self, slots: &mut Slots<S>) -> Result {
        let (mut allocating, mut freeing) = ([0; uapi::BUCKETS], [0; uapi::BUCKETS]);
        let mut watch = Timed {
            allocating: &mut allocating,
            freeing: &mut freeing,
        };
        let tally = self.exercise(&mut watched(slots, &mut watch))?;
        self.run.allocating_histogram = *watch.allocating;
        self.run.freeing_histogram = *watch.freeing;
        // What this adds to the histograms is not told.
        self.tell_cost(&tally, &mut watch)
    }

    /// Runs the loop, and counts what came of it.
    fn exercise(&mut self, loops: &mut dyn Loops) -> Result<Tally> {
        let mut tally = Tally::default();
        let result = pattern::run(self.pattern, loops, self.turns, &mut tally);
        let totals = &self.device.totals;
        totals.add(self.allocator, Counted::Allocated, tally.allocated);
        totals.add(self.allocator, Counted::Failed, tally.failed);
        totals.add(self.allocator, Counted::Freed, tally.freed);
        result?;
        self.run.allocated = tally.allocated as u64;
        self.run.freed = tally.freed as u64;
        (self.run.failed_memory, self.run.failed_size) = match self.too_large {
            false => (tally.failed as u64, 0),
            true => (0, tally.failed as u64),
        };
        Ok(tally)
    }

    /// Runs the same loop with no allocator in it, and tells what both cost.
    fn tell_cost<W: Watch>(&mut self, tally: &Tally, watch: &mut W) -> Result {
        let mut empty = Tally::default();
        let mut slots = Slots::new(Nothing, self.run.batch as usize)?;
        let loops = &mut watched(&mut slots, watch);
        pattern::run(self.pattern, loops, self.turns, &mut empty)?;
        self.run.allocating = cost(tally.allocating, empty.allocating);
        self.run.freeing = cost(tally.freeing, empty.freeing);
        Ok(())
    }
}

fn watched<'a, S: Source, W: Watch>(
    slots: &'a mut Slots<S>,
    watch: &'a mut W,
) -> Watched<'a, S, W> {
    Watched { slots, watch }
}

fn cost(spent: Spent, empty: Spent) -> uapi::Cost {
    uapi::Cost {
        ns: spent.ns,
        empty_ns: empty.ns,
        cycles: spent.cycles,
        empty_cycles: empty.cycles,
    }
}
