// SPDX-License-Identifier: MIT OR Apache-2.0

//! What an experiment found: statements with their verdicts, and the evidence.

use crate::{document::joined, Source, Verdict};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The source of a statement that no document has.
const ASKED_HERE: &str = "asked here";

/// What an experiment found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The deciding figure, in a few words.
    pub figure: String,
    /// What is true instead, or more exactly; empty if there is nothing to add.
    pub instead: String,
    /// What was judged. The first is the claim's core; the others are what the documents say with it. None of them
    /// is [`Verdict::Partly`].
    pub statements: Vec<Statement>,
    /// The evidence.
    pub tables: Vec<Table>,
    /// Numbers by name, for an experiment in another boot to compare with.
    pub facts: IndexMap<String, u64>,
}

/// A sentence that is so or not so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// What is said.
    pub says: String,
    /// What the kernel says of it.
    pub verdict: Verdict,
    /// What was seen.
    pub observed: String,
    /// The documents that say it, and where; empty until the claim's are filled in.
    pub source: String,
}

/// Evidence in rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// What it shows, and where that comes from.
    pub title: String,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// The rows. Each has as many cells as there are columns.
    pub rows: Vec<Vec<String>>,
}

impl Finding {
    /// A finding whose deciding figure is `figure`.
    pub fn new(figure: impl Into<String>) -> Self {
        Self {
            figure: figure.into(),
            ..Self::default()
        }
    }

    /// Adds a statement.
    #[must_use]
    pub fn statement(
        mut self,
        says: impl Into<String>,
        verdict: Verdict,
        observed: impl Into<String>,
    ) -> Self {
        self.statements.push(Statement {
            says: says.into(),
            verdict,
            observed: observed.into(),
            source: String::new(),
        });
        self
    }

    /// Says where the last statement is from, if not from all places that the claim names.
    #[must_use]
    pub fn said_in(self, sources: &[Source]) -> Self {
        self.sourced(joined(sources))
    }

    /// Says that no document has the last statement: it is asked here.
    #[must_use]
    pub fn asked_here(self) -> Self {
        self.sourced(ASKED_HERE.to_owned())
    }

    fn sourced(mut self, source: String) -> Self {
        if let Some(last) = self.statements.last_mut() {
            last.source = source;
        }
        self
    }

    /// The same, whose statements are from these places where they do not say otherwise.
    pub(crate) fn with_sources(mut self, sources: &[Source]) -> Self {
        for statement in &mut self.statements {
            if statement.source.is_empty() {
                statement.source = joined(sources);
            }
        }
        self
    }

    /// Adds evidence.
    #[must_use]
    pub fn table(mut self, table: Table) -> Self {
        self.tables.push(table);
        self
    }

    /// Says what is true instead.
    #[must_use]
    pub fn instead(mut self, text: impl Into<String>) -> Self {
        self.instead = text.into();
        self
    }

    /// Keeps a number for the same claim's experiment in another boot: see [`crate::Lab::earlier`].
    #[must_use]
    pub fn fact(mut self, name: impl Into<String>, value: u64) -> Self {
        self.facts.insert(name.into(), value);
        self
    }

    /// The verdict of the claim: that of its core, or [`Verdict::Partly`] if some statements hold, or depend on the
    /// configuration, and others do not.
    pub fn verdict(&self) -> Verdict {
        let has = |any: &[Verdict]| self.statements.iter().any(|one| any.contains(&one.verdict));
        if has(&[Verdict::Confirmed, Verdict::Config])
            && has(&[Verdict::Outdated, Verdict::Refuted])
        {
            return Verdict::Partly;
        }
        self.statements
            .first()
            .map_or(Verdict::NotTestableHere, |statement| statement.verdict)
    }
}

impl Table {
    /// An empty table.
    pub fn new<const N: usize>(title: impl Into<String>, columns: [&str; N]) -> Self {
        Self {
            title: title.into(),
            columns: columns.map(str::to_owned).to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.to_vec());
    }
}

/// A count with its noun: `1 run`, `2 runs`.
pub(crate) fn plural(count: impl fmt::Display, one: &str) -> String {
    let count = count.to_string();
    match count.as_str() {
        "1" => format!("1 {one}"),
        _ => format!("{count} {one}s"),
    }
}

/// Why an experiment cannot be done on this machine.
#[derive(Debug)]
pub struct NotTestable(pub String);

impl fmt::Display for NotTestable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotTestable {}

/// Ends an experiment that cannot be done on this machine: the reason names what it lacks.
pub fn not_testable<T>(reason: impl Into<String>) -> anyhow::Result<T> {
    Err(NotTestable(reason.into()).into())
}
