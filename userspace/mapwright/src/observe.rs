// SPDX-License-Identifier: MIT OR Apache-2.0

//! What `/proc` says of this process's mappings.

use crate::{page_bytes, Error, Result};
use procfs::process::{MMapExtension, MemoryMap, PageInfo, Process, VmFlags};

/// A VMA of this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vma {
    /// First and last-plus-one address.
    pub range: (u64, u64),
    /// The permissions as in `/proc/PID/maps`: `rw-s`.
    pub permissions: String,
    /// Two-letter names of its flags, as in the `VmFlags` line of `/proc/PID/smaps`.
    pub flags: Vec<String>,
    /// Bytes that the kernel counts as resident.
    pub rss_bytes: u64,
}

impl Vma {
    /// Whether it has the flag with this two-letter name.
    pub fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|name| name == flag)
    }
}

/// The VMA of this process that `addr` is in.
pub fn vma_of(addr: usize) -> Result<Vma> {
    let maps = Process::myself()
        .and_then(|me| me.smaps())
        .map_err(proc_error)?;
    let addr = addr as u64;
    maps.into_iter()
        .find(|map| map.address.0 <= addr && addr < map.address.1)
        .map(|map| describe(&map))
        .ok_or_else(|| Error::Unexpected {
            what: "/proc/self/smaps".into(),
            detail: format!("nothing is mapped at {addr:#x}"),
        })
}

fn describe(map: &MemoryMap) -> Vma {
    Vma {
        range: map.address,
        permissions: map.perms.as_str(),
        flags: flag_names(&map.extension),
        rss_bytes: map.extension.map.get("Rss").copied().unwrap_or(0),
    }
}

/// The names that `smaps` uses, in its order. See `show_smap_vma_flags()` in `fs/proc/task_mmu.c`.
fn flag_names(extension: &MMapExtension) -> Vec<String> {
    let names = [
        (VmFlags::RD, "rd"),
        (VmFlags::WR, "wr"),
        (VmFlags::EX, "ex"),
        (VmFlags::SH, "sh"),
        (VmFlags::MR, "mr"),
        (VmFlags::MW, "mw"),
        (VmFlags::ME, "me"),
        (VmFlags::MS, "ms"),
        (VmFlags::PF, "pf"),
        (VmFlags::LO, "lo"),
        (VmFlags::IO, "io"),
        (VmFlags::DC, "dc"),
        (VmFlags::DE, "de"),
        (VmFlags::DD, "dd"),
        (VmFlags::MM, "mm"),
        (VmFlags::HG, "hg"),
        (VmFlags::NH, "nh"),
    ];
    names
        .into_iter()
        .filter(|(flag, _)| extension.vm_flags.contains(*flag))
        .map(|(_, name)| name.to_owned())
        .collect()
}

/// What a page table has for a page, as `/proc/self/pagemap` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PagemapEntry {
    /// Nothing, or a frame that is not told.
    None,
    /// The page frame with this number.
    Frame(u64),
    /// The page is in swap: the number of the device, and the page's place there.
    Swap(u64, u64),
}

/// What `/proc/self/pagemap` says of the pages from `addr` on. Numbers are only told to root.
pub fn pagemap(addr: usize, count: usize) -> Result<Vec<PagemapEntry>> {
    let first = addr / page_bytes();
    let pages = Process::myself()
        .and_then(|me| me.pagemap())
        .and_then(|mut pagemap| pagemap.get_range_info(first..first + count))
        .map_err(proc_error)?;
    Ok(pages.into_iter().map(entry_of).collect())
}

fn entry_of(page: PageInfo) -> PagemapEntry {
    match page {
        PageInfo::MemoryPage(page) => match page.get_page_frame_number().0 {
            0 => PagemapEntry::None,
            pfn => PagemapEntry::Frame(pfn),
        },
        PageInfo::SwapPage(page) => {
            PagemapEntry::Swap(page.get_swap_type(), page.get_swap_offset())
        }
    }
}

/// The page frame numbers of the pages from `addr` on: that of each page that is present and counted, `None`
/// otherwise. Numbers are only told to root.
pub fn pagemap_pfns(addr: usize, count: usize) -> Result<Vec<Option<u64>>> {
    let frame = |entry| match entry {
        PagemapEntry::Frame(pfn) => Some(pfn),
        _ => None,
    };
    Ok(pagemap(addr, count)?.into_iter().map(frame).collect())
}

/// Takes the page faults of the program's own code and data now, so that what is counted next is only
/// those of the memory in question. Best effort: it needs the right to lock memory.
pub fn settle() {
    use nix::sys::mman::{mlockall, munlockall, MlockAllFlags};
    if mlockall(MlockAllFlags::MCL_CURRENT).is_ok() {
        // Present is enough; it need not stay locked.
        let _ = munlockall();
    }
}

/// Page faults of this thread so far: (minor, major).
pub fn page_faults() -> Result<(u64, u64)> {
    use nix::sys::resource::{getrusage, UsageWho};
    let usage = getrusage(UsageWho::RUSAGE_THREAD).map_err(|errno| Error::System {
        what: "getrusage",
        errno,
    })?;
    let count = |n: nix::libc::c_long| u64::try_from(n).unwrap_or(0);
    Ok((
        count(usage.minor_page_faults()),
        count(usage.major_page_faults()),
    ))
}

fn proc_error(err: procfs::ProcError) -> Error {
    Error::Unexpected {
        what: "/proc/self".into(),
        detail: err.to_string(),
    }
}
