// SPDX-License-Identifier: MIT OR Apache-2.0

//! Bytes that the kernel moves between the node and a pipe, a socket or another file.

use super::{pattern, Node};
use crate::raw::Map;
use anyhow::{ensure, Result};
use mapwright::{page_bytes, page_size, uapi::DEFAULT_BYTES};
use nix::{
    errno::Errno,
    fcntl::{splice, tee, SpliceFFlags},
    libc,
    unistd::pipe,
};
use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    os::{
        fd::{AsFd, AsRawFd as _},
        unix::{fs::FileExt as _, net::UnixStream},
    },
};

/// Fills the first bytes of the default region.
pub(super) fn filled(node: &Node, bytes: usize) -> Result<File> {
    let file = node.open()?;
    file.write_all_at(&pattern(bytes), 0)?;
    Ok(file)
}

pub(super) fn spliced_out(node: &Node) -> Result<()> {
    let bytes = 3 * page_bytes() + 17;
    let mut file = filled(node, bytes)?;
    let (reader, writer) = pipe()?;
    let flags = SpliceFFlags::empty();
    // From its position, which moves on.
    file.seek(SeekFrom::Start(5))?;
    let moved = splice(&file, None, &writer, None, bytes - 5, flags)?;
    ensure!(
        moved > 0 && file.stream_position()? == 5 + moved as u64,
        "{moved}"
    );
    // The same pages for another pipe.
    let (other, into) = pipe()?;
    let shared = tee(&reader, &into, moved, flags)?;
    for (reader, moved) in [(reader, moved), (other, shared)] {
        let mut contents = vec![0; moved];
        File::from(reader).read_exact(&mut contents)?;
        ensure!(contents == pattern(bytes)[5..5 + moved], "other bytes");
    }
    // At an offset, which moves on instead; and nothing at the end.
    let (reader, writer) = pipe()?;
    let mut offset = DEFAULT_BYTES as i64 - 7;
    let moved = splice(&file, Some(&mut offset), &writer, None, 100, flags)?;
    ensure!(
        moved == 7 && offset == DEFAULT_BYTES as i64,
        "{moved} {offset}"
    );
    ensure!(splice(&file, Some(&mut offset), &writer, None, 100, flags)? == 0);
    let mut contents = [1; 7];
    File::from(reader).read_exact(&mut contents)?;
    ensure!(contents == [0; 7]);
    // What was spliced is a copy: a later store does not change what is in the pipe.
    let (reader, writer) = pipe()?;
    splice(&file, Some(&mut 0), &writer, None, 4, flags)?;
    file.write_all_at(b"late", 0)?;
    let mut contents = [0; 4];
    File::from(reader).read_exact(&mut contents)?;
    ensure!(contents == pattern(4)[..], "{contents:?}");
    Ok(())
}

pub(super) fn spliced_in(node: &Node) -> Result<()> {
    let mut file = node.open()?;
    let map = Map::shared(&file, 0, 4 * page_bytes())?;
    let (reader, writer) = pipe()?;
    let flags = SpliceFFlags::empty();
    let text = pattern(6000);
    File::from(writer).write_all(&text)?;
    file.seek(SeekFrom::Start(11))?;
    let moved = splice(&reader, None, &file, None, 5000, flags)?;
    ensure!(moved == 5000 && file.stream_position()? == 5011, "{moved}");
    let mut offset = 5011;
    let moved = splice(&reader, None, &file, Some(&mut offset), 5000, flags)?;
    ensure!(moved == 1000 && offset == 6011, "{moved} {offset}");
    ensure!(
        (0..6000).all(|at| map.load(11 + at) == text[at]),
        "other bytes"
    );

    // At the end there is no room.
    let (reader, writer) = pipe()?;
    File::from(writer).write_all(b"more")?;
    let mut offset = 4 * page_size() as i64;
    let refused = splice(&reader, None, &file, Some(&mut offset), 4, flags);
    ensure!(refused == Err(Errno::ENOSPC), "{refused:?}");
    Ok(())
}

/// `sendfile(to, from, offset, bytes)`: how many.
pub(super) fn send(
    to: &impl AsFd,
    from: &impl AsFd,
    offset: u64,
    bytes: usize,
) -> Result<usize, Errno> {
    let mut offset = offset as libc::off64_t;
    let (to, from) = (to.as_fd().as_raw_fd(), from.as_fd().as_raw_fd());
    // SAFETY: The offset is this function's.
    let sent = unsafe { libc::sendfile64(to, from, &mut offset, bytes) };
    Errno::result(sent).map(|sent| sent as usize)
}

pub(super) fn sent_to_a_file_and_a_socket(node: &Node) -> Result<()> {
    let bytes = 2 * page_bytes() + 100;
    let file = filled(node, bytes)?;
    let memory = memory_file()?;
    ensure!(send(&memory, &file, 0, bytes)? == bytes);
    let mut contents = vec![0; bytes];
    memory.read_exact_at(&mut contents, 0)?;
    ensure!(contents == pattern(bytes), "the file has other bytes");
    let (mut one, other) = UnixStream::pair()?;
    let sent = send(&other, &file, 7, 3000)?;
    let mut contents = vec![0; sent];
    one.read_exact(&mut contents)?;
    ensure!(
        sent > 0 && contents == pattern(bytes)[7..7 + sent],
        "the socket gets other bytes"
    );
    Ok(())
}

pub(super) fn sent_from_a_file(node: &Node) -> Result<()> {
    let bytes = usize::try_from(DEFAULT_BYTES)? + 3 * page_bytes();
    let (file, memory) = (node.open()?, memory_file()?);
    memory.write_all_at(&pattern(bytes), 0)?;
    let mut sent = 0;
    while sent < bytes {
        let more = send(&file, &memory, sent as u64, bytes - sent)?;
        ensure!(more > 0, "nothing is sent after {sent} bytes");
        sent += more;
    }
    let mut contents = vec![0; bytes];
    file.read_exact_at(&mut contents, 0)?;
    ensure!(contents == pattern(bytes), "other bytes arrived");
    Ok(())
}

fn memory_file() -> Result<File> {
    use nix::sys::memfd::{memfd_create, MFdFlags};
    Ok(memfd_create(c"files", MFdFlags::empty())?.into())
}

/// The kernel's rule. Programs copy in another way then.
pub(super) fn copy_file_range_is_for_regular_files(node: &Node) -> Result<()> {
    let (file, memory) = (filled(node, 100)?, memory_file()?);
    for (from, to) in [(&file, &memory), (&memory, &file)] {
        let copied = nix::fcntl::copy_file_range(from, None, to, None, 10);
        ensure!(copied == Err(Errno::EINVAL), "{copied:?}");
    }
    // Such as this, which tries that first.
    let mut memory = memory;
    std::io::copy(&mut (&file).take(100), &mut memory)?;
    let mut contents = [0; 100];
    memory.read_exact_at(&mut contents, 0)?;
    ensure!(contents == pattern(100)[..]);
    Ok(())
}
