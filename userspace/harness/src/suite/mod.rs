// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs all tests: those of the host, and the suite in guests, several at the same time.

pub mod args;
mod guest;
mod host;
mod kunit;
mod plan;
mod pool;

pub use pool::default_jobs;

use crate::guest::GuestArgs;
use crate::place::{self, Kernel};
use crate::vm;
use anyhow::Result;
use args::{SmokeArgs, TestArgs, TestArmArgs, TestDebugArgs};
use guest::{Ran, Run};
use ktap::Totals;
use plan::{Plan, ARM, ARM64_PLANS, DEBUG, STOCK};
use std::time::Duration;

/// `test`
pub fn run(args: &TestArgs) -> Result<u8> {
    let filter = args.filter.as_deref();
    let mut runs = Vec::new();
    if !args.no_guest {
        runs = stock_runs(args)?;
    }
    let mut totals = Totals::default();
    if !args.no_host {
        totals += host::run(filter)?;
    }
    finish(totals, runs, args.jobs)
}

fn stock_runs(args: &TestArgs) -> Result<Vec<Run>> {
    let filter = args.filter.as_deref();
    let repository = place::repository()?;
    let results = repository.join("build/results");
    let kernel = vm::kernel(&repository, &args.guest)?;
    let mut runs = Vec::new();
    for plan in STOCK {
        // Which boots are meant can be said of those of the usual VM.
        let meant = args.boot.is_empty() || (plan.has_all() && args.boot.contains(&plan.boot));
        if !meant || !plan.has(filter) || !can_run(plan, &kernel) {
            continue;
        }
        let usual = plan.guest_args(&results);
        // What is said of the guest is said of the usual VM, too.
        let memory = if plan.has_all() {
            &args.guest.memory
        } else {
            &usual.memory
        };
        let guest = GuestArgs {
            qemu: join(&usual.qemu, &args.guest.qemu),
            append: join(&usual.append, &args.guest.append),
            memory: memory.clone(),
            cpus: if plan.has_all() {
                args.guest.cpus
            } else {
                usual.cpus
            },
            module_params: join(&usual.module_params, &args.guest.module_params),
            gpio: usual.gpio,
            monitor: usual.monitor,
            own_program: usual.own_program,
            ..args.guest.clone()
        };
        runs.push(a_run(plan, guest, filter, args.timeout));
    }
    Ok(runs)
}

/// `test-debug`
pub fn run_debug(args: &TestDebugArgs) -> Result<u8> {
    run_plans(
        DEBUG,
        &place::kernel_in(&args.kernel_dir)?,
        &args.only,
        args.filter.as_deref(),
        args.timeout,
        args.jobs,
        |of_plan| GuestArgs {
            kernel_dir: Some(args.kernel_dir.clone()),
            append: join(&of_plan.append, &args.append),
            verbose: args.verbose,
            ..of_plan
        },
    )
}

/// `test-arm`
pub fn run_arm(args: &TestArmArgs) -> Result<u8> {
    run_on_arm(ARM, args)
}

/// `test-arm64`
pub fn run_arm64(args: &TestArmArgs) -> Result<u8> {
    run_on_arm(ARM64_PLANS, args)
}

fn run_on_arm(plans: &[Plan], args: &TestArmArgs) -> Result<u8> {
    let kernel = place::kernel(&place::repository()?, args.kernel.as_deref())?;
    run_plans(
        plans,
        &kernel,
        &args.only,
        args.filter.as_deref(),
        args.timeout,
        args.jobs,
        |of_plan| GuestArgs {
            kernel: args.kernel.clone(),
            verbose: args.verbose,
            ..of_plan
        },
    )
}

/// `smoke`
pub fn run_smoke(args: &SmokeArgs) -> Result<u8> {
    let results = place::repository()?.join("build/results");
    let plan = plan::smoke(args.machine);
    let guest = GuestArgs {
        kernel: args.kernel.clone(),
        verbose: args.verbose,
        ..plan.guest_args(&results)
    };
    let mut run = a_run(&plan, guest, None, args.timeout);
    if let Some(release) = &args.kernel {
        run.name = format!("{}-{release}", run.name);
    }
    finish(Totals::default(), vec![run], 1)
}

/// Runs the plans that are named in `only`, or all of them, as far as they have tests that are asked for.
fn run_plans(
    plans: &[Plan],
    kernel: &Kernel,
    only: &[String],
    filter: Option<&str>,
    timeout: u64,
    jobs: usize,
    guest: impl Fn(GuestArgs) -> GuestArgs,
) -> Result<u8> {
    plan::check_names(plans, only)?;
    let results = place::repository()?.join("build/results");
    let named = |plan: &&Plan| only.is_empty() || only.iter().any(|name| name == plan.name);
    let runs = plans
        .iter()
        .filter(|plan| named(plan) && plan.has(filter) && can_run(plan, kernel))
        .map(|plan| a_run(plan, guest(plan.guest_args(&results)), filter, timeout));
    finish(Totals::default(), runs.collect(), jobs)
}

/// Whether the kernel has what the plan tests. If it lacks something, prints what.
fn can_run(plan: &Plan, kernel: &Kernel) -> bool {
    let lacking = plan.lacking(kernel);
    if let Some(lacking) = lacking {
        eprintln!("{}: not booted: {lacking}", plan.name);
    }
    lacking.is_none()
}

fn a_run(plan: &Plan, guest: GuestArgs, filter: Option<&str>, timeout: u64) -> Run {
    Run {
        name: plan.name.to_owned(),
        boot: plan.boot,
        guest,
        tests: plan.arguments(filter),
        timeout: Duration::from_secs(timeout),
    }
}

fn join(ours: &str, more: &str) -> String {
    format!("{ours} {more}").trim().to_owned()
}

/// Runs all boots, adds their results to `totals`, and prints the last line; returns the exit status.
fn finish(mut totals: Totals, runs: Vec<Run>, jobs: usize) -> Result<u8> {
    match pool::run(runs, jobs)? {
        Ran::Counted(of_guests) => totals += of_guests,
        Ran::Interrupted(signal) => return Ok(vm::interrupted(signal)),
    }
    if totals.total() == 0 {
        eprintln!("mapwright-harness: no tests were run");
        totals.failed += 1;
    }
    println!("{totals}");
    Ok(u8::from(totals.failed > 0))
}
