// SPDX-License-Identifier: MIT OR Apache-2.0
//! Booting with a small initramfs: busybox, a few of the kernel's modules and ours. The repository
//! is mounted through 9p.

use super::{common_args, kernel_args, Sockets};
use crate::guest::script::{self, file_name, TINY_KERNEL_MODULES, TINY_MODULES};
use crate::guest::Guest;
use crate::machine_type::{Accel, MachineType};
use crate::place::Kernel;
use crate::qemu::{share_args, value};
use anyhow::{bail, Context, Result};
use cpio::newc::{self, ModeFileType};
use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The busybox that is asked for the names of its commands: the guest's may be for another processor.
const BUSYBOX: &str = "/usr/bin/busybox";
/// The command that is tested.
const PROGRAM: &str = "mapwright";
/// What mounting the host's directories needs.
const NEEDED: [&str; 2] = ["9pnet_virtio", "9p"];

/// The command that starts QEMU. The kernel's log goes to a socket.
pub fn command(guest: &Guest, sockets: &Sockets, token: &str) -> Result<Command> {
    let mut wanted: Vec<&str> = match guest.has_9p {
        true => NEEDED.to_vec(),
        false => Vec::new(),
    };
    // Where the host's directories cannot be mounted, nobody else has what the modules need.
    let needs = guest.modules.iter().flat_map(|module| &module.needs);
    wanted.extend(needs.map(String::as_str));
    let modules = match wanted.is_empty() {
        true => Vec::new(),
        false => needed_modules(&guest.kernel, &wanted)?,
    };
    let names: Vec<String> = modules.iter().map(|(name, _)| name.clone()).collect();
    let mut archive = base_archive(guest.machine)?;
    if guest.has_own_program() {
        let program = guest.programs.join(PROGRAM);
        archive.file(&format!("bin/{PROGRAM}"), 0o755, &read(&program)?)?;
    }
    archive.file(
        "init",
        0o755,
        script::script(guest, token, &names).as_bytes(),
    )?;
    archive.dir(TINY_MODULES)?;
    archive.dir(TINY_KERNEL_MODULES)?;
    for (name, bytes) in &modules {
        archive.file(&format!("{TINY_KERNEL_MODULES}/{name}"), 0o644, bytes)?;
    }
    for module in &guest.modules {
        let to = format!("{TINY_MODULES}/{}", file_name(&module.file));
        archive.file(&to, 0o644, &stripped(&module.file, guest, &sockets.dir)?)?;
    }
    let initramfs = sockets.dir.join("initramfs");
    archive.write(&initramfs)?;
    let mut command = Command::new(guest.machine.qemu());
    command.args(args(guest, sockets, &initramfs));
    if guest.command.is_some() {
        command.stdin(Stdio::null()).stdout(Stdio::null());
    }
    command.stderr(Stdio::piped());
    Ok(command)
}

fn args(guest: &Guest, sockets: &Sockets, initramfs: &Path) -> Vec<String> {
    let mut args = qemu_args(guest.machine, guest.accel, &guest.kernel, initramfs);
    let cpus = guest.cpus.min(guest.machine.max_cpus());
    args.extend(["-m".to_owned(), guest.memory.clone()]);
    args.extend(["-smp".to_owned(), cpus.to_string()]);
    args.push("-chardev".to_owned());
    args.push(format!("socket,id=log,path={}", value(&sockets.log())));
    args.extend(["-serial", "chardev:log"].map(str::to_owned));
    if guest.command.is_none() {
        args.extend(["-serial", "mon:stdio"].map(str::to_owned));
    }
    if guest.has_9p {
        args.extend(share_args(script::TAG_REPOSITORY, &guest.repository, true));
        args.extend(share_args(script::TAG_KERNEL, &guest.kernel.modules, true));
    }
    args.extend(common_args(guest, sockets));
    let console = format!("console={}", guest.machine.console());
    let append = [vec![console], kernel_args(guest)].concat();
    args.extend(["-append".to_owned(), append.join(" ")]);
    args
}

