// SPDX-License-Identifier: MIT OR Apache-2.0

//! What was measured of a subject, at a size.

use super::{
    cost::{Cost, Least},
    subject::{Owner, Subject, Variant},
};
use mapwright::page_size;
use serde::Serialize;

/// What a size of a subject costs.
#[derive(Clone, Debug, Serialize)]
pub struct Measurement {
    pub owner: Owner,
    pub variant: Variant,
    /// What people call it.
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backing: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<&'static str>,
    pub bytes: u64,
    /// What a page costs to map, to touch once and to unmap.
    pub per_page: f64,
    #[serde(flatten)]
    pub least: Least,
}

impl Measurement {
    pub fn new(subject: &Subject, bytes: u64, least: Least) -> Self {
        let pair = subject.pair();
        Self {
            owner: subject.owner,
            variant: subject.variant,
            name: subject.name(),
            backing: pair.map(|(backing, _)| backing.name()),
            method: pair.map(|(_, method)| method.name()),
            bytes,
            per_page: per_page(least.cost.in_all(), bytes),
            least,
        }
    }

    /// A phase's cost per page.
    pub fn page(&self, phase: impl Fn(&Cost) -> u64) -> f64 {
        per_page(phase(&self.least.cost), self.bytes)
    }

    /// The first cells of a row: whose it is, unless it is that of the row above, its name, and what a page costs in each phase.
    pub fn cells(&self, owner_above: &mut Option<Owner>) -> Vec<String> {
        let owner = match owner_above.replace(self.owner) == Some(self.owner) {
            true => String::new(),
            false => format!("{:?}", self.owner).to_lowercase(),
        };
        let phases = self.least.cost.phases().into_iter();
        let phases = phases.map(|cost| format!("{:.1}", per_page(cost, self.bytes)));
        [owner, self.name.clone()]
            .into_iter()
            .chain(phases)
            .collect()
    }
}

/// What a page of `bytes` costs.
pub fn per_page(cost: u64, bytes: u64) -> f64 {
    cost as f64 / (bytes / page_size()) as f64
}
