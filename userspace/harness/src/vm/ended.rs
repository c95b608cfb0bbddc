// SPDX-License-Identifier: MIT OR Apache-2.0
//! How a guest ended, and what is said of it.

use crate::judge::Report;
use crate::patience::{Stage, SILENCE};
use anyhow::{Context, Result};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

/// Lines of the log that are shown where no report says what happened.
pub(super) const LAST_LINES: usize = 20;
const SHOWN_REPORTS: usize = 3;

/// How a guest ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// The command's status.
    Exited(u8),
    /// The command could not be started: the modules, for example, were not accepted.
    Refused(String),
    /// The VM ended without a word.
    Died(String),
    /// The guest said nothing for too long, before the command began.
    Hung,
    TimedOut,
    /// By a signal to the test harness.
    Interrupted(i32),
}

/// A guest's end, and the kernel's log.
pub struct Ended {
    pub how: How,
    /// How far it had come.
    pub stage: Stage,
    pub log: Vec<String>,
    pub reports: Vec<Report>,
}

impl Ended {
    /// Whether the kernel has nothing to be blamed for.
    pub fn is_clean(&self) -> bool {
        self.reports.is_empty()
    }

    /// Whether the command was started.
    pub(super) fn is_running(&self) -> bool {
        self.stage == Stage::Running
    }

    /// Whether it hung before anything of the project ran in it.
    pub(super) fn hung_while_booting(&self) -> bool {
        self.how == How::Hung && self.stage == Stage::Booting
    }
}

/// One sentence on a guest that did not get to its end, and the log's last lines.
pub fn describe(ended: &Ended, command: &str, timeout: Duration) -> String {
    let seconds = timeout.as_secs();
    let what = match &ended.how {
        How::Exited(status) => {
            return format!("mapwright-harness: `{command}` ended with {status}")
        }
        How::Interrupted(signal) => {
            return format!("mapwright-harness: stopped by signal {signal}")
        }
        How::Refused(why) => format!("the guest could not be prepared: {why}"),
        How::TimedOut if ended.is_running() => format!(
            "`{command}` did not end within {seconds} s and was stopped; --timeout gives it longer"
        ),
        How::Hung => format!(
            "the guest hung before `{command}`: {}",
            silence(ended.stage)
        ),
        How::TimedOut => format!("the guest did not get to `{command}` within {seconds} s"),
        How::Died(why) if ended.is_running() => format!("the guest died during `{command}`: {why}"),
        How::Died(why) => format!("the guest died before `{command}`: {why}"),
    };
    let mut text = format!("mapwright-harness: {what}");
    if ended.is_clean() || matches!(ended.how, How::Hung | How::TimedOut) {
        text.push_str(&last_lines(&ended.log));
    }
    text
}

/// What a guest did that hung.
pub(super) fn silence(stage: Stage) -> String {
    let doing = match stage {
        Stage::Inserting => "was given the modules",
        Stage::Booting | Stage::Running => "booted",
    };
    format!(
        "while it {doing}, it said nothing for {} s",
        SILENCE.as_secs()
    )
}

fn last_lines(log: &[String]) -> String {
    if log.is_empty() {
        return "\n(the kernel's log is empty)".to_owned();
    }
    let last = &log[log.len().saturating_sub(LAST_LINES)..];
    format!(
        "\nThe last lines of the kernel's log:\n  {}",
        last.join("\n  ")
    )
}

pub(super) fn show_last_lines(log: &[String]) {
    eprintln!("{}", last_lines(log).trim_start());
}

/// Prints what the kernel reported.
pub fn show_reports(ended: &Ended) {
    for report in ended.reports.iter().take(SHOWN_REPORTS) {
        eprintln!(
            "mapwright-harness: the kernel reported:\n  {}",
            report.lines.join("\n  ")
        );
    }
    let more = ended.reports.len().saturating_sub(SHOWN_REPORTS);
    if more > 0 {
        eprintln!("mapwright-harness: and {more} more reports");
    }
}

/// Keeps the kernel's log; runs at the same time do not mix in it.
pub fn keep_log(file: &Path, log: &[String]) {
    let mut text = log.join("\n");
    text.push('\n');
    let kept = || -> Result<()> {
        let dir = file.parent().context("no directory")?;
        fs::create_dir_all(dir)?;
        let mut new = tempfile::NamedTempFile::new_in(dir)?;
        new.write_all(text.as_bytes())?;
        new.persist(file)?;
        Ok(())
    };
    if let Err(error) = kept() {
        eprintln!(
            "mapwright-harness: cannot keep the kernel's log in {}: {error}",
            file.display()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hang_is_described() {
        let ended = Ended {
            how: How::TimedOut,
            stage: Stage::Running,
            log: (0..30).map(|n| format!("[ 1.0] line {n}")).collect(),
            reports: Vec::new(),
        };
        let text = describe(&ended, "sleep 99", Duration::from_secs(20));
        assert!(
            text.contains("`sleep 99` did not end within 20 s"),
            "{text}"
        );
        assert_eq!(text.lines().count(), 2 + LAST_LINES);
        assert!(text.contains("line 10") && !text.contains("line 9\n"));
    }

    #[test]
    fn only_a_boot_is_tried_again() {
        let ended = |how, stage| Ended {
            how,
            stage,
            log: Vec::new(),
            reports: Vec::new(),
        };
        assert!(ended(How::Hung, Stage::Booting).hung_while_booting());
        for (how, stage) in [
            (How::Hung, Stage::Inserting),
            (How::TimedOut, Stage::Running),
            (How::TimedOut, Stage::Booting),
            (How::Died("its kernel panicked".to_owned()), Stage::Booting),
            (How::Exited(1), Stage::Running),
        ] {
            assert!(!ended(how.clone(), stage).hung_while_booting(), "{how:?}");
        }
        let text = describe(&ended(How::Hung, Stage::Inserting), "true", SILENCE);
        assert!(text.contains("was given the modules"), "{text}");
    }
}
