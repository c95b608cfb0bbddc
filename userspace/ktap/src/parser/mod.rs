// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reading results.

mod group;
mod report;

pub use report::{Event, Report, TestResult};

use crate::line::{classify, Line};
use crate::{Outcome, Totals};
use group::Group;

/// Keeps a test that prints without end from filling the memory.
const KEPT_DIAGNOSTICS: usize = 200;

/// Reads KTAP line by line, among other lines and with a console's time stamps or without.
#[derive(Debug, Default)]
pub struct Parser {
    /// The output as a whole, then the suites that are open.
    open: Vec<Group>,
    ended: bool,
    pending: Vec<String>,
    report: Report,
}

impl Parser {
    /// A parser that has read nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The counts so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.report.totals
    }

    /// How many tests and suites the output says it has at its outermost level.
    #[must_use]
    pub fn planned(&self) -> Option<usize> {
        self.open.first().and_then(|group| group.planned)
    }

    /// Takes the next line, without its line break.
    pub fn feed(&mut self, line: &str) -> Option<Event> {
        let (indent, line) = classify(line);
        match line {
            Line::Version(version) => self.version(indent, version),
            _ if self.open.is_empty() => {}
            Line::Subtest(name) => self.header(indent, name),
            Line::Plan(count) => return self.plan(count),
            Line::Result {
                number,
                name,
                outcome,
            } => return self.result(indent, number, name, outcome),
            Line::Other(text) => self.diagnostic(text),
        }
        None
    }

    /// Says what was read, and what is missing from it.
    #[must_use]
    pub fn finish(mut self) -> Report {
        if self.open.is_empty() {
            self.error("no test results in the output".to_owned());
            return self.report;
        }
        while self.open.len() > 1 {
            self.abandon();
        }
        let whole = self.open.remove(0);
        self.check_plan(&whole, "the output");
        if self.report.totals.total() == 0 {
            self.error("no tests were run".to_owned());
        }
        self.report
    }

    fn error(&mut self, text: String) {
        self.report.errors.push(text);
    }

    fn version(&mut self, indent: usize, version: u32) {
        // KTAP 1, and TAP 13 and 14.
        if ![1, 13, 14].contains(&version) {
            self.error(format!("version {version} is not known"));
        }
        if self.ended {
            self.error("a second set of results after the end".to_owned());
        }
        let first_test = self.report.tests.len();
        self.open.push(Group::new(indent, first_test));
        self.pending.clear();
    }

    fn header(&mut self, indent: usize, name: &str) {
        let top = self.open.last_mut().expect("checked by feed");
        let fresh = top.name.is_empty() && top.planned.is_none() && top.numbers.is_empty();
        let depth = self.open.len();
        if !(depth > 1 && fresh) {
            // Without a version line of its own, as older tests print it.
            let first_test = self.report.tests.len();
            self.open.push(Group::new(indent, first_test));
        }
        name.clone_into(&mut self.open.last_mut().expect("checked by feed").name);
        self.pending.clear();
    }

    fn plan(&mut self, count: usize) -> Option<Event> {
        let depth = self.open.len();
        let top = self.open.last_mut()?;
        if top.planned.is_some() || !top.numbers.is_empty() {
            let text = format!("{} has a second or late plan", top.label());
            self.error(text);
            return None;
        }
        top.planned = Some(count);
        let name = top.name.clone();
        (depth > 1).then_some(Event::SuiteStarted {
            name,
            planned: count,
        })
    }

    fn diagnostic(&mut self, text: &str) {
        if text.is_empty() || self.pending.len() >= KEPT_DIAGNOSTICS {
            return;
        }
        let text = text.strip_prefix('#').unwrap_or(text);
        let text = text.strip_prefix(' ').unwrap_or(text);
        self.pending.push(text.to_owned());
    }

    fn result(
        &mut self,
        indent: usize,
        number: usize,
        name: &str,
        outcome: Outcome,
    ) -> Option<Event> {
        // Suites that are open deeper inside than the one whose result this is were cut off.
        while self.open.len() > 2 && indent < self.open[self.open.len() - 2].indent {
            self.abandon();
        }
        if self.open.len() > 1 && self.ends_suite(indent, name) {
            return self.end_suite(number, name, &outcome);
        }
        self.number(number, name);
        let event = self.leaf(name, outcome);
        Some(event)
    }

    /// Whether a result line is that of the innermost suite, or of a test in it.
    fn ends_suite(&self, indent: usize, name: &str) -> bool {
        let top = &self.open[self.open.len() - 1];
        let parent = &self.open[self.open.len() - 2];
        if top.indent > parent.indent {
            return indent < top.indent;
        }
        // No indentation to go by.
        top.is_complete() || (!top.name.is_empty() && top.name == name)
    }

    fn leaf(&mut self, name: &str, outcome: Outcome) -> Event {
        let diagnostics = std::mem::take(&mut self.pending);
        let outcome = match outcome {
            Outcome::Failed(_) => Outcome::Failed(diagnostics.join("\n")),
            other => other,
        };
        self.report.totals.count(&outcome);
        let suites = self.open[1..].iter().map(|g| g.name.clone()).collect();
        let test = TestResult {
            suites,
            name: name.to_owned(),
            outcome,
            diagnostics,
        };
        self.report.tests.push(test.clone());
        Event::TestFinished(test)
    }

    fn end_suite(&mut self, number: usize, name: &str, outcome: &Outcome) -> Option<Event> {
        let mut suite = self.open.pop()?;
        if suite.name.is_empty() {
            name.clone_into(&mut suite.name);
            let depth = self.open.len() - 1;
            for test in &mut self.report.tests[suite.first_test..] {
                test.suites[depth].clone_from(&suite.name);
            }
        } else if suite.name != name {
            let text = format!("{} ends with the result of '{name}'", suite.label());
            self.error(text);
        }
        let label = suite.label();
        self.check_plan(&suite, &label);
        self.number(number, name);

        let mut totals = Totals::default();
        for test in &self.report.tests[suite.first_test..] {
            totals.count(&test.outcome);
        }
        totals.failed += suite.extra_failed;
        let complaint = match outcome {
            Outcome::Passed if totals.total() == 0 => Some("passed without running a test"),
            Outcome::Passed if totals.failed > 0 => Some("says ok, but a test in it failed"),
            Outcome::Failed(_) if totals.total() > 0 && totals.failed == 0 => {
                Some("says not ok, but no test in it failed")
            }
            Outcome::Skipped(_) if totals.passed + totals.failed > 0 => {
                Some("says it was skipped, but tests in it ran")
            }
            _ => None,
        };
        if let Some(complaint) = complaint {
            self.error(format!("{label} {complaint}"));
        }
        if totals.total() == 0 {
            // As kunit.py does: a suite that could not run at all is one test.
            if *outcome != Outcome::Passed {
                return Some(self.leaf(name, outcome.clone()));
            }
        } else if matches!(outcome, Outcome::Failed(_)) && totals.failed == 0 && totals.passed > 0 {
            self.report.totals.failed += 1;
            for group in &mut self.open {
                group.extra_failed += 1;
            }
        }
        self.pending.clear();
        Some(Event::SuiteFinished {
            name: suite.name,
            totals,
        })
    }

    /// Gives up on the innermost suite, whose result never came.
    fn abandon(&mut self) {
        let Some(suite) = self.open.pop() else { return };
        let label = suite.label();
        self.check_plan(&suite, &label);
        self.error(format!("{label} has no result: the output was cut off"));
        if let Some(parent) = self.open.last_mut() {
            let next = parent.numbers.len() + 1;
            parent.numbers.push(next);
            parent.extra_failed += 1;
        }
    }

    fn check_plan(&mut self, group: &Group, label: &str) {
        let count = group.numbers.len();
        match group.planned {
            None => self.error(format!("{label} has no plan")),
            Some(planned) if planned != count => {
                self.error(format!("{label} planned {planned} tests and has {count}"));
            }
            Some(_) => {}
        }
    }

    /// Numbers count up from 1.
    fn number(&mut self, number: usize, name: &str) {
        let Some(group) = self.open.last_mut() else {
            return;
        };
        let expected = group.numbers.len() + 1;
        let known = group.numbers.contains(&number);
        group.numbers.push(number);
        let over = group.planned.is_some_and(|n| expected > n);
        if known {
            self.error(format!("number {number} is used twice, now by '{name}'"));
        } else if number != expected {
            self.error(format!(
                "'{name}' has number {number} instead of {expected}"
            ));
        }
        if self.open.len() == 1 && over {
            self.ended = true;
        }
    }
}

#[cfg(test)]
mod tests;
