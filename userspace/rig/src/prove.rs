// SPDX-License-Identifier: MIT OR Apache-2.0
//! Boots the machines that claims are proved in, and brings together what was found.

use crate::guest::{script, Boot, GuestArgs};
use crate::machine::Machine;
use crate::progress::Progress;
use crate::shape::{build_of, Build};
use crate::verdicts::Verdicts;
use crate::vm::{self, How, Stream};
use crate::{page, place};
use anyhow::{bail, Context, Result};
use clap::Args;
use mapwright_prove::{Claim, Report, Shape, CLAIMS};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// What was found in the boots before, for the next one, in the directory of results.
const EARLIER: &str = "earlier.json";

/// What the compiler says of mistakes, there, too.
const REFUSED: &str = "refused.json";

/// Mistakes, and the programs of tests/compile that make them in Rust.
const MISTAKES: [(&str, &str); 3] = [
    ("double-free", "a_free_is_not_repeated.rs"),
    ("use-after-free", "what_is_freed_is_not_used.rs"),
    ("wrong-free", "an_allocator_frees_its_own.rs"),
];

/// The module with mistakes, from where a guest's commands begin.
const FAULTY: &str = "build/faulty/mapwright_faulty.ko";

#[derive(Debug, Args)]
pub struct ProveArgs {
    /// Claims, or whole parts: `B4`, `B` [default: all]
    #[arg(value_name = "CLAIM")]
    pub claims: Vec<String>,
    /// Only these machines; may be given several times [default: all that are needed]
    #[arg(long, value_name = "NAME")]
    pub only: Vec<String>,
    /// The kernel to boot: its release; without it, the one the modules were built for
    #[arg(long, env = "MAPWRIGHT_RELEASE", value_name = "RELEASE")]
    pub kernel: Option<String>,
    /// What scripts/debug-kernel printed; without it, what needs that kernel is not testable
    #[arg(long, value_name = "DIR")]
    pub debug_kernel: Option<PathBuf>,
    /// The kernel for 32-bit ARM: its release; without it, what needs that is not testable
    #[arg(long, value_name = "RELEASE")]
    pub arm_kernel: Option<String>,
    /// The kernel for 64-bit ARM: its release; without it, what needs that is not testable
    #[arg(long, value_name = "RELEASE")]
    pub arm64_kernel: Option<String>,
    /// Show how QEMU is started, and the kernel's log as it is written
    #[arg(short, long)]
    pub verbose: bool,
    /// Stop a machine after this many seconds, boot included
    #[arg(long, value_name = "SECS", default_value_t = 900, value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: u64,
}

/// `prove`
pub fn run(args: &ProveArgs) -> Result<u8> {
    let repository = place::repository()?;
    let results = repository.join("build/results");
    let exchange = results.join("prove");
    fs::create_dir_all(&exchange)?;
    let claims = chosen(&args.claims)?;
    let shapes = shapes(&claims, &args.only)?;

    let begun = Instant::now();
    let mut verdicts = Verdicts::new(&claims, today()?);
    for shape in shapes {
        let build = build_of(shape);
        let of_shape: Vec<&Claim> = claims
            .iter()
            .filter(|claim| claim.shapes.contains(&shape))
            .copied()
            .collect();
        if let Some(lacking) = lacking(build, args) {
            verdicts.not_booted(&of_shape, lacking);
            continue;
        }
        write_json(&exchange.join(EARLIER), &verdicts.boots)?;
        if build.debug_kernel {
            let refused = refused_by_compiler(&repository, args.kernel.as_deref())?;
            write_json(&exchange.join(REFUSED), &refused)?;
        }
        match boot(args, build, &of_shape, &exchange)? {
            Ran::Interrupted(signal) => return Ok(vm::interrupted(signal)),
            Ran::Ended { report, problems } => {
                verdicts.boots.extend(report);
                verdicts.problems.extend(problems);
            }
        }
    }
    let whole = args.claims.is_empty() && args.only.is_empty();
    write_json(&results.join("prove.json"), &verdicts.to_json())?;
    if whole {
        let file = repository.join("docs/claims.md");
        fs::create_dir_all(repository.join("docs"))?;
        fs::write(&file, page::markdown(&verdicts))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    verdicts.show();
    let (machines, seconds) = (verdicts.boots.len(), begun.elapsed().as_secs());
    println!(
        "{machines} machines in {} min {} s",
        seconds / 60,
        seconds % 60
    );
    Ok(u8::from(!verdicts.problems.is_empty()))
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
        let told = compile
            .output()
            .context("cannot run tests/compile/compile")?;
        let words = String::from_utf8_lossy(&told.stderr);
        let error = words.lines().find_map(|line| line.split_once(": error"));
        if let (false, Some((_, error))) = (told.status.success(), error) {
            refused.insert(mistake, format!("error{error}"));
        }
    }
    Ok(refused)
}

