// SPDX-License-Identifier: MIT OR Apache-2.0
//! The AM335x's GPIO banks in the machine virt: QEMU's plugin for them, and a device tree that has
//! them.

use crate::boot::{value, Guest};
use crate::cli::GpioMode;
use anyhow::{bail, Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// QEMU puts the initramfs in the middle of so much memory: before the place of GPIO1, which is
/// 0x804c000 beyond the beginning of the machine's.
pub const MEMORY: &str = "192M";
/// The plugin.
const PLUGIN: &str = "build/bin/libmapwright_gpio_board.so";
/// What is added to QEMU's own device tree, and what is merged with that.
const SOURCES: &str = "tests/dts";
const BOARD: &str = "virt-am335x.dtsi";

/// The overlays that make the banks what they are in a mode.
fn overlays(mode: GpioMode) -> &'static [&'static str] {
    match mode {
        GpioMode::Kernel | GpioMode::Pci => &[],
        GpioMode::Hog => &["beaglebone-hog"],
        GpioMode::Bank => &["beaglebone-bank", "virt-bank"],
        GpioMode::Banks => &["beaglebone-bank", "virt-banks"],
    }
}

/// QEMU's arguments for a board whose files are left in `to`. The plugin listens at `control`.
pub fn arguments(guest: &Guest, to: &Path, dir: &Path, control: &Path) -> Result<Vec<String>> {
    let plugin = guest.repository.join(PLUGIN);
    if !plugin.is_file() {
        bail!("there is no {}: run `make gpio-board`", plugin.display());
    }
    let to = to.canonicalize()?;
    let tree = device_tree(guest, dir)?;
    Ok(vec![
        "-dtb".to_owned(),
        tree.to_string_lossy().into_owned(),
        "-plugin".to_owned(),
        format!(
            "file={},control={},directory={}",
            value(&plugin),
            value(control),
            value(&to)
        ),
    ])
}

/// Makes the device tree, in `dir`.
fn device_tree(guest: &Guest, dir: &Path) -> Result<PathBuf> {
    let sources = guest.repository.join(SOURCES);
    let machine = dir.join("machine.dtb");
    let mut qemu = Command::new(guest.machine.qemu());
    qemu.args(guest.machine.args(guest.accel, &guest.kernel))
        .args(["-machine", &format!("dumpdtb={}", value(&machine))])
        .args(["-m", MEMORY, "-smp", &guest.cpus.to_string()]);
    if guest.command.is_none() {
        // A shell has a line of its own.
        qemu.args(["-serial", "null", "-serial", "null"]);
    }
    done(&mut qemu)?;
    let text = done(
        Command::new("dtc")
            .args(["-q", "-I", "dtb", "-O", "dts"])
            .arg(&machine),
    )?;
    let mut text = text.stdout;
    let board = sources.join(BOARD);
    let added = fs::read(&board).with_context(|| format!("cannot read {}", board.display()))?;
    text.extend_from_slice(&added);
    let (whole, mut tree) = (dir.join("board.dts"), dir.join("board.dtb"));
    fs::write(&whole, text)?;
    compile(&whole, &tree)?;
    for name in overlays(guest.gpio_mode) {
        let (overlay, merged) = (
            dir.join(format!("{name}.dtbo")),
            dir.join(format!("{name}.dtb")),
        );
        compile(&sources.join(name).with_extension("dtso"), &overlay)?;
        done(
            Command::new("fdtoverlay")
                .arg("-i")
                .arg(&tree)
                .arg("-o")
                .arg(&merged)
                .arg(&overlay),
        )?;
        tree = merged;
    }
    Ok(tree)
}

/// With labels, for overlays.
fn compile(source: &Path, to: &Path) -> Result<()> {
    let mut dtc = Command::new("dtc");
    dtc.args(["-q", "-@", "-I", "dts", "-O", "dtb", "-o"]);
    done(dtc.arg(to).arg(source)).map(drop)
}

fn done(command: &mut Command) -> Result<Output> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| {
        format!("cannot run {program}: run `scripts/setup --arch armhf`, and this in the toolchain root")
    })?;
    if !output.status.success() {
        bail!(
            "{program} cannot make the board's device tree: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(output)
}
