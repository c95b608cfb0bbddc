// SPDX-License-Identifier: MIT OR Apache-2.0

//! Swap: a device that compresses in memory (zram), or a file.

use crate::{
    disk::{Disk, NODE},
    mounted::Mounted,
    not_testable,
    read::text,
};
use anyhow::{ensure, Context as _, Result};
use nix::{errno::Errno, libc};
use std::{
    ffi::CString,
    fs::{self, File, OpenOptions},
    os::unix::{ffi::OsStrExt as _, fs::FileExt as _},
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

const CONTROL: &str = "/sys/class/zram-control";
/// Before all swap that the machine may have besides: flag and highest priority, see swapon(2).
const FIRST: i32 = 0x8000 | 0x7fff;

/// Swap that is switched off when this is dropped.
pub struct Swap {
    /// The device's node, or the file.
    path: PathBuf,
    /// Dropped after the swap is off.
    _zram: Option<Zram>,
}

impl Swap {
    /// Swap of `bytes` bytes on a zram device.
    pub fn zram(bytes: u64) -> Result<Self> {
        let zram = Zram::new(bytes)?;
        let path = zram.node()?;
        Self::on(path, Some(zram))
    }

    /// A file, as long as it is.
    fn file(path: PathBuf) -> Result<Self> {
        Self::on(path, None)
    }

    fn on(path: PathBuf, zram: Option<Zram>) -> Result<Self> {
        write_header(&path)?;
        let name = CString::new(path.as_os_str().as_bytes())?;
        // SAFETY: The name lives during the call.
        let result = unsafe { libc::swapon(name.as_ptr(), FIRST) };
        Errno::result(result).with_context(|| format!("swapon {}", path.display()))?;
        Ok(Self { path, _zram: zram })
    }

    /// Bytes of it that are in use, as `/proc/swaps` tells.
    pub fn used(&self) -> Result<u64> {
        let swaps = text("/proc/swaps")?;
        parse_used(&swaps, &self.path.to_string_lossy())
    }
}

impl Drop for Swap {
    fn drop(&mut self) {
        if let Ok(name) = CString::new(self.path.as_os_str().as_bytes()) {
            // SAFETY: The name lives during the call.
            let _ = unsafe { libc::swapoff(name.as_ptr()) };
        }
    }
}

/// A swap file, in a file system on a disk of its own.
pub struct SwapFile {
    /// The swap, which is off before the rest goes.
    pub swap: Swap,
    _mounted: Mounted,
    _disk: Disk,
}

impl SwapFile {
    /// Swap of `bytes` bytes in a file, less than the disk has; none where nobody makes file systems.
    pub fn new(bytes: usize) -> Result<Option<Self>> {
        let disk = Disk::new()?;
        let output = Command::new("mke2fs").args(["-F", NODE]).output();
        if !output.is_ok_and(|output| output.status.success()) {
            return Ok(None);
        }
        // Where it is built in, there is nothing to load.
        let _ = Command::new("modprobe").arg("ext4").output();
        let mounted = Mounted::new("ext4", Some(Path::new(NODE)))?;
        let path = mounted.dir().join("swap");
        // A file for swap has no holes.
        fs::write(&path, vec![0; bytes]).with_context(|| format!("writing {}", path.display()))?;
        File::open(&path)?.sync_all()?;
        Ok(Some(Self {
            swap: Swap::file(path)?,
            _mounted: mounted,
            _disk: disk,
        }))
    }
}

/// `/dev/zram0  partition  65532  1024  32767`, in KiB.
fn parse_used(swaps: &str, path: &str) -> Result<u64> {
    let of_path = |line: &&str| line.split_whitespace().next() == Some(path);
    let line = swaps.lines().find(of_path);
    let line = line.with_context(|| format!("/proc/swaps does not list {path}"))?;
    let used = line
        .split_whitespace()
        .nth(3)
        .and_then(|kib| kib.parse::<u64>().ok());
    Ok(used.with_context(|| format!("no number in {line}"))? << 10)
}

/// What mkswap(8) writes: version, last page and the magic at the end of the first page.
fn write_header(path: &Path) -> Result<()> {
    let file = open(path)?;
    let page = mapwright::page_bytes();
    let bytes = std::io::Seek::seek(&mut &file, std::io::SeekFrom::End(0))?;
    let pages = u32::try_from(bytes / page as u64)?;
    ensure!(pages > 10, "{} is too small for swap", path.display());
    let mut header = vec![0; page];
    header[1024..1028].copy_from_slice(&1u32.to_ne_bytes());
    header[1028..1032].copy_from_slice(&(pages - 1).to_ne_bytes());
    header[page - 10..].copy_from_slice(b"SWAPSPACE2");
    let written = file.write_all_at(&header, 0).and_then(|()| file.sync_all());
    written.with_context(|| format!("writing to {}", path.display()))
}

/// devtmpfs makes nodes in a thread of its own.
fn open(path: &Path) -> Result<File> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match OpenOptions::new().read(true).write(true).open(path) {
            Err(_) if Instant::now() < deadline => sleep(Duration::from_millis(5)),
            opened => return opened.with_context(|| format!("opening {}", path.display())),
        }
    }
}

/// A zram device, which goes when this is dropped.
struct Zram(u32);

impl Zram {
    fn new(bytes: u64) -> Result<Self> {
        if !Path::new(CONTROL).exists() {
            let modprobe = Command::new("modprobe")
                .args(["zram", "num_devices=0"])
                .output()?;
            if !modprobe.status.success() {
                return not_testable("this kernel has no zram, a device for swap in memory");
            }
        }
        // To read it makes a device.
        let number = text(format!("{CONTROL}/hot_add"))?;
        let zram = Self(number.trim().parse().context("zram's hot_add")?);
        zram.write("disksize", &bytes.to_string())?;
        Ok(zram)
    }

    fn node(&self) -> Result<PathBuf> {
        let node = PathBuf::from(format!("/dev/zram{}", self.0));
        open(&node)?;
        Ok(node)
    }

    fn write(&self, name: &str, value: &str) -> Result<()> {
        let path = format!("/sys/block/zram{}/{name}", self.0);
        fs::write(&path, value).with_context(|| format!("writing {value} to {path}"))
    }
}

impl Drop for Zram {
    fn drop(&mut self) {
        let _ = self.write("reset", "1");
        let _ = fs::write(format!("{CONTROL}/hot_remove"), self.0.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_is_told_by_path() {
        let text = "Filename\t\tType\t\tSize\t\tUsed\t\tPriority\n/dev/zram1\tpartition\t65532\t\t0\t\t1\n\
                    /dev/zram0                              partition\t65532\t\t1024\t\t32767\n";
        assert_eq!(parse_used(text, "/dev/zram0").unwrap(), 1 << 20);
        assert!(parse_used(text, "/dev/zram").is_err());
    }
}