/// QEMU's arguments for a VM that boots this kernel and, if it can power off, ends when the kernel does.
pub fn qemu_args(
    machine: MachineType,
    accel: Accel,
    kernel: &Kernel,
    initramfs: &Path,
) -> Vec<String> {
    let mut args = machine.args(accel, kernel);
    args.push("-kernel".to_owned());
    args.push(kernel.image.to_string_lossy().into_owned());
    args.push("-initrd".to_owned());
    args.push(initramfs.to_string_lossy().into_owned());
    args
}

/// An archive for an initramfs.
pub struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    pub fn new() -> Self {
        Self {
            bytes: Vec::new(),
            entries: 0,
        }
    }

    fn entry(&mut self, path: &str, kind: ModeFileType, mode: u32, data: &[u8]) -> Result<()> {
        self.entries += 1;
        let size = u32::try_from(data.len()).with_context(|| format!("{path} is too large"))?;
        let mut writer = newc::Builder::new(path.trim_start_matches('/'))
            .ino(self.entries)
            .nlink(1)
            .mode(mode)
            .set_mode_file_type(kind)
            .write(&mut self.bytes, size);
        writer.write_all(data)?;
        writer.finish()?;
        Ok(())
    }

    pub fn dir(&mut self, path: &str) -> Result<()> {
        self.entry(path, ModeFileType::Directory, 0o755, &[])
    }

    pub fn file(&mut self, path: &str, mode: u32, data: &[u8]) -> Result<()> {
        self.entry(path, ModeFileType::Regular, mode, data)
    }

    pub fn link(&mut self, path: &str, target: &str) -> Result<()> {
        self.entry(path, ModeFileType::Symlink, 0o777, target.as_bytes())
    }

    pub fn write(self, to: &Path) -> Result<()> {
        let bytes = newc::trailer(self.bytes)?;
        fs::write(to, bytes).with_context(|| format!("cannot write {}", to.display()))
    }
}

/// Busybox under all of its names.
pub fn base_archive(machine: MachineType) -> Result<Archive> {
    let listed = Command::new(BUSYBOX).arg("--list").output();
    let listed = match listed {
        Ok(output) if output.status.success() => output.stdout,
        _ => bail!("{BUSYBOX} is not in the toolchain root: run `make setup`"),
    };
    let mut archive = Archive::new();
    // The kernel opens /dev/console from its own built-in archive.
    for dir in [
        "bin",
        "sbin",
        "usr",
        "usr/bin",
        "usr/sbin",
        "lib",
        "lib/modules",
        "proc",
        "sys",
    ] {
        archive.dir(dir)?;
    }
    archive.file("bin/busybox", 0o755, &read(Path::new(machine.busybox()))?)?;
    for name in String::from_utf8_lossy(&listed).lines() {
        if name != "busybox" {
            archive.link(&format!("bin/{name}"), "busybox")?;
        }
    }
    // What modprobe is called as by the kernel.
    archive.link("sbin/modprobe", "/bin/busybox")?;
    Ok(archive)
}

/// Those of the kernel's modules `wanted` that are not built in, and what they need, in the order to insert them.
fn needed_modules(kernel: &Kernel, wanted: &[&str]) -> Result<Vec<(String, Vec<u8>)>> {
    let dep = kernel.modules.join("modules.dep");
    let dep = fs::read_to_string(&dep).with_context(|| format!("cannot read {}", dep.display()))?;
    let mut needed = Vec::new();
    for file in insertion_order(&dep, wanted) {
        let path = kernel.modules.join(&file);
        needed.push((format!("{}.ko", module_of(&file)), unpacked(&path)?));
    }
    Ok(needed)
}

fn module_of(file: &str) -> &str {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.split(".ko").next().unwrap_or(name)
}

