// SPDX-License-Identifier: MIT OR Apache-2.0
//! The device tree that QEMU makes for a VM, to be given back to it with changes.

use crate::guest::Guest;
use crate::qemu::value;
use anyhow::{bail, Context, Result};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// What says, in a node, that the devices below it see what the processors' caches hold.
const COHERENT: &[u8] = b"dma-coherent;";

/// The source of the tree of the guest's VM with so much memory. Needs `dir` for files.
pub fn of_vm(guest: &Guest, memory: &str, dir: &Path) -> Result<Vec<u8>> {
    let blob = dir.join("vm.dtb");
    let mut qemu = Command::new(guest.machine.qemu());
    qemu.args(guest.machine.args(guest.accel, &guest.kernel))
        .args(&guest.qemu)
        .args(["-machine", &format!("dumpdtb={}", value(&blob))])
        .args(["-m", memory, "-smp", &guest.cpus.to_string()]);
    if guest.command.is_none() {
        // A shell has a line of its own.
        qemu.args(["-serial", "null", "-serial", "null"]);
    }
    done(&mut qemu)?;
    let mut dtc = Command::new("dtc");
    let text = done(dtc.args(["-q", "-I", "dtb", "-O", "dts"]).arg(&blob))?;
    Ok(text.stdout)
}

/// Gives the guest a tree by which no device is coherent with the caches. It is in `dir`.
pub fn without_coherence(guest: &mut Guest, dir: &Path) -> Result<()> {
    let text = of_vm(guest, &guest.memory, dir)?;
    let (source, tree) = (dir.join("non-coherent.dts"), dir.join("non-coherent.dtb"));
    fs::write(&source, strip(&text)?)?;
    compile(&source, &tree)?;
    let tree = tree.to_string_lossy().into_owned();
    guest.qemu.extend(["-dtb".to_owned(), tree]);
    Ok(())
}

/// What is added to QEMU's own device tree to have buffers in it.
const BUFFERS: &str = "tests/dts/virt-buffers.dtsi";

/// Gives the guest a tree that describes buffers. It is in `dir`.
pub fn with_buffers(guest: &mut Guest, dir: &Path) -> Result<()> {
    let mut text = of_vm(guest, &guest.memory, dir)?;
    let buffers = guest.repository.join(BUFFERS);
    let added = fs::read(&buffers).with_context(|| format!("cannot read {}", buffers.display()))?;
    text.extend_from_slice(&added);
    let (source, tree) = (dir.join("buffers.dts"), dir.join("buffers.dtb"));
    fs::write(&source, text)?;
    compile(&source, &tree)?;
    let tree = tree.to_string_lossy().into_owned();
    guest.qemu.extend(["-dtb".to_owned(), tree]);
    Ok(())
}

fn strip(text: &[u8]) -> Result<Vec<u8>> {
    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    let kept: Vec<&[u8]> = lines
        .iter()
        .copied()
        .filter(|line| line.trim_ascii() != COHERENT)
        .collect();
    if kept.len() == lines.len() {
        bail!("the VM's device tree does not say that its devices are coherent");
    }
    Ok(kept.join(&b'\n'))
}

/// Compiles a source, with labels for overlays.
pub fn compile(source: &Path, to: &Path) -> Result<()> {
    let mut dtc = Command::new("dtc");
    dtc.args(["-q", "-@", "-I", "dts", "-O", "dtb", "-o"]);
    done(dtc.arg(to).arg(source)).map(drop)
}

/// Runs a command that must succeed.
pub fn done(command: &mut Command) -> Result<Output> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| {
        format!("cannot run {program}: run `make setup` for this architecture, and this in the toolchain root")
    })?;
    if !output.status.success() {
        bail!(
            "{program} cannot make the VM's device tree: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coherence_is_taken_out() {
        let text = b"/ {\n\tdma-coherent;\n\tpcie@0 {\n\t\tx = \"dma-coherent;\";\n\t\tdma-coherent;\n\t};\n};\n";
        let stripped = strip(text).unwrap();
        let kept = b"/ {\n\tpcie@0 {\n\t\tx = \"dma-coherent;\";\n\t};\n};\n";
        assert_eq!(stripped, kept);
        assert!(strip(&stripped).is_err());
    }
}
