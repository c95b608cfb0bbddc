// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds everything a guest needs.

use crate::guest::{Boot, Guest, GuestArgs};
use crate::machine_type::{Accel, MachineType};
use crate::place::Kernel;
use crate::{kvm, place};
use anyhow::{bail, Context, Result};
use std::fs;
use std::path::Path;

/// The kernel that a guest boots.
pub fn kernel(repository: &Path, args: &GuestArgs) -> Result<Kernel> {
    match &args.kernel_dir {
        Some(dir) => place::kernel_in(dir),
        None => place::kernel(repository, args.kernel.as_deref()),
    }
}

/// Finds everything a guest needs.
pub fn guest(boot: Boot, args: &GuestArgs, command: Option<Vec<String>>) -> Result<Guest> {
    let machine = args.machine;
    if command.is_none() && machine.terminal().is_none() {
        bail!("a {machine} has no second line for a shell: use --machine virt");
    }
    if args.monitor && (command.is_none() || !machine.has_virtio()) {
        bail!("--monitor takes a command, and a machine type with virtio ports");
    }
    if args.non_coherent && machine != MachineType::Arm64 {
        bail!("a {machine} has no device tree without coherence: use --machine arm64");
    }
    if args.tree_buffers && !matches!(machine, MachineType::Virt | MachineType::Arm64) {
        bail!("a {machine} has no device tree for buffers: use --machine virt or arm64");
    }
    // The programs of the toolchain root are this machine's.
    let boot = if machine.is_native() {
        boot
    } else {
        Boot::Tiny
    };
    let repository = place::repository()?;
    let kernel = kernel(&repository, args)?;
    let has_9p = machine.has_virtio() && kernel.has("9P_FS") && kernel.has("NET_9P_VIRTIO");
    if args.results.is_some() && !has_9p {
        bail!(
            "a {machine} with the kernel {} cannot mount --results, for which it needs virtio and 9p",
            kernel.release
        );
    }
    let modules = if args.no_modules {
        Vec::new()
    } else {
        let built = || repository.join("build").join(&kernel.release);
        let dir = args.modules.clone().unwrap_or_else(built);
        place::modules(&dir, &kernel.release, &args.module_params)?
    };
    let results = match &args.results {
        None => None,
        Some(dir) => {
            fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
            Some(dir.canonicalize()?)
        }
    };
    let programs = args.programs.as_deref();
    let programs = repository.join(programs.unwrap_or(machine.programs().as_ref()));
    let cache = place::cache().ok();
    let qemu = shell_words::split(&args.qemu).context("--qemu has an open quote")?;
    // To count instructions is the translator's business, and that of one thread.
    let accel = match qemu.iter().any(|arg| arg == "-icount") {
        true => Accel::TcgOneThread,
        false if !machine.is_native() => Accel::Tcg,
        false => kvm::choose(&kernel, cache.as_deref(), args.verbose)?,
    };
    Ok(Guest {
        boot,
        machine,
        accel,
        kernel,
        modules,
        repository,
        results,
        qemu,
        gpio: args.gpio.clone(),
        gpio_mode: args.gpio_mode,
        has_9p,
        non_coherent: args.non_coherent,
        tree_buffers: args.tree_buffers,
        monitor: args.monitor,
        programs,
        own_program: args.own_program,
        append: shell_words::split(&args.append).context("--append has an open quote")?,
        memory: args.memory.clone(),
        cpus: args.cpus,
        command,
        verbose: args.verbose,
    })
}
