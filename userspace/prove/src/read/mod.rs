// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the kernel says of itself, where the crate `procfs` does not read it. Parsing is apart from
//! reading, and tested on saved text.

pub mod boot_memory;
pub mod config;
pub mod free_lists;
pub mod log;
pub mod page_cache;
pub mod symbols;
pub mod trace;
pub mod vmallocinfo;
pub mod zoneinfo;

use anyhow::{Context as _, Result};
use std::{fs, path::Path};

/// A file's text, or an error that names the file.
pub fn text(path: impl AsRef<Path>) -> Result<String> {
    let path = path.as_ref();
    fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

/// The name of a file without its folders, which are this machine's.
pub fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// Whether QEMU emulates the processors' instructions. On ARM nothing tells that, so QEMU's board is taken
/// for it.
pub fn is_emulated() -> Result<bool> {
    let board = text("/proc/device-tree/compatible").unwrap_or_default();
    Ok(board.contains("linux,dummy-virt") || text("/proc/cpuinfo")?.contains("QEMU TCG"))
}

/// Numbers of the NUMA nodes that have memory; none if the kernel knows no nodes.
pub fn nodes() -> Result<Vec<usize>> {
    let list = Path::new("/sys/devices/system/node/has_memory");
    if !list.exists() {
        return Ok(Vec::new());
    }
    parse_list(&text(list)?)
}

/// Processors of a NUMA node.
pub fn cpus_of(node: usize) -> Result<Vec<usize>> {
    parse_list(&text(format!(
        "/sys/devices/system/node/node{node}/cpulist"
    ))?)
}

/// A list as the kernel writes it: `0-1,4`.
fn parse_list(list: &str) -> Result<Vec<usize>> {
    let mut numbers = Vec::new();
    for range in list.trim().split(',').filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let parse = |text: &str| -> Result<usize> {
            text.parse().with_context(|| format!("{range} is no range"))
        };
        numbers.extend(parse(first)?..=parse(last)?);
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_numbers() {
        assert_eq!(parse_list("0-1,4\n").unwrap(), [0, 1, 4]);
        assert!(parse_list("\n").unwrap().is_empty());
        assert!(parse_list("a-b").is_err());
    }
}
