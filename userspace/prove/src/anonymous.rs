// SPDX-License-Identifier: MIT OR Apache-2.0

//! Anonymous memory of this process.

use anyhow::{ensure, Context as _, Result};
use nix::sys::mman::{madvise, mmap_anonymous, munmap, MapFlags, MmapAdvise, ProtFlags};
use std::{ffi::c_void, num::NonZeroUsize, ops::Range, ptr::NonNull};

/// A private anonymous mapping, unmapped when dropped.
pub struct Anonymous {
    addr: NonNull<c_void>,
    bytes: usize,
}

impl Anonymous {
    /// Maps `bytes` bytes, which have no pages yet.
    pub fn new(bytes: usize) -> Result<Self> {
        let length = NonZeroUsize::new(bytes).context("no bytes to map")?;
        let prot = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: The kernel chooses an address where nothing is mapped.
        let addr = unsafe { mmap_anonymous(None, length, prot, MapFlags::MAP_PRIVATE) }?;
        Ok(Self { addr, bytes })
    }

    /// The address of the first byte.
    pub fn addr(&self) -> usize {
        self.addr.as_ptr() as usize
    }

    /// Its length in bytes.
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Asks for small pages or huge ones, before it is touched; or says that what it holds may go.
    pub fn advise(&self, advice: MmapAdvise) -> Result<()> {
        // SAFETY: The mapping is this type's own. Nobody has a reference to its memory, and what
        // `touch` stores is never read.
        unsafe { madvise(self.addr, self.bytes, advice) }.with_context(|| format!("{advice:?}"))
    }

    /// Stores a byte into each page of a range.
    pub fn touch(&self, range: Range<usize>) -> Result<()> {
        ensure!(
            range.end <= self.bytes,
            "{range:?} is beyond {} bytes",
            self.bytes
        );
        let page = usize::try_from(mapwright::page_size())?;
        for within in range.step_by(page) {
            // SAFETY: It was checked to be inside the mapping, which is writable.
            unsafe { self.addr.cast::<u8>().add(within).write_volatile(1) };
        }
        Ok(())
    }
}

impl Drop for Anonymous {
    fn drop(&mut self) {
        // SAFETY: This owns the mapping. It cannot fail for what `mmap` gave.
        let _ = unsafe { munmap(self.addr, self.bytes) };
    }
}
