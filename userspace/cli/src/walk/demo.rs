// SPDX-License-Identifier: MIT OR Apache-2.0

//! Something of each kind, mapped in this program.

use super::DescribedWalk;
use anyhow::{Context as _, Result};
use mapwright::{
    block_bytes, block_size,
    inspect::{Inspector, Target},
    page_size, Backing, Mapping, Method, Protection, Session,
};
use nix::{
    errno::Errno,
    sys::mman::{madvise, mmap_anonymous, munmap, MapFlags, MmapAdvise, ProtFlags},
};
use std::{ffi::c_void, num::NonZeroUsize, path::Path, ptr::NonNull};

/// Where a kernel with huge pages has their settings.
const HUGE_PAGES: &str = "/sys/kernel/mm/transparent_hugepage";

/// Anonymous memory of this program, unmapped when dropped.
struct Anonymous {
    start: NonNull<c_void>,
    length: usize,
}

impl Anonymous {
    /// Four blocks, with huge pages or without, of which the middle is touched.
    fn touched(advice: MmapAdvise) -> Result<Self> {
        let length = 4 * block_bytes();
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let size = NonZeroUsize::new(length).context("no length")?;
        // SAFETY: The kernel chooses an address where nothing is mapped.
        let start = unsafe { mmap_anonymous(None, size, protection, MapFlags::MAP_PRIVATE) }?;
        let memory = Self { start, length };
        // SAFETY: All of a mapping of our own, of which nothing is borrowed.
        match unsafe { madvise(memory.start, length, advice) } {
            // A kernel without huge pages takes no advice about them.
            Err(Errno::EINVAL) if !Path::new(HUGE_PAGES).exists() => {}
            result => result?,
        }
        // SAFETY: Inside the mapping, which can be written to.
        unsafe { (memory.middle() as *mut u8).write_volatile(1) };
        Ok(memory)
    }

    /// An address in the middle, where a block begins.
    fn middle(&self) -> usize {
        (self.start.as_ptr() as usize + self.length / 2) & !(block_bytes() - 1)
    }
}

impl Drop for Anonymous {
    fn drop(&mut self) {
        // SAFETY: All of the mapping, of which nothing is borrowed.
        let _ = unsafe { munmap(self.start, self.length) };
    }
}

fn region(session: &Session, backing: Backing, method: Method, bytes: u64) -> Result<Mapping> {
    let region = session.create(backing, method, bytes)?;
    let mapping = session.map(&region, Protection::ReadWrite)?;
    mapping.touch();
    Ok(mapping)
}

/// The walks of the demonstration.
pub fn walks(inspector: &Inspector) -> Result<Vec<DescribedWalk>> {
    let small = Anonymous::touched(MmapAdvise::MADV_NOHUGEPAGE)?;
    let huge = Anonymous::touched(MmapAdvise::MADV_HUGEPAGE)?;
    let session = Session::open()?;
    let remapped = region(&session, Backing::Pages, Method::Remap, 16 * page_size())?;
    let huge_region = region(&session, Backing::Pages, Method::Huge, 2 * block_size())?;
    let layout = inspector.layout()?;

    let described = |title: &str, about, target, address| {
        DescribedWalk::new(
            inspector,
            format!("{address:#x}: {title}"),
            about,
            target,
            address,
        )
    };
    let myself = Target::Myself;
    let mut walks = vec![
        described(
            "a page of anonymous memory",
            "One entry per page, found through all levels.",
            myself,
            small.middle() as u64 + 0x123,
        )?,
        described(
            "anonymous memory with huge pages (THP)",
            "The walk ends early: the PMD's entry maps a whole block, and more bits of the address are offset.",
            myself,
            huge.middle() as u64 + 0x1_2345,
        )?,
        described(
            "beside the page, nothing was touched yet",
            "The entry is empty: a load here is a page fault, and the kernel makes the page then.",
            myself,
            small.middle() as u64 + page_size(),
        )?,
        described(
            "a region of ours, mapped with remap_pfn_range()",
            "Special: the kernel does not count this page, it only has its number.",
            myself,
            remapped.addr() as u64,
        )?,
        described(
            "a region of ours, mapped block by block",
            "What vmf_insert_pfn_pmd() put in.",
            myself,
            huge_region.addr() as u64 + page_size(),
        )?,
    ];
    let frame = walks.get(3).and_then(|described| described.walk.physical);
    if let Some(address) = frame.and_then(|physical| layout.direct_map_address(physical)) {
        walks.push(described(
            "the same frame of our region, as the kernel sees it",
            "The direct map holds all memory, one after the other: a constant plus the physical address.",
            Target::Kernel,
            address,
        )?);
    }
    Ok(walks)
}
