// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the measurements say about each other.

use super::{
    measurement::Measurement,
    subject::{Owner, Variant},
};
use crate::style;
use mapwright::{Backing, Method};
use serde::Serialize;

/// How two costs of a page go together.
#[derive(Debug, Serialize)]
pub struct Comparison {
    pub what: String,
    pub bytes: u64,
    pub one: f64,
    pub other: f64,
    /// `one` divided by `other`.
    pub ratio: f64,
}

/// All comparisons that can be made.
pub fn all(measurements: &[Measurement]) -> Vec<Comparison> {
    let mut sizes: Vec<u64> = measurements.iter().map(|m| m.bytes).collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
        .into_iter()
        .flat_map(|bytes| at(measurements, bytes))
        .collect()
}

fn at(measurements: &[Measurement], bytes: u64) -> Vec<Comparison> {
    let find = |owner, variant, backing: Backing, method: Method| {
        measurements.iter().find(|m| {
            m.owner == owner
                && m.variant == variant
                && m.bytes == bytes
                && m.backing == Some(backing.name())
                && m.method == Some(method.name())
        })
    };
    let mut comparisons = Vec::new();
    let mut compare = |what: &str, one: Option<f64>, other: Option<f64>| {
        if let (Some(one), Some(other)) = (one, other) {
            comparisons.push(Comparison {
                what: what.to_owned(),
                bytes,
                one,
                other,
                ratio: one / other,
            });
        }
    };
    let in_all = |m: &Measurement| m.per_page;
    let touch = |m: &Measurement| m.page(|cost| cost.first_touch);
    let mmap = |m: &Measurement| m.page(|cost| cost.mmap);
    let (ours, reference) = (Owner::Mapwright, Owner::Reference);
    let (pages, vmalloc) = (Backing::Pages, Backing::Vmalloc);
    let fault = |variant| find(ours, variant, pages, Method::Fault);

    for (backing, method) in [
        (pages, Method::Remap),
        (vmalloc, Method::Insert),
        (pages, Method::Fault),
        (pages, Method::Huge),
        (Backing::Folio, Method::HugeFolio),
        (Backing::Folio, Method::PageCache),
    ] {
        compare(
            &format!("{}: Rust to C, in all", method.name()),
            find(ours, Variant::Usual, backing, method).map(in_all),
            find(reference, Variant::Usual, backing, method).map(in_all),
        );
    }
    let misaligned = |owner| {
        find(
            owner,
            Variant::Misaligned,
            Backing::Folio,
            Method::PageCache,
        )
    };
    compare(
        "page-cache, misaligned: Rust to C, in all",
        misaligned(ours).map(in_all),
        misaligned(reference).map(in_all),
    );
    compare(
        "huge, gigabytes: Rust to C, in all",
        find(ours, Variant::Contiguous, pages, Method::Huge).map(in_all),
        find(reference, Variant::Contiguous, pages, Method::Huge).map(in_all),
    );
    compare(
        "fault: a page at a time to fault-around, first touch",
        fault(Variant::Singly).map(touch),
        fault(Variant::Usual).map(touch),
    );
    compare(
        "fault: a page at a time as in textbooks (C) to fault-around, first touch",
        find(reference, Variant::Singly, pages, Method::Fault).map(touch),
        fault(Variant::Usual).map(touch),
    );
    compare(
        "insert: one by one (C) to batched, mmap",
        find(reference, Variant::Singly, vmalloc, Method::Insert).map(mmap),
        find(ours, Variant::Usual, vmalloc, Method::Insert).map(mmap),
    );
    for (what, one, other) in [
        (
            "with counters to without",
            Variant::Usual,
            Variant::Uncounted,
        ),
        (
            "a page at a time, with counters to without",
            Variant::Singly,
            Variant::UncountedSingly,
        ),
        ("timed to not", Variant::Timed, Variant::Usual),
        (
            "a page at a time, timed to not",
            Variant::TimedSingly,
            Variant::Singly,
        ),
    ] {
        compare(
            &format!("fault: {what}, first touch"),
            fault(one).map(touch),
            fault(other).map(touch),
        );
    }
    comparisons
}

/// Prints those for 4 MiB, or for the largest size if there is no such.
pub fn show(comparisons: &[Comparison]) {
    let largest = comparisons.iter().map(|c| c.bytes).max().unwrap_or(0);
    let usual = comparisons
        .iter()
        .map(|c| c.bytes)
        .find(|bytes| *bytes == 4 << 20);
    let bytes = usual.unwrap_or(largest);
    let mut shown = comparisons.iter().filter(|c| c.bytes == bytes).peekable();
    if shown.peek().is_none() {
        return;
    }
    let title = format!("{}, compared per page", style::bytes(bytes));
    anstream::println!("{}", style::paint(style::HEADING, title));
    let mut table = style::table(["", "one", "other", "ratio"], 1);
    for c in shown {
        table.add_row([
            c.what.clone(),
            format!("{:.2}", c.one),
            format!("{:.2}", c.other),
            format!("{:.3}", c.ratio),
        ]);
    }
    anstream::println!("{table}");
}
