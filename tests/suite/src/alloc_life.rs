// SPDX-License-Identifier: MIT OR Apache-2.0

//! Plans that are ended: by a signal, by `kill -9`, and not by `rmmod`.

use crate::{
    alloc::{nothing_is_left, plan_of},
    child,
    module::remove_named,
    runner::{suite, Context},
};
use anyhow::{ensure, Result};
use mapwright::{
    alloc::{AllocDevice, Allocator, Pattern, Plan, DEBUGFS},
    Error,
};
use nix::{
    errno::Errno,
    sys::{
        signal::{kill, sigaction, SaFlags, SigAction, SigHandler, SigSet, Signal},
        wait::{waitpid, WaitStatus},
    },
    unistd::Pid,
};
use std::{
    ffi::CStr,
    fs::{self, File},
    io::Read as _,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

suite! { "alloc_life":
    a_signal_ends_a_plan,
    a_kill_ends_a_plan,
    a_kill_frees_what_is_held,
    the_module_stays_while_a_plan_runs,
    the_module_stays_while_objects_are_held,
    the_module_stays_while_a_table_is_open,
}

const MODULE: &CStr = c"mapwright_alloc";

/// Plans that take for ever, or as good as.
fn long_plans() -> impl Iterator<Item = Plan> {
    let patterns = [
        Pattern::Pairs,
        Pattern::Batches { batch: 100 },
        Pattern::Random {
            places: 100,
            seed: 7,
        },
    ];
    let allocators = [Allocator::Kmalloc, Allocator::Vmalloc, Allocator::Pages];
    allocators.into_iter().flat_map(move |allocator| {
        let plan = plan_of(allocator).repeated(u32::MAX);
        patterns.map(|pattern| plan.clone().with_pattern(pattern))
    })
}

/// A counter of the module's.
fn counter(name: &str) -> Result<u64> {
    let text = fs::read_to_string(Path::new(DEBUGFS).join("stats"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    Ok(line.unwrap_or_default().trim().parse()?)
}

/// Waits until a plan is using some of the budget.
fn wait_for_a_plan() -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(20);
    while counter("used_bytes")? == 0 {
        ensure!(Instant::now() < deadline, "no plan runs");
        sleep(Duration::from_millis(1));
    }
    sleep(Duration::from_millis(5));
    Ok(())
}

/// Runs a plan in a child process while `f` does something to it.
fn while_running(plan: &Plan, f: impl FnOnce(Pid) -> Result<()>) -> Result<WaitStatus> {
    let running = child::spawn(|| {
        sigaction_of_usr1()?;
        let result = AllocDevice::open()?.run(plan);
        ensure!(matches!(result, Err(Error::Interrupted)), "{result:?}");
        Ok(())
    })?;
    let done = wait_for_a_plan().and_then(|()| f(running));
    if done.is_err() {
        let _ = kill(running, Signal::SIGKILL);
    }
    let status = waitpid(running, None)?;
    done.map(|()| status)
}

extern "C" fn ignore(_: nix::libc::c_int) {}

/// A signal that only interrupts.
fn sigaction_of_usr1() -> Result<()> {
    let action = SigAction::new(
        SigHandler::Handler(ignore),
        SaFlags::empty(),
        SigSet::empty(),
    );
    // SAFETY: The handler does nothing.
    unsafe { sigaction(Signal::SIGUSR1, &action) }?;
    Ok(())
}

fn a_signal_ends_a_plan(_: &Context) -> Result<()> {
    for plan in long_plans() {
        let before = counter("plans_interrupted")?;
        let status = while_running(&plan, |running| Ok(kill(running, Signal::SIGUSR1)?))?;
        ensure!(matches!(status, WaitStatus::Exited(_, 0)), "{status:?}");
        ensure!(counter("plans_interrupted")? == before + 1);
        nothing_is_left()?;
    }
    Ok(())
}

fn a_kill_ends_a_plan(_: &Context) -> Result<()> {
    for plan in long_plans() {
        let status = while_running(&plan, |running| Ok(kill(running, Signal::SIGKILL)?))?;
        ensure!(
            matches!(status, WaitStatus::Signaled(_, Signal::SIGKILL, _)),
            "{status:?}"
        );
        nothing_is_left()?;
    }
    Ok(())
}

fn a_kill_frees_what_is_held(_: &Context) -> Result<()> {
    let holding = child::spawn(|| {
        let device = AllocDevice::open()?;
        for allocator in Allocator::ALL {
            let plan = plan_of(*allocator).repeated(20);
            device.run(&plan.with_pattern(Pattern::Batches { batch: 20 }).holding())?;
        }
        sleep(Duration::from_secs(60));
        Ok(())
    })?;
    let deadline = Instant::now() + Duration::from_secs(20);
    let held = loop {
        let text = fs::read_to_string(Path::new(DEBUGFS).join("allocators"))?;
        let coherent = text.lines().last().unwrap_or_default().to_owned();
        let words: Vec<&str> = coherent.split(' ').collect();
        // The last of them is held.
        if words.len() == 4 && words[1] != words[2] {
            break counter("used_bytes")?;
        }
        ensure!(Instant::now() < deadline, "nothing is held: {text}");
        sleep(Duration::from_millis(1));
    };
    kill(holding, Signal::SIGKILL)?;
    waitpid(holding, None)?;
    ensure!(held > 0);
    nothing_is_left()
}

fn is_in_use() -> Result<()> {
    let result = remove_named(MODULE);
    ensure!(result == Err(Errno::EWOULDBLOCK), "rmmod: {result:?}");
    Ok(())
}

fn the_module_stays_while_a_plan_runs(context: &Context) -> Result<()> {
    context.module_named("mapwright_alloc")?;
    let plan = plan_of(Allocator::Kmalloc).repeated(u32::MAX);
    while_running(&plan, |running| {
        is_in_use()?;
        Ok(kill(running, Signal::SIGKILL)?)
    })?;
    nothing_is_left()
}

fn the_module_stays_while_objects_are_held(context: &Context) -> Result<()> {
    context.module_named("mapwright_alloc")?;
    let device = AllocDevice::open()?;
    let plan = plan_of(Allocator::Coherent).with_pattern(Pattern::Batches { batch: 1 });
    device.run(&plan.holding())?;
    is_in_use()
}

fn the_module_stays_while_a_table_is_open(context: &Context) -> Result<()> {
    context.module_named("mapwright_alloc")?;
    let mut table = File::open(Path::new(DEBUGFS).join("stats"))?;
    table.read_exact(&mut [0; 4])?;
    is_in_use()
}
