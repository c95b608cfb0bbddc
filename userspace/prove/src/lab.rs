// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where experiments are done.

use crate::{finding::NotTestable, not_testable, Claim, Finding, Machine, Record, Report};
use anyhow::{ensure, Result};
use indexmap::IndexMap;
use std::path::{Path, PathBuf};

/// Where experiments are done: a running kernel, and what was found in boots before.
pub struct Lab {
    /// The machine.
    pub machine: Machine,
    earlier: Vec<Report>,
    faulty: Option<PathBuf>,
    refused: IndexMap<String, String>,
}

impl Lab {
    /// The machine that this runs on. Fails without root: nearly everything needs it.
    pub fn here(earlier: Vec<Report>) -> Result<Self> {
        ensure!(
            nix::unistd::geteuid().is_root(),
            "claims are proved on the running kernel, which only root may look into: try sudo"
        );
        Ok(Self {
            machine: Machine::here()?,
            earlier,
            faulty: None,
            refused: IndexMap::new(),
        })
    }

    /// The same with a module that makes mistakes.
    #[must_use]
    pub fn with_faulty(self, faulty: Option<PathBuf>) -> Self {
        Self { faulty, ..self }
    }

    /// The module that makes mistakes, or that there is none.
    pub fn faulty(&self) -> Result<&Path> {
        match &self.faulty {
            Some(module) => Ok(module),
            None => not_testable(
                "it takes a module with mistakes, which make prove inserts into a debug kernel",
            ),
        }
    }

    /// The same with what the Rust compiler says of mistakes, by their names.
    #[must_use]
    pub fn with_refused(self, refused: IndexMap<String, String>) -> Self {
        Self { refused, ..self }
    }

    /// What the Rust compiler says of a mistake, if it was asked.
    pub fn refused(&self, mistake: &str) -> Option<&str> {
        self.refused.get(mistake).map(String::as_str)
    }

    /// What was found of the claim `id` in boots before this one, and the machines of these.
    pub fn earlier<'a>(&'a self, id: &'a str) -> impl Iterator<Item = (&'a Machine, &'a Finding)> {
        self.earlier.iter().flat_map(move |report| {
            let records = report.records.iter().filter(move |record| record.id == id);
            records.map(|record| (&report.machine, &record.finding))
        })
    }

    /// Does the claim's experiment.
    ///
    /// # Errors
    ///
    /// If it could not be done, or contradicts itself. That this machine is not the right one is no
    /// error.
    pub fn prove(&self, claim: &Claim) -> Result<Record> {
        let lacking = claim
            .needs
            .iter()
            .find_map(|need| need.lacking(&self.machine));
        let result = match lacking {
            Some(reason) => Err(NotTestable(reason).into()),
            None => (claim.prove)(self),
        };
        let finding = result.or_else(|err| match err.downcast::<NotTestable>() {
            Ok(NotTestable(reason)) => Ok(Finding::new(reason)),
            Err(err) => Err(err),
        })?;
        Ok(Record::new(claim, finding))
    }
}
