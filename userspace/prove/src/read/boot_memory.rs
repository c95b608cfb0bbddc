// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the kernel was told of memory at boot, and what it noted of it.

use super::text;
use crate::Table;
use anyhow::{Context as _, Result};
use std::{fs, path::Path};

/// A range of physical addresses, with its last one.
pub type Range = (u64, u64);

/// Bytes of some ranges.
pub fn bytes_of(ranges: &[Range]) -> u64 {
    ranges.iter().map(|(first, last)| last - first + 1).sum()
}

/// The ranges of memory in `/proc/iomem`.
pub fn system_ram() -> Result<Vec<Range>> {
    Ok(parse_iomem(&text("/proc/iomem")?))
}

/// `00001000-0009fbff : System RAM`
fn parse_iomem(text: &str) -> Vec<Range> {
    let range = |line: &str| {
        let (range, name) = line.split_once(" : ")?;
        let (first, last) = range.split_once('-')?;
        let number = |digits| u64::from_str_radix(digits, 16).ok();
        (name == "System RAM").then_some((number(first)?, number(last)?))
    };
    text.lines()
        .filter_map(range)
        .filter(|(_, last)| *last > 0)
        .collect()
}

const E820: &str = "/sys/firmware/memmap";
const TREE: &str = "/proc/device-tree";

/// Where the firmware says that memory is, and how it told.
pub fn firmware() -> Result<Option<(&'static str, Vec<Range>)>> {
    let (source, ranges) = if Path::new(E820).exists() {
        ("e820 (/sys/firmware/memmap)", e820()?)
    } else if Path::new(TREE).exists() {
        // A firmware that hands over a map of its own has no memory there.
        ("the device tree (/proc/device-tree/memory@…)", tree()?)
    } else {
        return Ok(None);
    };
    Ok((!ranges.is_empty()).then_some((source, ranges)))
}

fn e820() -> Result<Vec<Range>> {
    let mut ranges = Vec::new();
    for entry in fs::read_dir(E820).context(E820)? {
        let dir = entry?.path();
        if text(dir.join("type"))?.trim() != "System RAM" {
            continue;
        }
        let number = |name: &str| -> Result<u64> {
            let text = text(dir.join(name))?;
            let digits = text.trim().trim_start_matches("0x");
            u64::from_str_radix(digits, 16)
                .with_context(|| format!("{} is no number", dir.display()))
        };
        ranges.push((number("start")?, number("end")?));
    }
    Ok(ranges)
}

fn tree() -> Result<Vec<Range>> {
    let cells = |name: &str| -> Result<usize> {
        let bytes = fs::read(Path::new(TREE).join(name)).with_context(|| name.to_owned())?;
        Ok(big_endian(&bytes) as usize)
    };
    let (address, size) = (cells("#address-cells")? * 4, cells("#size-cells")? * 4);
    let mut ranges = Vec::new();
    for node in fs::read_dir(TREE).context(TREE)? {
        let node = node?;
        let name = node.file_name();
        if !name.to_string_lossy().starts_with("memory") {
            continue;
        }
        let reg = fs::read(node.path().join("reg")).context("reading a memory node")?;
        for entry in reg.chunks_exact((address + size).max(1)) {
            let (first, bytes) = entry.split_at(address);
            let (first, bytes) = (big_endian(first), big_endian(bytes));
            ranges.extend(bytes.checked_sub(1).map(|last| (first, first + last)));
        }
    }
    Ok(ranges)
}

fn big_endian(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

/// memblock's lists.
pub struct Memblock {
    pub memory: Vec<Range>,
    pub reserved: Vec<Range>,
}

const MEMBLOCK: &str = "/sys/kernel/debug/memblock";

/// The ranges of memblock, if the kernel has kept them.
pub fn memblock() -> Result<Option<Memblock>> {
    let dir = Path::new(MEMBLOCK);
    if !dir.exists() {
        return Ok(None);
    }
    Ok(Some(Memblock {
        memory: parse_list(&text(dir.join("memory"))?),
        reserved: parse_list(&text(dir.join("reserved"))?),
    }))
}

/// `   0: 0x0000000040000000..0x000000007fffffff    0 NONE`
fn parse_list(text: &str) -> Vec<Range> {
    let range = |line: &str| {
        let range = line.split_once(": ")?.1.split_whitespace().next()?;
        let (first, last) = range.split_once("..")?;
        let number = |digits: &str| u64::from_str_radix(digits.trim_start_matches("0x"), 16).ok();
        Some((number(first)?, number(last)?))
    };
    text.lines().filter_map(range).collect()
}

impl Memblock {
    /// The evidence: the memory, and the largest reservations.
    pub fn table(&self) -> Table {
        let mut table = Table::new(
            "memblock's lists: memory, and the largest reservations",
            ["list", "first", "last", "KiB"],
        );
        let mut reserved = self.reserved.clone();
        reserved.sort_by_key(|(first, last)| std::cmp::Reverse(last - first));
        let memory = self.memory.iter().map(|range| ("memory", range));
        for (list, (first, last)) in
            memory.chain(reserved.iter().take(6).map(|range| ("reserved", range)))
        {
            table.row([
                list.into(),
                format!("{first:#x}"),
                format!("{last:#x}"),
                ((last - first + 1) >> 10).to_string(),
            ]);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_found_in_each_list() {
        let iomem = "00001000-0009fbff : System RAM\n  00002000-00002fff : Kernel code\n000a0000-000bffff : PCI\n";
        assert_eq!(parse_iomem(iomem), [(0x1000, 0x9fbff)]);
        let list = "   0: 0x0000000040000000..0x000000007fffffff    0 NONE\n";
        assert_eq!(parse_list(list), [(0x4000_0000, 0x7fff_ffff)]);
        assert_eq!(bytes_of(&parse_list(list)), 1 << 30);
        assert_eq!(big_endian(&[0, 0, 0, 2]), 2);
    }
}
