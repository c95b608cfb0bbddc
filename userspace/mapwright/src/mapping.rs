// SPDX-License-Identifier: MIT OR Apache-2.0

//! A mapping of a region into this process.

use nix::{
    errno::Errno,
    libc,
    sys::mman::{munmap, MapFlags, ProtFlags},
};
use std::{
    os::fd::{AsRawFd as _, BorrowedFd},
    ptr::{null_mut, NonNull},
};

/// What a program may do with a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Load only.
    Read,
    /// Load and store.
    ReadWrite,
}

/// A shared mapping, unmapped when dropped.
///
/// The kernel and other processes may change the memory at any time, so it is never lent as a
/// slice: bytes are copied in and out with volatile accesses.
#[derive(Debug)]
pub struct Mapping {
    addr: NonNull<u8>,
    length: usize,
    writable: bool,
}

// SAFETY: The memory is not tied to a thread, and all access through `&self` is volatile.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps `length` bytes at `offset` of a device.
    pub fn new(
        device: BorrowedFd<'_>,
        offset: u64,
        length: usize,
        protection: Protection,
    ) -> Result<Self, Errno> {
        // The `mmap` of a 32-bit program ends at 2 GiB.
        let offset = libc::off64_t::try_from(offset).map_err(|_| Errno::EINVAL)?;
        let prot = match protection {
            Protection::Read => ProtFlags::PROT_READ,
            Protection::ReadWrite => ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
        };
        // SAFETY: The kernel chooses an address where nothing is mapped.
        let addr = unsafe {
            libc::mmap64(
                null_mut(),
                length,
                prot.bits(),
                MapFlags::MAP_SHARED.bits(),
                device.as_raw_fd(),
                offset,
            )
        };
        if addr == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        Ok(Self {
            addr: NonNull::new(addr.cast()).ok_or(Errno::EFAULT)?,
            length,
            writable: protection == Protection::ReadWrite,
        })
    }

    /// The address of the first byte.
    pub fn addr(&self) -> usize {
        self.addr.as_ptr() as usize
    }

    /// The mapping's length in bytes.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Never: a mapping has at least a page.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Loads `buffer.len()` bytes from byte `within` on.
    ///
    /// # Panics
    ///
    /// If that is beyond the mapping.
    pub fn read(&self, within: usize, buffer: &mut [u8]) {
        self.check(within, buffer.len());
        for (i, byte) in buffer.iter_mut().enumerate() {
            // SAFETY: `check` made sure that the address is inside the mapping, which is readable.
            *byte = unsafe { self.addr.add(within + i).read_volatile() };
        }
    }

    /// Stores `data` from byte `within` on.
    ///
    /// # Panics
    ///
    /// If that is beyond the mapping, or the mapping is read-only.
    pub fn write(&mut self, within: usize, data: &[u8]) {
        self.check(within, data.len());
        assert!(self.writable, "the mapping is read-only");
        for (i, byte) in data.iter().enumerate() {
            // SAFETY: `check` made sure that the address is inside the mapping, which is writable.
            unsafe { self.addr.add(within + i).write_volatile(*byte) };
        }
    }

    /// Loads a byte of each page, and returns their sum.
    pub fn touch(&self) -> u64 {
        let step = crate::page_bytes();
        let load = |within| {
            let mut byte = [0];
            self.read(within, &mut byte);
            u64::from(byte[0])
        };
        (0..self.length).step_by(step).map(load).sum()
    }

    fn check(&self, within: usize, length: usize) {
        let end = within.checked_add(length);
        assert!(
            end.is_some_and(|end| end <= self.length),
            "{length} bytes at {within} are beyond a mapping of {} bytes",
            self.length
        );
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: This owns the whole mapping, and nobody can have borrowed from it. It cannot fail
        // for an address and length that `mmap` gave.
        let _ = unsafe { munmap(self.addr.cast(), self.length) };
    }
}
