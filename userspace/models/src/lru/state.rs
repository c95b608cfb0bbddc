// SPDX-License-Identifier: MIT OR Apache-2.0

//! What there is of the model after a step.

use serde::Serialize;

/// A page that is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Page {
    /// The page's name.
    pub name: String,
    /// The page was read since it came to its list.
    pub referenced: bool,
    /// The page must be written before it is evicted.
    pub dirty: bool,
}

/// What there is after a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct State {
    /// Pages that fit.
    pub frames: usize,
    /// Hot pages, first to last.
    pub active: Vec<Page>,
    /// Cold pages, first to last: the last goes first.
    pub inactive: Vec<Page>,
    /// Pages that went in this step.
    pub evicted: Vec<String>,
}
