// SPDX-License-Identifier: MIT OR Apache-2.0

//! Two processes, each of which maps a page at the same address for itself.

use anyhow::{Context as _, Result};
use mapwright::page_bytes;
use nix::{
    libc,
    sys::{
        mman::{mmap_anonymous, munmap, MapFlags, ProtFlags},
        signal::{kill, Signal},
        wait::waitpid,
    },
    unistd::{fork, ForkResult, Pid},
};
use std::{
    ffi::c_void,
    io::{Read as _, Write as _},
    num::NonZeroUsize,
    os::unix::net::UnixStream,
    ptr::NonNull,
    time::Duration,
};

/// The address that both programs use in a document's example.
const ADDRESS: usize = 0x0804_8000;
/// A child that is silent for so long is stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// A page of this process at 0x8048000, unless something else is there.
pub struct Mapped(NonNull<c_void>);

impl Mapped {
    pub fn new() -> Result<Self> {
        let length = NonZeroUsize::new(page_bytes()).context("no bytes")?;
        let prot = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let hint = NonZeroUsize::new(ADDRESS);
        // SAFETY: The kernel takes another address where something is mapped there.
        let addr = unsafe { mmap_anonymous(hint, length, prot, MapFlags::MAP_PRIVATE) };
        Ok(Self(addr.context("mapping a page")?))
    }

    pub fn addr(&self) -> usize {
        self.0.as_ptr() as usize
    }

    pub fn store(&self, byte: u8) {
        // SAFETY: It is the first byte of this type's page.
        unsafe { self.0.cast::<u8>().write_volatile(byte) };
    }

    pub fn load(&self) -> u8 {
        // SAFETY: It is the first byte of this type's page.
        unsafe { self.0.cast::<u8>().read_volatile() }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: This owns the page. It cannot fail for what `mmap` gave.
        let _ = unsafe { munmap(self.0, page_bytes()) };
    }
}

/// A child with such a page of its own, until this is dropped.
pub struct Other {
    pid: Pid,
    line: Option<UnixStream>,
    addr: usize,
}

impl Other {
    /// Starts it; it stores this byte. The process must have one thread, and no such page yet.
    pub fn start(byte: u8) -> Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_read_timeout(Some(PATIENCE))?;
        // SAFETY: The process has one thread, so the child may do what it likes; it leaves by `_exit`.
        let pid = match unsafe { fork() }? {
            ForkResult::Parent { child } => child,
            ForkResult::Child => {
                drop(ours);
                let status = i32::from(serve(&theirs, byte).is_err());
                // SAFETY: Ends the child without running what belongs to the parent.
                unsafe { libc::_exit(status) }
            }
        };
        drop(theirs);
        let mut other_process = Self {
            pid,
            line: Some(ours),
            addr: 0,
        };
        let mut addr = [0; 8];
        other_process.line()?.read_exact(&mut addr)?;
        other_process.addr = usize::try_from(u64::from_ne_bytes(addr))?;
        Ok(other_process)
    }

    /// The number of the process.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw().unsigned_abs()
    }

    /// Where its page is.
    pub fn addr(&self) -> usize {
        self.addr
    }

    /// The byte that it finds there.
    pub fn load(&self) -> Result<u8> {
        let mut line = self.line()?;
        line.write_all(&[0])?;
        let mut byte = [0];
        line.read_exact(&mut byte)?;
        Ok(byte[0])
    }

    fn line(&self) -> Result<&UnixStream> {
        self.line.as_ref().context("the child is gone")
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // It would end when nobody speaks to it any more, unless it is stuck.
        self.line = None;
        let _ = kill(self.pid, Signal::SIGKILL);
        let _ = waitpid(self.pid, None);
    }
}

/// In the child: stores its byte, and says what is there whenever it is asked.
fn serve(mut line: &UnixStream, byte: u8) -> Result<()> {
    let mine = Mapped::new()?;
    mine.store(byte);
    line.write_all(&(mine.addr() as u64).to_ne_bytes())?;
    loop {
        line.read_exact(&mut [0])?;
        line.write_all(&[mine.load()])?;
    }
}
