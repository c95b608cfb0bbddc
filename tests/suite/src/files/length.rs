// SPDX-License-Identifier: MIT OR Apache-2.0

//! How long the default region is: as long as is needed, until somebody knows it.

use super::{end, pattern, write_errno, Node};
use crate::{
    child,
    limits::with_parameters,
    raw::{self, Map},
    runner::Context,
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{
    page_bytes, page_size,
    uapi::{self, Request as _, DEFAULT_BYTES, DEFAULT_MAX_BYTES, FIRST_OFFSET},
    Region, Session, DEVICE,
};
use nix::{
    errno::Errno,
    libc,
    sys::uio::{pread, pwrite},
    unistd::{fsync, lseek64, pipe, Whence},
};
use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::FileExt as _,
    thread,
};

/// `numpy.memmap(path, mode='r+', shape=(n,))`, for each size: the file is made long enough by a byte at its end.
pub(super) fn as_numpy_maps_it(node: &Node) -> Result<()> {
    for bytes in [
        page_size(),
        64 << 10,
        1 << 20,
        (1 << 20) + page_size(),
        node.most,
    ] {
        let mut file = node.open()?;
        if file.seek(SeekFrom::End(0))? < bytes {
            file.seek(SeekFrom::Start(bytes - 1))?;
            file.write_all(&[0])?;
            file.flush()?;
        }
        let length = usize::try_from(bytes)?;
        let map = Map::shared(&file, 0, length).with_context(|| format!("{bytes} bytes"))?;
        map.store(0, 1);
        map.store(length - 1, 2);
        let mut contents = [0];
        file.read_exact_at(&mut contents, bytes - 1)?;
        ensure!(
            contents == [2],
            "{bytes} bytes: the kernel sees {contents:?}"
        );
    }
    Ok(())
}

pub(super) fn a_write_then_a_larger_mmap(node: &Node) -> Result<()> {
    let file = node.open()?;
    file.write_all_at(b"x", 0)?;
    let length = usize::try_from(node.most)?;
    let map = Map::shared(&file, 0, length)?;
    ensure!(map.load(0) == b'x', "the byte is lost");
    ensure!(map.load(1) == 0 && map.load(length - 1) == 0);
    map.store(length - 1, 7);
    let mut contents = [0];
    file.read_exact_at(&mut contents, node.most - 1)?;
    ensure!(contents == [7]);
    Ok(())
}

pub(super) fn written_piece_by_piece(node: &Node) -> Result<()> {
    let mut file = node.open()?;
    let all = pattern(usize::try_from(node.most)?);
    for piece in all.chunks(300_007) {
        file.write_all(piece)?;
    }
    ensure!(end(&file)? == node.most, "{:#x}", end(&file)?);
    let mut contents = vec![0; all.len()];
    file.read_exact_at(&mut contents, 0)?;
    ensure!(contents == all, "bytes were lost when the region grew");
    let map = Map::shared(&file, 0, all.len())?;
    ensure!(
        (0..all.len())
            .step_by(977)
            .all(|at| map.load(at) == all[at]),
        "the program sees something else"
    );
    Ok(())
}

pub(super) fn a_mapped_region_keeps_its_length(node: &Node) -> Result<()> {
    let file = node.open()?;
    let mut map = Map::shared(&file, 0, 2 * page_bytes())?;
    map.store(3, 9);
    ensure!(Map::shared(&file, 0, 3 * page_bytes()).err() == Some(Errno::EINVAL));
    ensure!(write_errno(&file, 1, 2 * page_size()) == Err(Errno::ENOSPC));
    ensure!(file.write_at(&[1; 100], 2 * page_size() - 6)? == 6);
    ensure!(end(&file)? == 2 * page_size());
    // A part that is still mapped counts.
    map.unmap_part(0, page_bytes())?;
    ensure!(write_errno(&file, 1, 2 * page_size()) == Err(Errno::ENOSPC));
    map.unmap()?;
    let map = Map::shared(&file, 0, 64 * page_bytes())?;
    ensure!(
        map.load(3) == 9 && map.load(2 * page_bytes() - 1) == 1,
        "bytes are lost"
    );
    ensure!(map.load(2 * page_bytes()) == 0);
    Ok(())
}

/// The region at offset 0, as an ioctl tells it.
fn query_default(session: &Session) -> Result<uapi::Query, Errno> {
    let mut query = uapi::Query::new();
    session.request(&mut query)?;
    Ok(query)
}

/// What a program knows by its number does not become another one.
pub(super) fn a_named_region_keeps_its_length(node: &Node) -> Result<()> {
    let session = Session::open_at(&node.path)?;
    pwrite(&session, b"x", 0)?;
    let region = query_default(&session)?;
    ensure!(region.bytes == DEFAULT_BYTES);
    let length = usize::try_from(2 * DEFAULT_BYTES)?;
    let mapped = Map::shared(&session, 0, length).err();
    ensure!(mapped == Some(Errno::EINVAL), "{mapped:?}");
    let written = pwrite(&session, b"x", DEFAULT_BYTES as libc::off_t);
    ensure!(written == Err(Errno::ENOSPC), "{written:?}");
    let now = query_default(&session)?;
    ensure!((now.id, now.bytes) == (region.id, DEFAULT_BYTES));
    session.destroy(&Region {
        id: region.id,
        offset: 0,
        bytes: region.bytes,
    })?;
    // With it, all that was known of it is gone.
    let map = Map::shared(&session, 0, length)?;
    ensure!(map.load(0) == 0, "an old byte");
    Ok(())
}

