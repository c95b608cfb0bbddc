// SPDX-License-Identifier: MIT OR Apache-2.0

//! Anonymous memory of this process.

use anyhow::{ensure, Context as _, Result};
use mapwright::{block_bytes, page_bytes};
use nix::{
    errno::Errno,
    sys::mman::{madvise, mmap_anonymous, munmap, MapFlags, MmapAdvise, ProtFlags},
};
use std::{ffi::c_void, num::NonZeroUsize, ops::Range, path::Path, ptr::NonNull};

/// Where a kernel that has huge pages says how it uses them.
const HUGE_PAGES: &str = "/sys/kernel/mm/transparent_hugepage";

/// A private anonymous mapping, unmapped when dropped.
pub struct Anonymous {
    addr: NonNull<c_void>,
    bytes: usize,
}

impl Anonymous {
    /// Maps `bytes` bytes, which have no pages yet.
    pub fn new(bytes: usize) -> Result<Self> {
        Self::with_flags(bytes, MapFlags::MAP_PRIVATE)
    }

    /// Maps `bytes` bytes, which get pages of the smallest size.
    pub fn small(bytes: usize) -> Result<Self> {
        let memory = Self::new(bytes)?;
        memory.advise(MmapAdvise::MADV_NOHUGEPAGE)?;
        Ok(memory)
    }

    /// Maps `bytes` bytes, which get huge pages where the kernel finds some.
    pub fn huge(bytes: usize) -> Result<Self> {
        let memory = Self::new(bytes)?;
        memory.advise(MmapAdvise::MADV_HUGEPAGE)?;
        Ok(memory)
    }

    /// Maps `bytes` bytes of the pool of huge pages.
    pub fn of_pool(bytes: usize) -> Result<Self> {
        Self::with_flags(bytes, MapFlags::MAP_PRIVATE | MapFlags::MAP_HUGETLB)
    }

    fn with_flags(bytes: usize, flags: MapFlags) -> Result<Self> {
        let length = NonZeroUsize::new(bytes).context("no bytes to map")?;
        let prot = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: The kernel chooses an address where nothing is mapped.
        let addr = unsafe { mmap_anonymous(None, length, prot, flags) }?;
        Ok(Self { addr, bytes })
    }

    /// The address of the first byte.
    pub fn addr(&self) -> usize {
        self.addr.as_ptr() as usize
    }

    /// The place of the first address in it that is a multiple of the size of a huge page.
    pub fn aligned(&self) -> usize {
        self.addr().next_multiple_of(block_bytes()) - self.addr()
    }

    /// The memory's length in bytes.
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Asks for small pages or huge ones, before it is touched; or says that what it holds may go.
    pub fn advise(&self, advice: MmapAdvise) -> Result<()> {
        // SAFETY: The mapping is this type's own. Nobody has a reference to its memory, and what
        // `touch` stores is never read.
        let result = unsafe { madvise(self.addr, self.bytes, advice) };
        // A kernel that has no huge pages takes no advice on them.
        let of_huge_pages = matches!(
            advice,
            MmapAdvise::MADV_HUGEPAGE | MmapAdvise::MADV_NOHUGEPAGE
        );
        match result {
            Err(Errno::EINVAL) if of_huge_pages && !Path::new(HUGE_PAGES).exists() => Ok(()),
            result => result.with_context(|| format!("{advice:?}")),
        }
    }

    /// Discards the pages of a range: they are zero when touched again.
    pub fn discard(&self, range: Range<usize>) -> Result<()> {
        self.advise_range(range, MmapAdvise::MADV_DONTNEED)
    }

    fn advise_range(&self, range: Range<usize>, advice: MmapAdvise) -> Result<()> {
        ensure!(
            range.end <= self.bytes,
            "{range:?} is beyond {} bytes",
            self.bytes
        );
        // SAFETY: It was checked to be inside the mapping, and see `advise`.
        let done = unsafe {
            let addr = self.addr.cast::<u8>().add(range.start).cast();
            madvise(addr, range.len(), advice)
        };
        done.with_context(|| format!("{advice:?}"))
    }

    /// Gives each page of a range memory, as storing a byte there would, but in one call.
    pub fn populate(&self, range: Range<usize>) -> Result<()> {
        self.advise_range(range, MmapAdvise::MADV_POPULATE_WRITE)
    }

    /// Stores a byte into each page of a range.
    pub fn touch(&self, range: Range<usize>) -> Result<()> {
        ensure!(
            range.end <= self.bytes,
            "{range:?} is beyond {} bytes",
            self.bytes
        );
        for within in range.step_by(page_bytes()) {
            // SAFETY: It was checked to be inside the mapping, which is writable.
            unsafe { self.addr.cast::<u8>().add(within).write_volatile(1) };
        }
        Ok(())
    }
}

impl Anonymous {
    /// Stores a byte at a place.
    pub fn store(&self, within: usize, value: u8) -> Result<()> {
        ensure!(
            within < self.bytes,
            "{within} is beyond {} bytes",
            self.bytes
        );
        // SAFETY: It was checked to be inside the mapping, which is writable.
        unsafe { self.addr.cast::<u8>().add(within).write_volatile(value) };
        Ok(())
    }

    /// Loads the byte at a place.
    pub fn load(&self, within: usize) -> Result<u8> {
        ensure!(
            within < self.bytes,
            "{within} is beyond {} bytes",
            self.bytes
        );
        // SAFETY: It was checked to be inside the mapping.
        Ok(unsafe { self.addr.cast::<u8>().add(within).read_volatile() })
    }

    /// Loads `count` bytes, `stride` bytes apart, around and around; returns their sum. `stride` must be
    /// below its length.
    pub fn sum(&self, count: usize, stride: usize) -> u64 {
        assert!(stride < self.bytes, "a stride of {stride} is too long");
        let (mut sum, mut within) = (0u64, 0);
        for _ in 0..count {
            // SAFETY: `within` is below the mapping's length.
            sum += u64::from(unsafe { self.addr.cast::<u8>().add(within).read_volatile() });
            within += stride;
            if within >= self.bytes {
                within -= self.bytes;
            }
        }
        sum
    }
}

impl Drop for Anonymous {
    fn drop(&mut self) {
        // SAFETY: This owns the mapping. It cannot fail for what `mmap` gave.
        let _ = unsafe { munmap(self.addr, self.bytes) };
    }
}
