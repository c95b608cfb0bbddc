// SPDX-License-Identifier: MIT OR Apache-2.0
//! The unit tests, which run on the host.

use crate::place;
use crate::progress::Progress;
use anyhow::{Context, Result};
use ktap::Totals;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Lines that are shown of a failed build.
const BUILD_LINES: usize = 40;

/// The unit tests, which cargo runs.
pub fn run(filter: Option<&str>) -> Result<Totals> {
    let repository = place::repository()?;
    let progress = Progress::new("host");
    progress.say("building");
    let begun = Instant::now();
    let mut command = Command::new("cargo");
    command
        .args(["test", "--workspace", "--no-fail-fast", "--manifest-path"])
        .arg(repository.join("userspace/Cargo.toml"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if std::env::var_os("CARGO_TARGET_DIR").is_none() {
        command.env("CARGO_TARGET_DIR", repository.join("build/cargo"));
    }
    if repository.join("userspace/Cargo.lock").is_file() {
        command.arg("--locked");
    }
    command.args(filter);
    let mut child = command
        .spawn()
        .context("cannot run cargo: run this inside the toolchain root")?;
    let messages = child.stderr.take().map(|stderr| {
        std::thread::spawn(move || {
            let lines = BufReader::new(stderr).lines().map_while(Result::ok);
            lines.collect::<Vec<String>>()
        })
    });
    let mut counted = CargoTests::default();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            counted.line(&line);
            progress.say(&format!("{}: {}", counted.totals, counted.last));
        }
    }
    let messages = messages
        .and_then(|thread| thread.join().ok())
        .unwrap_or_default();
    let status = child.wait()?;
    let mut totals = counted.totals;
    for line in &counted.failures {
        progress.line(&format!("  {line}"));
    }
    if !status.success() && totals.failed == 0 {
        for line in &messages[messages.len().saturating_sub(BUILD_LINES)..] {
            progress.line(&format!("  {line}"));
        }
        progress.line("mapwright-harness: cargo test did not get to its end");
        totals.failed += 1;
    } else if totals.total() == 0 && filter.is_none() {
        progress.line("mapwright-harness: cargo test has run no tests");
        totals.failed += 1;
    }
    progress.finish(&format!(
        "{totals} in {:.1} s",
        begun.elapsed().as_secs_f32()
    ));
    Ok(totals)
}

/// What `cargo test` says on its standard output.
#[derive(Default)]
struct CargoTests {
    totals: Totals,
    last: String,
    /// What failing tests printed.
    failures: Vec<String>,
    in_failures: bool,
}

impl CargoTests {
    fn line(&mut self, line: &str) {
        if let Some(counts) = line.strip_prefix("test result: ") {
            self.totals += cargo_totals(counts);
            self.in_failures = false;
        } else if line == "failures:" {
            self.in_failures = true;
        } else if self.in_failures && !line.is_empty() {
            self.failures.push(line.to_owned());
        } else if let Some(test) = line.strip_prefix("test ") {
            test.clone_into(&mut self.last);
        }
    }
}

/// "ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s"
fn cargo_totals(counts: &str) -> Totals {
    let (_, counts) = counts.split_once(". ").unwrap_or(("", counts));
    let mut totals = Totals::default();
    for part in counts.split(';') {
        let Some((number, what)) = part.trim().split_once(' ') else {
            continue;
        };
        let Ok(number) = number.parse::<usize>() else {
            continue;
        };
        match what {
            "passed" => totals.passed += number,
            "failed" => totals.failed += number,
            "ignored" => totals.skipped += number,
            _ => {}
        }
    }
    totals
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cargo_says() {
        let text = "\
running 2 tests
test a::b ... ok
test a::c ... FAILED

failures:

---- a::c stdout ----
thread 'a::c' panicked at src/lib.rs:3:9:
no

failures:
    a::c

test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
test result: ok. 4 passed; 0 failed; 3 ignored; 0 measured; 2 filtered out; finished in 1.00s
";
        let mut tests = CargoTests::default();
        text.lines().for_each(|line| tests.line(line));
        assert_eq!(
            tests.totals,
            Totals {
                passed: 5,
                failed: 1,
                skipped: 3,
            }
        );
        assert_eq!(tests.failures.len(), 4);
    }
}
