// SPDX-License-Identifier: MIT OR Apache-2.0

//! Runs a program in a process of its own, and sees to it that the process ends.

use crate::kcov::Kcov;
use crate::machine;
use crate::oracle::{self, Log};
use crate::program::Program;
use anyhow::{Context as _, Result};
use nix::errno::Errno;
use nix::mount::{mount, MsFlags};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a program may take before it is killed. Many calls wait for something that never comes.
const TIME: Duration = Duration::from_secs(1);
/// How long a killed process may take to end: more than a second in the kernel, on a machine that is emulated and busy.
const DYING: Duration = Duration::from_secs(20);
/// Bytes of a text that the process leaves for its parent.
const TEXT: usize = 4096;

/// How a program ended that found something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding(pub String);

/// The group that a program with a limit runs in.
pub struct Groups(Option<PathBuf>);

impl Groups {
    pub fn new() -> Self {
        let root = Path::new("/sys/fs/cgroup");
        if !root.join("cgroup.controllers").exists() {
            let none = None::<&str>;
            let _ = mount(none, root, Some("cgroup2"), MsFlags::empty(), none);
        }
        let _ = fs::write(root.join("cgroup.subtree_control"), "+memory");
        let group = root.join("mapwright-fuzz");
        let made = fs::create_dir(&group).is_ok() || group.exists();
        Self((made && group.join("memory.max").exists()).then_some(group))
    }

    fn enter(&self, limit: u8) {
        if let Some(group) = self.0.as_ref().filter(|_| limit > 0) {
            let _ = fs::write(group.join("memory.max"), format!("{}M", limit));
            let _ = fs::write(group.join("cgroup.procs"), std::process::id().to_string());
        }
    }
}

/// A text that two processes share.
struct Note(*mut u8);

impl Note {
    fn new() -> Result<Self> {
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        // SAFETY: The kernel chooses where.
        let at = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                TEXT,
                libc::PROT_READ | libc::PROT_WRITE,
                flags,
                -1,
                0,
            )
        };
        if at == libc::MAP_FAILED {
            return Err(Errno::last()).context("mmap");
        }
        Ok(Self(at.cast()))
    }

    fn write(&self, text: &str) {
        let bytes = &text.as_bytes()[..text.len().min(TEXT - 1)];
        // SAFETY: There is room for so many and a zero, which no other process reads before this one has ended.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.0, bytes.len()) };
    }

    fn read(&self) -> Option<String> {
        // SAFETY: The last byte is never written, so a zero ends the text. Who wrote has ended.
        let text = unsafe { std::ffi::CStr::from_ptr(self.0.cast()) };
        (!text.is_empty()).then(|| text.to_string_lossy().into_owned())
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        // SAFETY: Mapped by `new`, and borrowed by nobody.
        unsafe { libc::munmap(self.0.cast(), TEXT) };
    }
}

/// Waits for any process of the group. Tells whether there is none left.
fn all_ended(group: i32) -> bool {
    // SAFETY: The statuses are not wanted.
    while unsafe { libc::waitpid(-group, std::ptr::null_mut(), libc::WNOHANG) } > 0 {}
    // SAFETY: As above.
    let more = unsafe { libc::waitpid(-group, std::ptr::null_mut(), libc::WNOHANG) };
    more < 0 && Errno::last() == Errno::ECHILD
}

/// Processes whose parents end become children of this one.
pub fn adopt_orphans() {
    // SAFETY: Only numbers are passed.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
}

/// Runs a program, and tells what was found to be wrong.
pub fn run(
    program: &Program,
    kcov: &[Kcov],
    groups: &Groups,
    log: &mut Log,
) -> Result<Option<Finding>> {
    let note = Note::new()?;
    // SAFETY: This process has one thread.
    let pid = unsafe { libc::fork() };
    if pid < 0 {
        return Err(Errno::last()).context("fork");
    }
    if pid == 0 {
        // SAFETY: Only numbers are passed.
        unsafe { libc::setpgid(0, 0) };
        // It waits for the children of its children, too, before it looks whether anything is still mapped.
        adopt_orphans();
        groups.enter(program.limit);
        if let Err(err) = machine::run(program, kcov) {
            note.write(&format!("{err:#}"));
        }
        // SAFETY: It ends the process.
        unsafe { libc::_exit(0) };
    }
    // SAFETY: As the child does, whoever comes first.
    unsafe { libc::setpgid(pid, pid) };
    let begun = Instant::now();
    let time = match program.killed_after {
        0 => TIME,
        tenths => Duration::from_micros(100 * u64::from(tenths)),
    };
    while begun.elapsed() < time && !has_ended(pid) {
        sleep(Duration::from_micros(200));
    }
    let killed = Instant::now();
    loop {
        // SAFETY: A group whose first process was not waited for, or that has processes; or there is none.
        unsafe { libc::kill(-pid, libc::SIGKILL) };
        if all_ended(pid) {
            break;
        }
        if killed.elapsed() > DYING {
            return Ok(Some(Finding(format!(
                "a process does not end: {}",
                oracle::stack_of(pid)
            ))));
        }
        sleep(Duration::from_micros(200));
    }
    if let Some(report) = log.report()? {
        return Ok(Some(Finding(report)));
    }
    if let Some(text) = note.read() {
        return Ok(Some(Finding(text)));
    }
    if let Some(left) = oracle::left_behind()? {
        return Ok(Some(Finding(format!("left behind: {left}"))));
    }
    Ok(log.report()?.map(Finding))
}

/// Whether the process has ended, without taking its status.
fn has_ended(pid: i32) -> bool {
    // SAFETY: There is room for the answer, of which only whether it is about a process is read.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        libc::waitid(libc::P_PID, pid as libc::id_t, &mut info, flags) == 0 && info.si_pid() == pid
    }
}
