// SPDX-License-Identifier: MIT OR Apache-2.0

//! A disk to transfer to and from with `O_DIRECT`: memory of the kernel's `null_blk` behind a real block
//! device, which takes its data from the pages of the caller itself.

use crate::not_testable;
use anyhow::{bail, Context as _, Result};
use nix::{
    libc,
    mount::{mount, MsFlags},
};
use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

const CONFIGFS: &str = "/sys/kernel/config";
const DRIVER: &str = "/sys/kernel/config/nullb";
const DIR: &str = "/sys/kernel/config/nullb/mapwright-disk";
/// What the kernel tells of it.
const QUEUE: &str = "/sys/block/mapwright-disk";
/// The disk's device node, while there is one.
pub const NODE: &str = "/dev/mapwright-disk";

/// What the kernel has counted of it: Documentation/block/stat.rst.
const COUNTERS: &str = "/sys/block/mapwright-disk/stat";

/// Bytes of a sector: what offsets, lengths and addresses of direct transfers are multiples of.
pub const SECTOR: usize = 512;
/// Bytes of the largest single transfer of a [slow](Disk::slow) disk.
pub const SLOW_TRANSFER: usize = 16 << 10;
/// Bytes of the disk.
pub const DISK_BYTES: usize = 16 << 20;

/// A disk full of zeros, which vanishes when this is dropped.
pub struct Disk {
    /// Open for reading and writing, with `O_DIRECT`.
    pub file: File,
}

impl Disk {
    /// A disk that is as fast as memory.
    pub fn new() -> Result<Self> {
        Self::with(&[])
    }

    /// A disk that takes 20 milliseconds for each [`SLOW_TRANSFER`] bytes.
    pub fn slow() -> Result<Self> {
        let sectors = (SLOW_TRANSFER / SECTOR).to_string();
        Self::with(&[("max_sectors", &sectors), ("mbps", "1")])
    }

    /// A slow disk with a cache of its own, from which what was written may be lost when the power fails.
    pub fn slow_with_cache() -> Result<Self> {
        let sectors = (SLOW_TRANSFER / SECTOR).to_string();
        Self::with(&[
            ("max_sectors", &sectors),
            ("mbps", "1"),
            ("cache_size", "16"),
        ])
    }

    /// What was written to it so far.
    pub fn written(&self) -> Result<Written> {
        parse_written(&crate::read::text(format!("{QUEUE}/stat"))?)
    }

    /// Whether it says that it has a cache which must be flushed.
    pub fn has_cache(&self) -> Result<bool> {
        let cache = crate::read::text(format!("{QUEUE}/queue/write_cache"))?;
        Ok(cache.trim() == "write back")
    }

    fn with(attributes: &[(&str, &str)]) -> Result<Self> {
        load_driver()?;
        fs::create_dir(DIR).context("a disk of null_blk cannot be made")?;
        let result = switch_on(attributes);
        if result.is_err() {
            remove();
        }
        result.map(|file| Self { file })
    }
}

/// What was written to a disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Bytes.
    pub bytes: u64,
    /// How often its cache was to be flushed.
    pub flushes: u64,
}

impl Written {
    /// What came after `before`.
    pub fn since(self, before: Self) -> Self {
        Self {
            bytes: self.bytes - before.bytes,
            flushes: self.flushes - before.flushes,
        }
    }
}

/// The kernel's Documentation/block/stat.rst: the seventh number is of sectors written, the sixteenth of flushes.
fn parse_written(stat: &str) -> Result<Written> {
    let numbers: Vec<u64> = stat
        .split_whitespace()
        .map_while(|word| word.parse().ok())
        .collect();
    match numbers.get(6).zip(numbers.get(15)) {
        Some((sectors, flushes)) => Ok(Written {
            bytes: sectors * SECTOR as u64,
            flushes: *flushes,
        }),
        None => bail!("the counters of a disk are too few: {stat}"),
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        remove();
    }
}

/// A number in the kernel's counters of the disk, by its place there.
#[derive(Clone, Copy, Debug)]
pub enum Counter {
    /// Reads that the disk has done.
    Reads = 0,
    /// Sectors that were written to it.
    SectorsWritten = 6,
}

/// What the kernel has counted of the disk.
pub fn counted(counter: Counter) -> Result<u64> {
    let counters = crate::read::text(COUNTERS)?;
    let number = counters.split_whitespace().nth(counter as usize);
    let number = number.and_then(|number| number.parse().ok());
    number.with_context(|| format!("{COUNTERS} does not tell {counter:?}"))
}

fn switch_on(attributes: &[(&str, &str)]) -> Result<File> {
    let size = (DISK_BYTES >> 20).to_string();
    let common = [("memory_backed", "1"), ("size", size.as_str())];
    for (name, value) in common.iter().chain(attributes).chain(&[("power", "1")]) {
        fs::write(format!("{DIR}/{name}"), value)
            .with_context(|| format!("{name} of the disk cannot be {value}"))?;
    }
    open_node()
}

/// Whatever remains is in the way of the next one, which says so.
fn remove() {
    let _ = fs::write(format!("{DIR}/power"), "0");
    let _ = fs::remove_dir(DIR);
}

/// Makes the driver's directory appear.
fn load_driver() -> Result<()> {
    if !Path::new("/sys/module/null_blk").exists() {
        let modprobe = Command::new("modprobe")
            .args(["null_blk", "nr_devices=0"])
            .output()?;
        if !modprobe.status.success() {
            return not_testable("this kernel has no null_blk, a disk to transfer to and from");
        }
    }
    if !Path::new(DRIVER).exists() {
        mount(
            Some("configfs"),
            CONFIGFS,
            Some("configfs"),
            MsFlags::empty(),
            None::<&str>,
        )
        .with_context(|| format!("{CONFIGFS} cannot be mounted"))?;
    }
    Ok(())
}

/// devtmpfs works in a thread of its own.
fn open_node() -> Result<File> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_DIRECT)
            .open(NODE);
        match opened {
            Err(_) if Instant::now() < deadline => sleep(Duration::from_millis(5)),
            opened => return opened.with_context(|| format!("{NODE} cannot be opened")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_told() {
        let stat = " 1 0 8 1 2 0 64 3 0 4 4 0 0 0 0 5 6\n";
        let written = parse_written(stat).unwrap();
        assert_eq!((written.bytes, written.flushes), (64 * 512, 5));
        assert!(parse_written("1 2 3").is_err());
    }
}
