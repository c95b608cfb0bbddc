// SPDX-License-Identifier: MIT OR Apache-2.0

//! What can be done with a mapping: a disk takes data from its pages themselves (`O_DIRECT`), and io_uring pins
//! them for as long as they are registered. And with its memory: it is mapped again.

use super::super::{area::Area, memory::Memory, meter::Meter, subject::Subject, undisturbed};
use anyhow::{ensure, Context as _, Result};
use mapwright_prove::disk::{Disk, DISK_BYTES};
use nix::{errno::Errno, libc};
use serde::Serialize;
use std::{fs::File, os::fd::AsRawFd as _};

/// Times that memory is pinned, and that it is mapped again, of which the least counts.
const RUNS: usize = 5;

/// What a mapping can be used for.
#[derive(Clone, Debug, Serialize)]
pub struct Uses {
    pub o_direct: Direct,
    pub pin: Pin,
    /// What it costs to map the same memory again, to touch each page and to unmap it. Memory that comes with its
    /// mapping goes with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub again: Option<u64>,
}

/// Whether a disk takes data from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direct {
    Works,
    /// The error's name.
    Refused(String),
}

/// What it costs to register all of it as a buffer of io_uring and to unregister it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Pin {
    Cost {
        register: u64,
        unregister: u64,
    },
    /// The error's name.
    Refused(String),
}

/// What the uses are tried with.
pub struct Bench {
    pub meter: Meter,
    ring: Ring,
}

impl Bench {
    pub fn new(meter: Meter) -> Self {
        let ring = Ring::new();
        Self { meter, ring }
    }

    /// What `bytes` of a subject that there are can be used for.
    pub fn uses(&self, subject: &Subject, bytes: u64) -> Result<Uses> {
        let memory = subject
            .create(bytes)?
            .context("what could be had a moment ago cannot be had")?;
        let mut area = subject.map(&memory)?;
        area.touch();
        let o_direct = direct(&area, usize::try_from(bytes)?)?;
        let pin = self.pin(&area)?;
        area.unmap();
        let again = match &memory {
            Memory::Region(_) | Memory::File(..) => Some(self.again(subject, &memory)?),
            Memory::None(_) => None,
        };
        subject.destroy(memory)?;
        Ok(Uses {
            o_direct,
            pin,
            again,
        })
    }

    fn again(&self, subject: &Subject, memory: &Memory) -> Result<u64> {
        let mut least = u64::MAX;
        for run in 0..RUNS {
            undisturbed::let_others_work(run);
            let (mapped, cost) = self.meter.count(|| -> Result<()> {
                let mut area = subject.map(memory)?;
                area.touch();
                area.unmap();
                Ok(())
            });
            mapped?;
            least = least.min(cost);
        }
        Ok(least)
    }

    fn pin(&self, area: &Area) -> Result<Pin> {
        let (mut least, mut least_of_unregister) = (u64::MAX, u64::MAX);
        for run in 0..RUNS {
            undisturbed::let_others_work(run);
            let (registered, register) = self.meter.count(|| self.ring.register(area));
            if let Err(errno) = registered {
                return Ok(Pin::Refused(format!("{errno:?}")));
            }
            let (unregistered, unregister) = self.meter.count(|| self.ring.unregister());
            unregistered.context("unregistering a buffer of io_uring")?;
            least = least.min(register);
            least_of_unregister = least_of_unregister.min(unregister);
        }
        Ok(Pin::Cost {
            register: least,
            unregister: least_of_unregister,
        })
    }
}

/// Writes what fits on a disk, and reads it back to see that it came there.
fn direct(area: &Area, bytes: usize) -> Result<Direct> {
    let disk = Disk::new()?;
    let bytes = bytes.min(DISK_BYTES);
    match transfer(&disk.file, area, bytes, Direction::Write) {
        Ok(written) => ensure!(written == bytes, "a disk took only {written} bytes"),
        Err(errno) => return Ok(Direct::Refused(format!("{errno:?}"))),
    }
    let back = Area::anonymous(bytes, false)?;
    let read = transfer(&disk.file, &back, bytes, Direction::Read);
    ensure!(read.context("reading with O_DIRECT")? == bytes);
    ensure!(back.is_touched(bytes), "a disk has something else");
    Ok(Direct::Works)
}

enum Direction {
    Write,
    Read,
}

/// Transfers the first `bytes` of `area` to or from the beginning of a file.
fn transfer(file: &File, area: &Area, bytes: usize, to: Direction) -> Result<usize, Errno> {
    let memory = area.memory();
    let (at, bytes) = (memory.iov_base, bytes.min(memory.iov_len));
    let done = match to {
        // SAFETY: The kernel loads so many bytes of the mapping, which nothing has borrowed from.
        Direction::Write => unsafe { libc::pwrite(file.as_raw_fd(), at, bytes, 0) },
        // SAFETY: The kernel stores so many bytes to the mapping, which nothing has borrowed from.
        Direction::Read => unsafe { libc::pread(file.as_raw_fd(), at, bytes, 0) },
    };
    Errno::result(done).map(|done| done as usize)
}

/// A ring of io_uring, for its registered buffers. A kernel without them refuses them.
#[cfg(target_pointer_width = "64")]
struct Ring(std::io::Result<io_uring::IoUring>);

#[cfg(target_pointer_width = "64")]
impl Ring {
    fn new() -> Self {
        Self(io_uring::IoUring::new(2))
    }

    fn register(&self, area: &Area) -> Result<(), Errno> {
        let ring = self.0.as_ref().map_err(errno)?;
        // SAFETY: Nothing has borrowed from the mapping, and no request uses the buffer.
        let registered = unsafe { ring.submitter().register_buffers(&[area.memory()]) };
        registered.map_err(|err| errno(&err))
    }

    fn unregister(&self) -> Result<(), Errno> {
        let ring = self.0.as_ref().map_err(errno)?;
        let unregistered = ring.submitter().unregister_buffers();
        unregistered.map_err(|err| errno(&err))
    }
}

#[cfg(target_pointer_width = "64")]
fn errno(err: &std::io::Error) -> Errno {
    Errno::from_raw(err.raw_os_error().unwrap_or(0))
}

/// The crate io-uring knows no 32-bit ARM.
#[cfg(not(target_pointer_width = "64"))]
struct Ring;

#[cfg(not(target_pointer_width = "64"))]
impl Ring {
    fn new() -> Self {
        Self
    }

    fn register(&self, _: &Area) -> Result<(), Errno> {
        Err(Errno::ENOSYS)
    }

    fn unregister(&self) -> Result<(), Errno> {
        Err(Errno::ENOSYS)
    }
}
