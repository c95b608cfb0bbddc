// SPDX-License-Identifier: MIT OR Apache-2.0

//! A device node as programs use files that know nothing of it: seek, append, splice, synchronize, and a default
//! region that is as long as is needed.

use crate::{
    child, dma, gpio,
    limits::with_parameters,
    raw::{self, Map, RW},
    runner::{skip, Case, Context, Suite},
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{
    gpio::Bank,
    page_bytes, page_size,
    uapi::{self, Request as _, DEFAULT_BYTES, DEFAULT_MAX_BYTES, FIRST_OFFSET},
    Region, Session, DEVICE,
};
use mapwright_prove::disk::Disk;
use nix::{
    errno::Errno,
    fcntl::{splice, tee, OFlag, SpliceFFlags},
    libc,
    poll::{poll, PollFd, PollFlags, PollTimeout},
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
        mman::{MapFlags, ProtFlags},
        uio::{pread, pwrite},
    },
    unistd::{fdatasync, fsync, lseek64, pipe, Whence},
};
use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    os::{
        fd::{AsFd, AsRawFd as _},
        unix::{
            fs::{FileExt as _, OpenOptionsExt as _},
            net::UnixStream,
        },
    },
    path::{Path, PathBuf},
    process::Command,
    thread,
};

/// Of `/dev/mapwright`.
pub const SUITE: Suite = Suite {
    name: "files",
    cases: || {
        let mut cases = cases_of(|| Ok(Node::new(DEVICE.into(), 8 << 20)));
        cases.extend([
            // What the other node is ready for are transfers.
            Case::new("always_ready", |_| always_ready()),
            Case::new("as_a_disk_does", |_| as_a_disk_does()),
            Case::new("up_to_the_limit", |_| up_to_the_limit()),
            Case::new("other_limits_hold", other_limits_hold),
            Case::new(
                "counted_pages_keep_the_length",
                counted_pages_keep_the_length,
            ),
            Case::new("growth_while_others_write", |_| growth_while_others_write()),
            Case::new("commands", |_| commands()),
        ]);
        cases
    },
};

/// Of the DMA device, whose default region is coherent memory: without CMA, 4 MiB are the most that there is in one
/// piece.
pub const DMA_SUITE: Suite = Suite {
    name: "dma.files",
    cases: || cases_of(|| Ok(Node::new(dma::device()?, 2 << 20))),
};

/// Of a GPIO bank, which reads as the levels of its lines.
pub const GPIO_SUITE: Suite = Suite {
    name: "gpio.files",
    cases: || {
        vec![Case::new("read_as_any_file", |_| {
            a_bank_is_read_as_any_file()
        })]
    },
};

/// A device node that has sessions.
struct Node {
    path: PathBuf,
    /// Bytes of the largest default region that is tried.
    most: u64,
}

/// What is tried with a node.
type Try = (&'static str, fn(&Node) -> Result<()>);

const TRIES: &[Try] = &[
    ("as_numpy_maps_it", as_numpy_maps_it),
    ("a_write_then_a_larger_mmap", a_write_then_a_larger_mmap),
    ("opened_to_append", opened_to_append),
    ("seeking", seeking),
    ("positions_are_never_negative", positions_are_never_negative),
    (
        "the_end_is_where_reading_ends",
        the_end_is_where_reading_ends,
    ),
    ("written_piece_by_piece", written_piece_by_piece),
    (
        "a_mapped_region_keeps_its_length",
        a_mapped_region_keeps_its_length,
    ),
    (
        "a_named_region_keeps_its_length",
        a_named_region_keeps_its_length,
    ),
    ("a_growing_mmap_at_an_offset", a_growing_mmap_at_an_offset),
    ("no_memory_for_nothing", no_memory_for_nothing),
    ("synchronized", synchronized),
    ("spliced_out", spliced_out),
    ("spliced_in", spliced_in),
    ("sent_to_a_file_and_a_socket", sent_to_a_file_and_a_socket),
    ("sent_from_a_file", sent_from_a_file),
    (
        "copy_file_range_is_for_regular_files",
        copy_file_range_is_for_regular_files,
    ),
    ("opened_for_reading", opened_for_reading),
    ("opened_for_writing", opened_for_writing),
    (
        "a_duplicate_shares_the_position",
        a_duplicate_shares_the_position,
    ),
    (
        "opened_again_by_its_descriptor",
        opened_again_by_its_descriptor,
    ),
    ("flags_of_a_call", flags_of_a_call),
    ("what_only_regular_files_have", what_only_regular_files_have),
];

fn cases_of(node: fn() -> Result<Node>) -> Vec<Case> {
    let case = |(name, run): &Try| {
        let run = *run;
        Case::new(*name, move |_| run(&node()?))
    };
    TRIES.iter().map(case).collect()
}

impl Node {
    fn new(path: PathBuf, most: u64) -> Self {
        Self { path, most }
    }

    fn open(&self) -> Result<File> {
        Ok(OpenOptions::new().read(true).write(true).open(&self.path)?)
    }
}

/// Bytes that differ from each other, and from zero.
fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at % 251) as u8 + 1).collect()
}

