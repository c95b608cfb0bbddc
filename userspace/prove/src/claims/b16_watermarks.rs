// SPDX-License-Identifier: MIT OR Apache-2.0

//! B16: zones, their watermarks, and what happens below each.

use crate::{
    finding::plural,
    pressure::{self, History},
    read::zoneinfo,
    watermarks::{compute_again, free_of, is_movable, kept, margin, passes, settings, BLUR},
    Claim, Document, Finding, Lab, Need, Table, Verdict, Vm,
};
use anyhow::{ensure, Context as _, Result};

pub const CLAIM: Claim = Claim {
    id: "B16",
    title: "Zones and watermarks",
    sources: &[
        Document::Memory.section("2, Key Data Structures"),
        Document::Memory.section("6, Interview Prep, Q3"),
    ],
    says: "Each zone has three watermarks. Below high, kswapd is woken and reclaims in the background; below \
           low, who allocates must reclaim itself; below min, the OOM killer comes or the allocation \
           fails.",
    needs: &[Need::Cpus(2), Need::Seconds(60)],
    vms: &[Vm::Normal, Vm::AboveFourGib],
    prove,
};

fn prove(lab: &Lab) -> Result<Finding> {
    compute_again()?;
    let zones = zoneinfo::read()?;
    pressure::expect_plain_zones(&zones)?;
    let settings = settings(&zones, lab.machine.page_size)?;
    let mut table = Table::new(
        "Zones in /proc/zoneinfo, in pages; the model computes its watermarks from vm.min_free_kbytes and \
         vm.watermark_scale_factor",
        ["node", "zone", "managed", "min", "low", "high", "model's min, low, high"],
    );
    let mut ordered = true;
    for zone in &zones {
        let (min, low, high) = (
            zone.counter("min"),
            zone.counter("low"),
            zone.counter("high"),
        );
        ordered &= min < low && low < high;
        let model = settings.marks(zone.managed());
        for (kernel, model) in [(min, model.min), (low, model.low), (high, model.high)] {
            // While a zone is boosted, because blocks of it were given to another type, it is told with that.
            let kernel = kernel - zone.counter("boost").min(kernel);
            // The kernel rounds each of its steps.
            let close = kernel.abs_diff(model) <= 3;
            ensure!(
                close || is_movable(zone),
                "a watermark of {} is {kernel}, the model's {model}",
                zone.name
            );
        }
        table.row([
            zone.node.to_string(),
            zone.name.clone(),
            zone.managed().to_string(),
            min.to_string(),
            low.to_string(),
            high.to_string(),
            format!("{}, {}, {}", model.min, model.low, model.high),
        ]);
    }

    let (history, ()) = pressure::apply(|_| Ok(()))?;
    let woken = history
        .woken
        .context("memory was used up, and nobody woke kswapd")?;
    let reclaimed = history
        .reclaimed
        .context("memory was used up, and nobody had to reclaim")?;
    ensure!(
        woken <= reclaimed,
        "memory was reclaimed before kswapd was woken"
    );
    let moments = moments(&history, woken, reclaimed)?;
    // The zone that most of the memory is in.
    let main = zones
        .iter()
        .max_by_key(|zone| zone.managed())
        .context("no zone has memory")?;
    let at = |step: usize| free_of(&history.steps[step], main);
    let (low, min) = (
        main.counter("low") + kept(main),
        main.counter("min") + kept(main),
    );
    // In no step before may the model see a watermark that stops an allocation.
    let (wake_margin, reclaim_margin) = (
        margin(&history, woken, "low"),
        margin(&history, reclaimed, "min"),
    );
    for (what, step, mark) in [
        ("kswapd was woken", woken, "low"),
        ("memory was reclaimed", reclaimed, "min"),
    ] {
        let missed = (0..step).find(|step| !passes(&history.steps[*step], mark));
        ensure!(
            missed.is_none(),
            "{what} in step {step}, but in step {missed:?} no zone had more free than {mark} and what is kept"
        );
    }
    Ok(Finding::new(format!(
        "{}: kswapd woken at {} free pages (low {low}), direct reclaim at {} (min {min})",
        main.name,
        at(woken),
        at(reclaimed)
    ))
    .statement(
        "Each zone has watermarks, min below low below high",
        Verdict::of(ordered),
        format!("{}, each with min < low < high", plural(zones.len(), "zone")),
    )
    .statement(
        "kswapd is woken below high, while more than low is free",
        Verdict::of(at(woken) > low + BLUR),
        format!("woken at {} free pages: low is {low}, high {}", at(woken), main.counter("high")),
    )
    .said_in(&[Document::Memory.section("6, Interview Prep, Q3")])
    .statement(
        "Who allocates must reclaim below low, while more than min is free",
        Verdict::of(at(reclaimed) > min + BLUR),
        format!("did so at {} free pages: min is {min}", at(reclaimed)),
    )
    .said_in(&[Document::Memory.section("6, Interview Prep, Q3")])
    .statement(
        "An allocation may pass while a zone has more free than a watermark and what is kept for others: a \
         model of that predicts both moments",
        Verdict::of(wake_margin <= BLUR as i64 && reclaim_margin <= BLUR as i64),
        format!(
            "the zone with most room had {wake_margin} pages more than low and what is kept, {reclaim_margin} \
             more than min"
        ),
    )
    .asked_here()
    .table(table)
    .table(moments)
    .instead(
        "Above low, nobody reclaims. Below low, whoever allocates wakes kswapd, which works until more than \
         high is free. Below min, who allocates must reclaim itself, and only if that finds nothing \
         comes the OOM killer. Each is about all zones that the allocation could use: as long as one \
         has enough, it is taken from there.",
    ))
}

/// Free pages of each zone at what happened.
fn moments(history: &History, woken: usize, reclaimed: usize) -> Result<Table> {
    let mut table = Table::new(
        "Memory is used up in steps of 64 pages: free pages at the begin of the step (vmscan trace events)",
        ["zone", "at first", "when kswapd was woken", "low", "when direct reclaim began", "min", "kept from user pages"],
    );
    let first = history.steps.first().context("no step was made")?;
    for zone in first {
        table.row([
            zone.name.clone(),
            zone.free().to_string(),
            free_of(&history.steps[woken], zone).to_string(),
            zone.counter("low").to_string(),
            free_of(&history.steps[reclaimed], zone).to_string(),
            zone.counter("min").to_string(),
            kept(zone).to_string(),
        ]);
    }
    Ok(table)
}
