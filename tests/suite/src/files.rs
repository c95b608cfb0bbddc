// SPDX-License-Identifier: MIT OR Apache-2.0

//! A device node as programs use files that know nothing of it: seek, append, splice, synchronize, and a default
//! region that is as long as is needed.

mod calls;
mod disk;
mod length;
mod position;
mod splices;

use crate::{
    dma, gpio,
    runner::{Case, Suite},
};
use anyhow::{ensure, Result};
use calls::{
    always_ready, flags_of_a_call, opened_for_reading, opened_for_writing, synchronized,
    what_only_regular_files_have,
};
use disk::{as_a_disk_does, commands};
use length::{
    a_growing_mmap_at_an_offset, a_mapped_region_keeps_its_length, a_named_region_keeps_its_length,
    a_write_then_a_larger_mmap, as_numpy_maps_it, counted_pages_keep_the_length,
    growth_while_others_write, no_memory_for_nothing, other_limits_hold, up_to_the_limit,
    written_piece_by_piece,
};
use mapwright::{gpio::Bank, DEVICE};
use nix::{
    errno::Errno,
    fcntl::{splice, SpliceFFlags},
    libc,
    sys::uio::pwrite,
    unistd::{fsync, lseek64, pipe, Whence},
};
use position::{
    a_duplicate_shares_the_position, opened_again_by_its_descriptor, opened_to_append,
    positions_are_never_negative, seeking, the_end_is_where_reading_ends,
};
use splices::{
    copy_file_range_is_for_regular_files, sent_from_a_file, sent_to_a_file_and_a_socket,
    spliced_in, spliced_out,
};
use std::{
    fs::{File, OpenOptions},
    io::Read as _,
    path::PathBuf,
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
    let mut contents = vec![0; moved];
    File::from(reader).read_exact(&mut contents)?;
    ensure!(contents == text.as_bytes(), "{contents:?}");
    fsync(&file)?;
    Ok(())
}
