// SPDX-License-Identifier: MIT OR Apache-2.0
//! Shows how far a run of the test suite is.

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use ktap::{Event, Outcome, Totals};
use std::io::IsTerminal;
use std::sync::LazyLock;
use std::time::Duration;

/// The live lines of all runs, which share the terminal.
static LINES: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Prints a line that stays, above the live ones if there are any.
pub fn line(text: &str) {
    LINES.suspend(|| eprintln!("{text}"));
}

/// A live line on a terminal; elsewhere one line for each suite.
pub struct Progress {
    bar: Option<ProgressBar>,
    name: String,
    totals: Totals,
}

impl Progress {
    pub fn new(name: &str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = LINES.add(ProgressBar::new_spinner());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} {elapsed} {msg}") {
                bar.set_style(style);
            }
            bar.set_prefix(name.to_owned());
            bar.set_message("booting");
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        if bar.is_none() {
            eprintln!("{name}: begins");
        }
        Self {
            bar,
            name: name.to_owned(),
            totals: Totals::default(),
        }
    }

    /// Shows what goes on while no test reports anything.
    pub fn say(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(text.to_owned());
        }
    }

    /// Shows what the parser has just read.
    pub fn event(&mut self, event: &Event) {
        match event {
            Event::SuiteStarted { name, .. } => self.say(&format!("{}: {name}", self.totals)),
            Event::TestFinished(test) => {
                self.totals.count(&test.outcome);
                self.say(&format!("{}: {}", self.totals, test.full_name()));
                if matches!(test.outcome, Outcome::Failed(_)) {
                    self.line(&format!("{}: {} failed", self.name, test.full_name()));
                }
            }
            Event::SuiteFinished { name, totals } if self.bar.is_none() => {
                eprintln!("{}: {name}: {totals}", self.name);
            }
            Event::SuiteFinished { .. } => {}
        }
    }

    /// Prints a line that stays.
    pub fn line(&self, text: &str) {
        line(text);
    }

    /// Replaces the live line by one that stays and says how the run ended.
    pub fn finish(self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
            LINES.remove(bar);
        }
        self.line(&format!("{}: {text}", self.name));
    }
}
