// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs all tests: those of the host, and the suite in a guest of each kind.

use crate::cli::{Boot, GuestArgs, TestArgs, TestArmArgs, TestDebugArgs};
use crate::machine::Machine;
use crate::progress::Progress;
use crate::shape::build_of;
use crate::vm::{self, How, Stream};
use crate::{judge::Report as Fault, place};
use anyhow::{bail, Context, Result};
use ktap::{Outcome, Parser, Report, Totals};
use mapwright_prove::Shape;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What a guest runs.
const SUITE: [&str; 2] = ["mapwright", "test"];
/// What the names of the tests of the GPIO driver begin with.
const GPIO: &str = "gpio.";
/// The suite that needs a device for DMA.
const DMA: &str = "dma.";
/// The machines that have one.
const ENGINES: [Shape; 3] = [Shape::Edu, Shape::EduIommu, Shape::EduPassthrough];
/// What a guest with KASAN's shadow needs.
const DEBUG_MEMORY: &str = "2G";
/// So much of a failed build is shown.
const BUILD_LINES: usize = 40;

/// `test`
pub fn run(args: &TestArgs) -> Result<u8> {
    let mut totals = Totals::default();
    if !args.no_host {
        totals += host(args.filter.as_deref())?;
    }
    let boots = match args.boot.as_slice() {
        _ if args.no_guest => &[][..],
        [] => &[Boot::Virtme, Boot::Tiny],
        chosen => chosen,
    };
    let filter = args.filter.as_deref().unwrap_or_default();
    // Its tests need a machine of their own, and have one.
    let with_gpio = filter.is_empty() && args.boot.is_empty() || filter.starts_with(GPIO);
    let mut runs = Vec::new();
    for &boot in boots {
        if filter.starts_with(GPIO) {
            break;
        }
        let chosen = match filter {
            "" => ["--skip", GPIO].map(str::to_owned).to_vec(),
            filter => vec![filter.to_owned()],
        };
        runs.push((boot.to_string(), boot, args.guest.clone(), chosen));
    }
    if with_gpio && !args.no_guest {
        let guest = GuestArgs {
            gpio: Some(place::repository()?.join("build/gpio")),
            ..args.guest.clone()
        };
        let chosen = if filter.is_empty() { GPIO } else { filter };
        runs.push((
            "gpio".to_owned(),
            Boot::Tiny,
            guest,
            vec![chosen.to_owned()],
        ));
    }
    for (name, boot, guest, suite_args) in runs {
        let guest = GuestRun {
            name,
            boot,
            guest: &guest,
            suite_args,
            timeout: Duration::from_secs(args.timeout),
        };
        match in_guest(&guest)? {
            Ran::Counted(of_boot) => totals += of_boot,
            Ran::Interrupted(signal) => return Ok(vm::interrupted(signal)),
        }
    }
    let dma = args.filter.as_deref().unwrap_or(DMA);
    // What is asked for is run there, too, if it can be only there.
    if !args.no_guest && args.boot.is_empty() && dma.starts_with(DMA) {
        for shape in ENGINES {
            let build = build_of(shape);
            let guest = GuestArgs {
                qemu: format!("{} {}", build.qemu, args.guest.qemu),
                append: format!("{} {}", build.append, args.guest.append),
                memory: build.memory.to_owned(),
                cpus: build.cpus,
                ..args.guest.clone()
            };
            let run = GuestRun {
                name: shape.name().to_owned(),
                boot: Boot::Tiny,
                guest: &guest,
                suite_args: vec![dma.to_owned()],
                timeout: Duration::from_secs(args.timeout),
            };
            match in_guest(&run)? {
                Ran::Counted(of_run) => totals += of_run,
                Ran::Interrupted(signal) => return Ok(vm::interrupted(signal)),
            }
        }
    }
    Ok(conclude(totals))
}

/// Prints the last line; returns the exit status.
fn conclude(mut totals: Totals) -> u8 {
    if totals.total() == 0 {
        eprintln!("mapwright-rig: no tests were run");
        totals.failed += 1;
    }
    println!("{totals}");
    u8::from(totals.failed > 0)
}

/// A run on an ARM machine.
struct ArmRun {
    name: &'static str,
    machine: Machine,
    memory: &'static str,
    /// What the tests' names contain; anything, where this is empty.
    tests: &'static str,
}

