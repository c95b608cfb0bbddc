// SPDX-License-Identifier: MIT OR Apache-2.0
//! The Kernel Test Anything Protocol, version 1 (`Documentation/dev-tools/ktap.rst`).
//!
//! [`Writer`] prints results as a test program runs, [`Parser`] reads them line by line and finds
//! what is wrong with them. The counts are those of the kernel's own reader
//! (`tools/testing/kunit/kunit.py parse`): tests without subtests of their own.

mod line;
mod parser;
mod writer;

pub use parser::{Event, Parser, Report, TestResult};
pub use writer::{Suite, Writer};

use std::fmt;

/// How one test ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// `ok`
    Passed,
    /// `not ok`, and why: printed as diagnostic lines before the result.
    Failed(String),
    /// `ok … # SKIP reason`
    Skipped(String),
}

/// How many tests passed, failed and were skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Tests which passed.
    pub passed: usize,
    /// Tests which failed.
    pub failed: usize,
    /// Tests which could not run here; these are not passed tests.
    pub skipped: usize,
}

impl Totals {
    /// All tests that reported a result.
    #[must_use]
    pub fn total(&self) -> usize {
        self.passed + self.failed + self.skipped
    }

    /// Counts one more test.
    pub fn count(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Passed => self.passed += 1,
            Outcome::Failed(_) => self.failed += 1,
            Outcome::Skipped(_) => self.skipped += 1,
        }
    }
}

impl std::ops::AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            passed,
            failed,
            skipped,
        } = self;
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}
