// SPDX-License-Identifier: MIT OR Apache-2.0

//! What else programs do with any file: synchronize it, wait for it, open it for one direction, pass flags.

use super::{end, Node};
use crate::raw::{Map, RW};
use anyhow::{ensure, Result};
use mapwright::{page_bytes, uapi::DEFAULT_BYTES, DEVICE};
use nix::{
    errno::Errno,
    fcntl::{splice, OFlag, SpliceFFlags},
    libc,
    poll::{poll, PollFd, PollFlags, PollTimeout},
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
        mman::{MapFlags, ProtFlags},
        uio::{pread, pwrite},
    },
    unistd::{fdatasync, fsync, pipe},
};
use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Write as _},
    os::{
        fd::{AsFd, AsRawFd as _},
        unix::fs::{FileExt as _, OpenOptionsExt as _},
    },
};

pub(super) fn synchronized(node: &Node) -> Result<()> {
    let file = node.open()?;
    fsync(&file)?;
    fdatasync(&file)?;
    let map = Map::shared(&file, 0, 4 * page_bytes())?;
    map.store(0, 1);
    fsync(&file)?;
    for flags in [
        libc::MS_SYNC,
        libc::MS_ASYNC,
        libc::MS_SYNC | libc::MS_INVALIDATE,
    ] {
        map.synchronize(flags)?;
    }
    ensure!(map.load(0) == 1);
    file.sync_all()?;
    let mut options = OpenOptions::new();
    let options = options.write(true).custom_flags(libc::O_DSYNC);
    options.open(&node.path)?.write_all_at(b"x", 0)?;
    Ok(())
}

pub(super) fn opened_for_reading(node: &Node) -> Result<()> {
    let mut file = File::open(&node.path)?;
    ensure!(pwrite(&file, b"x", 0) == Err(Errno::EBADF));
    ensure!(file.read(&mut [0; 8])? == 8);
    ensure!(end(&file)? == DEFAULT_BYTES);
    ensure!(Map::shared(&file, 0, page_bytes()).err() == Some(Errno::EACCES));
    let read = ProtFlags::PROT_READ;
    // A mapping to read may need more than a read(2) did.
    let length = usize::try_from(node.most)?;
    let map = Map::new(&file, 0, length, read, MapFlags::MAP_SHARED)?;
    ensure!(map.load(length - 1) == 0);
    ensure!(map.protect(RW) == Err(Errno::EACCES));
    fsync(&file)?;
    map.synchronize(libc::MS_SYNC)?;
    let (_reader, writer) = pipe()?;
    ensure!(splice(&file, None, &writer, None, 8, SpliceFFlags::empty())? == 8);
    let (reader, _writer) = pipe()?;
    let refused = splice(&reader, None, &file, None, 8, SpliceFFlags::empty());
    ensure!(refused == Err(Errno::EBADF), "{refused:?}");
    Ok(())
}

pub(super) fn opened_for_writing(node: &Node) -> Result<()> {
    let file = OpenOptions::new().write(true).open(&node.path)?;
    file.write_all_at(b"x", 0)?;
    ensure!(pread(&file, &mut [0; 8], 0) == Err(Errno::EBADF));
    for prot in [ProtFlags::PROT_WRITE, RW, ProtFlags::PROT_READ] {
        // A mapping that can be written can be read, on most processors.
        let mapped = Map::new(&file, 0, page_bytes(), prot, MapFlags::MAP_SHARED).err();
        ensure!(mapped == Some(Errno::EACCES), "{prot:?}: {mapped:?}");
    }
    fsync(&file)?;
    ensure!(end(&file)? == DEFAULT_BYTES);
    // As `> /dev/mapwright` does.
    let emptied = OpenOptions::new()
        .write(true)
        .truncate(true)
        .create(true)
        .open(&node.path);
    emptied?.write_all(b"x")?;
    Ok(())
}

pub(super) fn always_ready() -> Result<()> {
    let file = Node::new(DEVICE.into(), 0).open()?;
    let wanted = PollFlags::POLLIN | PollFlags::POLLOUT;
    let mut fds = [PollFd::new(file.as_fd(), wanted)];
    ensure!(poll(&mut fds, PollTimeout::ZERO)? == 1);
    ensure!(fds[0].revents() == Some(wanted), "{:?}", fds[0].revents());
    let epoll = Epoll::new(EpollCreateFlags::empty())?;
    epoll.add(
        &file,
        EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT, 5),
    )?;
    let mut events = [EpollEvent::empty()];
    ensure!(epoll.wait(&mut events, EpollTimeout::ZERO)? == 1 && events[0].data() == 5);
    Ok(())
}

/// `preadv2(fd, …, offset, flags)` or `pwritev2` of 8 bytes.
fn vector(file: &File, write: bool, flags: i32) -> Result<usize, Errno> {
    let mut bytes = [7u8; 8];
    let parts = [libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    }];
    let fd = file.as_raw_fd();
    // SAFETY: The part is an array of this function.
    let moved = unsafe {
        match write {
            true => libc::pwritev2(fd, parts.as_ptr(), 1, 0, flags),
            false => libc::preadv2(fd, parts.as_ptr(), 1, 0, flags),
        }
    };
    Errno::result(moved).map(|moved| moved as usize)
}

pub(super) fn flags_of_a_call(node: &Node) -> Result<()> {
    let file = node.open()?;
    for flags in [0, libc::RWF_HIPRI, libc::RWF_SYNC, libc::RWF_DSYNC] {
        ensure!(vector(&file, true, flags) == Ok(8), "pwritev2 with {flags}");
        ensure!(vector(&file, false, flags) == Ok(8), "preadv2 with {flags}");
    }
    // Memory may have to be allocated.
    ensure!(vector(&file, false, libc::RWF_NOWAIT) == Err(Errno::EOPNOTSUPP));
    let nonblocking = OpenOptions::new()
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(&node.path)?;
    ensure!(nonblocking.read_at(&mut [0; 8], 0)? == 8);
    Ok(())
}

/// The kernel's rules for device nodes.
pub(super) fn what_only_regular_files_have(node: &Node) -> Result<()> {
    let file = node.open()?;
    let truncated = nix::unistd::ftruncate(&file, 4096);
    ensure!(truncated == Err(Errno::EINVAL), "{truncated:?}");
    let allocated = nix::fcntl::posix_fallocate(&file, 0, 4096);
    ensure!(allocated == Err(Errno::ENODEV), "{allocated:?}");
    ensure!(file.metadata()?.len() == 0);
    Ok(())
}
