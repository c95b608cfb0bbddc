// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory of which most pages were freed, here and there, and pages in it that cannot be moved.

use crate::anonymous::Anonymous;
use anyhow::{bail, ensure, Context as _, Result};
use mapwright::{block_size, page_bytes, page_size, pagemap_pfns};
use nix::{errno::Errno, libc, unistd::pipe};
use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::{AsRawFd as _, OwnedFd},
    thread,
    time::Duration,
};

/// What remains of memory of which most pages were freed.
pub struct Fragments {
    memory: Anonymous,
    /// Places of pages that the kernel holds in a pipe.
    pinned: BTreeSet<usize>,
    _pipe: Option<(OwnedFd, OwnedFd)>,
}

/// A page of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    pub pfn: u64,
    pub pinned: bool,
}

impl Fragments {
    /// Memory of `bytes` bytes, perhaps with a page pinned in each physical block of the size of a huge page.
    pub fn new(bytes: usize, pin: bool) -> Result<Self> {
        let memory = Anonymous::small(bytes)?;
        memory.populate(0..bytes)?;
        let mut fragments = Self {
            memory,
            pinned: BTreeSet::new(),
            _pipe: None,
        };
        if pin {
            fragments.pin()?;
        }
        let page = page_bytes();
        let (mut begin, end) = (0, bytes / page);
        for at in fragments.places().chain([end]) {
            if begin < at {
                fragments.memory.discard(begin * page..at * page)?;
            }
            begin = at + 1;
        }
        Ok(fragments)
    }

    /// Places of the pages that remain.
    fn places(&self) -> impl Iterator<Item = usize> {
        (0..self.memory.len() / page_bytes()).filter(|at| remains(*at))
    }

    /// The frames of the pages that remain.
    pub fn frames(&self) -> Result<Vec<Frame>> {
        // One that is just being moved has none.
        for _ in 0..50 {
            if let Some(frames) = self.frames_now()? {
                return Ok(frames);
            }
            thread::sleep(Duration::from_millis(10));
        }
        bail!("a page that was touched is gone")
    }

    fn frames_now(&self) -> Result<Option<Vec<Frame>>> {
        let pfns = pagemap_pfns(self.memory.addr(), self.memory.len() / page_bytes())?;
        let frame = |at: usize| {
            Some(Frame {
                pfn: pfns.get(at).copied().flatten()?,
                pinned: self.pinned.contains(&at),
            })
        };
        Ok(self.places().map(frame).collect())
    }

    /// How many physical blocks these are in.
    pub fn blocks(frames: &[Frame]) -> usize {
        let blocks: BTreeSet<u64> = frames.iter().map(|frame| block_of(frame.pfn)).collect();
        blocks.len()
    }

    /// Puts one page of each physical block into a pipe: as long as it is there, the kernel holds a reference to
    /// the page, and cannot move it.
    fn pin(&mut self) -> Result<()> {
        let mut one_of = BTreeMap::new();
        for (at, frame) in self.places().zip(self.frames()?) {
            one_of.entry(block_of(frame.pfn)).or_insert(at);
        }
        let (reader, writer) = pipe()?;
        // SAFETY: It only changes how many pages the pipe takes.
        let room = unsafe {
            let pages = one_of.len().next_power_of_two() * page_bytes();
            libc::fcntl(writer.as_raw_fd(), libc::F_SETPIPE_SZ, pages as libc::c_int)
        };
        Errno::result(room).context("making a pipe larger")?;
        for at in one_of.values() {
            let piece = libc::iovec {
                iov_base: (self.memory.addr() + at * page_bytes()) as *mut _,
                iov_len: 1,
            };
            // SAFETY: The byte is in the mapping, which outlives the pipe's use of it: the pipe holds its page.
            let put =
                unsafe { libc::vmsplice(writer.as_raw_fd(), &piece, 1, libc::SPLICE_F_NONBLOCK) };
            ensure!(
                Errno::result(put).context("vmsplice()")? == 1,
                "a pipe took no page"
            );
            self.pinned.insert(*at);
        }
        self._pipe = Some((reader, writer));
        Ok(())
    }
}

/// Whether the page at a place remains: one of three does, without a pattern. Compaction looks for free pages at first
/// at every 32nd frame only, and would find none where every other one is free.
fn remains(at: usize) -> bool {
    let mixed = (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 33) % 3 == 0
}

fn block_of(pfn: u64) -> u64 {
    pfn * page_size() / block_size()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_third_remains_in_each_block() {
        for block in 0..64 {
            let remain = (block * 512..(block + 1) * 512)
                .filter(|at| remains(*at))
                .count();
            assert!((100..240).contains(&remain), "{remain} of block {block}");
        }
    }
}
