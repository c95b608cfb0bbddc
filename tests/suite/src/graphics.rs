// SPDX-License-Identifier: MIT OR Apache-2.0

//! A graphics device that is none: the kernel's driver vgem, which imports DMA-bufs as DRM drivers do. Structures and
//! numbers are those of `drm/drm.h` and `drm/drm_mode.h`.

use crate::runner::skip;
use anyhow::{bail, Result};
use nix::errno::Errno;
use std::{
    fs::{self, File, OpenOptions},
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

/// `struct drm_prime_handle`.
#[repr(C)]
#[derive(Default)]
struct Prime {
    handle: u32,
    flags: u32,
    fd: i32,
}

/// `struct drm_gem_close`.
#[repr(C)]
struct Close {
    handle: u32,
    pad: u32,
}

/// `struct drm_mode_map_dumb`.
#[repr(C)]
struct MapDumb {
    handle: u32,
    pad: u32,
    offset: u64,
}

nix::ioctl_write_ptr!(gem_close, b'd', 0x09, Close);
nix::ioctl_readwrite!(handle_to_fd, b'd', 0x2d, Prime);
nix::ioctl_readwrite!(fd_to_handle, b'd', 0x2e, Prime);
nix::ioctl_readwrite!(map_dumb, b'd', 0xb3, MapDumb);

/// The device's node.
pub struct Graphics(File);

/// An object that is known to the device by a number.
#[derive(Clone, Copy)]
pub struct Object(u32);

impl Graphics {
    /// The first one, or a skip.
    pub fn open() -> Result<Self> {
        Ok(Self(
            OpenOptions::new().read(true).write(true).open(node()?)?,
        ))
    }

    /// Makes an object of a DMA-buf.
    pub fn import(&self, file: BorrowedFd<'_>) -> Result<Object, Errno> {
        let mut request = Prime {
            fd: file.as_raw_fd(),
            ..Prime::default()
        };
        // SAFETY: The structure is that of this request.
        unsafe { fd_to_handle(self.0.as_raw_fd(), &mut request)? };
        Ok(Object(request.handle))
    }

    /// The DMA-buf of an object, which can be read and written.
    pub fn export(&self, object: Object) -> Result<OwnedFd, Errno> {
        let mut request = Prime {
            handle: object.0,
            flags: (nix::libc::O_RDWR | nix::libc::O_CLOEXEC) as u32,
            fd: -1,
        };
        // SAFETY: The structure is that of this request.
        unsafe { handle_to_fd(self.0.as_raw_fd(), &mut request)? };
        // SAFETY: The kernel has just made it for this process.
        Ok(unsafe { OwnedFd::from_raw_fd(request.fd) })
    }

    /// Where programs would map an object by the device's own node.
    pub fn map_offset(&self, object: Object) -> Result<u64, Errno> {
        let mut request = MapDumb {
            handle: object.0,
            pad: 0,
            offset: 0,
        };
        // SAFETY: The structure is that of this request.
        unsafe { map_dumb(self.0.as_raw_fd(), &mut request)? };
        Ok(request.offset)
    }

    /// Lets go of an object.
    pub fn close(&self, object: Object) -> Result<()> {
        let request = Close {
            handle: object.0,
            pad: 0,
        };
        // SAFETY: The structure is that of this request.
        unsafe { gem_close(self.0.as_raw_fd(), &request)? };
        Ok(())
    }
}

const CLASS: &str = "/sys/class/drm";

/// Its node, which devtmpfs makes in a thread of its own.
fn node() -> Result<PathBuf> {
    if !Path::new("/sys/module/vgem").exists() {
        let modprobe = Command::new("modprobe").arg("vgem").output()?;
        if !modprobe.status.success() {
            return skip("this kernel has no vgem, a driver of graphics devices that are none");
        }
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let node = fs::read_dir(CLASS).ok().and_then(|entries| {
            let names = entries.flatten().map(|entry| entry.file_name());
            names
                .filter(|name| name.to_string_lossy().starts_with("render"))
                .filter(|name| is_vgem(&Path::new(CLASS).join(name)))
                .map(|name| Path::new("/dev/dri").join(name))
                .find(|node| node.exists())
        });
        match node {
            Some(node) => return Ok(node),
            None if Instant::now() < deadline => sleep(Duration::from_millis(20)),
            None => bail!("vgem has no node in /dev/dri"),
        }
    }
}

fn is_vgem(device: &Path) -> bool {
    fs::canonicalize(device.join("device")).is_ok_and(|path| path.ends_with("vgem"))
}
