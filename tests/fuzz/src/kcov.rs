// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which code of the modules a thread has run: `/sys/kernel/debug/kcov`.

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicU64, Ordering};

const PATH: &str = "/sys/kernel/debug/kcov";
/// `KCOV_INIT_TRACE`: `_IOR('c', 1, unsigned long)`.
const INIT_TRACE: libc::Ioctl = 0x8008_6301_u32 as libc::Ioctl;
/// `KCOV_ENABLE`: `_IO('c', 100)`.
const ENABLE: libc::Ioctl = 0x6364;
const TRACE_PC: usize = 0;
/// Places that a buffer has room for. What comes after them is not recorded.
const PLACES: usize = 64 << 10;

/// The record of one thread at a time.
pub struct Kcov {
    file: File,
    /// The number of places, and then the places. The kernel writes here.
    places: &'static [AtomicU64],
}

impl Kcov {
    /// A buffer, or none where the kernel has no KCOV.
    pub fn new() -> Result<Option<Self>> {
        let file = match OpenOptions::new().read(true).write(true).open(PATH) {
            Ok(file) => file,
            Err(err) if err.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(err) => return Err(err).context(PATH),
        };
        // SAFETY: The request takes a number.
        let begun = unsafe { libc::ioctl(file.as_raw_fd(), INIT_TRACE, PLACES) };
        Errno::result(begun).context("KCOV_INIT_TRACE")?;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: The kernel chooses where.
        let at = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                PLACES * size_of::<u64>(),
                protection,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if at == libc::MAP_FAILED {
            return Err(Errno::last()).context("kcov's mmap");
        }
        // Only this process looks at it, and a child that has it would take time to be made.
        // SAFETY: All of the mapping that was made just now.
        unsafe { libc::madvise(at, PLACES * size_of::<u64>(), libc::MADV_DONTFORK) };
        // SAFETY: So many were mapped just now, they stay mapped, and any bits are a number. They change, and are atomic.
        let places = unsafe { std::slice::from_raw_parts(at.cast::<AtomicU64>(), PLACES) };
        Ok(Some(Self { file, places }))
    }

    /// Records what the calling thread does from now on, until it ends.
    pub fn record_this_thread(&self) -> Result<()> {
        // SAFETY: The request takes a number.
        let begun = unsafe { libc::ioctl(self.file.as_raw_fd(), ENABLE, TRACE_PC) };
        Errno::result(begun).context("KCOV_ENABLE")?;
        Ok(())
    }

    /// Takes the places that were recorded, in the order in which they were run.
    pub fn take(&self, mut each: impl FnMut(u64)) {
        let Some((count, places)) = self.places.split_first() else {
            return;
        };
        let recorded = count.swap(0, Ordering::AcqRel) as usize;
        for place in &places[..recorded.min(places.len())] {
            each(place.load(Ordering::Relaxed));
        }
    }
}
