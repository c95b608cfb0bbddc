// SPDX-License-Identifier: MIT OR Apache-2.0

//! A mapping to be measured: mapped, touched and unmapped when told, by one system call or one tight
//! loop each.

use anyhow::{ensure, Context as _, Result};
use mapwright::page_bytes;
use nix::{
    libc,
    sys::mman::{madvise, mmap, mmap_anonymous, munmap, MapFlags, MmapAdvise, ProtFlags},
};
use std::{num::NonZeroUsize, os::fd::AsFd, ptr::NonNull};

const RW: ProtFlags = ProtFlags::PROT_READ.union(ProtFlags::PROT_WRITE);

/// A mapping that can be loaded from and stored to.
pub struct Area {
    addr: NonNull<u8>,
    length: NonZeroUsize,
    /// Bytes of a page.
    page: usize,
}

impl Area {
    /// Maps `bytes` of a file at `offset`, shared.
    pub fn shared(file: impl AsFd, offset: u64, bytes: usize) -> Result<Self> {
        let length = NonZeroUsize::new(bytes).context("nothing to map")?;
        let offset = libc::off_t::try_from(offset)?;
        // SAFETY: The kernel chooses an address where nothing is mapped.
        let addr = unsafe { mmap(None, length, RW, MapFlags::MAP_SHARED, file, offset) }?;
        Ok(Self {
            addr: addr.cast(),
            length,
            page: page_bytes(),
        })
    }

    /// The same at an address where no huge page fits.
    pub fn misaligned(file: impl AsFd, offset: u64, bytes: usize) -> Result<Self> {
        // Far below what programs have where addresses have 64 bits.
        let wish = NonZeroUsize::new((1 << 30) + page_bytes());
        let length = NonZeroUsize::new(bytes).context("nothing to map")?;
        let offset = libc::off_t::try_from(offset)?;
        // SAFETY: The kernel chooses an address where nothing is mapped: this one, if it can.
        let addr = unsafe { mmap(wish, length, RW, MapFlags::MAP_SHARED, file, offset) }?;
        let area = Self {
            addr: addr.cast(),
            length,
            page: page_bytes(),
        };
        ensure!(wish == Some(area.addr.addr()), "{addr:?} is not {wish:?}");
        Ok(area)
    }

    /// Maps `bytes` of anonymous memory, in huge pages where they fit or in none.
    pub fn anonymous(bytes: usize, huge: bool) -> Result<Self> {
        let length = NonZeroUsize::new(bytes).context("nothing to map")?;
        // SAFETY: The kernel chooses an address where nothing is mapped.
        let addr = unsafe { mmap_anonymous(None, length, RW, MapFlags::MAP_PRIVATE) }?;
        let area = Self {
            addr: addr.cast(),
            length,
            page: page_bytes(),
        };
        let advice = match huge {
            true => MmapAdvise::MADV_HUGEPAGE,
            false => MmapAdvise::MADV_NOHUGEPAGE,
        };
        // SAFETY: All of this mapping; the advice changes nothing that a program could see.
        unsafe { madvise(addr, bytes, advice) }?;
        Ok(area)
    }

    /// Maps `bytes` of the pool of huge pages.
    pub fn of_pool(bytes: usize) -> Result<Self> {
        let length = NonZeroUsize::new(bytes).context("nothing to map")?;
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_HUGETLB;
        // SAFETY: The kernel chooses an address where nothing is mapped.
        let addr = unsafe { mmap_anonymous(None, length, RW, flags) }?;
        Ok(Self {
            addr: addr.cast(),
            length,
            page: page_bytes(),
        })
    }

    /// Asks for huge pages.
    pub fn want_huge(&self) -> Result<()> {
        // SAFETY: All of this mapping; the advice changes nothing that a program could see.
        unsafe {
            madvise(
                self.addr.cast(),
                self.length.get(),
                MmapAdvise::MADV_HUGEPAGE,
            )
        }?;
        Ok(())
    }

    /// All of it, for system calls that take memory.
    pub fn memory(&self) -> libc::iovec {
        libc::iovec {
            iov_base: self.addr.as_ptr().cast(),
            iov_len: self.length.get(),
        }
    }

    /// Whether each page of the first `bytes` begins with what [`Self::touch`] stores.
    pub fn is_touched(&self, bytes: usize) -> bool {
        (0..bytes.min(self.length.get()))
            .step_by(self.page)
            // SAFETY: Inside this mapping, which is readable and which nothing has borrowed from.
            .all(|at| unsafe { self.addr.as_ptr().wrapping_add(at).read_volatile() } == 1)
    }

    /// Clears all of it by `clear`, which clears so many bytes from there on, `piece` bytes at a time.
    pub fn clear(&mut self, clear: unsafe fn(*mut u8, usize), piece: usize) {
        for at in (0..self.length.get()).step_by(piece) {
            let bytes = piece.min(self.length.get() - at);
            // SAFETY: Inside this mapping, which is writable, of whole pages, and which nothing has borrowed from.
            unsafe { clear(self.addr.as_ptr().wrapping_add(at), bytes) };
        }
    }

    /// The sum of the words at each multiple of `step`, which is one of 8.
    #[inline(never)]
    pub fn sum(&self, step: usize) -> u64 {
        (0..self.length.get())
            .step_by(step)
            // SAFETY: Inside this mapping, which is readable and which nothing has borrowed from.
            .map(|at| unsafe {
                self.addr
                    .as_ptr()
                    .wrapping_add(at)
                    .cast::<u64>()
                    .read_volatile()
            })
            .fold(0, u64::wrapping_add)
    }

    /// Stores a byte to each page, in the shortest loop there is.
    #[inline(never)]
    pub fn touch(&mut self) {
        let mut at = self.addr.as_ptr();
        let end = at.wrapping_add(self.length.get());
        let page = self.page;
        while at < end {
            // SAFETY: Inside this mapping, which is writable and which nothing has borrowed from.
            // The memory may be shared with the kernel, so the store is volatile.
            unsafe { at.write_volatile(1) };
            at = at.wrapping_add(page);
        }
    }

    /// Unmaps it.
    pub fn unmap(self) {
        drop(self);
    }
}

impl Drop for Area {
    fn drop(&mut self) {
        // SAFETY: All of this mapping, which nothing has borrowed from. It cannot fail for what `mmap`
        // gave.
        let _ = unsafe { munmap(self.addr.cast(), self.length.get()) };
    }
}
