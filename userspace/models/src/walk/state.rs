// SPDX-License-Identifier: MIT OR Apache-2.0

//! What there is of the model after a step.

use serde::Serialize;
use std::collections::BTreeMap;

/// A level of a walk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Level {
    /// `PGD`, `P4D`, `PUD`, `PMD`, `PTE`.
    pub name: &'static str,
    /// The lowest bit of the address that selects the entry; eight more do.
    pub shift: u32,
    /// The number of the entry in its table.
    pub index: u64,
    /// Where the entry is in physical memory, if there is a table.
    pub entry: Option<u64>,
    /// What it holds.
    pub value: Option<u64>,
}

/// What a walk found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Walk {
    /// The address.
    pub address: u64,
    /// The levels: all, or as far as the walk got.
    pub levels: Vec<Level>,
    /// The physical address, if a page is there.
    pub physical: Option<u64>,
    /// Bytes of the page.
    pub page: Option<u64>,
}

/// What there is after a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct State {
    /// Physical address of the top table.
    pub cr3: u64,
    /// Words of physical memory that are not zero.
    pub memory: BTreeMap<u64, u64>,
    /// The last walk.
    pub walk: Option<Walk>,
}
