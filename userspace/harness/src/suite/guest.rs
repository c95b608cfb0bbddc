// SPDX-License-Identifier: MIT OR Apache-2.0
//! The suite in a guest, and what is wrong with such a run.

use super::kunit::second_opinion;
use crate::guest::{Boot, GuestArgs};
use crate::judge::Report as Fault;
use crate::progress::{self, Progress};
use crate::vm::{self, Ended, How, Stream};
use anyhow::{Context, Result};
use ktap::{Outcome, Parser, Report, Totals};
use std::fs;
use std::time::{Duration, Instant};

/// What a guest runs.
const SUITE: [&str; 2] = ["mapwright", "test"];

/// Reports of the kernel that are shown of a boot, at most.
const SHOWN_REPORTS: usize = 3;

/// A boot that runs tests.
pub struct Run {
    /// The name that the boot's results are kept under.
    pub name: String,
    pub boot: Boot,
    pub guest: GuestArgs,
    /// Arguments of the suite: what the tests' names contain.
    pub tests: Vec<String>,
    pub timeout: Duration,
}

/// How the boot ended.
pub enum Ran {
    Counted(Totals),
    Interrupted(i32),
}

/// Boots the guest and runs the suite there. Everything that is wrong besides its tests counts as one
/// more failure.
pub fn run(run: &Run) -> Result<Ran> {
    let mut command = SUITE.map(str::to_owned).to_vec();
    command.extend(run.tests.iter().cloned());
    let (name, timeout) = (&run.name, run.timeout);
    let guest = vm::guest(run.boot, &run.guest, Some(command))?;
    let begun = Instant::now();

    let mut progress = Progress::new(name);
    let mut said = Said::default();
    let results = guest.repository.join("build/results");
    fs::create_dir_all(&results)?;
    let log = results.join(format!("{name}.log"));
    let tell = |text: &str| progress::line(&format!("{name}: {text}"));
    let ended = vm::follow(&guest, timeout, &log, &tell, &mut |stream, bytes| {
        match stream {
            Stream::Err => said.messages.extend_from_slice(bytes),
            Stream::Out => said.results(bytes, &mut progress),
        }
        Ok(())
    })?;
    let file = results.join(format!("{name}.ktap"));
    fs::write(&file, &said.ktap).with_context(|| format!("cannot write {}", file.display()))?;
    if let How::Interrupted(signal) = ended.how {
        progress.finish("interrupted");
        return Ok(Ran::Interrupted(signal));
    }

    let (report, messages) = said.finish();
    show_failures(&progress, &report);
    let mut problems = of_the_run(&ended.how, &ended.reports, &report);
    if matches!(ended.how, How::Exited(_)) {
        // What a guest that died has not reported is no fault of its results.
        let errors = report.errors.iter();
        problems.extend(errors.map(|error| format!("its results: {error}")));
        problems.extend(second_opinion(&file, &report)?);
    }
    if !problems.is_empty() {
        let command = shell_words::join(guest.command.iter().flatten());
        show_circumstances(&progress, &messages, &ended, &command, timeout);
    }
    for problem in &problems {
        progress.line(&format!("{name}: {problem}"));
    }
    let mut totals = report.totals;
    totals.failed += problems.len();
    progress.finish(&format!(
        "{totals} in {:.1} s",
        begun.elapsed().as_secs_f32()
    ));
    Ok(Ran::Counted(totals))
}

/// What the suite has written.
#[derive(Default)]
struct Said {
    ktap: Vec<u8>,
    /// Bytes of the output that have been parsed.
    parsed: usize,
    parser: Parser,
    messages: Vec<u8>,
}

impl Said {
    /// Takes some more results, and shows what is in them.
    fn results(&mut self, bytes: &[u8], progress: &mut Progress) {
        self.ktap.extend_from_slice(bytes);
        while let Some(length) = self.ktap[self.parsed..].iter().position(|&b| b == b'\n') {
            let line = String::from_utf8_lossy(&self.ktap[self.parsed..self.parsed + length]);
            if let Some(event) = self.parser.feed(&line) {
                progress.event(&event);
            }
            self.parsed += length + 1;
        }
    }

    /// The results as a whole, and the messages.
    fn finish(mut self) -> (Report, String) {
        if self.parsed < self.ktap.len() {
            let line = String::from_utf8_lossy(&self.ktap[self.parsed..]);
            self.parser.feed(&line);
        }
        let messages = String::from_utf8_lossy(&self.messages).into_owned();
        (self.parser.finish(), messages)
    }
}

/// What may explain that something is wrong with the run.
fn show_circumstances(
    progress: &Progress,
    messages: &str,
    ended: &Ended,
    command: &str,
    timeout: Duration,
) {
    for line in messages.lines() {
        progress.line(&format!("  {line}"));
    }
    if !matches!(ended.how, How::Exited(_)) {
        progress.line(&vm::describe(ended, command, timeout));
    }
    for fault in ended.reports.iter().take(SHOWN_REPORTS) {
        let lines = fault.lines.join("\n  ");
        progress.line(&format!("the kernel reported:\n  {lines}"));
    }
}

fn show_failures(progress: &Progress, report: &Report) {
    for test in &report.tests {
        if let Outcome::Failed(why) = &test.outcome {
            let why = why.replace('\n', "\n    ");
            progress.line(&format!("  {}:\n    {why}", test.full_name()));
        }
    }
}

/// What is wrong with the run as a whole.
fn of_the_run(how: &How, faults: &[Fault], report: &Report) -> Vec<String> {
    let mut problems: Vec<String> = faults
        .iter()
        .map(|fault| format!("the kernel reported a fault: {}", fault.title))
        .collect();
    match how {
        How::Exited(0) if report.totals.failed > 0 => {
            problems.push("its status says success, though tests failed".to_owned());
        }
        How::Exited(status @ 1..) if report.totals.failed == 0 => {
            problems.push(format!(
                "it ended with status {status}, though no test failed"
            ));
        }
        How::Exited(_) | How::Interrupted(_) => {}
        How::Refused(why) => problems.push(format!("the guest could not be prepared: {why}")),
        How::Died(_) if !faults.is_empty() => {}
        How::Died(why) => problems.push(format!("the guest died: {why}")),
        How::Hung | How::TimedOut => problems.push("the guest hung".to_owned()),
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_judged() {
        let report = |failed| Report {
            totals: Totals {
                passed: 3,
                failed,
                skipped: 0,
            },
            ..Report::default()
        };
        let problems = |how: How, failed| of_the_run(&how, &[], &report(failed)).len();
        assert_eq!(problems(How::Exited(0), 0), 0);
        assert_eq!(problems(How::Exited(1), 2), 0);
        assert_eq!(problems(How::Exited(0), 2), 1);
        assert_eq!(problems(How::Exited(1), 0), 1);
        assert_eq!(problems(How::TimedOut, 0), 1);
        assert_eq!(problems(How::Hung, 0), 1);
        assert_eq!(problems(How::Died("x".into()), 1), 1);
        let fault = Fault {
            title: "BUG: x".into(),
            lines: vec![],
        };
        let faults = [fault];
        assert_eq!(of_the_run(&How::Exited(0), &faults, &report(0)).len(), 1);
        assert_eq!(
            of_the_run(&How::Died("x".into()), &faults, &report(0)).len(),
            1
        );
    }
}
