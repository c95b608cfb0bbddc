// SPDX-License-Identifier: MIT OR Apache-2.0

//! `/proc/kcore`: the kernel's memory, as an ELF core file.

use crate::{Error, Result};
use std::{fs::File, io, os::unix::fs::FileExt as _};

/// Where the kernel has it.
pub const FILE: &str = "/proc/kcore";

const PT_LOAD: u32 = 1;
const ELFCLASS64: u8 = 2;

/// The kernel's memory.
pub struct Kcore {
    file: File,
    segments: Vec<Segment>,
}

/// A range of addresses, and where it is in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    address: u64,
    bytes: u64,
    offset: u64,
}

impl Kcore {
    /// Opens it.
    pub fn open() -> Result<Self> {
        let file = File::open(FILE).map_err(unreadable)?;
        let mut header = [0; 64];
        file.read_exact_at(&mut header, 0).map_err(unreadable)?;
        let (at, size, count) = (
            number(&header, 32, 8),
            number(&header, 54, 2),
            number(&header, 56, 2),
        );
        if header[4] != ELFCLASS64 || size < 56 {
            return Err(wrong("it is not of a 64-bit kernel"));
        }
        // Two numbers of 16 bits.
        let (size, count) = (size as usize, count as usize);
        let mut table = vec![0; size * count];
        file.read_exact_at(&mut table, at).map_err(unreadable)?;
        let segments = table.chunks_exact(size).filter_map(segment);
        Ok(Self {
            segments: segments.collect(),
            file,
        })
    }

    /// The bytes from an address on.
    pub fn read(&self, address: u64, buffer: &mut [u8]) -> Result<()> {
        let inside = |segment: &&Segment| {
            let within = address.checked_sub(segment.address);
            within.is_some_and(|within| within + buffer.len() as u64 <= segment.bytes)
        };
        let segment = self.segments.iter().find(inside);
        let segment = segment.ok_or_else(|| wrong(&format!("{address:#x} is not in it")))?;
        let offset = segment.offset + (address - segment.address);
        self.file.read_exact_at(buffer, offset).map_err(unreadable)
    }
}

fn unreadable(err: io::Error) -> Error {
    wrong(&format!("cannot be read: {err}"))
}

fn wrong(detail: &str) -> Error {
    Error::Unexpected {
        what: FILE.to_owned(),
        detail: detail.to_owned(),
    }
}

/// A program header of 64 bits.
fn segment(header: &[u8]) -> Option<Segment> {
    (number(header, 0, 4) == u64::from(PT_LOAD)).then(|| Segment {
        offset: number(header, 8, 8),
        address: number(header, 16, 8),
        bytes: number(header, 32, 8),
    })
}

/// A number of the machine's own byte order, as the file has it.
fn number(bytes: &[u8], at: usize, length: usize) -> u64 {
    let mut number = [0; 8];
    number[..length].copy_from_slice(&bytes[at..at + length]);
    u64::from_le_bytes(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_header() {
        let mut header = [0; 56];
        header[0] = 1;
        header[8..16].copy_from_slice(&0x4000u64.to_le_bytes());
        header[16..24].copy_from_slice(&0xffff_8880_0000_0000u64.to_le_bytes());
        header[32..40].copy_from_slice(&4096u64.to_le_bytes());
        let expected = Segment {
            address: 0xffff_8880_0000_0000,
            bytes: 4096,
            offset: 0x4000,
        };
        assert_eq!(segment(&header), Some(expected));
        header[0] = 4;
        assert_eq!(segment(&header), None);
    }
}
