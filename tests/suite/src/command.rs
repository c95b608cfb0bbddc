// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command `mapwright` as people use it: in a pipe whose reader goes away, and by members of the group that
//! the device nodes belong to.

use crate::runner::{skip, suite, Context};
use anyhow::{bail, ensure, Context as _, Result};
use mapwright::DEVICE;
use nix::sys::{signal::Signal, stat::stat};
use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _},
    os::unix::{
        fs::{chown, MetadataExt as _, PermissionsExt as _},
        process::{CommandExt as _, ExitStatusExt as _},
    },
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

suite! { "command":
    ends_quietly_without_a_reader,
    ends_quietly_after_the_first_line,
    stops_watching_when_its_reader_goes,
    a_full_disk_is_an_error,
    maps_for_the_group,
    tells_the_group_what_it_hides,
    help_takes_nothing,
}

/// What there is to say on every machine, and ends by itself.
const SUBCOMMANDS: &[&[&str]] = &[
    &["--help"],
    &["--version"],
    &["tour"],
    &["map"],
    &["map", "--json"],
    &["walk", "--self"],
    &["layout"],
    &["layout", "--json"],
    &["frames"],
    &["frames", "--json"],
    &["alloc", "kmalloc"],
    &["alloc", "kmalloc", "--json"],
    &["stat"],
    &["stat", "--json"],
    &["stat", "--all"],
    &["model", "buddy"],
    &["model", "buddy", "--json"],
    &["model", "buddy", "--steps"],
    &["prove", "--list"],
    &["prove", "A1"],
    &["prove", "A1", "--json"],
    &["test", "--list"],
    &["test", "bare."],
];

/// A program may be late, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.args(arguments).stdin(Stdio::null());
    command
}

/// How a program ended, and what it said on its standard error.
fn end_of(mut child: Child, arguments: &[&str]) -> Result<(ExitStatus, String)> {
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            bail!("{arguments:?} goes on");
        }
        thread::sleep(Duration::from_millis(20));
    };
    let mut said = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        stderr.read_to_string(&mut said)?;
    }
    Ok((status, said))
}

/// Fails unless it ended as programs do whose reader has gone, or as if nothing had happened.
fn expect_quiet_end(child: Child, arguments: &[&str]) -> Result<()> {
    let (status, said) = end_of(child, arguments)?;
    // By the signal, or as a shell says of that.
    let signal = Signal::SIGPIPE as i32;
    let without_reader = status.signal() == Some(signal) || status.code() == Some(128 + signal);
    ensure!(
        without_reader || status.success(),
        "{arguments:?}: {status}, {said:?}"
    );
    // How long a claim takes is there, and how it was judged where the output is for programs.
    let is_progress = |line: &&str| line.contains(" may take ") || line.starts_with("A1: ");
    let lines: Vec<_> = said.lines().filter(|line| !is_progress(line)).collect();
    ensure!(lines.is_empty(), "{arguments:?}: {status}, {said:?}");
    Ok(())
}

fn ends_quietly_without_a_reader(_: &Context) -> Result<()> {
    without_a_reader(SUBCOMMANDS)
}

pub(crate) fn without_a_reader(subcommands: &[&[&str]]) -> Result<()> {
    for arguments in subcommands {
        let (reader, writer) = nix::unistd::pipe()?;
        drop(reader);
        let child = command(arguments)
            .stdout(writer)
            .stderr(Stdio::piped())
            .spawn()?;
        expect_quiet_end(child, arguments)?;
    }
    Ok(())
}

/// As `mapwright … | head -1`.
fn ends_quietly_after_the_first_line(_: &Context) -> Result<()> {
    after_the_first_line(SUBCOMMANDS)
}

pub(crate) fn after_the_first_line(subcommands: &[&[&str]]) -> Result<()> {
    for arguments in subcommands {
        let mut child = command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let stdout = child.stdout.take().context("no output")?;
        BufReader::new(stdout).read_line(&mut line)?;
        ensure!(!line.is_empty(), "{arguments:?} says nothing");
        expect_quiet_end(child, arguments)?;
    }
    Ok(())
}

/// At once, however long it would have waited: `mapwright stat --watch 3600 | head -3`.
fn stops_watching_when_its_reader_goes(_: &Context) -> Result<()> {
    for arguments in [
        &["stat", "--watch", "3600"][..],
        &["stat", "--watch"],
        &["stat", "--json", "--watch", "3600"],
    ] {
        let mut child = command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().context("no output")?;
        let mut reader = BufReader::new(stdout);
        let lines = if arguments.contains(&"--json") { 1 } else { 3 };
        for _ in 0..lines {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            ensure!(!line.is_empty(), "{arguments:?} says nothing");
        }
        // Now it waits.
        thread::sleep(Duration::from_millis(500));
        ensure!(child.try_wait()?.is_none(), "{arguments:?} has ended");
        drop(reader);
        expect_quiet_end(child, arguments)?;
    }
    Ok(())
}

