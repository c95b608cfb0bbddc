// SPDX-License-Identifier: MIT OR Apache-2.0

//! A driver that imports DMA-bufs, tests/importer: what it is asked to do with one.

use crate::runner::skip;
use anyhow::{ensure, Result};
use nix::{
    errno::Errno,
    kmod::{delete_module, finit_module, DeleteModuleFlags, ModuleInitFlags},
};
use std::{
    fs::{self, File, OpenOptions},
    os::fd::{AsFd, AsRawFd as _, BorrowedFd},
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

const NAME: &str = "mapwright_importer";
const NODE: &str = "/dev/mapwright-importer";

nix::ioctl_write_int!(hold, b'I', 1);
nix::ioctl_write_int!(fill, b'I', 2);
nix::ioctl_write_int!(give_to_read, b'I', 3);
nix::ioctl_write_int!(give_to_write, b'I', 4);
nix::ioctl_write_int!(make_kind, b'I', 5);

/// A file of the driver, which holds a DMA-buf.
pub struct Importer(File);

impl Importer {
    /// Holds the DMA-buf `buffer`; a skip if there is no such driver.
    pub fn new(buffer: BorrowedFd<'_>) -> Result<Self> {
        load()?;
        let file = OpenOptions::new().read(true).write(true).open(NODE)?;
        // SAFETY: The number is what this request takes.
        unsafe { hold(file.as_raw_fd(), buffer.as_raw_fd() as _)? };
        Ok(Self(file))
    }

    /// Has the kernel store a byte everywhere.
    pub fn fill(&self, byte: u8) -> Result<(), Errno> {
        // SAFETY: As above.
        unsafe { fill(self.0.as_raw_fd(), byte.into()) }.map(drop)
    }

    /// Has it mapped for a device with so many address bits, which reads it, or also writes.
    pub fn give(&self, bits: u32, to_write: bool) -> Result<(), Errno> {
        let fd = self.0.as_raw_fd();
        // SAFETY: As above.
        unsafe {
            match to_write {
                true => give_to_write(fd, bits as _),
                false => give_to_read(fd, bits as _),
            }
        }
        .map(drop)
    }

    /// From now on, its VMAs are of frame numbers before the exporter sees them.
    pub fn make_kind(&self) -> Result<(), Errno> {
        // SAFETY: As above.
        unsafe { make_kind(self.0.as_raw_fd(), 0) }.map(drop)
    }

    /// How often the driver was called for a VMA that the exporter has mapped.
    pub fn calls(&self) -> Result<u32> {
        let calls = fs::read_to_string(format!("/sys/module/{NAME}/parameters/calls"))?;
        Ok(calls.trim().parse()?)
    }
}

/// What is mapped by it is the DMA-buf.
impl AsFd for Importer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn load() -> Result<()> {
    if Path::new(NODE).exists() {
        return Ok(());
    }
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    // From the repository, where the test harness's guests begin.
    let file = PathBuf::from(format!("build/{}/level/{NAME}.ko", release.trim()));
    if !file.exists() {
        return skip("there is no driver that imports DMA-bufs: make test builds one");
    }
    finit_module(&File::open(file)?, c"", ModuleInitFlags::empty())?;
    // devtmpfs works in a thread of its own.
    let deadline = Instant::now() + Duration::from_secs(10);
    while !Path::new(NODE).exists() {
        ensure!(Instant::now() < deadline, "{NODE} does not appear");
        sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Removes the driver, if it is there.
pub fn remove() -> Result<()> {
    if Path::new(NODE).exists() {
        delete_module(c"mapwright_importer", DeleteModuleFlags::O_NONBLOCK)?;
    }
    Ok(())
}
