// SPDX-License-Identifier: MIT OR Apache-2.0

//! `mapwright bench peers`: what a mapping costs by each way that a program has to get one, of the modules, of
//! the same in C, and of the kernel; and what can be done with it: `O_DIRECT`, and pins that stay.

mod plot;
mod prepare;
mod report;
mod uses;

use super::{
    clock, cost,
    measurement::Measurement,
    meter::Meter,
    options::Options,
    progress,
    subject::{Subject, Variant},
    undisturbed,
};
use crate::style;
use anyhow::{Context as _, Result};
use mapwright::Session;
use prepare::{LeftOut, Prepared};
use report::{Peer, Report};
use std::rc::Rc;
use uses::Bench;

/// Sizes that are measured if none are asked for.
const USUAL_SIZES: [u64; 2] = [4 << 20, 256 << 20];

pub fn run(options: &Options) -> Result<()> {
    let sizes = options.sizes(&USUAL_SIZES)?;
    let largest = sizes.last().copied().unwrap_or(0);
    // Before anything else takes memory: huge pages take whole blocks.
    let prepared = Prepared::for_up_to(largest)?;
    let _clock = clock::Off::new();
    let session = Rc::new(Session::open()?);
    let mut subjects = Subject::pairs(&session);
    if let Some(reference) = options.reference()? {
        let references = Subject::references(&Rc::new(reference)).into_iter();
        subjects.extend(references.filter(|subject| subject.variant == Variant::Usual));
    }
    subjects.extend(prepared.there.iter().cloned().map(Subject::kernel));
    if let Some(filter) = &options.filter {
        subjects.retain(|subject| subject.name().contains(filter));
    }

    let bench = Bench::new(Meter::new());
    // Without, it takes longer to repeat.
    let _ = undisturbed::go_first();
    let mut left_out = prepared.left_out.clone();
    let peers = measure(
        &bench,
        &subjects,
        &sizes,
        options.repeat.into(),
        &mut left_out,
    )?;
    let report = Report::new(&bench, &prepared, peers, left_out);
    if let Some(file) = &options.svg {
        plot::draw(&report, file)?;
    }
    options.output.give(&report, || report.show())
}

/// Everything of each size. What there is no such amount of is left out, and why is said.
fn measure(
    bench: &Bench,
    subjects: &[Subject],
    sizes: &[u64],
    max_runs: usize,
    left_out: &mut Vec<LeftOut>,
) -> Result<Vec<Peer>> {
    let progress = progress();
    progress.inc_length((subjects.len() * sizes.len()) as u64);
    let mut peers = Vec::new();
    for bytes in sizes.iter().copied() {
        for subject in subjects {
            let (name, size) = (subject.name(), style::bytes(bytes));
            progress.set_message(format!("{size} of {name}"));
            progress.inc(1);
            if !subject.fits(bytes) {
                left_out.push(LeftOut::new(&name, format!("{size} is no whole huge page")));
                continue;
            }
            let context = || format!("{size} of {name}");
            let least =
                cost::measure(&bench.meter, subject, bytes, max_runs).with_context(context)?;
            let Some(least) = least else {
                left_out.push(LeftOut::new(&name, format!("no {size} of it can be had")));
                continue;
            };
            let uses = bench.uses(subject, bytes).with_context(context)?;
            peers.push(Peer {
                measurement: Measurement::new(subject, bytes, least),
                uses,
            });
        }
    }
    progress.finish_and_clear();
    Ok(peers)
}
