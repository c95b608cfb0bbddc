// SPDX-License-Identifier: MIT OR Apache-2.0
//! A suite while its results are read.

/// The output as a whole, or a suite that is open.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) indent: usize,
    pub(super) planned: Option<usize>,
    /// The numbers of the results so far.
    pub(super) numbers: Vec<usize>,
    /// Where its tests begin in the report.
    pub(super) first_test: usize,
    /// Suites that failed though no test in them did count as one failed test.
    pub(super) extra_failed: usize,
}

impl Group {
    /// A suite whose version line or header is indented by `indent`, and which has no result yet.
    pub(super) fn new(indent: usize, first_test: usize) -> Self {
        Self {
            indent,
            first_test,
            ..Self::default()
        }
    }

    /// What messages call it.
    pub(super) fn label(&self) -> String {
        if self.name.is_empty() {
            "a suite".to_owned()
        } else {
            format!("suite {}", self.name)
        }
    }

    /// Whether as many results have come as its plan says.
    pub(super) fn is_complete(&self) -> bool {
        self.planned.is_some_and(|n| self.numbers.len() >= n)
    }
}