/// `lseek(fd, offset, whence)`.
fn seek(file: &File, offset: i64, whence: Whence) -> Result<i64, Errno> {
    lseek64(file, offset, whence)
}

/// `lseek(fd, 0, SEEK_END)`, and back.
fn end(file: &File) -> Result<u64> {
    let before = seek(file, 0, Whence::SeekCur)?;
    let end = seek(file, 0, Whence::SeekEnd)?;
    seek(file, before, Whence::SeekSet)?;
    Ok(end as u64)
}

fn write_errno(file: &File, byte: u8, at: u64) -> Result<usize, Errno> {
    pwrite(file, &[byte], at as libc::off_t)
}

/// `numpy.memmap(path, mode='r+', shape=(n,))`, for each size: the file is made long enough by a byte at its end.
fn as_numpy_maps_it(node: &Node) -> Result<()> {
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
        let mut seen = [0];
        file.read_exact_at(&mut seen, bytes - 1)?;
        ensure!(seen == [2], "{bytes} bytes: the kernel sees {seen:?}");
    }
    Ok(())
}

fn a_write_then_a_larger_mmap(node: &Node) -> Result<()> {
    let file = node.open()?;
    file.write_all_at(b"x", 0)?;
    let length = usize::try_from(node.most)?;
    let map = Map::shared(&file, 0, length)?;
    ensure!(map.load(0) == b'x', "the byte is lost");
    ensure!(map.load(1) == 0 && map.load(length - 1) == 0);
    map.store(length - 1, 7);
    let mut seen = [0];
    file.read_exact_at(&mut seen, node.most - 1)?;
    ensure!(seen == [7]);
    Ok(())
}

/// Python's `open(path, 'ab')`, which seeks to the end by itself. `O_APPEND` alone means nothing, as for a disk.
fn opened_to_append(node: &Node) -> Result<()> {
    let mut append = OpenOptions::new();
    let append = append.read(true).append(true).create(true);
    let mut file = append.open(&node.path)?;
    let before = file.seek(SeekFrom::End(0))?;
    ensure!(before == DEFAULT_BYTES, "{before}");
    file.write_all(b"one")?;
    file.write_all(b"two")?;
    let mut seen = [0; 6];
    file.read_exact_at(&mut seen, before)?;
    ensure!(&seen == b"onetwo", "{seen:?}");

    let file = append.open(&node.path)?;
    file.write_all_at(b"here", 100)?;
    let mut seen = [0; 4];
    file.read_exact_at(&mut seen, 100)?;
    ensure!(&seen == b"here", "{seen:?}");
    Ok(())
}

fn seeking(node: &Node) -> Result<()> {
    let file = node.open()?;
    let _map = Map::shared(&file, 0, 2 * page_bytes())?;
    let length = 2 * page_size() as i64;
    ensure!(seek(&file, 10, Whence::SeekSet) == Ok(10));
    ensure!(seek(&file, 5, Whence::SeekCur) == Ok(15));
    ensure!(seek(&file, -15, Whence::SeekCur) == Ok(0));
    ensure!(seek(&file, 0, Whence::SeekEnd) == Ok(length));
    ensure!(seek(&file, -7, Whence::SeekEnd) == Ok(length - 7));
    ensure!(seek(&file, 7, Whence::SeekEnd) == Ok(length + 7));
    // All up to the end is data.
    ensure!(seek(&file, 3, Whence::SeekData) == Ok(3));
    ensure!(seek(&file, 3, Whence::SeekHole) == Ok(length));
    ensure!(seek(&file, length, Whence::SeekData) == Err(Errno::ENXIO));
    ensure!(seek(&file, length, Whence::SeekHole) == Err(Errno::ENXIO));
    // Regions are further on.
    ensure!(seek(&file, FIRST_OFFSET as i64, Whence::SeekSet) == Ok(FIRST_OFFSET as i64));
    Ok(())
}

