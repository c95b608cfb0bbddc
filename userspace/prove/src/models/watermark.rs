// SPDX-License-Identifier: MIT OR Apache-2.0

//! F2: the check of a zone's watermarks, with the kernel's own zones.

use super::{ComparedStep, Comparison};
use crate::{
    not_testable,
    pressure::{self, History},
    read::zoneinfo::{self, Zone},
    watermarks::{compute_again, is_movable, margin, passes, settings, BLUR},
    Need, Table,
};
use anyhow::{Context as _, Result};
use mapwright_models::{watermark::EXAMPLE, Kind};

pub const NEEDS: &[Need] = &[Need::Cpus(2), Need::Seconds(60)];
const REASONS: [&str; 2] = [
    "The kernel rounds each of its steps when it computes watermarks: three pages more or less are called the same.",
    "A processor takes some pages at a time for its own list, so that the moment when a mark is crossed is known to \
     within a step.",
];

pub fn check(script: &str) -> Result<Comparison> {
    if script != EXAMPLE {
        return not_testable(format!(
            "a script's zone is not the kernel's: without --script, mapwright model {} --check does it with the \
             kernel's own zones",
            Kind::Watermark.name()
        ));
    }
    compute_again()?;
    let zones = zoneinfo::read()?;
    pressure::expect_plain_zones(&zones)?;
    let mut compared = marks(&zones)?;
    let (history, ()) = pressure::apply(|_| Ok(()))?;
    let woken = history.woken.context("nobody woke kswapd")?;
    let reclaimed = history.reclaimed.context("nobody had to reclaim")?;
    let happens = ("kswapd is woken", "who allocates must reclaim");
    compared.extend(crossing(&history, woken, "low", happens.0));
    compared.extend(crossing(&history, reclaimed, "min", happens.1));
    let about = vec![
        "The zones are the kernel's own, and memory is used up by a program, 64 pages in a step; the kernel's trace \
         events tell when a mark was crossed."
            .to_owned(),
    ];
    let mut comparison = Comparison::new(about, compared, &REASONS);
    comparison.evidence.push(table(
        &history,
        &[(woken, happens.0), (reclaimed, happens.1)],
    ));
    Ok(comparison)
}

/// The marks of each zone, as the model computes them from the kernel's settings.
fn marks(zones: &[Zone]) -> Result<Vec<ComparedStep>> {
    let settings = settings(zones, mapwright::page_size())?;
    let plain = zones.iter().filter(|zone| !is_movable(zone));
    let compared = plain.map(|zone| {
        let model = settings.marks(zone.managed());
        let model = [model.min, model.low, model.high];
        // While a zone is boosted, because blocks of it were given to another type, it is told with that.
        let kernel = ["min", "low", "high"]
            .map(|mark| zone.counter(mark).saturating_sub(zone.counter("boost")));
        let close = |(model, kernel): (&u64, &u64)| model.abs_diff(*kernel) <= 3;
        let text = |[min, low, high]: [u64; 3]| format!("min {min}, low {low}, high {high}");
        ComparedStep {
            line: 0,
            step: format!("the marks of {}", zone.name),
            agrees: model.iter().zip(&kernel).all(close),
            model: text(model),
            kernel: text(kernel),
        }
    });
    Ok(compared.collect())
}

/// Up to step `step`, in which `what` happened, and in that step.
fn crossing(history: &History, step: usize, mark: &str, what: &str) -> [ComparedStep; 2] {
    let early = (0..step).find(|before| !passes(&history.steps[*before], mark));
    let room = margin(history, step, mark);
    let not_yet = format!("no step in which {what}");
    [
        ComparedStep {
            line: 0,
            step: format!("{step} steps"),
            agrees: early.is_none(),
            model: early.map_or_else(
                || not_yet.clone(),
                |early| format!("in step {early}, {what}"),
            ),
            kernel: not_yet,
        },
        ComparedStep {
            line: 0,
            step: format!("step {}", step + 1),
            agrees: room <= BLUR as i64,
            model: match room <= BLUR as i64 {
                true => what.to_owned(),
                false => format!("{room} pages more than {mark} are free"),
            },
            kernel: what.to_owned(),
        },
    ]
}

/// Free pages of each zone when it happened.
fn table(history: &History, moments: &[(usize, &str)]) -> Table {
    let mut table = Table::new(
        "Free pages at the begin of the step (/proc/zoneinfo)",
        ["when", "zone", "free", "min", "low", "high"],
    );
    for (step, what) in moments {
        for zone in &history.steps[*step] {
            let counter = |name: &str| zone.counter(name).to_string();
            table.row([
                (*what).to_owned(),
                zone.name.clone(),
                zone.free().to_string(),
                counter("min"),
                counter("low"),
                counter("high"),
            ]);
        }
    }
    table
}
