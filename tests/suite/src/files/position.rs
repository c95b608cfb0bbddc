// SPDX-License-Identifier: MIT OR Apache-2.0

//! The position of an open file, and where the file ends.

use super::{end, pattern, seek, splices::filled, Node};
use crate::{child, raw::Map};
use anyhow::{ensure, Result};
use mapwright::{
    page_bytes, page_size,
    uapi::{DEFAULT_BYTES, DEFAULT_MAX_BYTES, FIRST_OFFSET},
};
use nix::{errno::Errno, unistd::Whence};
use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    os::{fd::AsRawFd as _, unix::fs::FileExt as _},
};

/// Python's `open(path, 'ab')`, which seeks to the end by itself. `O_APPEND` alone means nothing, as for a disk.
pub(super) fn opened_to_append(node: &Node) -> Result<()> {
    let mut append = OpenOptions::new();
    let append = append.read(true).append(true).create(true);
    let mut file = append.open(&node.path)?;
    let before = file.seek(SeekFrom::End(0))?;
    ensure!(before == DEFAULT_BYTES, "{before}");
    file.write_all(b"one")?;
    file.write_all(b"two")?;
    let mut contents = [0; 6];
    file.read_exact_at(&mut contents, before)?;
    ensure!(&contents == b"onetwo", "{contents:?}");

    let file = append.open(&node.path)?;
    file.write_all_at(b"here", 100)?;
    let mut contents = [0; 4];
    file.read_exact_at(&mut contents, 100)?;
    ensure!(&contents == b"here", "{contents:?}");
    Ok(())
}

pub(super) fn seeking(node: &Node) -> Result<()> {
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

pub(super) fn positions_are_never_negative(node: &Node) -> Result<()> {
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

pub(super) fn the_end_is_where_reading_ends(node: &Node) -> Result<()> {
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

pub(super) fn a_duplicate_shares_the_position(node: &Node) -> Result<()> {
    let mut file = filled(node, 100)?;
    file.seek(SeekFrom::Start(10))?;
    let mut duplicate = file.try_clone()?;
    let mut contents = [0; 5];
    duplicate.read_exact(&mut contents)?;
    ensure!(contents == pattern(100)[10..15]);
    ensure!(file.stream_position()? == 15);
    // And a child that inherits it.
    child::run(|| {
        duplicate.write_all(b"child")?;
        Ok(())
    })?;
    ensure!(file.stream_position()? == 20);
    let mut contents = [0; 5];
    file.read_exact_at(&mut contents, 15)?;
    ensure!(&contents == b"child", "{contents:?}");
    Ok(())
}

/// `/dev/fd/N`, `/proc/self/fd/N`: opens the device node once more, a session of its own.
pub(super) fn opened_again_by_its_descriptor(node: &Node) -> Result<()> {
    let file = filled(node, 100)?;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let again = OpenOptions::new().read(true).write(true).open(path)?;
    let mut contents = [1; 8];
    again.read_exact_at(&mut contents, 0)?;
    ensure!(contents == [0; 8], "{contents:?}");
    again.write_all_at(b"other", 0)?;
    file.read_exact_at(&mut contents, 0)?;
    ensure!(contents == pattern(8)[..], "{contents:?}");
    Ok(())
}
