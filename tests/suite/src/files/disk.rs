// SPDX-License-Identifier: MIT OR Apache-2.0

//! Calls that give what they give for a disk, and commands that expect that.

use super::{end, seek, splices::send};
use crate::{raw::Map, runner::skip};
use anyhow::{ensure, Result};
use mapwright::{page_bytes, DEVICE};
use mapwright_prove::disk::Disk;
use nix::{
    errno::Errno,
    libc,
    sys::uio::{pread, pwrite},
    unistd::{fdatasync, fsync, pipe, Whence},
};
use std::{
    fs::{File, OpenOptions},
    os::{fd::AsRawFd as _, unix::fs::OpenOptionsExt as _},
    path::Path,
    process::Command,
};

/// What a call gives, for a file that ends at `end`.
type Call = (&'static str, fn(&File, u64) -> Result<i64, Errno>);

fn bytes(moved: Result<usize, Errno>) -> Result<i64, Errno> {
    moved.map(|moved| moved as i64)
}

const CALLS: &[Call] = &[
    ("pread at the end", |f, end| {
        bytes(pread(f, &mut [0; 8], end as libc::off_t))
    }),
    ("pread before the end", |f, end| {
        bytes(pread(f, &mut [0; 8], end as libc::off_t - 3))
    }),
    ("pread beyond the end", |f, end| {
        bytes(pread(f, &mut [0; 8], end as libc::off_t + 5000))
    }),
    ("pwrite at the end", |f, end| {
        bytes(pwrite(f, b"more", end as libc::off_t))
    }),
    ("pwrite before the end", |f, end| {
        bytes(pwrite(f, b"more", end as libc::off_t - 3))
    }),
    ("pwrite beyond the end", |f, end| {
        bytes(pwrite(f, b"more", end as libc::off_t + 5000))
    }),
    ("pwrite of nothing at the end", |f, end| {
        bytes(pwrite(f, b"", end as libc::off_t))
    }),
    ("pread of nothing", |f, _| bytes(pread(f, &mut [], 0))),
    ("pread at a negative offset", |f, _| {
        bytes(pread(f, &mut [0; 8], -1))
    }),
    ("pwrite at a negative offset", |f, _| {
        bytes(pwrite(f, b"x", -1))
    }),
    ("SEEK_SET", |f, _| seek(f, 3, Whence::SeekSet)),
    ("SEEK_CUR", |f, _| seek(f, 4, Whence::SeekCur)),
    ("SEEK_END", |f, end| {
        Ok(end as i64 - seek(f, 0, Whence::SeekEnd)?)
    }),
    ("SEEK_SET to -1", |f, _| seek(f, -1, Whence::SeekSet)),
    ("SEEK_CUR by far back", |f, _| {
        seek(f, i64::MIN, Whence::SeekCur)
    }),
    ("fsync", |f, _| fsync(f).map(|()| 0)),
    ("fdatasync", |f, _| fdatasync(f).map(|()| 0)),
    ("sendfile from the end", |f, end| {
        let (_reader, writer) = pipe()?;
        bytes(send(&writer, f, end, 10))
    }),
    ("ftruncate", |f, _| nix::unistd::ftruncate(f, 5).map(|()| 0)),
    ("copy_file_range", |f, _| {
        bytes(nix::fcntl::copy_file_range(f, None, f, None, 10))
    }),
];

/// A mapped default region is a disk of its length.
pub(super) fn as_a_disk_does() -> Result<()> {
    let disk = Disk::new()?;
    let path = format!("/proc/self/fd/{}", disk.file.as_raw_fd());
    let open = |path: &Path, flags| {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .custom_flags(flags)
            .open(path)
    };
    for flags in [0, libc::O_APPEND] {
        let disk = open(Path::new(&path), flags)?;
        let ours = open(Path::new(DEVICE), flags)?;
        let _map = Map::shared(&ours, 0, 4 * page_bytes())?;
        let (disk_end, our_end) = (end(&disk)?, end(&ours)?);
        for (name, call) in CALLS {
            let (expected, got) = (call(&disk, disk_end), call(&ours, our_end));
            ensure!(
                got == expected,
                "{name}, open flags {flags:o}: {got:?}, a disk: {expected:?}"
            );
        }
    }
    Ok(())
}

/// Busybox or GNU, whichever there is.
pub(super) fn commands() -> Result<()> {
    if Command::new("dd").arg("--help").output().is_err() {
        return skip("there is no dd here");
    }
    for script in [
        "dd if=/dev/zero of=NODE bs=64K count=4 seek=3 conv=notrunc,fsync",
        "dd if=/dev/zero of=NODE bs=1M count=9 conv=fsync",
        "dd if=NODE of=/dev/null bs=64K skip=3 count=2",
        "test $(dd if=NODE bs=64K skip=15 2>/dev/null | wc -c) = 65536",
        "echo text >> NODE",
        "head -c 3000000 /dev/zero | cat > NODE",
        "test $(cat NODE | wc -c) = 1048576",
        "test $(tail -c 100 NODE | wc -c) = 100",
        "test \"$(exec 3<>NODE; echo text >&3; cat <&3 | wc -c)\" = 1048571",
        "! dd if=/dev/zero of=NODE bs=1M count=17",
        "test $(dd if=/dev/zero of=NODE bs=1M count=17 2>&1 | grep -c 'No space left') = 1",
        "! dd if=/dev/zero of=NODE bs=1M count=1 seek=2000",
    ] {
        let script = script.replace("NODE", DEVICE);
        let output = Command::new("sh").arg("-c").arg(&script).output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "{script}: {}: {errors}",
            output.status
        );
    }
    Ok(())
}
