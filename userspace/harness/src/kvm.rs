// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether /dev/kvm really runs a guest. That it exists says nothing: on some machines the guest
//! dies or hangs.

use crate::boot::tiny;
use crate::machine_type::{Accel, MachineType};
use crate::place::Kernel;
use anyhow::{Context, Result};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const DEVICE: &str = "/dev/kvm";
const MARKER: &str = "mapwright-harness: KVM runs guests";
const PATIENCE: Duration = Duration::from_secs(10);

/// Takes KVM only where a guest was seen to run on it. The answer is remembered in the cache.
pub fn choose(kernel: &Kernel, cache: Option<&Path>, verbose: bool) -> Result<Accel> {
    if File::options().read(true).write(true).open(DEVICE).is_err() {
        return Ok(Accel::Tcg);
    }
    let key = key();
    let memory = cache.map(|dir| dir.join("kvm-probe"));
    if let Some(known) = memory.as_deref().and_then(|file| recall(file, &key)) {
        return Ok(known);
    }
    if verbose {
        eprintln!("mapwright-harness: finding out whether {DEVICE} runs a guest");
    }
    let begun = Instant::now();
    let accel = probe(kernel)?;
    if verbose {
        let took = begun.elapsed().as_secs_f32();
        eprintln!("mapwright-harness: {accel:?} it is, after {took:.1} s");
    }
    if let Some(file) = memory {
        // The next run finds out again if this fails.
        let _ = remember(&file, &key, accel);
    }
    Ok(accel)
}

/// What the answer depends on.
fn key() -> String {
    let kernel = fs::read_to_string("/proc/version").unwrap_or_default();
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find(|line| line.starts_with("model name"));
    let qemu = Command::new(MachineType::NATIVE.qemu())
        .arg("--version")
        .output();
    let qemu = qemu.map(|output| output.stdout).unwrap_or_default();
    let qemu = String::from_utf8_lossy(&qemu);
    [
        kernel.trim(),
        model.unwrap_or_default(),
        qemu.lines().next().unwrap_or_default(),
    ]
    .join("\n")
}

fn recall(file: &Path, key: &str) -> Option<Accel> {
    let text = fs::read_to_string(file).ok()?;
    let (answer, of) = text.split_once('\n')?;
    match answer {
        _ if of.trim_end() != key => None,
        "yes" => Some(Accel::Kvm),
        "no" => Some(Accel::Tcg),
        _ => None,
    }
}

fn remember(file: &PathBuf, key: &str, accel: Accel) -> Result<()> {
    let answer = if accel == Accel::Kvm { "yes" } else { "no" };
    let dir = file.parent().context("no directory")?;
    let mut new = tempfile::NamedTempFile::new_in(dir)?;
    std::io::Write::write_all(&mut new, format!("{answer}\n{key}\n").as_bytes())?;
    new.persist(file)?;
    Ok(())
}

/// Boots the kernel with an init that says so and ends.
fn probe(kernel: &Kernel) -> Result<Accel> {
    let dir = tempfile::Builder::new()
        .prefix("mapwright-")
        .tempdir_in("/tmp")
        .context("cannot make a directory in /tmp")?;
    let initramfs = dir.path().join("initramfs");
    let console = dir.path().join("console");
    let mut archive = tiny::base_archive(MachineType::NATIVE)?;
    let init = format!(
        "#!/bin/sh\nmount -t proc proc /proc\necho '{MARKER}'\necho o > /proc/sysrq-trigger\nsleep 60\n"
    );
    archive.file("init", 0o755, init.as_bytes())?;
    archive.write(&initramfs)?;

    let append = format!("console={} quiet panic=-1", MachineType::NATIVE.console());
    let mut command = Command::new(MachineType::NATIVE.qemu());
    command
        .args(tiny::qemu_args(
            MachineType::NATIVE,
            Accel::Kvm,
            kernel,
            &initramfs,
        ))
        .args(["-m", "512M", "-append", &append])
        .arg("-serial")
        .arg(format!("file:{}", console.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = command
        .spawn()
        .context("cannot run QEMU: run this inside the toolchain root")?;
    let deadline = Instant::now() + PATIENCE;
    let mut accel = Accel::Tcg;
    loop {
        let ended = child.try_wait()?.is_some();
        let said = fs::read(&console).unwrap_or_default();
        if String::from_utf8_lossy(&said).contains(MARKER) {
            accel = Accel::Kvm;
            break;
        }
        if ended || Instant::now() >= deadline {
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }
    let _ = child.kill();
    child.wait()?;
    Ok(accel)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_remembered_for_its_machine() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("kvm-probe");
        assert_eq!(recall(&file, "a\nb"), None);
        remember(&file, "a\nb", Accel::Tcg).unwrap();
        assert_eq!(recall(&file, "a\nb"), Some(Accel::Tcg));
        assert_eq!(recall(&file, "a\nc"), None);
        remember(&file, "a\nb", Accel::Kvm).unwrap();
        assert_eq!(recall(&file, "a\nb"), Some(Accel::Kvm));
        fs::write(&file, "perhaps\na\nb\n").unwrap();
        assert_eq!(recall(&file, "a\nb"), None);
    }
}
