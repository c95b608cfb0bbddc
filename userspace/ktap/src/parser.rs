// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reading results.

use crate::line::{classify, Line};
use crate::{Outcome, Totals};

/// Keeps a test that prints without end from filling the memory.
const KEPT_DIAGNOSTICS: usize = 200;

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

/// Reads KTAP line by line, among other lines and with a console's time stamps or without.
#[derive(Debug, Default)]
pub struct Parser {
    /// The output as a whole, then the suites that are open.
    open: Vec<Group>,
    ended: bool,
    pending: Vec<String>,
    report: Report,
}

#[derive(Debug, Default)]
struct Group {
    name: String,
    indent: usize,
    planned: Option<usize>,
    /// The numbers of the results so far.
    numbers: Vec<usize>,
    /// Where its tests begin in the report.
    first_test: usize,
    /// Suites that failed though no test in them did count as one failed test.
    extra_failed: usize,
}

impl Group {
    fn new(indent: usize, first_test: usize) -> Self {
        Self {
            indent,
            first_test,
            ..Self::default()
        }
    }

    fn label(&self) -> String {
        if self.name.is_empty() {
            "a suite".to_owned()
        } else {
            format!("suite {}", self.name)
        }
    }

    fn is_complete(&self) -> bool {
        self.planned.is_some_and(|n| self.numbers.len() >= n)
    }
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
        let found = group.numbers.len();
        match group.planned {
            None => self.error(format!("{label} has no plan")),
            Some(planned) if planned != found => {
                self.error(format!("{label} planned {planned} tests and has {found}"));
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
mod tests {
    use super::*;

    fn parse(text: &str) -> Report {
        let mut parser = Parser::new();
        for line in text.lines() {
            parser.feed(line);
        }
        parser.finish()
    }

    fn counts(report: &Report) -> (usize, usize, usize) {
        let t = report.totals;
        (t.passed, t.failed, t.skipped)
    }

    #[track_caller]
    fn good(text: &str, want: (usize, usize, usize)) -> Report {
        let report = parse(text);
        assert_eq!(report.errors, [""; 0], "{text}");
        assert_eq!(counts(&report), want, "{text}");
        report
    }

    #[track_caller]
    fn bad(text: &str, error: &str) -> Report {
        let report = parse(text);
        let found = report.errors.iter().any(|e| e.contains(error));
        assert!(found, "no '{error}' in {:?}", report.errors);
        report
    }

    const TWO_SUITES: &str = "\
KTAP version 1
1..2
  KTAP version 1
  # Subtest: map
  1..3
  ok 1 remap
  # expected 4096
  # found 0
  not ok 2 fault
  ok 3 huge # SKIP no huge pages
not ok 1 map
  KTAP version 1
  # Subtest: limits
  1..1
  ok 1 zero
ok 2 limits
";

    #[test]
    fn suites() {
        let report = good(TWO_SUITES, (2, 1, 1));
        let names: Vec<String> = report.tests.iter().map(TestResult::full_name).collect();
        assert_eq!(names, ["map.remap", "map.fault", "map.huge", "limits.zero"]);
        assert_eq!(report.tests[1].diagnostics, ["expected 4096", "found 0"]);
        let failed = Outcome::Failed("expected 4096\nfound 0".into());
        assert_eq!(report.tests[1].outcome, failed);
        let skipped = Outcome::Skipped("no huge pages".into());
        assert_eq!(report.tests[2].outcome, skipped);
        assert!(report.tests[3].diagnostics.is_empty());
    }

    #[test]
    fn the_specifications_example() {
        let text = "\
KTAP version 1
1..1
  KTAP version 1
  1..3
    KTAP version 1
    1..1
    # test_1: initializing test_1
    ok 1 test_1
  ok 1 example_test_1
    KTAP version 1
    1..2
    ok 1 test_1 # SKIP test_1 skipped
    ok 2 test_2
  ok 2 example_test_2
    KTAP version 1
    1..3
    ok 1 test_1
    # test_2: FAIL
    not ok 2 test_2
    ok 3 test_3 # SKIP test_3 skipped
  not ok 3 example_test_3
not ok 1 main_test
";
        let report = good(text, (3, 1, 2));
        assert_eq!(
            report.tests[4].full_name(),
            "main_test.example_test_3.test_2"
        );
    }

    #[test]
    fn events() {
        let mut parser = Parser::new();
        let events: Vec<Event> = TWO_SUITES.lines().filter_map(|l| parser.feed(l)).collect();
        assert_eq!(events.len(), 8);
        let started = Event::SuiteStarted {
            name: "map".into(),
            planned: 3,
        };
        assert_eq!(events[0], started);
        let Event::SuiteFinished { name, totals } = &events[4] else {
            panic!("{:?}", events[4]);
        };
        assert_eq!((name.as_str(), totals.total()), ("map", 3));
        assert_eq!(parser.planned(), Some(2));
    }

    #[test]
    fn with_a_console_prefix_and_noise() {
        let text = "\
[    0.000000] Linux version 7.2.12
[    1.200000] ok 1 of the kernel's own lines
[    1.234567] KTAP version 1
[    1.234568] 1..1
[    1.234568]   KTAP version 1
[    1.234569]   # Subtest: map
[    1.234570]   1..2
[    1.234571] mapwright: loading out-of-tree module taints kernel.
[    1.234572]   ok 1 remap
not okay 7 this is no result
[   11.234572]   ok 2 - fault
[  111.234572] ok 1 map
[  111.234573] reboot: Power down
";
        let report = good(text, (2, 0, 0));
        assert_eq!(report.tests[1].diagnostics.len(), 1);
    }

    #[test]
    fn without_indentation() {
        let text = "\
TAP version 14
1..2
# Subtest: a
1..2
ok 1 x
ok 2 y
ok 1 a
ok 2 plain
";
        good(text, (3, 0, 0));
    }

    #[test]
    fn crlf() {
        good(&TWO_SUITES.replace('\n', "\r\n"), (2, 1, 1));
    }

    #[test]
    fn nothing() {
        bad("", "no test results");
        bad("hello\nok 1 x\n", "no test results");
        bad("KTAP version 1\n1..0\n", "no tests were run");
        bad("KTAP version 1\n", "has no plan");
        bad("KTAP version 3\n1..1\nok 1 a\n", "version 3");
    }

    #[test]
    fn plans() {
        bad("KTAP version 1\nok 1 a\n", "the output has no plan");
        bad(
            "KTAP version 1\n1..2\nok 1 a\n",
            "planned 2 tests and has 1",
        );
        bad(
            "KTAP version 1\n1..1\nok 1 a\nok 2 b\n",
            "planned 1 tests and has 2",
        );
        bad(
            "KTAP version 1\n1..1\nok 1 a\n1..1\n",
            "second or late plan",
        );
        let no_plan = TWO_SUITES.replace("  1..3\n", "");
        bad(&no_plan, "suite map has no plan");
        let short = TWO_SUITES.replace("1..3", "1..4");
        bad(&short, "suite map planned 4 tests and has 3");
    }

    #[test]
    fn numbers() {
        let text = "KTAP version 1\n1..2\nok 1 a\nok 1 b\n";
        bad(text, "number 1 is used twice");
        let text = "KTAP version 1\n1..2\nok 1 a\nok 3 c\n";
        bad(text, "'c' has number 3 instead of 2");
    }

    #[test]
    fn cut_off_anywhere() {
        let lines: Vec<&str> = TWO_SUITES.lines().collect();
        for end in 0..lines.len() {
            let report = parse(&lines[..end].join("\n"));
            assert!(!report.errors.is_empty(), "cut after {end} lines");
        }
        let report = bad(&lines[..8].join("\n"), "suite map has no result");
        assert_eq!(counts(&report), (1, 0, 0));
        // Also within a line.
        for end in 0..TWO_SUITES.len() - 2 {
            let report = parse(&TWO_SUITES[..end]);
            assert!(!report.errors.is_empty(), "cut after {end} bytes");
        }
    }

    #[test]
    fn a_suite_that_stops_in_the_middle() {
        let text = TWO_SUITES.replace("  ok 3 huge # SKIP no huge pages\nnot ok 1 map\n", "");
        let report = parse(&text);
        assert!(!report.errors.is_empty());
    }

    #[test]
    fn inconsistent_suites() {
        bad(
            &TWO_SUITES.replace("not ok 1 map", "ok 1 map"),
            "a test in it failed",
        );
        let report = bad(
            &TWO_SUITES.replace("ok 2 lim", "not ok 2 lim"),
            "no test in it failed",
        );
        // kunit.py counts this as a failed test as well.
        assert_eq!(counts(&report), (2, 2, 1));
        bad(
            &TWO_SUITES.replace("ok 2 limits", "ok 2 limits # SKIP x"),
            "tests in it ran",
        );
        bad(
            &TWO_SUITES.replace("ok 2 limits", "ok 2 other"),
            "ends with the result of 'other'",
        );
    }

    #[test]
    fn empty_suites() {
        let suite = "KTAP version 1\n1..1\n  KTAP version 1\n  # Subtest: a\n  1..0\n";
        bad(&format!("{suite}ok 1 a\n"), "without running a test");
        good(&format!("{suite}ok 1 a # SKIP none here\n"), (0, 0, 1));
        good(&format!("{suite}not ok 1 a\n"), (0, 1, 0));
    }

    #[test]
    fn all_skipped() {
        let text =
            "KTAP version 1\n1..1\n  KTAP version 1\n  # Subtest: a\n  1..1\n  ok 1 b # SKIP c\n";
        good(&format!("{text}ok 1 a # SKIP all\n"), (0, 0, 1));
        good(&format!("{text}ok 1 a\n"), (0, 0, 1));
    }

    #[test]
    fn endless_diagnostics_are_bounded() {
        let mut parser = Parser::new();
        parser.feed("KTAP version 1");
        parser.feed("1..1");
        for n in 0..10_000 {
            parser.feed(&format!("# {n}"));
        }
        parser.feed("not ok 1 a");
        let report = parser.finish();
        assert_eq!(report.tests[0].diagnostics.len(), KEPT_DIAGNOSTICS);
    }

    #[test]
    fn what_the_writer_prints() -> std::io::Result<()> {
        let mut bytes = Vec::new();
        let mut writer = crate::Writer::new(&mut bytes);
        writer.version()?;
        writer.plan(2)?;
        let mut suite = writer.suite("odd # names", 3)?;
        suite.result("1..2 ok 1 x", &Outcome::Passed)?;
        let why = "ok 1 not a result\nSubtest: no\nKTAP version 1\n1..4";
        suite.result("not ok 2", &Outcome::Failed(why.into()))?;
        suite.result("skipped", &Outcome::Skipped("a # b".into()))?;
        suite.end()?;
        writer.result("alone", &Outcome::Passed)?;
        let totals = writer.totals();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let report = good(&text, (2, 1, 1));
        assert_eq!(report.totals, totals);
        Ok(())
    }
}
