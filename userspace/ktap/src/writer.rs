// SPDX-License-Identifier: MIT OR Apache-2.0
//! Printing results.

use crate::{Outcome, Totals};
use std::io::{self, Write};

/// Prints KTAP and flushes after every line: what was printed before a crash is known.
///
/// ```
/// use ktap::{Outcome, Writer};
/// let mut ktap = Writer::new(Vec::new());
/// ktap.version()?;
/// ktap.plan(1)?;
/// let mut suite = ktap.suite("limits", 2)?;
/// suite.result("locked", &Outcome::Passed)?;
/// suite.diagnostic("this machine has one node")?;
/// suite.result("numa", &Outcome::Skipped("one node only".into()))?;
/// suite.end()?;
/// assert_eq!(ktap.totals().passed, 1);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Writer<W: Write> {
    out: W,
    number: usize,
    totals: Totals,
}

/// A suite that was begun with [`Writer::suite`]; [`Suite::end`] prints its result.
#[must_use = "a suite needs its result line: call `end`"]
pub struct Suite<'a, W: Write> {
    writer: &'a mut Writer<W>,
    name: String,
    number: usize,
    totals: Totals,
}

const SUITE_INDENT: &str = "  ";

impl<W: Write> Writer<W> {
    /// A writer that has printed nothing yet.
    pub fn new(out: W) -> Self {
        Self {
            out,
            number: 0,
            totals: Totals::default(),
        }
    }

    /// The version line, which comes first.
    pub fn version(&mut self) -> io::Result<()> {
        self.line("", "KTAP version 1")
    }

    /// How many suites, or tests outside of one, follow.
    pub fn plan(&mut self, count: usize) -> io::Result<()> {
        self.line("", &format!("1..{count}"))
    }

    /// Begins a suite of `count` tests.
    pub fn suite(&mut self, name: &str, count: usize) -> io::Result<Suite<'_, W>> {
        let name = clean(name);
        self.line(SUITE_INDENT, "KTAP version 1")?;
        self.line(SUITE_INDENT, &format!("# Subtest: {name}"))?;
        self.line(SUITE_INDENT, &format!("1..{count}"))?;
        Ok(Suite {
            writer: self,
            name,
            number: 0,
            totals: Totals::default(),
        })
    }

    /// Diagnostic lines; they belong to the result that is printed next.
    pub fn diagnostic(&mut self, text: &str) -> io::Result<()> {
        self.diagnostic_lines("", text)
    }

    /// The result of the next test outside of a suite.
    pub fn result(&mut self, name: &str, outcome: &Outcome) -> io::Result<()> {
        self.totals.count(outcome);
        self.number += 1;
        self.result_lines("", self.number, &clean(name), outcome)
    }

    /// The tests that were reported so far.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    fn diagnostic_lines(&mut self, indent: &str, text: &str) -> io::Result<()> {
        for line in text.lines() {
            // A diagnostic must not read as the header of a suite.
            let gap = if line.starts_with("Subtest:") {
                "  "
            } else {
                " "
            };
            self.line(indent, &format!("#{gap}{line}"))?;
        }
        Ok(())
    }

    fn result_lines(
        &mut self,
        indent: &str,
        number: usize,
        name: &str,
        outcome: &Outcome,
    ) -> io::Result<()> {
        match outcome {
            Outcome::Passed => self.line(indent, &format!("ok {number} {name}")),
            Outcome::Failed(why) => {
                self.diagnostic_lines(indent, why)?;
                self.line(indent, &format!("not ok {number} {name}"))
            }
            Outcome::Skipped(reason) => {
                let reason = one_line(reason);
                self.line(indent, &format!("ok {number} {name} # SKIP {reason}"))
            }
        }
    }

    fn line(&mut self, indent: &str, text: &str) -> io::Result<()> {
        // One write: lines of several programs do not mix.
        let line = format!("{indent}{}\n", text.trim_end());
        self.out.write_all(line.as_bytes())?;
        self.out.flush()
    }
}

impl<W: Write> Suite<'_, W> {
    /// Diagnostic lines; they belong to the result that is printed next.
    pub fn diagnostic(&mut self, text: &str) -> io::Result<()> {
        self.writer.diagnostic_lines(SUITE_INDENT, text)
    }

    /// The result of the suite's next test.
    pub fn result(&mut self, name: &str, outcome: &Outcome) -> io::Result<()> {
        self.totals.count(outcome);
        self.writer.totals.count(outcome);
        self.number += 1;
        self.writer
            .result_lines(SUITE_INDENT, self.number, &clean(name), outcome)
    }

    /// Ends the suite: failed if one of its tests was, skipped if all were.
    pub fn end(self) -> io::Result<()> {
        let outcome = if self.totals.failed > 0 {
            Outcome::Failed(String::new())
        } else if self.totals.passed > 0 {
            Outcome::Passed
        } else if self.totals.skipped > 0 {
            Outcome::Skipped("all of its tests were skipped".to_owned())
        } else {
            Outcome::Skipped("it has no tests".to_owned())
        };
        self.writer.number += 1;
        self.writer
            .result_lines("", self.writer.number, &self.name, &outcome)
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A name must not hold a `#` or a line break.
fn clean(name: &str) -> String {
    one_line(&name.replace('#', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text() -> io::Result<()> {
        let mut w = Writer::new(Vec::new());
        w.version()?;
        w.plan(2)?;
        let mut suite = w.suite("first suite", 3)?;
        suite.result("a", &Outcome::Passed)?;
        suite.diagnostic("left: 1\n\nSubtest: not one\n")?;
        suite.result("b#1\nx", &Outcome::Failed("not equal\nright: 2".into()))?;
        suite.result("c", &Outcome::Skipped("no\nswap".into()))?;
        suite.end()?;
        let mut suite = w.suite("second", 1)?;
        suite.result("d", &Outcome::Skipped("why".into()))?;
        suite.end()?;
        let totals = w.totals();
        assert_eq!((totals.passed, totals.failed, totals.skipped), (1, 1, 2));
        let text = "\
KTAP version 1
1..2
  KTAP version 1
  # Subtest: first suite
  1..3
  ok 1 a
  # left: 1
  #
  #  Subtest: not one
  # not equal
  # right: 2
  not ok 2 b_1 x
  ok 3 c # SKIP no swap
not ok 1 first suite
  KTAP version 1
  # Subtest: second
  1..1
  ok 1 d # SKIP why
ok 2 second # SKIP all of its tests were skipped
";
        assert_eq!(String::from_utf8_lossy(&w.out), text);
        Ok(())
    }
}
