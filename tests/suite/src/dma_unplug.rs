// SPDX-License-Identifier: MIT OR Apache-2.0

//! The device is pulled out of its slot while programs hold all that can be held of it, and the machine is
//! switched off, or booted again, while they do.

use crate::{
    child,
    dma::{device, wait_until},
    dma_revoke::{unbind_soon, works_again, Elsewhere, Holder},
    monitor::Monitor,
    runner::{suite, Context},
};
use anyhow::{ensure, Result};
use serde_json::json;
use std::{
    path::{Path, PathBuf},
    time::Instant,
};

suite! { "dma.unplug":
    from_a_program_that_runs,
    from_a_program_that_is_stopped,
    from_the_program_that_asks_for_it,
    // The machine goes off with it: the last of all tests.
    a_program_that_is_left_behind,
}

/// Its name in QEMU.
const EDU: &str = "edu";

fn plug_in(path: &Path) -> Result<()> {
    let mut monitor = Monitor::open()?;
    monitor.execute("device_add", json!({ "driver": EDU, "id": EDU }))?;
    wait_until("the device node appears", || Ok(path.exists()))?;
    works_again(path)
}

/// A driver that waited for programs would wait for ever, or until the engine has done hours of work.
fn unplugged(context: &Context) -> Result<()> {
    let began = Instant::now();
    unbind_soon(|| Monitor::open()?.unplug(EDU))?;
    context.note(format!("gone after {} ms", began.elapsed().as_millis()));
    Ok(())
}

fn from_a_program_that_runs(context: &Context) -> Result<()> {
    let path = device()?;
    let holder = Elsewhere::new(&path)?;
    unplugged(context)?;
    plug_in(&path)?;
    holder.looks()?;
    works_again(&path)
}

fn from_a_program_that_is_stopped(context: &Context) -> Result<()> {
    let path = device()?;
    let holder = Elsewhere::new(&path)?;
    child::stop(holder.pid)?;
    unplugged(context)?;
    plug_in(&path)?;
    child::go_on(holder.pid)?;
    holder.looks()?;
    works_again(&path)
}

fn from_the_program_that_asks_for_it(_: &Context) -> Result<()> {
    let path = device()?;
    child::run(|| {
        let holder = Holder::new(&path)?;
        Monitor::open()?.unplug(EDU)?;
        holder.finds_nothing()
    })?;
    plug_in(&path)
}

/// Stopped, so that nothing but the kernel can end it. That the machine goes off all the same is seen from
/// outside: mapwright-harness calls a guest that does not end a failure.
fn a_program_that_is_left_behind(_: &Context) -> Result<()> {
    let path: PathBuf = device()?;
    let holder = Elsewhere::new(&path)?;
    child::stop(holder.pid)?;
    ensure!(path.exists());
    Ok(())
}
