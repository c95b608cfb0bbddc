// SPDX-License-Identifier: MIT OR Apache-2.0

//! The models of `mapwright-models` beside the running kernel: the same steps, done by both.

pub(crate) mod buddy;
pub(crate) mod cow;
pub(crate) mod dma;
pub(crate) mod family;
pub(crate) mod lru;
pub(crate) mod slub;
pub(crate) mod walk;
pub(crate) mod watermark;

use crate::{not_testable, Lab, Need, Table};
use anyhow::Result;
use mapwright_models::Kind;
use serde::Serialize;

/// A step, as the model and the kernel did it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ComparedStep {
    /// The line of the script; 0 of what is not in it.
    pub line: usize,
    /// The step.
    pub step: String,
    /// What the model did.
    pub model: String,
    /// What the kernel did.
    pub kernel: String,
    /// Whether that is the same.
    pub agrees: bool,
}

/// A script, as the model and the kernel did it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// How it was done, and where it was looked.
    pub about: Vec<String>,
    /// Step by step.
    pub steps: Vec<ComparedStep>,
    /// Whether all steps agree.
    pub agrees: bool,
    /// A sentence.
    pub verdict: String,
    /// Why the kernel may differ from the model.
    pub reasons: Vec<String>,
    /// What the kernel says of it: trace events, counters.
    pub evidence: Vec<Table>,
}

impl Comparison {
    /// A comparison of these steps.
    fn new(about: Vec<String>, compared: Vec<ComparedStep>, reasons: &[&str]) -> Self {
        let parts = compared.iter().find(|step| !step.agrees);
        let verdict = match parts {
            None => format!(
                "the model and the kernel agree in all {} comparisons",
                compared.len()
            ),
            Some(step) => format!("they part in line {}, {}", step.line, step.step),
        };
        Self {
            about,
            agrees: parts.is_none(),
            verdict,
            reasons: reasons.iter().map(|reason| (*reason).to_owned()).collect(),
            evidence: Vec::new(),
            steps: compared,
        }
    }
}

/// What compares a model with the kernel.
type Check = fn(&str) -> Result<Comparison>;

/// Does the steps of a script on the running kernel, too.
///
/// # Errors
///
/// If the script is wrong, or it cannot be done: with [`crate::NotTestable`] if this machine is not the right one.
pub fn check(kind: Kind, script: &str) -> Result<Comparison> {
    let lab = Lab::here(Vec::new())?;
    let (needs, check): (&[Need], Check) = match kind {
        Kind::Buddy => (buddy::NEEDS, buddy::check),
        Kind::Cow => (cow::NEEDS, cow::check),
        Kind::Walk => (walk::NEEDS, walk::check),
        Kind::Slub => (slub::NEEDS, slub::check),
        Kind::Dma => (dma::NEEDS, dma::check),
        Kind::Lru => (lru::NEEDS, lru::check),
        Kind::Watermark => (watermark::NEEDS, watermark::check),
    };
    let lacking = needs.iter().find_map(|need| need.lacking(&lab.machine));
    match lacking {
        Some(reason) => not_testable(reason),
        None => check(script),
    }
}
