// SPDX-License-Identifier: MIT OR Apache-2.0

//! Random plans, right and wrong ones.

use super::failed;
use crate::{random::Random, runner::Context};
use anyhow::{ensure, Context as _, Result};
use mapwright::{
    alloc::{AllocDevice, Allocator, CacheFlag, Gfp, Modifier, Pattern, Plan},
    page_size, Error,
};

/// A plan that is not large. A third of them are wild: those may be refused.
pub fn random_plan(random: &mut Random) -> Plan {
    let allocator = *random.pick(Allocator::ALL);
    let magnitude = random.below(15);
    let bytes = random.below(1 << magnitude) + 1;
    let mut plan = match allocator {
        Allocator::Pages => Plan::pages(random.below(6) as u32),
        Allocator::Krealloc => Plan::krealloc(random.below(10_000) + 1, bytes),
        Allocator::KmemCache => Plan::new(allocator, bytes.min(8192)),
        _ => Plan::new(allocator, bytes),
    };
    plan.gfp = *random.pick(&[Gfp::Kernel, Gfp::Atomic, Gfp::Noio, Gfp::User]);
    if random.below(3) == 0 {
        plan.modifiers = vec![*random.pick(&[Modifier::Zero, Modifier::Account])];
    }
    if allocator == Allocator::KmemCache {
        plan.cache_flags = (0..random.below(3))
            .map(|_| *random.pick(CacheFlag::ALL))
            .collect();
        plan.align = *random.pick(&[0, 8, 64, page_size() as u32]);
    }
    plan.count = random.below(40) as u32 + 1;
    let batch = random.below(12) as u32 + 1;
    plan.pattern = match random.below(3) {
        0 => Pattern::Pairs,
        1 => Pattern::Batches { batch },
        _ => Pattern::Random {
            places: batch,
            seed: random.next(),
        },
    };
    plan.hold = plan.pattern != Pattern::Pairs && random.below(3) == 0;
    plan.split = allocator == Allocator::Pages && random.below(2) == 0;
    if random.below(3) == 0 {
        spoil(&mut plan, random);
    }
    plan
}

/// Changes a plan so that it may not make sense any more.
pub(super) fn spoil(plan: &mut Plan, random: &mut Random) {
    plan.gfp = *random.pick(Gfp::ALL);
    plan.modifiers = (0..random.below(3))
        .map(|_| *random.pick(Modifier::ALL))
        .collect();
    plan.node = *random.pick(&[None, Some(0), Some(1), Some(-3)]);
    plan.free_null = random.below(4) == 0;
    plan.split |= random.below(8) == 0;
    plan.hold |= random.below(8) == 0;
    if random.below(8) == 0 {
        plan.align = 64;
    }
}

pub(super) fn a_thousand_random_plans(context: &Context) -> Result<()> {
    let device = AllocDevice::open()?;
    let mut random = Random::new(2026);
    let (mut ran, mut refused, mut failures, mut objects) = (0, 0, 0, 0);
    for i in 0..1000 {
        let plan = random_plan(&mut random);
        let result = match random.below(3) {
            0 => device.record(&plan, 5).map(|(report, _)| report),
            1 => device.record_pages(&plan, 5).map(|(report, _)| report),
            _ => device.run(&plan),
        };
        match result {
            Ok(report) => {
                ran += 1;
                failures += failed(&report);
                objects += report.allocated;
            }
            Err(Error::PlanRefused { .. }) => refused += 1,
            Err(err) => return Err(err).with_context(|| format!("plan {i}: {plan:?}")),
        }
        if i % 16 == 0 {
            device.release()?;
        }
    }
    device.release()?;
    context.note(format!(
        "{ran} ran and gave {objects} objects, {failures} allocations failed; {refused} were refused"
    ));
    ensure!(ran > 600 && refused > 50, "{ran} ran, {refused} refused");
    ensure!(objects > failures, "{objects} objects, {failures} failures");
    Ok(())
}
