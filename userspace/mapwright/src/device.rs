// SPDX-License-Identifier: MIT OR Apache-2.0

//! Opening a device node, and its ioctls.

use crate::{Error, Result};
use mapwright_uapi::Request;
use nix::{errno::Errno, libc};
use std::{
    fs::{File, OpenOptions},
    os::fd::{AsFd, AsRawFd},
    path::Path,
};

/// Opens a device node for reading and writing.
pub fn open(path: &Path) -> Result<File> {
    let opened = OpenOptions::new().read(true).write(true).open(path);
    opened.map_err(|err| {
        let name = path.display().to_string();
        match Errno::from_raw(err.raw_os_error().unwrap_or(0)) {
            Errno::ENOENT | Errno::ENXIO | Errno::ENODEV => Error::NotLoaded { path: name },
            Errno::EACCES | Errno::EPERM => Error::NoPermission { path: name },
            errno => Error::System {
                what: "opening the device",
                errno,
            },
        }
    })
}

/// Does an ioctl of the interface.
pub fn request<R: Request>(device: &impl AsFd, request: &mut R) -> std::result::Result<(), Errno> {
    // The type of the number is not the same in every C library.
    let number = R::IOCTL as libc::Ioctl;
    let fd = device.as_fd().as_raw_fd();
    // SAFETY: `request` is the structure that belongs to this request number, its `size` says
    // how long it is (every `Request` begins with it), and the kernel writes no more than that.
    let ret = unsafe { libc::ioctl(fd, number, std::ptr::from_mut(request)) };
    Errno::result(ret).map(drop)
}
