// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where the report of a fault begins and ends in a kernel's log.

use super::{fault::Fault, strip_stamp};

/// A report whose end is not marked ends where the log was silent so long, in seconds.
const SILENCE: f64 = 0.5;

/// Where the frame around a report begins.
pub(super) fn beginning(log: &[String], at: usize) -> usize {
    let frame = |line: &String| strip_stamp(line).1.starts_with("=====");
    match at.checked_sub(1) {
        Some(before) if frame(&log[before]) => before,
        _ => at,
    }
}

/// The last line of the report that begins in line `at`.
pub(super) fn end(log: &[String], at: usize, fault: Fault) -> usize {
    let last = log.len() - 1;
    if fault == Fault::Panic {
        return last;
    }
    let mut before = strip_stamp(&log[at]).0;
    let mut backtraces = 0;
    for (offset, line) in log[at + 1..].iter().enumerate() {
        let here = at + 1 + offset;
        let (stamp, text) = strip_stamp(line);
        if let (Some(before), Some(stamp)) = (before, stamp) {
            if stamp - before > SILENCE {
                return here - 1;
            }
        }
        before = stamp.or(before);
        if text.starts_with("Kernel panic - not syncing") {
            return last;
        }
        if text.starts_with("mapwright-harness: ") {
            return here - 1;
        }
        match fault {
            Fault::Trace if text.starts_with("---[ end ") => return here,
            Fault::Frame if text.starts_with("=====") || text.starts_with("---[ end ") => {
                return here;
            }
            Fault::Backtrace if text.starts_with(" </TASK>") || text.starts_with("---[ end ") => {
                return here;
            }
            // An oops without an end: something else goes on after its stack and registers.
            Fault::Trace if text.starts_with(" </TASK>") => backtraces += 1,
            Fault::Trace if backtraces > 0 && !is_detail(text) => return here - 1,
            _ => {}
        }
    }
    last
}

/// What an oops prints between its stack and its end.
fn is_detail(text: &str) -> bool {
    let first = text.split([':', ' ']).next().unwrap_or_default();
    text.starts_with(' ')
        || text.starts_with("Modules linked in")
        || text.contains("hardirqs")
        || text.contains("softirqs")
        || text.starts_with("irq event stamp")
        || text.starts_with("note: ")
        || (first.len() <= 5
            && text.contains(": ")
            && first
                .chars()
                .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit()))
        || text.starts_with("Code: ")
}
