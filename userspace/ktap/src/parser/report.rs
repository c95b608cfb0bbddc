// SPDX-License-Identifier: MIT OR Apache-2.0
//! What was read: a result of each test, and what is wrong with the output itself.

use crate::{Outcome, Totals};

/// One test's result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestResult {
    /// The suites around it, outermost first. A suite whose header names it is known by that name
    /// at once; another one only in the [`Report`].
    pub suites: Vec<String>,
    /// The test's name.
    pub name: String,
    /// How it ended. `Failed` carries its diagnostic lines.
    pub outcome: Outcome,
    /// The lines printed before its result, without the `# `.
    pub diagnostics: Vec<String>,
}

impl TestResult {
    /// `suite.test`
    #[must_use]
    pub fn full_name(&self) -> String {
        let mut parts: Vec<&str> = self.suites.iter().map(String::as_str).collect();
        parts.push(&self.name);
        parts.join(".")
    }
}

/// What a line meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A suite of so many tests begins; its name may not be known yet.
    SuiteStarted {
        /// Empty if the suite has no header.
        name: String,
        /// The number of tests in its plan.
        planned: usize,
    },
    /// A test reported its result.
    TestFinished(TestResult),
    /// A suite reported its result.
    SuiteFinished {
        /// The suite's name.
        name: String,
        /// The tests in it.
        totals: Totals,
    },
}

/// Everything that was read.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The counts, as `kunit.py parse` has them.
    pub totals: Totals,
    /// All tests, in the order of their results.
    pub tests: Vec<TestResult>,
    /// What is wrong with the output itself. Good output has none.
    pub errors: Vec<String>,
}
