// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads a kernel's log and finds the reports of faults in it.

mod extent;
mod fault;

use extent::{beginning, end};
use fault::fault;

/// Lines of a report that are shown at most.
const REPORT_LINES: usize = 120;

/// A fault the kernel reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What it is about: the line that says so.
    pub title: String,
    /// The lines of the log from its beginning to its end.
    pub lines: Vec<String>,
}

/// Finds all reports of faults.
pub fn judge(log: &[String]) -> Vec<Report> {
    let mut reports: Vec<Report> = Vec::new();
    let mut at = 0;
    while at < log.len() {
        let text = strip_stamp(&log[at]).1;
        let Some(fault) = fault(text) else {
            at += 1;
            continue;
        };
        let end = end(log, at, fault);
        if text.starts_with("Kernel panic - not syncing: Fatal exception") {
            // What oops=panic makes of the report before it.
            if let Some(Report { lines, .. }) = reports.last_mut() {
                lines.extend(log[at..=end.min(at + REPORT_LINES)].iter().cloned());
                at = end + 1;
                continue;
            }
        }
        let begin = beginning(log, at);
        let shown = (end + 1).min(begin + REPORT_LINES);
        let mut lines = log[begin..shown].to_vec();
        if shown <= end {
            lines.push(format!("… and {} more lines", end + 1 - shown));
        }
        reports.push(Report {
            title: title(&log[at..=end]),
            lines,
        });
        at = end + 1;
    }
    reports
}

/// The line that says what it is about: "cut here" does not.
fn title(lines: &[String]) -> String {
    let texts = || lines.iter().map(|line| strip_stamp(line).1.trim());
    let says = |text: &&str| !text.starts_with("------------[") && fault(text).is_some();
    let title = texts().take(4).find(says).or_else(|| texts().next());
    title.unwrap_or_default().to_owned()
}

/// Whether a line of the log says that the kernel has given up.
pub fn is_panic(line: &str) -> bool {
    strip_stamp(line)
        .1
        .starts_with("Kernel panic - not syncing")
}

/// Whether a line of the log begins the report of a fault.
pub fn is_fault(line: &str) -> bool {
    fault(strip_stamp(line).1).is_some()
}

/// Takes `<6>` and `[    1.234567][  T123] ` off a line; the time in seconds and the text.
fn strip_stamp(line: &str) -> (Option<f64>, &str) {
    let line = line.trim_end();
    let rest = match line.strip_prefix('<').and_then(|r| r.split_once('>')) {
        Some((level, rest)) if !level.is_empty() && level.bytes().all(|b| b.is_ascii_digit()) => {
            rest
        }
        _ => line,
    };
    let Some((stamp, after)) = rest.strip_prefix('[').and_then(|r| r.split_once(']')) else {
        return (None, rest);
    };
    let Ok(seconds) = stamp.trim().parse::<f64>() else {
        return (None, rest);
    };
    let after = match after.strip_prefix('[').and_then(|r| r.split_once(']')) {
        Some((caller, more)) if caller.trim().starts_with(['T', 'C']) => more,
        _ => after,
    };
    (Some(seconds), after.strip_prefix(' ').unwrap_or(after))
}

#[cfg(test)]
mod tests;