fn positions_are_never_negative(node: &Node) -> Result<()> {
    let file = node.open()?;
    for (offset, whence) in [
        (-1, Whence::SeekSet),
        (-1, Whence::SeekCur),
        (-1 - DEFAULT_BYTES as i64, Whence::SeekEnd),
        (i64::MIN, Whence::SeekSet),
        (i64::MIN, Whence::SeekCur),
        (i64::MIN, Whence::SeekEnd),
        (i64::MAX, Whence::SeekEnd),
    ] {
        let sought = seek(&file, offset, whence);
        ensure!(
            sought == Err(Errno::EINVAL),
            "{offset} from {whence:?}: {sought:?}"
        );
    }
    for whence in [Whence::SeekData, Whence::SeekHole] {
        let sought = seek(&file, -1, whence);
        ensure!(sought == Err(Errno::ENXIO), "{whence:?}: {sought:?}");
    }
    ensure!(seek(&file, 1, Whence::SeekSet) == Ok(1));
    let sought = seek(&file, i64::MAX, Whence::SeekCur);
    ensure!(sought == Err(Errno::EINVAL), "{sought:?}");
    ensure!(
        seek(&file, 0, Whence::SeekCur) == Ok(1),
        "the position was changed"
    );
    Ok(())
}

fn the_end_is_where_reading_ends(node: &Node) -> Result<()> {
    const PREPARED: [fn(&File) -> Result<()>; 3] = [
        |_| Ok(()),
        |file| Ok(file.write_all_at(b"x", DEFAULT_BYTES + 5)?),
        |file| {
            Map::shared(file, 0, 3 * page_bytes())?;
            Ok(())
        },
    ];
    for prepare in PREPARED {
        let mut file = node.open()?;
        prepare(&file)?;
        let expected = end(&file)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        ensure!(
            bytes.len() as u64 == expected,
            "{} of {expected}",
            bytes.len()
        );
        for beyond in [expected, expected + 1, DEFAULT_MAX_BYTES, FIRST_OFFSET - 1] {
            let read = file.read_at(&mut [0; 8], beyond)?;
            ensure!(read == 0, "{read} bytes at {beyond:#x}");
        }
    }
    Ok(())
}

fn written_piece_by_piece(node: &Node) -> Result<()> {
    let mut file = node.open()?;
    let all = pattern(usize::try_from(node.most)?);
    for piece in all.chunks(300_007) {
        file.write_all(piece)?;
    }
    ensure!(end(&file)? == node.most, "{:#x}", end(&file)?);
    let mut seen = vec![0; all.len()];
    file.read_exact_at(&mut seen, 0)?;
    ensure!(seen == all, "bytes were lost when the region grew");
    let map = Map::shared(&file, 0, all.len())?;
    ensure!(
        (0..all.len())
            .step_by(977)
            .all(|at| map.load(at) == all[at]),
        "the program sees something else"
    );
    Ok(())
}