/// Reads `modules.dep`: a file, and after the colon what it needs, the nearest first.
fn insertion_order(dep: &str, wanted: &[&str]) -> Vec<String> {
    let needs: HashMap<&str, (&str, &str)> = dep
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(file, needs)| (module_of(file), (file, needs)))
        .collect();
    let mut order: Vec<String> = Vec::new();
    for name in wanted {
        // What is not listed is built in.
        let Some((file, needs)) = needs.get(name) else {
            continue;
        };
        let before = needs.split_whitespace().rev();
        for file in before.chain([*file]) {
            if !order.iter().any(|known| known == file) {
                order.push(file.to_owned());
            }
        }
    }
    order
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// A module of ours without its debugging information, of which most of it is made: a VM of 256 MiB has no room for that.
/// All of it, where that cannot be taken out.
fn stripped(module: &Path, guest: &Guest, dir: &Path) -> Result<Vec<u8>> {
    let to = dir.join("stripped.ko");
    let mut strip = Command::new(guest.machine.strip());
    strip.args(["--strip-debug", "-o"]).arg(&to).arg(module);
    match strip.stderr(Stdio::null()).status() {
        Ok(status) if status.success() => read(&to),
        _ => read(module),
    }
}

fn unpacked(path: &PathBuf) -> Result<Vec<u8>> {
    let program = match path.extension().and_then(|e| e.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        Some("gz") => "gzip",
        _ => return read(path),
    };
    let output = Command::new(program)
        .arg("-dc")
        .arg(path)
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        bail!("{program} cannot unpack {}", path.display());
    }
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::super::tests::sockets;
    use super::*;
    use crate::guest::tests::guest;
    use crate::guest::Boot;

    #[test]
    fn arguments() {
        let guest = guest(Boot::Tiny);
        let args = args(&guest, &sockets(), Path::new("/tmp/initramfs")).join(" ");
        for part in [
            "-accel tcg,thread=multi",
            "-kernel /usr/lib/modules/7.2.12/vmlinuz",
            "path=/re,,po,security_model=none,multidevs=remap,readonly=on",
            "-serial chardev:log -fsdev",
            "-append console=ttyS0 loglevel=7 no_hash_pointers oops=panic panic=-1 no_timer_check nokaslr",
            "-m 1G -smp 2",
            "-device edu",
        ] {
            assert!(args.contains(part), "no {part} in {args}");
        }
    }

    #[test]
    fn a_shell_is_on_the_second_line() {
        let mut guest = guest(Boot::Tiny);
        guest.command = None;
        let args = args(&guest, &sockets(), Path::new("/i")).join(" ");
        assert!(
            args.contains("-serial chardev:log -serial mon:stdio"),
            "{args}"
        );
    }

    #[test]
    fn order_of_the_kernels_modules() {
        let dep = "\
kernel/fs/9p/9p.ko.xz: kernel/fs/netfs/netfs.ko.xz kernel/net/9p/9pnet.ko.xz
kernel/net/9p/9pnet_virtio.ko.xz: kernel/net/9p/9pnet.ko.xz
kernel/net/9p/9pnet.ko.xz:
";
        assert_eq!(
            insertion_order(dep, &["9pnet_virtio", "9p", "ext4"]),
            [
                "kernel/net/9p/9pnet.ko.xz",
                "kernel/net/9p/9pnet_virtio.ko.xz",
                "kernel/fs/netfs/netfs.ko.xz",
                "kernel/fs/9p/9p.ko.xz",
            ]
        );
    }

    #[test]
    fn an_archive_is_read_back() {
        let mut archive = Archive::new();
        archive.dir("/bin").unwrap();
        archive.file("/bin/a", 0o755, b"text").unwrap();
        archive.link("bin/b", "a").unwrap();
        let mut bytes: &[u8] = &newc::trailer(archive.bytes).unwrap();
        let mut names = Vec::new();
        loop {
            let reader = newc::Reader::new(bytes).unwrap();
            if reader.entry().is_trailer() {
                break;
            }
            names.push((reader.entry().name().to_owned(), reader.entry().mode()));
            bytes = reader.finish().unwrap();
        }
        let name = |n: &str| n.to_owned();
        assert_eq!(
            names,
            [
                (name("bin"), 0o040_755),
                (name("bin/a"), 0o100_755),
                (name("bin/b"), 0o120_777)
            ]
        );
    }
}
