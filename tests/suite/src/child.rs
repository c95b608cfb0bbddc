// SPDX-License-Identifier: MIT OR Apache-2.0

//! Child processes.

use anyhow::{bail, ensure, Result};
use nix::{
    sys::{
        signal::{kill, Signal},
        wait::{waitpid, WaitPidFlag, WaitStatus},
    },
    unistd::{fork, setgroups, setresgid, setresuid, ForkResult, Gid, Pid, Uid},
};

/// Runs `f` in a forked child and fails if it does, or dies.
pub fn run(f: impl FnOnce() -> Result<()>) -> Result<()> {
    ends_well(spawn(f)?)
}

/// Runs `f` in a forked child and returns the signal that killed it, if one did.
pub fn killed_by(f: impl FnOnce() -> Result<()>) -> Result<Option<Signal>> {
    match waitpid(spawn(f)?, None)? {
        WaitStatus::Signaled(_, signal, _) => Ok(Some(signal)),
        _ => Ok(None),
    }
}

/// Starts `f` in a forked child, which exits with 0 if it succeeds and 1 if not.
pub fn spawn(f: impl FnOnce() -> Result<()>) -> Result<Pid> {
    // SAFETY: The test process has a single thread, so the child may do what it likes.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            let status = match f() {
                Ok(()) => 0,
                Err(err) => {
                    println!("# in the child process: {err:#}");
                    1
                }
            };
            // SAFETY: Ends the child without running what belongs to the parent.
            unsafe { nix::libc::_exit(status) }
        }
    }
}

/// Has something told beside the result of the test whose child this is.
pub fn note(text: &str) {
    println!("# {text}");
}

/// Fails unless a child process ends by itself, with success.
pub fn ends_well(child: Pid) -> Result<()> {
    match waitpid(child, None)? {
        WaitStatus::Exited(_, 0) => Ok(()),
        status => bail!("the child process failed: {status:?}"),
    }
}

/// Stops a child process, and returns when it has stopped.
pub fn stop(child: Pid) -> Result<()> {
    kill(child, Signal::SIGSTOP)?;
    let status = waitpid(child, Some(WaitPidFlag::WUNTRACED))?;
    ensure!(
        matches!(status, WaitStatus::Stopped(_, Signal::SIGSTOP)),
        "{status:?}"
    );
    Ok(())
}

/// Lets a child process go on that was stopped.
pub fn go_on(child: Pid) -> Result<()> {
    Ok(kill(child, Signal::SIGCONT)?)
}

/// Gives up all privileges.
pub fn become_nobody() -> Result<()> {
    let (uid, gid) = (Uid::from_raw(65534), Gid::from_raw(65534));
    setgroups(&[gid])?;
    setresgid(gid, gid, gid)?;
    setresuid(uid, uid, uid)?;
    Ok(())
}
