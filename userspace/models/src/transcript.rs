// SPDX-License-Identifier: MIT OR Apache-2.0

//! The transcript of a script: each of its steps, the rows that the model writes for it, and the state after it.

use crate::{
    buddy, cow, dma::state as dma, lru::state as lru, slub, walk::state as walk, watermark,
};
use serde::Serialize;

/// What a model did step by step with a script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Transcript {
    /// The model's name.
    pub model: &'static str,
    /// What it is a model of.
    pub title: &'static str,
    /// Names of the table's columns.
    pub columns: Vec<String>,
    /// The steps, in order. The first may be what was there before.
    pub steps: Vec<Step>,
    /// Where the document is wrong, or contradicts itself.
    pub notes: &'static [&'static str],
}

impl Transcript {
    /// The rows of all steps.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.steps.iter().flat_map(|step| &step.rows)
    }

    /// The cells of a row, as many as there are columns.
    pub fn cells<'a>(&self, row: &'a Row) -> Vec<&'a str> {
        let between = self.columns.len().saturating_sub(2);
        let cells = row.cells.iter().map(String::as_str);
        let mut all = vec![row.step.as_str()];
        all.extend(cells.chain(std::iter::repeat("")).take(between));
        all.push(&row.last);
        all
    }
}

/// A step of a script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The number of its line; 0 of what was there before the script.
    pub line: usize,
    /// The line.
    pub text: String,
    /// What happened, in the table's rows.
    pub rows: Vec<Row>,
    /// What there is afterwards.
    pub state: State,
}

/// A row of the table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The first cell: what happens.
    pub step: String,
    /// The cells between the first and the last. Those that are missing are empty.
    pub cells: Vec<String>,
    /// The last cell.
    pub last: String,
}

impl Row {
    /// A row.
    pub fn new(step: impl Into<String>, cells: Vec<String>, last: impl Into<String>) -> Self {
        Self {
            step: step.into(),
            cells,
            last: last.into(),
        }
    }
}

/// What there is after a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum State {
    /// Free and used blocks.
    Buddy(buddy::State),
    /// Free pages and what kswapd does.
    Watermark(watermark::State),
    /// Slabs and their objects.
    Slub(slub::State),
    /// The last walk.
    Walk(walk::State),
    /// Processes, their entries, and frames.
    Cow(cow::State),
    /// The two lists.
    Lru(lru::State),
    /// Mappings for the device.
    Dma(dma::State),
}
