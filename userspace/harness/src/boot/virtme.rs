// SPDX-License-Identifier: MIT OR Apache-2.0
//! Booting with virtme-ng: the guest's root is the toolchain root, read-only.

use super::{common_args, kernel_args, Sockets};
use crate::guest::{script, Guest};
use crate::machine_type::Accel;
use anyhow::{bail, Context, Result};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

const BUSYBOX: &str = "/usr/bin/busybox";

/// The command that starts virtme-ng. The kernel's log comes out of its standard error.
pub fn command(guest: &Guest, sockets: &Sockets, token: &str) -> Result<Command> {
    let file = sockets.dir.join("guest.sh");
    fs::write(&file, script::script(guest, token, &[]))
        .and_then(|()| fs::set_permissions(&file, Permissions::from_mode(0o755)))
        .with_context(|| format!("cannot write {}", file.display()))?;
    if guest.results.is_some() {
        fs::create_dir_all(script::RESULTS).with_context(|| {
            format!(
                "cannot make {}, where the guest mounts the results",
                script::RESULTS
            )
        })?;
    }
    let vng = find("vng")?;
    let virtiofs = is_real_root();
    if !virtiofs && !guest.has_9p {
        bail!(
            "without 9p, a guest sees the toolchain root only if root runs this: use --boot tiny"
        );
    }
    let mut command = Command::new(vng);
    command
        .args(args(guest, sockets, &file, virtiofs))
        // Its files and settings are those of this run.
        .env("HOME", &sockets.dir)
        .env("TMPDIR", &sockets.dir)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir("/")
        .stderr(Stdio::piped());
    if guest.command.is_some() {
        command.stdin(Stdio::null()).stdout(Stdio::null());
    }
    Ok(command)
}

fn find(program: &str) -> Result<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let candidates = std::env::split_paths(&path).map(|dir| dir.join(program));
    match candidates.into_iter().find(|file| file.is_file()) {
        Some(file) => Ok(file),
        None => {
            bail!("{program} is not in the toolchain root: run `make setup`, or use --boot tiny")
        }
    }
}

/// Whether root is the real one: virtiofsd does not work for one of a user namespace.
fn is_real_root() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let all = map.split_whitespace().eq(["0", "0", "4294967295"]);
    nix::unistd::geteuid().is_root() && all
}

fn args(guest: &Guest, sockets: &Sockets, script: &Path, virtiofs: bool) -> Vec<String> {
    let mut args: Vec<String> = ["--run", &guest.kernel.release, "--disable-microvm"]
        .map(str::to_owned)
        .to_vec();
    args.extend(["--busybox", BUSYBOX].map(str::to_owned));
    args.extend(["--memory".to_owned(), guest.memory.clone()]);
    args.extend(["--cpus".to_owned(), guest.cpus.to_string()]);
    if !virtiofs {
        args.push("--force-9p".to_owned());
    }
    let mut qemu = common_args(guest, sockets);
    if guest.accel != Accel::Kvm {
        args.push("--disable-kvm".to_owned());
        qemu = [guest.machine.accel_args(guest.accel, &guest.kernel), qemu].concat();
    }
    let script = shell_words::quote(&script.to_string_lossy()).into_owned();
    if guest.command.is_some() {
        // Verbose: the console is standard error then.
        args.extend(["--verbose", "--exec"].map(str::to_owned));
        args.push(format!("sh {script}"));
    } else {
        args.extend(["--shell".to_owned(), script]);
    }
    args.push(format!(
        "--append={}",
        shell_words::join(kernel_args(guest))
    ));
    // Comes last, and is read by a shell.
    args.push(format!("--qemu-opts={}", shell_words::join(qemu)));
    args
}

#[cfg(test)]
mod tests {
    use super::super::tests::sockets;
    use super::*;
    use crate::guest::tests::guest;
    use crate::guest::Boot;

    #[test]
    fn a_command() {
        let script = Path::new("/tmp/mapwright-x/guest.sh");
        let guest = guest(Boot::Virtme);
        let args = args(&guest, &sockets(), script, true);
        assert_eq!(args[..2], ["--run", "7.2.12"]);
        assert!(args.contains(&"--disable-kvm".to_owned()));
        assert!(!args.contains(&"--force-9p".to_owned()));
        assert!(args.contains(&"sh /tmp/mapwright-x/guest.sh".to_owned()));
        let append = args.iter().find(|a| a.starts_with("--append=")).unwrap();
        assert!(
            append.ends_with("'panic=-1' no_timer_check nokaslr"),
            "{append}"
        );
        let last = args.last().unwrap();
        assert!(last.starts_with("--qemu-opts=-accel 'tcg,"), "{last}");
        assert!(last.ends_with("-device edu"), "{last}");
    }

    #[test]
    fn kvm_is_left_to_virtme_ng() {
        let mut guest = guest(Boot::Virtme);
        guest.accel = Accel::Kvm;
        let args = args(&guest, &sockets(), Path::new("/x"), false);
        assert!(!args.contains(&"--disable-kvm".to_owned()));
        assert!(args.contains(&"--force-9p".to_owned()));
        assert!(!args.last().unwrap().contains("-accel"));
    }

    #[test]
    fn a_shell() {
        let mut guest = guest(Boot::Virtme);
        guest.command = None;
        let args = args(&guest, &sockets(), Path::new("/x"), true);
        assert!(args.contains(&"--shell".to_owned()));
        assert!(!args.contains(&"--exec".to_owned()));
    }
}
