// SPDX-License-Identifier: MIT OR Apache-2.0

//! Reads and writes of regions.

use super::{Machine, Region};
use crate::program::{Count, Other, Slot};
use anyhow::Result;
use mapwright::page_bytes;
use std::os::fd::{AsRawFd as _, RawFd};

impl Machine {
    pub(super) fn read(&self, slot: Slot, span: Span, to: Other) -> Result<()> {
        let Some(region) = self.region(slot) else {
            return Ok(());
        };
        let (offset, mut length) = span.of(&region);
        let file = region.file.as_raw_fd();
        match to {
            Other::Mapping(slot) => {
                if let Some(map) = self.map(slot) {
                    if let Some((contents, _)) = &map.of {
                        contents.forget();
                    }
                    length = length.min(map.pages as usize * page_bytes());
                    // SAFETY: A mapping of the program's, of which nothing is borrowed.
                    unsafe { libc::pread64(file, map.address as *mut _, length, offset) };
                }
            }
            Other::Buffer(_) => {
                let mut buffer = vec![0u8; length];
                // SAFETY: There is room for so many.
                let read =
                    unsafe { libc::pread64(file, buffer.as_mut_ptr().cast(), length, offset) };
                let read = usize::try_from(read).unwrap_or(0);
                for (page, at) in span.first_bytes(&region, read) {
                    self.expect(&region.contents, page, buffer[at], "pread()")?;
                }
            }
            Other::Nothing => {
                // SAFETY: The kernel looks at the address, where nothing is mapped.
                unsafe { libc::pread64(file, 8 as *mut _, length, offset) };
            }
            Other::Pipe => splice(file, offset, length, true),
        }
        Ok(())
    }

    pub(super) fn write(&self, slot: Slot, span: Span, of: Other) {
        let Some(region) = self.region(slot) else {
            return;
        };
        let (offset, mut length) = span.of(&region);
        let file = region.file.as_raw_fd();
        if let Other::Buffer(byte) = of {
            let buffer = vec![byte; length];
            // SAFETY: There are so many.
            let written = unsafe { libc::pwrite64(file, buffer.as_ptr().cast(), length, offset) };
            let written = usize::try_from(written).unwrap_or(0);
            for (page, _) in span.first_bytes(&region, written) {
                region.contents.set(page, byte);
            }
            // A write that ends in its middle may have written more than it tells.
            if written == length {
                return;
            }
        }
        region.contents.forget();
        match of {
            Other::Buffer(_) => {}
            Other::Mapping(slot) => {
                if let Some(map) = self.map(slot) {
                    length = length.min(map.pages as usize * page_bytes());
                    // SAFETY: The kernel reads there, and looks at the address.
                    unsafe { libc::pwrite64(file, map.address as *const _, length, offset) };
                }
            }
            Other::Nothing => {
                // SAFETY: The kernel looks at the address, where nothing is mapped.
                unsafe { libc::pwrite64(file, 8 as *const _, length, offset) };
            }
            Other::Pipe => splice(file, offset, length, false),
        }
    }
}

/// Which bytes of a region are read or written.
#[derive(Clone, Copy)]
pub(super) struct Span {
    from: Count,
    /// Bytes behind the beginning of that page.
    within: usize,
    pages: Count,
}

impl Span {
    pub(super) fn new(from: Count, within: u8, pages: Count) -> Self {
        // Mostly whole pages.
        let within = usize::from(within).saturating_sub(127) * 31;
        Self {
            from,
            within,
            pages,
        }
    }

    /// Where it begins in the file, and how many bytes it has.
    fn of(self, region: &Region) -> (i64, usize) {
        let at = self.from.first(region.pages) as usize * page_bytes() + self.within;
        let length = self.pages.pages(region.pages) as usize * page_bytes();
        (
            region.offset as i64 + at as i64,
            length.saturating_sub(self.within / 2),
        )
    }

    /// The pages whose first bytes are among the first `bytes` of it, and where these are in it.
    fn first_bytes(self, region: &Region, bytes: usize) -> impl Iterator<Item = (u64, usize)> {
        let from = self.from.first(region.pages);
        let before = self.within.div_ceil(page_bytes()) * page_bytes() - self.within;
        let skipped = self.within.div_ceil(page_bytes()) as u64;
        let places = (before..bytes).step_by(page_bytes()).enumerate();
        places.map(move |(page, at)| (from + skipped + page as u64, at))
    }
}

/// From a region into a pipe, or the other way round.
fn splice(file: RawFd, offset: i64, length: usize, out: bool) {
    let Ok((from, to)) = nix::unistd::pipe() else {
        return;
    };
    let length = length.min(8 * page_bytes());
    let mut at = offset;
    let none = std::ptr::null_mut();
    if out {
        // SAFETY: The offset is a variable of this function.
        unsafe {
            libc::splice(
                file,
                &mut at,
                to.as_raw_fd(),
                none,
                length,
                libc::SPLICE_F_NONBLOCK,
            )
        };
        return;
    }
    let bytes = vec![7u8; length];
    // SAFETY: There are so many; and as above.
    unsafe {
        libc::write(to.as_raw_fd(), bytes.as_ptr().cast(), length);
        libc::splice(
            from.as_raw_fd(),
            none,
            file,
            &mut at,
            length,
            libc::SPLICE_F_NONBLOCK,
        );
    }
}