fn write_json(file: &Path, value: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    fs::write(file, text + "\n").with_context(|| format!("cannot write {}", file.display()))
}

/// The claims that are meant; all if nothing is said.
fn chosen(choices: &[String]) -> Result<Vec<&'static Claim>> {
    for choice in choices {
        if !CLAIMS.iter().any(|claim| claim.is_in(choice)) {
            bail!("there is no claim {choice}: `mapwright prove --list` shows them");
        }
    }
    let is_chosen =
        |claim: &&&Claim| choices.is_empty() || choices.iter().any(|choice| claim.is_in(choice));
    Ok(CLAIMS.iter().filter(is_chosen).copied().collect())
}

/// The machines that these claims are proved in.
fn shapes(claims: &[&Claim], only: &[String]) -> Result<Vec<Shape>> {
    for name in only {
        if !Shape::ALL.iter().any(|shape| shape.name() == name) {
            let names = Shape::ALL.map(Shape::name).join(", ");
            bail!("there is no machine named {name}: they are {names}");
        }
    }
    let used = Shape::ALL.into_iter().filter(|shape| {
        let named = only.is_empty() || only.iter().any(|name| name == shape.name());
        named && claims.iter().any(|claim| claim.shapes.contains(shape))
    });
    Ok(used.collect())
}

enum Ran {
    Ended {
        report: Option<Report>,
        problems: Vec<String>,
    },
    Interrupted(i32),
}

/// Boots a machine and proves `claims` there.
fn boot(args: &ProveArgs, build: &Build, claims: &[&Claim], exchange: &Path) -> Result<Ran> {
    let name = build.shape.name();
    let mut command: Vec<String> = ["mapwright", "prove", "--json", "--shape", name]
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

/// The date, for the page.
fn today() -> Result<String> {
    let output = Command::new("date").args(["-u", "+%Y-%m-%d"]).output();
    let output = output.context("cannot run date")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// What the kernel of a machine is missing for, if it is.
fn lacking(build: &Build, args: &ProveArgs) -> Option<&'static str> {
    match build.machine {
        Machine::Virt | Machine::Cubieboard if args.arm_kernel.is_none() => {
            Some("it needs a kernel for 32-bit ARM, which make test-arm fetches")
        }
        Machine::Arm64 if args.arm64_kernel.is_none() => {
            Some("it needs a kernel for 64-bit ARM, which make test-arm64 fetches")
        }
        Machine::Pc if build.debug_kernel && args.debug_kernel.is_none() => {
            Some("it needs the debug kernel, which make test-debug builds")
        }
        _ => None,
    }
}

/// The guest's arguments to prove claims there.
fn guest(build: &Build, args: &ProveArgs, results: &Path) -> GuestArgs {
    let (kernel, kernel_dir) = match build.machine {
        Machine::Virt | Machine::Cubieboard => (args.arm_kernel.clone(), None),
        Machine::Arm64 => (args.arm64_kernel.clone(), None),
        Machine::Pc if build.debug_kernel => (None, args.debug_kernel.clone()),
        Machine::Pc => (args.kernel.clone(), None),
    };
    GuestArgs {
        kernel,
        kernel_dir,
        results: Some(results.to_owned()),
        verbose: args.verbose,
        ..build.machine(results)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_machines_that_are_needed_are_booted() {
        let claims = chosen(&["B13".into()]).unwrap();
        assert_eq!(shapes(&claims, &[]).unwrap(), [Shape::Normal]);
        assert_eq!(shapes(&claims, &["numa".into()]).unwrap(), []);
        assert!(shapes(&claims, &["moon".into()]).is_err());
        assert!(chosen(&["B99".into()]).is_err());
        assert_eq!(chosen(&[]).unwrap().len(), CLAIMS.len());
    }
}
