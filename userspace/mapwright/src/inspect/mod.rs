// SPDX-License-Identifier: MIT OR Apache-2.0

//! Page tables, page frames and the kernel's address space, as `/dev/mapwright-inspect` tells them.
//!
//! ```no_run
//! use mapwright::inspect::{Inspector, Target};
//!
//! # fn main() -> mapwright::Result<()> {
//! let something = 1;
//! let walk = Inspector::open()?.walk(Target::Myself, &raw const something as u64)?;
//! println!("is at physical address {:#x?}", walk.physical);
//! # Ok(())
//! # }
//! ```

mod frame;
mod layout;
mod walk;

pub use frame::Frame;
pub use layout::{AreaRange, Layout};
pub use walk::{Probe, Step, Target, Walk};

use crate::{device, Error, Result};
pub use mapwright_uapi::inspect::{Area, EntryFlag, EntryKind, Level, MemoryType, MigrateType};
use mapwright_uapi::{
    inspect::{self as uapi, NO_ADDRESS},
    Request,
};
use nix::errno::Errno;
use std::{
    fs::File,
    os::fd::{AsFd, BorrowedFd},
    path::Path,
};

/// The device node.
pub const DEVICE: &str = "/dev/mapwright-inspect";

/// An open `/dev/mapwright-inspect`.
#[derive(Debug)]
pub struct Inspector {
    file: File,
}

impl Inspector {
    /// Opens `/dev/mapwright-inspect`.
    pub fn open() -> Result<Self> {
        let file = device::open(Path::new(DEVICE))?;
        Ok(Self { file })
    }

    /// Does an ioctl of the interface.
    pub fn request<R: Request>(&self, request: &mut R) -> std::result::Result<(), Errno> {
        device::request(&self.file, request)
    }

    /// Walks the page tables for an address.
    pub fn walk(&self, target: Target, address: u64) -> Result<Walk> {
        Walk::try_from(self.ask(target, address, 0)?)
    }

    /// As [`walk`](Self::walk), and asks `get_user_pages()`: the page frame that it gives without
    /// faulting one in, or its error.
    pub fn walk_counted(
        &self,
        target: Target,
        address: u64,
    ) -> Result<(Walk, std::result::Result<u64, Errno>)> {
        let answer = self.ask(target, address, uapi::WALK_COUNTED)?;
        let errno = i32::try_from(answer.counted_errno).unwrap_or(0);
        let counted = present(answer.counted).ok_or(Errno::from_raw(errno));
        Ok((Walk::try_from(answer)?, counted))
    }

    /// Walks the kernel's page tables, and lets the kernel load a byte there with faults caught.
    pub fn probe(&self, address: u64) -> Result<(Walk, Probe)> {
        let answer = self.ask(Target::Kernel, address, uapi::WALK_PROBE)?;
        let probe = match answer.probe {
            0 => Probe::Loaded,
            uapi::NOT_PROBED => Probe::LeftAlone,
            _ => Probe::Faulted,
        };
        Ok((Walk::try_from(answer)?, probe))
    }

    fn ask(&self, target: Target, address: u64, flags: u32) -> Result<uapi::Walk> {
        let (target_flags, pid) = target.request();
        let mut walk = uapi::Walk {
            flags: flags | target_flags,
            pid,
            address,
            ..uapi::Walk::new()
        };
        self.request(&mut walk).map_err(|errno| match errno {
            Errno::ESRCH => Error::NoProcess { pid },
            Errno::EINVAL => Error::NotTranslated { address },
            Errno::EOPNOTSUPP if matches!(target, Target::UserMode(_)) => Error::NotIsolated,
            errno => Error::System {
                what: "walking the page tables",
                errno,
            },
        })?;
        Ok(walk)
    }

    /// What `struct page` says of a page frame.
    pub fn frame(&self, pfn: u64) -> Result<Frame> {
        let mut frame = uapi::Frame {
            pfn,
            ..uapi::Frame::new()
        };
        self.request(&mut frame).map_err(|errno| match errno {
            Errno::ENXIO => Error::NoFrame { pfn },
            errno => Error::System {
                what: "looking at the page frame",
                errno,
            },
        })?;
        Frame::try_from(frame)
    }

    /// The layout of the kernel's address space.
    pub fn layout(&self) -> Result<Layout> {
        let mut layout = uapi::Layout::new();
        self.request(&mut layout).map_err(|errno| Error::System {
            what: "asking for the layout",
            errno,
        })?;
        Layout::try_from(layout)
    }
}

impl AsFd for Inspector {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// An address or number, unless it stands for none.
fn present(number: u64) -> Option<u64> {
    (number != NO_ADDRESS).then_some(number)
}

/// The word for a number of the module's.
fn known<T>(what: &str, number: u32, word: impl Fn(u32) -> Option<T>) -> Result<T> {
    word(number).ok_or_else(|| Error::Unexpected {
        what: "the module's answer".into(),
        detail: format!("{what} {number} is newer than this program"),
    })
}