/// The whole suite where the devices are that it runs with, and its basics on the BeagleBone's
/// processor.
const ARM_RUNS: [ArmRun; 2] = [
    ArmRun {
        name: "arm-virt",
        machine: Machine::Virt,
        memory: "1G",
        tests: "",
    },
    ArmRun {
        name: "arm-cubieboard",
        machine: Machine::Cubieboard,
        memory: "1G",
        tests: "bare.",
    },
];

/// `test-arm`
pub fn run_arm(args: &TestArmArgs) -> Result<u8> {
    check_names(&args.only, ARM_RUNS.iter().map(|run| run.name))?;
    let mut totals = Totals::default();
    for run in &ARM_RUNS {
        let named = args.only.is_empty() || args.only.iter().any(|name| name == run.name);
        let filter = args.filter.as_deref().unwrap_or(run.tests);
        // What is asked for is run on the machine that has everything, unless it is named.
        if !named || (args.filter.is_some() && args.only.is_empty() && !run.tests.is_empty()) {
            continue;
        }
        let guest = GuestArgs {
            kernel: args.kernel.clone(),
            verbose: args.verbose,
            ..GuestArgs::plain(run.machine, run.memory)
        };
        let run = GuestRun {
            name: run.name.to_owned(),
            boot: Boot::Tiny,
            guest: &guest,
            suite_args: vec![filter.to_owned()],
            timeout: Duration::from_secs(args.timeout),
        };
        match in_guest(&run)? {
            Ran::Counted(of_run) => totals += of_run,
            Ran::Interrupted(signal) => return Ok(vm::interrupted(signal)),
        }
    }
    Ok(conclude(totals))
}

/// Fails unless what is asked for are names of runs.
fn check_names<'a>(asked: &[String], names: impl Iterator<Item = &'a str>) -> Result<()> {
    let names: Vec<&str> = names.collect();
    match asked.iter().find(|name| !names.contains(&name.as_str())) {
        Some(name) => bail!(
            "there is no run named {name}: they are {}",
            names.join(", ")
        ),
        None => Ok(()),
    }
}

/// A boot of the debug kernel.
struct DebugBoot {
    name: &'static str,
    append: &'static str,
    /// Whether it runs the suite that fails allocations, or all others.
    failing: bool,
}

/// The suite that fails allocations.
const FAILING: &str = "failing.";

/// Checkers that are in each other's way, or would only slow down another, have boots of their own: a
/// report of KASAN turns lockdep off, and kmemleak only sees what a cache does not hold on to.
const DEBUG_BOOTS: [DebugBoot; 4] = [
    DebugBoot {
        name: "kasan",
        append: "kasan_multi_shot page_poison=1 kmemleak=off lockdep.prove_locking=0",
        failing: false,
    },
    DebugBoot {
        name: "lockdep",
        append: "kmemleak=off",
        failing: false,
    },
    DebugBoot {
        name: "kmemleak",
        append: "slab_debug=U lockdep.prove_locking=0",
        failing: false,
    },
    DebugBoot {
        name: "fail-nth",
        append: "kasan_multi_shot slab_debug=U page_owner=on lockdep.prove_locking=0",
        failing: true,
    },
];

/// `test-debug`
pub fn run_debug(args: &TestDebugArgs) -> Result<u8> {
    check_names(&args.only, DEBUG_BOOTS.iter().map(|boot| boot.name))?;
    let chosen = DEBUG_BOOTS.iter().filter(|boot| {
        let named = args.only.is_empty() || args.only.iter().any(|name| name == boot.name);
        // A test is either of that suite or not.
        let has_tests = args
            .filter
            .as_ref()
            .is_none_or(|f| f.starts_with(FAILING) == boot.failing);
        named && has_tests
    });
    let mut totals = Totals::default();
    for boot in chosen {
        let guest = GuestArgs {
            kernel_dir: Some(args.kernel_dir.clone()),
            append: format!("{} {}", boot.append, args.append),
            verbose: args.verbose,
            ..GuestArgs::plain(Machine::Pc, DEBUG_MEMORY)
        };
        let mut suite_args = match (&args.filter, boot.failing) {
            (Some(filter), _) => vec![filter.clone()],
            (None, true) => vec![FAILING.to_owned()],
            (None, false) => vec![],
        };
        if !boot.failing {
            suite_args.extend(["--skip".to_owned(), FAILING.to_owned()]);
        }
        let run = GuestRun {
            name: boot.name.to_owned(),
            boot: Boot::Tiny,
            guest: &guest,
            suite_args,
            timeout: Duration::from_secs(args.timeout),
        };
        match in_guest(&run)? {
            Ran::Counted(of_boot) => totals += of_boot,
            Ran::Interrupted(signal) => return Ok(vm::interrupted(signal)),
        }
    }
    Ok(conclude(totals))
}

