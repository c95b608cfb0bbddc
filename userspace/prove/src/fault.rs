// SPDX-License-Identifier: MIT OR Apache-2.0

//! An access that the page table forbids, by a child, and what the kernel does to the child.

use anyhow::{bail, Context as _, Result};
use mapwright::page_bytes;
use nix::{
    libc,
    sys::{
        resource::{setrlimit, Resource},
        signal::{sigaction, SaFlags, SigAction, SigHandler, SigSet, Signal},
        wait::{waitpid, WaitStatus},
    },
    unistd::{alarm, fork, pipe, ForkResult},
};
use std::{
    fs::File,
    io::Read as _,
    os::fd::{AsRawFd as _, RawFd},
    sync::atomic::{AtomicI32, AtomicUsize, Ordering},
};

/// What the child does to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Load,
    Store,
    Execute,
}

/// What the child does about a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing.
    None,
    /// Says what it was told, and ends.
    Report,
    /// Says so, and makes the page writable.
    Mend,
}

/// What became of the child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The signal that ended it; none if the access was done.
    pub killed: Option<Signal>,
    /// What its handler was told: `si_code` and `si_addr`.
    pub siginfo: Option<(i32, usize)>,
    /// Whether it went on after the access.
    pub went_on: bool,
}

/// How the child ends: after the access, in its handler, and where that could not mend the page.
const WENT_ON: i32 = 0;
const REPORTED: i32 = 3;
const NOT_MENDED: i32 = 4;

/// Has a child access an address of its memory, which is that of this process at the time.
///
/// The process must have one thread. A child that does not come to an end is ended after ten seconds.
pub fn provoke(access: Access, address: usize, answer: Answer) -> Result<Outcome> {
    let (ours, theirs) = pipe()?;
    // SAFETY: The process has one thread, so the child may do what it likes; it leaves by `_exit`.
    let child = match unsafe { fork() }? {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            let done = prepare(answer, theirs.as_raw_fd()).map(|()| touch(access, address));
            let status = done.map_or(1, |()| WENT_ON);
            // SAFETY: Ends the child without running what belongs to the parent.
            unsafe { libc::_exit(status) }
        }
    };
    drop(theirs);
    let mut message = Vec::new();
    File::from(ours).read_to_end(&mut message)?;
    let (killed, status) = match waitpid(child, None)? {
        WaitStatus::Exited(_, status @ (WENT_ON | REPORTED)) => (None, Some(status)),
        WaitStatus::Signaled(_, signal, _) => (Some(signal), None),
        other => bail!("a child that was to access {address:#x} ended so: {other:?}"),
    };
    Ok(Outcome {
        killed,
        siginfo: parse(&message)?,
        went_on: status == Some(WENT_ON),
    })
}

fn touch(access: Access, address: usize) {
    let byte = address as *mut u8;
    match access {
        // SAFETY: What is not this child's to load raises a signal instead, which it is there for.
        Access::Load => drop(unsafe { byte.read_volatile() }),
        // SAFETY: As above. What is stored to is the child's own copy, which nobody looks at.
        Access::Store => unsafe { byte.write_volatile(1) },
        Access::Execute => {
            // SAFETY: The page holds zeros and is not executable: the signal comes before any is run.
            let code = unsafe { std::mem::transmute::<*mut u8, extern "C" fn()>(byte) };
            code();
        }
    }
}

/// Where the handler says what it was told, and how many bytes it makes writable.
static PIPE: AtomicI32 = AtomicI32::new(-1);
static MENDED: AtomicUsize = AtomicUsize::new(0);

/// In the child: decides what a signal does.
fn prepare(answer: Answer, pipe: RawFd) -> Result<()> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    // A handler whose page faults again would go on for ever.
    alarm::set(10);
    PIPE.store(pipe, Ordering::Relaxed);
    if answer == Answer::Mend {
        MENDED.store(page_bytes(), Ordering::Relaxed);
    }
    let handler = match answer {
        Answer::None => SigHandler::SigDfl,
        Answer::Report | Answer::Mend => SigHandler::SigAction(tell),
    };
    let action = SigAction::new(handler, SaFlags::SA_SIGINFO, SigSet::empty());
    for signal in [Signal::SIGSEGV, Signal::SIGBUS] {
        // SAFETY: The handler only makes system calls that a handler may make.
        unsafe { sigaction(signal, &action) }?;
    }
    Ok(())
}

/// The handler. Returns where it mended the page, and the access is tried again.
extern "C" fn tell(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: With `SA_SIGINFO` the kernel gives one, and a fault's has an address.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr() as usize) };
    let mut message = [0; 16];
    message[..8].copy_from_slice(&i64::from(code).to_ne_bytes());
    message[8..].copy_from_slice(&(address as u64).to_ne_bytes());
    let pipe = PIPE.load(Ordering::Relaxed);
    // SAFETY: The bytes live during the call.
    unsafe { libc::write(pipe, message.as_ptr().cast(), message.len()) };
    let bytes = MENDED.load(Ordering::Relaxed);
    if bytes == 0 {
        // SAFETY: A handler may end its process so.
        unsafe { libc::_exit(REPORTED) }
    }
    let page = address & !(bytes - 1);
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: It is the page that the child was told to store to, in its own copy of the memory.
    if unsafe { libc::mprotect(page as *mut libc::c_void, bytes, prot) } != 0 {
        // SAFETY: As above.
        unsafe { libc::_exit(NOT_MENDED) }
    }
}

fn parse(message: &[u8]) -> Result<Option<(i32, usize)>> {
    let Some((code, address)) = message.first_chunk::<8>().zip(message.last_chunk::<8>()) else {
        return Ok(None);
    };
    if message.len() != 16 {
        bail!("a handler was called more than once");
    }
    let code = i32::try_from(i64::from_ne_bytes(*code)).context("si_code")?;
    let address = usize::try_from(u64::from_ne_bytes(*address)).context("si_addr")?;
    Ok(Some((code, address)))
}
