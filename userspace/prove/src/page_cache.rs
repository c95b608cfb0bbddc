// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which pages of a file are in the page cache, and their flags.

use anyhow::{Context as _, Result};
use mapwright::{page_bytes, pagemap_pfns};
use nix::{
    errno::Errno,
    libc,
    sys::mman::{madvise, mmap, munmap, MapFlags, MmapAdvise, ProtFlags},
};
use std::{ffi::c_void, fs::File, num::NonZeroUsize, os::unix::fs::FileExt as _, ptr::NonNull};

/// Bits of `/proc/kpageflags`: `linux/kernel-page-flags.h`.
pub const REFERENCED: u64 = 1 << 2;
pub const DIRTY: u64 = 1 << 4;
pub const ACTIVE: u64 = 1 << 6;
pub const WRITEBACK: u64 = 1 << 8;

/// A page of a file that is in the page cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CachedPage {
    pub pfn: u64,
    pub flags: u64,
}

impl CachedPage {
    /// Whether it has one of these flags.
    pub fn has(&self, flags: u64) -> bool {
        self.flags & flags != 0
    }
}

/// The pages of a file from `place` on, a multiple of the page size; none of a page that is not cached. Nothing is
/// read from the file, and no page is marked as used.
pub fn look(file: &File, place: u64, pages: usize) -> Result<Vec<Option<CachedPage>>> {
    let view = View::new(file, place, pages)?;
    let cached = view.cached()?;
    for (number, cached) in cached.iter().enumerate() {
        if *cached {
            view.load(number);
        }
    }
    let pfns = pagemap_pfns(view.addr.as_ptr() as usize, pages)?;
    let all = File::open("/proc/kpageflags").context("opening /proc/kpageflags")?;
    let page = |(pfn, cached): (Option<u64>, bool)| -> Result<Option<CachedPage>> {
        let Some(pfn) = pfn.filter(|_| cached) else {
            return Ok(None);
        };
        let mut flags = [0; 8];
        all.read_exact_at(&mut flags, pfn * 8)
            .context("reading /proc/kpageflags")?;
        let flags = u64::from_ne_bytes(flags);
        Ok(Some(CachedPage { pfn, flags }))
    };
    pfns.into_iter().zip(cached).map(page).collect()
}

/// How many pages of a file from `place` on are cached.
pub fn count(file: &File, place: u64, pages: usize) -> Result<usize> {
    let cached = View::new(file, place, pages)?.cached()?;
    Ok(cached.into_iter().filter(|cached| *cached).count())
}

/// A mapping of a part of a file, unmapped when dropped.
struct View {
    addr: NonNull<c_void>,
    pages: usize,
}

impl View {
    fn new(file: &File, place: u64, pages: usize) -> Result<Self> {
        let length = NonZeroUsize::new(pages * page_bytes()).context("no pages")?;
        let place = libc::off_t::try_from(place)?;
        // SAFETY: The kernel chooses an address where nothing is mapped, and nobody uses the memory but `load`.
        let addr = unsafe {
            mmap(
                None,
                length,
                ProtFlags::PROT_READ,
                MapFlags::MAP_SHARED,
                file,
                place,
            )
        };
        let addr = addr.context("mapping a file")?;
        let view = Self { addr, pages };
        // A mapping with random access leaves no mark that a page was used, nor does a fault. With
        // MADV_POPULATE_READ, the kernel would mark it.
        // SAFETY: It is the mapping from above.
        unsafe { madvise(addr, length.get(), MmapAdvise::MADV_RANDOM) }?;
        Ok(view)
    }

    /// Which of its pages are in the page cache.
    fn cached(&self) -> Result<Vec<bool>> {
        let mut bytes = vec![0u8; self.pages];
        let length = self.pages * page_bytes();
        // SAFETY: There is a byte for each page.
        let result = unsafe { libc::mincore(self.addr.as_ptr(), length, bytes.as_mut_ptr()) };
        Errno::result(result).context("mincore")?;
        Ok(bytes.iter().map(|byte| byte & 1 == 1).collect())
    }

    /// Loads a byte of a page, so that it is mapped.
    fn load(&self, number: usize) {
        let byte = number.min(self.pages - 1) * page_bytes();
        // SAFETY: It is in the mapping, and the page is in the file.
        let _ = unsafe { self.addr.cast::<u8>().add(byte).read_volatile() };
    }
}

impl Drop for View {
    fn drop(&mut self) {
        // It also has this processor put what waits for its list there.
        // SAFETY: This owns the mapping. It cannot fail for what `mmap` gave.
        let _ = unsafe { munmap(self.addr, self.pages * page_bytes()) };
    }
}
