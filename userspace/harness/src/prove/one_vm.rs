// SPDX-License-Identifier: MIT OR Apache-2.0
//! One VM: boots it and proves claims there.

use super::{write_json, ProveArgs};
use crate::guest::{script, Boot, GuestArgs};
use crate::machine_type::MachineType;
use crate::place;
use crate::progress::Progress;
use crate::vm::{self, How, Stream};
use crate::vms::Build;
use anyhow::{Context, Result};
use mapwright_prove::{Claim, Report};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// The file with what the boots before found, in the VM's directory of results.
const EARLIER: &str = "earlier.json";

/// The file with what the compiler says of mistakes, in the same directory.
const REFUSED: &str = "refused.json";

/// Mistakes, and the programs of tests/compile that make them in Rust.
const MISTAKES: [(&str, &str); 3] = [
    ("double-free", "a_free_is_not_repeated.rs"),
    ("use-after-free", "what_is_freed_is_not_used.rs"),
    ("wrong-free", "an_allocator_frees_its_own.rs"),
];

/// The module with mistakes, from where a guest's commands begin.
const FAULTY: &str = "build/faulty/mapwright_faulty.ko";

pub(super) enum Ran {
    Ended {
        report: Option<Report>,
        problems: Vec<String>,
    },
    Interrupted(i32),
}

/// Boots a VM and proves `claims` there.
pub(super) fn boot(
    args: &ProveArgs,
    build: &Build,
    claims: &[&Claim],
    earlier: &[Report],
    exchange: &Path,
) -> Result<Ran> {
    fs::create_dir_all(exchange).with_context(|| format!("cannot make {}", exchange.display()))?;
    write_json(&exchange.join(EARLIER), &earlier)?;
    if build.debug_kernel {
        let refused = refused_by_compiler(&place::repository()?, args.kernel.as_deref())?;
        write_json(&exchange.join(REFUSED), &refused)?;
    }
    let name = build.vm.name();
    let mut command: Vec<String> = ["mapwright", "prove", "--json", "--vm", name]
        .map(str::to_owned)
        .to_vec();
    command.push(format!("--earlier={}/{EARLIER}", script::RESULTS));
    if build.debug_kernel {
        command.push(format!("--faulty={FAULTY}"));
        command.push(format!("--refused={}/{REFUSED}", script::RESULTS));
    }
    command.extend(claims.iter().map(|claim| claim.id.to_owned()));
    let guest_args = guest(build, args, exchange);
    let guest = vm::guest(Boot::Tiny, &guest_args, Some(command))?;
    let begun = Instant::now();
    let timeout = Duration::from_secs(args.timeout);

    let progress = Progress::new(name);
    let (mut out, mut said) = (Vec::new(), Vec::new());
    let log = exchange.join(format!("{name}.log"));
    let tell = |text: &str| progress.line(&format!("{name}: {text}"));
    let ended = vm::follow(&guest, timeout, &log, &tell, &mut |stream, bytes| {
        match stream {
            Stream::Out => out.extend_from_slice(bytes),
            Stream::Err => {
                said.extend_from_slice(bytes);
                let said = String::from_utf8_lossy(&said);
                progress.say(said.lines().last().unwrap_or_default());
            }
        }
        Ok(())
    })?;
    if let How::Interrupted(signal) = ended.how {
        progress.finish("interrupted");
        return Ok(Ran::Interrupted(signal));
    }

    let report = serde_json::from_slice::<Report>(&out).ok();
    let mut problems = Vec::new();
    match (&ended.how, &report) {
        (How::Exited(0), Some(_)) => {}
        (How::Exited(_), _) => problems.push("not all of its claims could be judged".to_owned()),
        (how, _) => {
            progress.line(&vm::describe(&ended, "mapwright prove", timeout));
            problems.push(format!("it did not get to its end: {how:?}"));
        }
    }
    // A kernel that is to find mistakes is given some.
    if !build.debug_kernel {
        let faults = ended.reports.iter();
        problems.extend(faults.map(|fault| format!("its kernel reported: {}", fault.title)));
    }
    if !problems.is_empty() {
        for line in String::from_utf8_lossy(&said).lines() {
            progress.line(&format!("  {line}"));
        }
    }
    let judged = report.as_ref().map_or(0, |report| report.records.len());
    progress.finish(&format!(
        "{judged} of {} claims judged in {:.1} s ({})",
        claims.len(),
        begun.elapsed().as_secs_f32(),
        build.about
    ));
    let problems = problems.iter().map(|problem| format!("{name}: {problem}"));
    Ok(Ran::Ended {
        report,
        problems: problems.collect(),
    })
}

/// The guest's arguments to prove claims there.
fn guest(build: &Build, args: &ProveArgs, results: &Path) -> GuestArgs {
    let (kernel, kernel_dir) = match build.machine {
        MachineType::Virt | MachineType::Cubieboard => (args.arm_kernel.clone(), None),
        MachineType::Arm64 => (args.arm64_kernel.clone(), None),
        MachineType::Pc if build.debug_kernel => (None, args.debug_kernel.clone()),
        MachineType::Pc => (args.kernel.clone(), None),
    };
    GuestArgs {
        kernel,
        kernel_dir,
        results: Some(results.to_owned()),
        verbose: args.verbose,
        ..build.guest_args(results)
    }
}

/// Compiles the mistakes as a module's code, and returns the first thing that the compiler says of each that
/// it refuses.
fn refused_by_compiler(
    repository: &Path,
    release: Option<&str>,
) -> Result<BTreeMap<&'static str, String>> {
    let release = place::kernel(repository, release)?.release;
    let built = repository.join("build").join(release);
    let tests = repository.join("tests/compile");
    let mut refused = BTreeMap::new();
    for (mistake, file) in MISTAKES {
        let mut compile = Command::new(tests.join("compile"));
        compile
            .arg(&built)
            .arg(tests.join(file))
            .arg("--error-format=short");
        let output = compile
            .output()
            .context("cannot run tests/compile/compile")?;
        let words = String::from_utf8_lossy(&output.stderr);
        let error = words.lines().find_map(|line| line.split_once(": error"));
        if let (false, Some((_, error))) = (output.status.success(), error) {
            refused.insert(mistake, format!("error{error}"));
        }
    }
    Ok(refused)
}