/// The unit tests, which cargo runs.
fn host(filter: Option<&str>) -> Result<Totals> {
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
        progress.line("mapwright-rig: cargo test did not get to its end");
        totals.failed += 1;
    } else if totals.total() == 0 && filter.is_none() {
        progress.line("mapwright-rig: cargo test has run no tests");
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

enum Ran {
    Counted(Totals),
    Interrupted(i32),
}

/// What is to be run in a guest.
struct GuestRun<'a> {
    name: String,
    boot: Boot,
    guest: &'a GuestArgs,
    /// Arguments of the suite.
    suite_args: Vec<String>,
    timeout: Duration,
}

/// The suite in a guest. Everything that is wrong besides its tests counts as one more failure.
fn in_guest(run: &GuestRun) -> Result<Ran> {
    let mut command = SUITE.map(str::to_owned).to_vec();
    command.extend(run.suite_args.iter().cloned());
    let (name, timeout) = (&run.name, run.timeout);
    let guest = vm::guest(run.boot, run.guest, Some(command))?;
    let begun = Instant::now();

    let mut progress = Progress::new(name);
    let mut parser = Parser::new();
    let mut ktap = Vec::new();
    let mut parsed = 0;
    let mut said = Vec::new();
    let ended = vm::follow(&guest, timeout, &mut |stream, bytes| {
        match stream {
            Stream::Err => said.extend_from_slice(bytes),
            Stream::Out => {
                ktap.extend_from_slice(bytes);
                while let Some(length) = ktap[parsed..].iter().position(|&b| b == b'\n') {
                    let line = String::from_utf8_lossy(&ktap[parsed..parsed + length]);
                    if let Some(event) = parser.feed(&line) {
                        progress.event(&event);
                    }
                    parsed += length + 1;
                }
            }
        }
        Ok(())
    })?;
    if parsed < ktap.len() {
        parser.feed(&String::from_utf8_lossy(&ktap[parsed..]));
    }
    let results = guest.repository.join("build/results");
    fs::create_dir_all(&results)?;
    let file = results.join(format!("{name}.ktap"));
    fs::write(&file, &ktap).with_context(|| format!("cannot write {}", file.display()))?;
    vm::keep_log(&results.join(format!("{name}.log")), &ended.log);
    if let How::Interrupted(signal) = ended.how {
        progress.finish("interrupted");
        return Ok(Ran::Interrupted(signal));
    }

    let report = parser.finish();
    show_failures(&progress, &report);
    let mut problems = of_the_run(&ended.how, &ended.reports, &report);
    if matches!(ended.how, How::Exited(_)) {
        // What a guest that died has not reported is no fault of its results.
        problems.extend(
            report
                .errors
                .iter()
                .map(|error| format!("its results: {error}")),
        );
        problems.extend(second_opinion(&file, &report)?);
    }
    if !problems.is_empty() {
        for line in String::from_utf8_lossy(&said).lines() {
            progress.line(&format!("  {line}"));
        }
        if !matches!(ended.how, How::Exited(_)) {
            let command = shell_words::join(guest.command.iter().flatten());
            progress.line(&vm::describe(&ended, &command, timeout));
        }
        for fault in ended.reports.iter().take(3) {
            progress.line(&format!(
                "the kernel reported:\n  {}",
                fault.lines.join("\n  ")
            ));
        }
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
        How::TimedOut => problems.push("the guest hung".to_owned()),
    }
    problems
}

/// Lets the kernel's own reader count. What it counts otherwise is a problem.
fn second_opinion(ktap: &Path, ours: &Report) -> Result<Option<String>> {
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
        assert_eq!(tests.totals, totals(5, 1, 3));
        assert_eq!(tests.failures.len(), 4);
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

    #[test]
    fn a_run_is_judged() {
        let report = |failed| Report {
            totals: totals(3, failed, 0),
            ..Report::default()
        };
        let problems = |how: How, failed| of_the_run(&how, &[], &report(failed)).len();
        assert_eq!(problems(How::Exited(0), 0), 0);
        assert_eq!(problems(How::Exited(1), 2), 0);
        assert_eq!(problems(How::Exited(0), 2), 1);
        assert_eq!(problems(How::Exited(1), 0), 1);
        assert_eq!(problems(How::TimedOut, 0), 1);
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
