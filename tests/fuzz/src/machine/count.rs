// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whether regions know how often they are mapped.

use super::calls::request;
use super::{Machine, Region};
use anyhow::{ensure, Context as _, Result};
use mapwright::{uapi, uapi::Request as _};
use std::fs;
use std::os::fd::AsRawFd as _;

/// Unmaps all mappings of devices, of whatever the program knows nothing of, too.
fn unmap_all() -> Result<()> {
    let maps = fs::read_to_string("/proc/self/maps")?;
    // A page cache of its own is the second.
    let is_ours = |line: &&str| line.contains("/dev/mapwright") || line.contains("[mapwright]");
    for line in maps.lines().filter(is_ours) {
        let (start, rest) = line.split_once('-').context("/proc/self/maps")?;
        let (end, _) = rest.split_once(' ').context("/proc/self/maps")?;
        let start = usize::from_str_radix(start, 16)?;
        let end = usize::from_str_radix(end, 16)?;
        // SAFETY: A mapping of a device, of which nothing is borrowed.
        unsafe { libc::munmap(start as *mut _, end - start) };
    }
    Ok(())
}

impl Machine {
    /// Fails if a region says that it is mapped when nothing is any more. A DMA-buf of it, or a transfer, may be mapped.
    pub(super) fn expect_no_vmas(&self) -> Result<()> {
        let regions: Vec<Region> = self.things().regions.clone();
        // Children have these mappings, too.
        // SAFETY: The statuses are not wanted.
        while unsafe { libc::waitpid(-1, std::ptr::null_mut(), 0) } > 0 {}
        unmap_all()?;
        for region in regions {
            let mut query = uapi::Query {
                id: region.id,
                ..uapi::Query::new()
            };
            if request(region.file.as_raw_fd(), &mut query).is_ok() && !region.contents.is_shared()
            {
                ensure!(
                    query.vmas == 0,
                    "vmas: region {} has {} of them, and none is left",
                    region.id,
                    query.vmas as i64
                );
            }
        }
        Ok(())
    }
}
