// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the kernel's own reader of KTAP says of a run's results.

use crate::place;
use anyhow::{Context, Result};
use ktap::{Report, Totals};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Lets the kernel's own reader count. What it counts otherwise is a problem.
pub fn second_opinion(ktap: &Path, ours: &Report) -> Result<Option<String>> {
    let kunit = place::cache()?.join("kunit");
    if !kunit.join("kunit.py").is_file() {
        let text = format!("kunit.py is not in {}: run `make setup`", kunit.display());
        return Ok(Some(text));
    }
    // It runs only where it is in a kernel's source, and finds out by its path.
    let source = tempfile::tempdir().context("cannot make a temporary directory")?;
    let place = source.path().join("tools/testing/kunit");
    fs::create_dir_all(&place)?;
    for entry in fs::read_dir(&kunit)?.flatten() {
        let file = entry.path();
        if file.extension().is_some_and(|e| e == "py") {
            fs::copy(&file, place.join(entry.file_name()))?;
        }
    }
    let output = Command::new("python3")
        .arg(place.join("kunit.py"))
        .arg("parse")
        .arg(ktap)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .output()
        .context("cannot run python3: run this inside the toolchain root")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let problem = match kunit_counts(&said) {
        None => Some(format!(
            "kunit.py has counted nothing: {}",
            String::from_utf8_lossy(&output.stderr)
                .lines()
                .last()
                .unwrap_or("")
        )),
        Some((theirs, errors))
            if theirs != ours.totals || (errors > 0) == ours.errors.is_empty() =>
        {
            let ours = &ours.totals;
            let text = format!("kunit.py counts otherwise: {theirs}, {errors} errors; here {ours}");
            Some(text)
        }
        Some(_) => None,
    };
    Ok(problem)
}

/// "Testing complete. Ran 3 tests: passed: 2, failed: 1": the counts, and errors in the output.
fn kunit_counts(said: &str) -> Option<(Totals, usize)> {
    let line = said
        .lines()
        .rev()
        .find(|line| line.contains("Testing complete."))?;
    let (_, counts) = line.split_once(" tests: ")?;
    let mut totals = Totals::default();
    let mut errors = 0;
    for part in counts.split(',') {
        let Some((what, number)) = part.split_once(": ") else {
            continue;
        };
        let number: usize = number.trim().parse().ok()?;
        match what.trim() {
            "passed" => totals.passed = number,
            // A crashed test is one that has no result.
            "failed" | "crashed" => totals.failed += number,
            "skipped" => totals.skipped = number,
            _ => errors += number,
        }
    }
    Some((totals, errors))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(passed: usize, failed: usize, skipped: usize) -> Totals {
        Totals {
            passed,
            failed,
            skipped,
        }
    }

    #[test]
    fn what_kunit_says() {
        let line = |counts: &str| format!("[02:00:01] Testing complete. Ran 9 tests: {counts}\n");
        let read = |counts: &str| kunit_counts(&line(counts));
        assert_eq!(read("passed: 5"), Some((totals(5, 0, 0), 0)));
        let mixed = read("passed: 5, failed: 1, crashed: 1, skipped: 2, errors: 4");
        assert_eq!(mixed, Some((totals(5, 2, 2), 4)));
        assert_eq!(kunit_counts("nothing"), None);
        assert_eq!(read(""), Some((totals(0, 0, 0), 0)));
    }
}