/// To go quietly is for a reader that has gone: what cannot be written otherwise is told.
fn a_full_disk_is_an_error(_: &Context) -> Result<()> {
    if !Path::new("/dev/full").exists() {
        return skip("there is no /dev/full");
    }
    for arguments in [&["map"][..], &["map", "--json"], &["test", "--list"]] {
        let full = File::options().write(true).open("/dev/full")?;
        let child = command(arguments)
            .stdout(full)
            .stderr(Stdio::piped())
            .spawn()?;
        let (status, said) = end_of(child, arguments)?;
        ensure!(!status.success(), "{arguments:?}: {status}, {said:?}");
        ensure!(said.contains("No space left"), "{arguments:?}: {said:?}");
        ensure!(!said.contains("panicked"), "{arguments:?}: {said:?}");
    }
    Ok(())
}

/// Device nodes that a group may use, until dropped.
pub(crate) struct ForGroup(Vec<(PathBuf, u32, Option<u32>)>);

/// Nobody's.
const GROUP: u32 = 65534;

impl ForGroup {
    pub(crate) fn new(paths: &[PathBuf]) -> Result<Self> {
        let mut before = Vec::new();
        for path in paths.iter().filter(|path| path.exists()) {
            let metadata = fs::metadata(path)?;
            before.push((path.clone(), metadata.mode() & 0o7777, Some(metadata.gid())));
            chown(path, None, Some(GROUP))?;
            change_mode(path, 0o660)?;
        }
        Ok(Self(before))
    }
}

fn change_mode(path: &Path, mode: u32) -> Result<()> {
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(mode))?)
}

impl Drop for ForGroup {
    fn drop(&mut self) {
        for (path, mode, group) in &self.0 {
            let _ = chown(path, None, *group);
            let _ = change_mode(path, *mode);
        }
    }
}

/// What a member of the group is told, by a program that is to succeed.
pub(crate) fn as_member(arguments: &[&str]) -> Result<String> {
    let child = command(arguments)
        .uid(GROUP)
        .gid(GROUP)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{arguments:?}: {}: {said}",
        output.status
    );
    ensure!(said.is_empty(), "{arguments:?}: {said}");
    Ok(String::from_utf8(output.stdout)?)
}

fn maps_for_the_group(_: &Context) -> Result<()> {
    let _for_group = ForGroup::new(&[PathBuf::from(DEVICE)])?;
    ensure!(stat(DEVICE)?.st_gid == GROUP, "{DEVICE} is not the group's");
    for arguments in [
        &["map"][..],
        &["map", "--backing", "vmalloc", "--method", "insert"],
    ] {
        let said = as_member(arguments)?;
        for word in ["region", "frames", "hidden", "VmFlags", "first touch"] {
            ensure!(said.contains(word), "{arguments:?}: no {word:?} in {said}");
        }
    }
    let json: serde_json::Value = serde_json::from_str(&as_member(&["map", "--json"])?)?;
    ensure!(json["pfns"].is_null(), "frames are told: {}", json["pfns"]);
    ensure!(json["region"]["bytes"] == 1 << 20, "{json}");
    let said = as_member(&["tour"])?;
    for word in ["1. contiguous pages", "2. vmalloc memory", "hidden"] {
        ensure!(said.contains(word), "tour: no {word:?} in {said}");
    }
    Ok(())
}

/// What takes a right that the group has not says which, in a sentence.
fn tells_the_group_what_it_hides(_: &Context) -> Result<()> {
    let _for_group = ForGroup::new(&[PathBuf::from(DEVICE)])?;
    for (arguments, words) in [
        (&["frames"][..], &["CAP_SYS_ADMIN"][..]),
        (&["stat"], &["/sys/kernel/debug", "root"]),
    ] {
        let output = command(arguments).uid(GROUP).gid(GROUP).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(!output.status.success(), "{arguments:?}: {}", output.status);
        for word in words {
            ensure!(said.contains(word), "{arguments:?}: no {word:?} in {said}");
        }
        ensure!(said.lines().count() == 1, "{arguments:?}: {said}");
    }
    Ok(())
}

/// Without any right, and without any device.
fn help_takes_nothing(_: &Context) -> Result<()> {
    for arguments in [
        &["--help"][..],
        &["test", "--list"],
        &["prove", "--list"],
        &["model", "buddy"],
        &["model", "cow", "--steps"],
        &["gpio", "--help"],
    ] {
        let said = as_member(arguments)?;
        ensure!(!said.is_empty(), "{arguments:?} says nothing");
    }
    Ok(())
}
