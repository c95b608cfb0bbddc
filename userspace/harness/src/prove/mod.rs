// SPDX-License-Identifier: MIT OR Apache-2.0
//! `prove`: boots the VMs that claims are judged in, and brings together what was found.

mod kept;
mod lanes;
mod one_vm;
mod page;
mod verdicts;

use crate::machine_type::MachineType;
use crate::suite::default_jobs;
use crate::vms::{build_of, Build};
use crate::{place, progress, vm};
use anyhow::{bail, Context, Result};
use clap::Args;
use kept::Kept;
use lanes::{Ended, Job};
use mapwright_prove::{Claim, Vm, CLAIMS};
use one_vm::Ran;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;
use verdicts::Verdicts;

#[derive(Debug, Args)]
pub struct ProveArgs {
    /// Claims, or whole parts: `B4`, `B` [default: all]
    #[arg(value_name = "CLAIM")]
    pub claims: Vec<String>,
    /// Only these VMs; may be given several times [default: all that are needed]
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
    /// How many VMs run at the same time [default: as many as this computer runs well]
    #[arg(long, env = "JOBS", value_name = "N", default_value_t = default_jobs(), hide_default_value = true)]
    pub jobs: usize,
    /// Stop a VM after this many seconds, boot included
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
    let begun = Instant::now();
    let mut verdicts = Verdicts::new(&claims);
    let mut jobs = Vec::new();
    for vm in vms(&claims, &args.only)? {
        let job = job(vm, &claims);
        match lacking(job.build, args) {
            Some(lacking) => verdicts.not_booted(&job.claims, lacking),
            None => jobs.push(job),
        }
    }
    let (booted, count) = (boot_all(args, jobs, &exchange, &repository)?, claims.len());
    if let Some(signal) = booted.interrupted {
        eprintln!("mapwright-harness: the VMs that have ended are kept: the same command goes on");
        return Ok(vm::interrupted(signal));
    }
    (verdicts.boots, verdicts.problems) = (booted.reports, booted.problems);
    write_json(&results.join("prove.json"), &verdicts.to_json())?;
    if args.claims.is_empty() && args.only.is_empty() {
        page::write(&verdicts, &repository.join("docs"))?;
    }
    verdicts.show();
    let (vms, seconds) = (verdicts.boots.len(), begun.elapsed().as_secs());
    println!(
        "{count} claims, {vms} VMs in {} min {} s",
        seconds / 60,
        seconds % 60
    );
    Ok(u8::from(!verdicts.problems.is_empty()))
}

/// A VM, with those of the claims that are judged there.
fn job(vm: Vm, claims: &[&'static Claim]) -> Job {
    let is_judged = |claim: &&&Claim| claim.vms.contains(&vm);
    Job {
        build: build_of(vm),
        claims: claims.iter().filter(is_judged).copied().collect(),
    }
}

/// Boots all VMs, but those that ended in a run that was interrupted.
fn boot_all(args: &ProveArgs, jobs: Vec<Job>, exchange: &Path, repository: &Path) -> Result<Ended> {
    let kept = Kept::of(exchange, &repository.join("build"));
    let names: Vec<Job> = jobs
        .iter()
        .map(|one| job(one.build.vm, &one.claims))
        .collect();
    let ended = lanes::run(jobs, args.jobs.max(1), &|job, earlier| {
        if let Some(report) = kept.report(job) {
            progress::line(&format!("{}: kept from the run before", report.vm));
            return Ok(Ran::Ended {
                report: Some(report),
                problems: vec![],
            });
        }
        let name = job.build.vm.name();
        let mut ran = one_vm::boot(args, job.build, &job.claims, earlier, &exchange.join(name))?;
        if let Ran::Ended {
            report: Some(report),
            problems,
        } = &mut ran
        {
            report.date = today()?;
            if problems.is_empty() {
                kept.keep(job, report)?;
            }
        }
        Ok(ran)
    })?;
    if ended.interrupted.is_none() && ended.problems.is_empty() {
        kept.forget(&names);
    }
    Ok(ended)
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

/// The VMs that these claims are proved in.
fn vms(claims: &[&Claim], only: &[String]) -> Result<Vec<Vm>> {
    for name in only {
        if !Vm::ALL.iter().any(|vm| vm.name() == name) {
            let names = Vm::ALL.map(Vm::name).join(", ");
            bail!("there is no VM named {name}: they are {names}");
        }
    }
    let used = Vm::ALL.into_iter().filter(|vm| {
        let named = only.is_empty() || only.iter().any(|name| name == vm.name());
        named && claims.iter().any(|claim| claim.vms.contains(vm))
    });
    Ok(used.collect())
}

/// The date, for the page.
fn today() -> Result<String> {
    let output = Command::new("date").args(["-u", "+%Y-%m-%d"]).output();
    let output = output.context("cannot run date")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// What the kernel of a VM is missing for, if it is.
fn lacking(build: &Build, args: &ProveArgs) -> Option<&'static str> {
    match build.machine {
        MachineType::Virt | MachineType::Cubieboard if args.arm_kernel.is_none() => {
            Some("it needs a kernel for 32-bit ARM, which make test-arm fetches")
        }
        MachineType::Arm64 if args.arm64_kernel.is_none() => {
            Some("it needs a kernel for 64-bit ARM, which make test-arm64 fetches")
        }
        MachineType::Pc if build.debug_kernel && args.debug_kernel.is_none() => {
            Some("it needs the debug kernel, which make test-debug builds")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_vms_that_are_needed_are_booted() {
        let claims = chosen(&["B13".into()]).unwrap();
        assert_eq!(vms(&claims, &[]).unwrap(), [Vm::Normal]);
        assert_eq!(vms(&claims, &["numa".into()]).unwrap(), []);
        assert!(vms(&claims, &["moon".into()]).is_err());
        assert!(chosen(&["B99".into()]).is_err());
        assert_eq!(chosen(&[]).unwrap().len(), CLAIMS.len());
    }
}
