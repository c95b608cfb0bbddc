// SPDX-License-Identifier: MIT OR Apache-2.0
//! The AM335x's GPIO banks in the machine type virt: QEMU's plugin for them, and a device tree that has
//! them.

use crate::device_tree::{self, compile, done};
use crate::guest::{GpioMode, Guest};
use crate::qemu::value;
use anyhow::{bail, Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// QEMU puts the initramfs in the middle of so much memory: 48 MiB before the place of GPIO1, which is
/// 0x804c000 beyond the beginning of the machine type's. One that is larger is overwritten, and the guest says nothing.
pub const MEMORY: &str = "160M";
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
    let tree = board_tree(guest, dir)?;
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
fn board_tree(guest: &Guest, dir: &Path) -> Result<PathBuf> {
    let sources = guest.repository.join(SOURCES);
    let mut text = device_tree::of_vm(guest, MEMORY, dir)?;
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
