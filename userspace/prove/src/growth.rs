// SPDX-License-Identifier: MIT OR Apache-2.0

//! Children of this process that use up addresses until something stops them.

use anyhow::{ensure, Context as _, Result};
use nix::{
    libc,
    sys::{
        mman::{mmap_anonymous, MapFlags, ProtFlags},
        resource::{setrlimit, Resource},
        signal::{sigaction, SaFlags, SigAction, SigHandler, SigSet, Signal},
        wait::waitpid,
    },
    unistd::{fork, ForkResult},
};
use std::{
    ffi::{c_int, c_void},
    io::Read as _,
    num::NonZeroUsize,
    os::{fd::AsRawFd as _, unix::net::UnixStream},
    sync::atomic::{AtomicI32, Ordering},
};

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The kernel sent SIGSEGV for a store to this address.
    Fault { address: usize, code: i32 },
    /// A system call failed; up to here it had not.
    Refused { at: usize },
    /// Nothing stopped it.
    Endless,
}

impl Ended {
    /// What a shell's user would read.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Fault { code: 1, .. } => "SIGSEGV, SEGV_MAPERR",
            Self::Fault { code: 2, .. } => "SIGSEGV, SEGV_ACCERR",
            Self::Fault { .. } => "SIGSEGV",
            Self::Refused { .. } => "no signal: an error",
            Self::Endless => "nothing",
        }
    }

    /// The address where it ended.
    pub fn address(self) -> Option<usize> {
        match self {
            Self::Fault { address, .. } => Some(address),
            Self::Refused { at } => Some(at),
            Self::Endless => None,
        }
    }

    pub fn is_fault(self) -> bool {
        matches!(self, Self::Fault { .. })
    }
}

/// Stores into one page after the other below `start`, where the stack ends, in a child whose stack may have
/// `limit` bytes; perhaps with a page mapped at `below`.
pub fn grow_stack(start: usize, limit: u64, below: Option<usize>) -> Result<Ended> {
    let page = mapwright::page_bytes();
    let steps = usize::try_from(limit)? / page * 2;
    in_child(|| {
        setrlimit(
            Resource::RLIMIT_STACK,
            limit as libc::rlim_t,
            libc::RLIM_INFINITY,
        )
        .ok()?;
        if let Some(below) = below {
            map_page(below)?;
        }
        for step in 1..=steps {
            let address = start.checked_sub(step * page)?;
            // SAFETY: Either the kernel makes the child's stack larger, which only adds zeros to it, or it
            // sends the signal.
            unsafe { (address as *mut u8).write_volatile(1) };
        }
        Some(Ended::Endless)
    })
}

/// Moves the end of the heap up, page by page, in a child that has mapped a page `pages` pages above.
pub fn grow_heap(end: usize, pages: usize) -> Result<Ended> {
    let page = mapwright::page_bytes();
    in_child(|| {
        map_page(end + pages * page)?;
        for step in 1..=2 * pages {
            let wanted = end + step * page;
            // SAFETY: The heap only grows. Nobody allocates any more in this child.
            let now = unsafe { libc::syscall(libc::SYS_brk, wanted) } as usize;
            if now != wanted {
                return Some(Ended::Refused { at: now });
            }
            // SAFETY: The last page of the heap, which was just added.
            unsafe { ((wanted - page) as *mut u8).write_volatile(1) };
        }
        Some(Ended::Endless)
    })
}

/// Maps a page for reading at an address where nothing is.
fn map_page(address: usize) -> Option<()> {
    let length = NonZeroUsize::new(mapwright::page_bytes())?;
    let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_FIXED_NOREPLACE;
    let address = NonZeroUsize::new(address)?;
    // SAFETY: Nothing is replaced.
    let mapped = unsafe { mmap_anonymous(Some(address), length, ProtFlags::PROT_READ, flags) };
    (mapped.ok()?.as_ptr() as usize == address.get()).then_some(())
}

/// Where a child reports to.
static REPORT: AtomicI32 = AtomicI32::new(-1);

/// Does `f` in a child, and returns how that ended. It must neither allocate nor take a lock.
fn in_child(f: impl FnOnce() -> Option<Ended>) -> Result<Ended> {
    let (mut ours, theirs) = UnixStream::pair()?;
    // SAFETY: The child only makes system calls and uses its own memory, and ends.
    match unsafe { fork() }? {
        ForkResult::Child => {
            REPORT.store(theirs.as_raw_fd(), Ordering::Relaxed);
            let action = SigAction::new(
                SigHandler::SigAction(on_fault),
                SaFlags::SA_SIGINFO,
                SigSet::empty(),
            );
            // SAFETY: The handler only makes system calls.
            let handled = unsafe { sigaction(Signal::SIGSEGV, &action) };
            let ended = handled.ok().and_then(|_| f());
            report(match ended {
                None => [3, 0, 0],
                Some(Ended::Refused { at }) => [1, at, 0],
                Some(_) => [2, 0, 0],
            })
        }
        ForkResult::Parent { child } => {
            drop(theirs);
            let mut bytes = Vec::new();
            let read = ours.read_to_end(&mut bytes);
            waitpid(child, None)?;
            read?;
            parse(&bytes)
        }
    }
}

extern "C" fn on_fault(_: c_int, info: *mut libc::siginfo_t, _: *mut c_void) {
    // SAFETY: The kernel gives a handler with SA_SIGINFO what the signal is about.
    let (address, code) = unsafe { ((*info).si_addr() as usize, (*info).si_code) };
    report([0, address, code as usize])
}

/// Tells the parent, and ends.
fn report(words: [usize; 3]) -> ! {
    let file = REPORT.load(Ordering::Relaxed);
    // SAFETY: The bytes live during the call; `_exit` ends the child without running what belongs to the parent.
    unsafe {
        libc::write(file, words.as_ptr().cast(), size_of_val(&words));
        libc::_exit(0)
    }
}

fn parse(bytes: &[u8]) -> Result<Ended> {
    let mut words = bytes.chunks_exact(size_of::<usize>()).map(|word| {
        let word = word.try_into().unwrap_or_default();
        usize::from_ne_bytes(word)
    });
    let mut next = || words.next().context("a child ended and did not tell how");
    let (kind, address, code) = (next()?, next()?, next()?);
    ensure!(kind != 3, "a child could not set up its experiment");
    Ok(match kind {
        0 => Ended::Fault {
            address,
            code: code as i32,
        },
        1 => Ended::Refused { at: address },
        _ => Ended::Endless,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_tells_how_it_ended() {
        let bytes = |words: [usize; 3]| words.map(usize::to_ne_bytes).concat();
        let fault = Ended::Fault {
            address: 0x1000,
            code: 1,
        };
        assert_eq!(parse(&bytes([0, 0x1000, 1])).unwrap(), fault);
        assert!(fault.is_fault() && fault.describe().contains("SEGV_MAPERR"));
        assert_eq!(parse(&bytes([1, 5, 0])).unwrap(), Ended::Refused { at: 5 });
        assert_eq!(parse(&bytes([2, 0, 0])).unwrap(), Ended::Endless);
        assert!(parse(&bytes([3, 0, 0])).is_err() && parse(&[]).is_err());
    }
}