fn a_mapped_region_keeps_its_length(node: &Node) -> Result<()> {
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
fn a_named_region_keeps_its_length(node: &Node) -> Result<()> {
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

fn a_growing_mmap_at_an_offset(node: &Node) -> Result<()> {
    let file = node.open()?;
    drop(Map::shared(&file, 0, 4 * page_bytes())?);
    file.write_all_at(b"ab", 4 * page_size() - 1)?;
    let map = Map::shared(&file, 3 * page_size(), 9 * page_bytes())?;
    ensure!(map.load(page_bytes() - 1) == b'a' && map.load(page_bytes()) == b'b');
    map.store(9 * page_bytes() - 1, 5);
    let mut seen = [0];
    file.read_exact_at(&mut seen, 12 * page_size() - 1)?;
    ensure!(seen == [5]);
    Ok(())
}

/// Questions and refusals take no memory.
fn no_memory_for_nothing(node: &Node) -> Result<()> {
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

fn synchronized(node: &Node) -> Result<()> {
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

/// Fills the first bytes of the default region.
fn filled(node: &Node, bytes: usize) -> Result<File> {
    let file = node.open()?;
    file.write_all_at(&pattern(bytes), 0)?;
    Ok(file)
}

fn spliced_out(node: &Node) -> Result<()> {
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
        let mut seen = vec![0; moved];
        File::from(reader).read_exact(&mut seen)?;
        ensure!(seen == pattern(bytes)[5..5 + moved], "other bytes");
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
    let mut seen = [1; 7];
    File::from(reader).read_exact(&mut seen)?;
    ensure!(seen == [0; 7]);
    // What was spliced is a copy: a later store does not change what is in the pipe.
    let (reader, writer) = pipe()?;
    splice(&file, Some(&mut 0), &writer, None, 4, flags)?;
    file.write_all_at(b"late", 0)?;
    let mut seen = [0; 4];
    File::from(reader).read_exact(&mut seen)?;
    ensure!(seen == pattern(4)[..], "{seen:?}");
    Ok(())
}

fn spliced_in(node: &Node) -> Result<()> {
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
fn send(to: &impl AsFd, from: &impl AsFd, offset: u64, bytes: usize) -> Result<usize, Errno> {
    let mut offset = offset as libc::off64_t;
    let (to, from) = (to.as_fd().as_raw_fd(), from.as_fd().as_raw_fd());
    // SAFETY: The offset is this function's.
    let sent = unsafe { libc::sendfile64(to, from, &mut offset, bytes) };
    Errno::result(sent).map(|sent| sent as usize)
}

fn sent_to_a_file_and_a_socket(node: &Node) -> Result<()> {
    let bytes = 2 * page_bytes() + 100;
    let file = filled(node, bytes)?;
    let memory = memory_file()?;
    ensure!(send(&memory, &file, 0, bytes)? == bytes);
    let mut seen = vec![0; bytes];
    memory.read_exact_at(&mut seen, 0)?;
    ensure!(seen == pattern(bytes), "the file has other bytes");
    let (mut one, other) = UnixStream::pair()?;
    let sent = send(&other, &file, 7, 3000)?;
    let mut seen = vec![0; sent];
    one.read_exact(&mut seen)?;
    ensure!(
        sent > 0 && seen == pattern(bytes)[7..7 + sent],
        "the socket gets other bytes"
    );
    Ok(())
}

fn sent_from_a_file(node: &Node) -> Result<()> {
    let bytes = usize::try_from(DEFAULT_BYTES)? + 3 * page_bytes();
    let (file, memory) = (node.open()?, memory_file()?);
    memory.write_all_at(&pattern(bytes), 0)?;
    let mut sent = 0;
    while sent < bytes {
        let more = send(&file, &memory, sent as u64, bytes - sent)?;
        ensure!(more > 0, "nothing is sent after {sent} bytes");
        sent += more;
    }
    let mut seen = vec![0; bytes];
    file.read_exact_at(&mut seen, 0)?;
    ensure!(seen == pattern(bytes), "other bytes arrived");
    Ok(())
}

fn memory_file() -> Result<File> {
    use nix::sys::memfd::{memfd_create, MFdFlags};
    Ok(memfd_create(c"files", MFdFlags::empty())?.into())
}

/// The kernel's rule. Programs copy in another way then.
fn copy_file_range_is_for_regular_files(node: &Node) -> Result<()> {
    let (file, memory) = (filled(node, 100)?, memory_file()?);
    for (from, to) in [(&file, &memory), (&memory, &file)] {
        let copied = nix::fcntl::copy_file_range(from, None, to, None, 10);
        ensure!(copied == Err(Errno::EINVAL), "{copied:?}");
    }
    // Such as this, which tries that first.
    let mut memory = memory;
    std::io::copy(&mut (&file).take(100), &mut memory)?;
    let mut seen = [0; 100];
    memory.read_exact_at(&mut seen, 0)?;
    ensure!(seen == pattern(100)[..]);
    Ok(())
}

fn opened_for_reading(node: &Node) -> Result<()> {
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

fn opened_for_writing(node: &Node) -> Result<()> {
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

fn always_ready() -> Result<()> {
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

fn a_duplicate_shares_the_position(node: &Node) -> Result<()> {
    let mut file = filled(node, 100)?;
    file.seek(SeekFrom::Start(10))?;
    let mut duplicate = file.try_clone()?;
    let mut seen = [0; 5];
    duplicate.read_exact(&mut seen)?;
    ensure!(seen == pattern(100)[10..15]);
    ensure!(file.stream_position()? == 15);
    // And a child that inherits it.
    child::run(|| {
        duplicate.write_all(b"child")?;
        Ok(())
    })?;
    ensure!(file.stream_position()? == 20);
    let mut seen = [0; 5];
    file.read_exact_at(&mut seen, 15)?;
    ensure!(&seen == b"child", "{seen:?}");
    Ok(())
}

/// `/dev/fd/N`, `/proc/self/fd/N`: opens the device node once more, a session of its own.
fn opened_again_by_its_descriptor(node: &Node) -> Result<()> {
    let file = filled(node, 100)?;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let again = OpenOptions::new().read(true).write(true).open(path)?;
    let mut seen = [1; 8];
    again.read_exact_at(&mut seen, 0)?;
    ensure!(seen == [0; 8], "{seen:?}");
    again.write_all_at(b"other", 0)?;
    file.read_exact_at(&mut seen, 0)?;
    ensure!(seen == pattern(8)[..], "{seen:?}");
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

fn flags_of_a_call(node: &Node) -> Result<()> {
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
fn what_only_regular_files_have(node: &Node) -> Result<()> {
    let file = node.open()?;
    let truncated = nix::unistd::ftruncate(&file, 4096);
    ensure!(truncated == Err(Errno::EINVAL), "{truncated:?}");
    let allocated = nix::fcntl::posix_fallocate(&file, 0, 4096);
    ensure!(allocated == Err(Errno::ENODEV), "{allocated:?}");
    ensure!(file.metadata()?.len() == 0);
    Ok(())
}

// Only of one node.

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
fn as_a_disk_does() -> Result<()> {
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

fn up_to_the_limit() -> Result<()> {
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
fn other_limits_hold(context: &Context) -> Result<()> {
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
fn counted_pages_keep_the_length(context: &Context) -> Result<()> {
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
            let mut seen = [0];
            File::from(reader).read_exact(&mut seen)?;
            ensure!(&seen == b"y", "the pinned page is another one");
            Ok(())
        },
    )
}

/// No byte of a write(2) is lost when another thread has the region grow meanwhile.
fn growth_while_others_write() -> Result<()> {
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
        let mut seen = vec![0; 1 << 20];
        file.read_exact_at(&mut seen, 0)?;
        for (piece, bytes) in seen.chunks_exact(PIECE).enumerate() {
            let expected = (piece % WRITERS) as u8 + 1;
            ensure!(
                bytes.iter().all(|byte| *byte == expected),
                "piece {piece} is lost"
            );
        }
        Ok(())
    })
}

/// Busybox or GNU, whichever there is.
fn commands() -> Result<()> {
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

/// Eight digits and a newline.
fn a_bank_is_read_as_any_file() -> Result<()> {
    const BYTES: usize = 9;
    let (_model, bank) = gpio::modelled_bank()?;
    let mut file = File::open(Bank::path(0))?;
    ensure!(end(&file)? == BYTES as u64);
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    let levels = u32::from_str_radix(text.trim_end(), 16)?;
    ensure!(text.len() == BYTES && levels == bank.levels()?, "{text}");
    ensure!(seek(&file, -1, Whence::SeekSet) == Err(Errno::EINVAL));
    ensure!(seek(&file, -1, Whence::SeekEnd) == Ok(BYTES as i64 - 1));
    let (reader, writer) = pipe()?;
    let moved = splice(
        &file,
        Some(&mut 0),
        &writer,
        None,
        100,
        SpliceFFlags::empty(),
    )?;
    let mut seen = vec![0; moved];
    File::from(reader).read_exact(&mut seen)?;
    ensure!(seen == text.as_bytes(), "{seen:?}");
    fsync(&file)?;
    Ok(())
}