pub(super) fn a_growing_mmap_at_an_offset(node: &Node) -> Result<()> {
    let file = node.open()?;
    drop(Map::shared(&file, 0, 4 * page_bytes())?);
    file.write_all_at(b"ab", 4 * page_size() - 1)?;
    let map = Map::shared(&file, 3 * page_size(), 9 * page_bytes())?;
    ensure!(map.load(page_bytes() - 1) == b'a' && map.load(page_bytes()) == b'b');
    map.store(9 * page_bytes() - 1, 5);
    let mut contents = [0];
    file.read_exact_at(&mut contents, 12 * page_size() - 1)?;
    ensure!(contents == [5]);
    Ok(())
}

/// Questions and refusals take no memory.
pub(super) fn no_memory_for_nothing(node: &Node) -> Result<()> {
    let session = Session::open_at(&node.path)?;
    ensure!(lseek64(&session, 0, Whence::SeekEnd)? == DEFAULT_BYTES as i64);
    ensure!(pread(&session, &mut [0; 8], DEFAULT_BYTES as libc::off_t)? == 0);
    ensure!(pwrite(&session, &[], 5)? == 0);
    for at in [DEFAULT_MAX_BYTES, FIRST_OFFSET - 1, FIRST_OFFSET, 1 << 40] {
        let Ok(at) = libc::off_t::try_from(at) else {
            continue;
        };
        let written = pwrite(&session, b"x", at);
        ensure!(written == Err(Errno::ENOSPC), "{at:#x}: {written:?}");
    }
    fsync(&session)?;
    let region = query_default(&session).err();
    ensure!(region == Some(Errno::ENOENT), "{region:?}");
    Ok(())
}

pub(super) fn up_to_the_limit() -> Result<()> {
    let node = Node::new(DEVICE.into(), DEFAULT_MAX_BYTES);
    let most = usize::try_from(DEFAULT_MAX_BYTES)?;
    let file = node.open()?;
    file.write_all_at(b"x", DEFAULT_MAX_BYTES - 1)?;
    ensure!(end(&file)? == DEFAULT_MAX_BYTES);
    ensure!(write_errno(&file, 1, DEFAULT_MAX_BYTES) == Err(Errno::ENOSPC));
    ensure!(file.write_at(b"abc", DEFAULT_MAX_BYTES - 2)? == 2);
    let mapped = Map::shared(&file, 0, most + page_bytes()).err();
    ensure!(mapped == Some(Errno::EINVAL), "{mapped:?}");
    let map = Map::shared(&file, 0, most)?;
    ensure!(map.load(most - 1) == b'b');
    Ok(())
}

/// A region that cannot grow for a limit stays as it is.
pub(super) fn other_limits_hold(context: &Context) -> Result<()> {
    with_parameters(context, "session_limit_mib=4", || {
        let file = Node::new(DEVICE.into(), 0).open()?;
        file.write_all_at(b"x", 0)?;
        // With what it has already that would be too much.
        ensure!(write_errno(&file, 1, (3 << 20) + 5) == Err(Errno::ENOSPC));
        let mapped = Map::shared(&file, 0, (3 << 20) + page_bytes()).err();
        ensure!(mapped == Some(Errno::ENOSPC), "{mapped:?}");
        let map = Map::shared(&file, 0, 2 << 20)?;
        ensure!(map.load(0) == b'x');
        Ok(())
    })
}

/// What was mapped of it may be pinned.
pub(super) fn counted_pages_keep_the_length(context: &Context) -> Result<()> {
    with_parameters(
        context,
        "default_backing=vmalloc default_method=insert",
        || {
            let file = Node::new(DEVICE.into(), 0).open()?;
            file.write_all_at(b"x", 0)?;
            let map = Map::shared(&file, 0, 2 << 20)?;
            ensure!(map.load(0) == b'x');
            let (reader, writer) = pipe()?;
            let pinned = raw::vmsplice(&writer, map.addr, page_bytes())?;
            ensure!(pinned == page_bytes());
            drop(map);
            ensure!(write_errno(&file, 1, 2 << 20) == Err(Errno::ENOSPC));
            ensure!(Map::shared(&file, 0, 3 << 20).err() == Some(Errno::EINVAL));
            let map = Map::shared(&file, 0, 2 << 20)?;
            map.store(0, b'y');
            let mut contents = [0];
            File::from(reader).read_exact(&mut contents)?;
            ensure!(&contents == b"y", "the pinned page is another one");
            Ok(())
        },
    )
}

/// No byte of a write(2) is lost when another thread has the region grow meanwhile.
pub(super) fn growth_while_others_write() -> Result<()> {
    const WRITERS: usize = 3;
    const PIECE: usize = 1500;
    let file = Node::new(DEVICE.into(), 0).open()?;
    let most = usize::try_from(DEFAULT_MAX_BYTES)?;
    // A child: threads of this process would be in the way of later forks.
    child::run(|| {
        let write = |writer: usize| {
            for at in (writer * PIECE..1 << 20).step_by(WRITERS * PIECE) {
                file.write_all_at(&[writer as u8 + 1; PIECE], at as u64)?;
            }
            anyhow::Ok(())
        };
        thread::scope(|scope| {
            let writers: Vec<_> = (0..WRITERS)
                .map(|writer| scope.spawn(move || write(writer)))
                .collect();
            let mut length = 2 << 20;
            while length <= most {
                Map::shared(&file, 0, length)?;
                length += 1 << 20;
            }
            for writer in writers {
                writer.join().expect("a writer panics")?;
            }
            anyhow::Ok(())
        })?;
        let mut contents = vec![0; 1 << 20];
        file.read_exact_at(&mut contents, 0)?;
        for (piece, bytes) in contents.chunks_exact(PIECE).enumerate() {
            let expected = (piece % WRITERS) as u8 + 1;
            ensure!(
                bytes.iter().all(|byte| *byte == expected),
                "piece {piece} is lost"
            );
        }
        Ok(())
    })
}
