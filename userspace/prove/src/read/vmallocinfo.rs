// SPDX-License-Identifier: MIT OR Apache-2.0

//! `/proc/vmallocinfo`: the areas of the vmalloc area that are in use.

use super::text;
use anyhow::{bail, Result};

/// An area: `0x…-0x…   20480 dup_task_struct+0x61/0x8f0 pages=4 vmalloc`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Area {
    /// First address; `None` where the kernel scrambles it (it does, unless booted with
    /// `no_hash_pointers`).
    pub start: Option<u64>,
    /// Bytes of addresses.
    pub bytes: u64,
    /// The function that made it; empty if it is not told.
    pub caller: String,
    /// Pages that it maps; a page more of addresses is not mapped.
    pub pages: Option<u64>,
    /// The physical address that it maps: of ioremaps.
    pub phys: Option<u64>,
}

/// Reads them.
pub fn read() -> Result<Vec<Area>> {
    parse(&text("/proc/vmallocinfo")?)
}

fn parse(text: &str) -> Result<Vec<Area>> {
    text.lines().map(parse_line).collect()
}

fn parse_line(line: &str) -> Result<Area> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let Some(bytes) = words.get(1).and_then(|bytes| bytes.parse().ok()) else {
        bail!("/proc/vmallocinfo has a line that is no area: {line}");
    };
    let caller = words.get(2).and_then(|word| word.split_once('+'));
    let pages = words.iter().find_map(|word| word.strip_prefix("pages="));
    let phys = words.iter().find_map(|word| word.strip_prefix("phys=0x"));
    let start = words.first().and_then(|range| range.split_once('-'));
    let start = start.and_then(|(start, _)| {
        let digits = start.trim_start_matches("0x");
        u64::from_str_radix(digits, 16).ok()
    });
    Ok(Area {
        // A scrambled one has the upper half of its bits zero.
        start: start.filter(|start| start >> (usize::BITS - 1) == 1),
        bytes,
        caller: caller.map_or(String::new(), |(name, _)| name.to_owned()),
        pages: pages.and_then(|count| count.parse().ok()),
        phys: phys.and_then(|digits| u64::from_str_radix(digits, 16).ok()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_area_has_a_caller_and_pages() {
        let text = "\
0xffffc90000005000-0xffffc9000000a000   20480 dup_task_struct+0x61/0x8f0 pages=4 vmalloc N0=4
0xffffc90000010000-0xffffc90000020000   65536 vm_map_ram
0xffffc90000020000-0xffffc90000022000    8192 acpi_os_map_iomem+0x1/0x2 phys=0x00000000bffe0000 ioremap
";
        let areas = parse(text).unwrap();
        assert_eq!(areas[0].bytes, 20480);
        assert_eq!(areas[0].start, Some(0xffff_c900_0000_5000));
        let scrambled = "0x00000000a884d7a4-0x00000000be3e8251 8192 f+0x1/0x2 pages=1\n";
        assert_eq!(parse(scrambled).unwrap()[0].start, None);
        assert_eq!(
            (areas[0].caller.as_str(), areas[0].pages),
            ("dup_task_struct", Some(4))
        );
        assert_eq!((areas[1].caller.as_str(), areas[1].pages), ("", None));
        assert_eq!(areas[2].caller, "acpi_os_map_iomem");
        assert_eq!((areas[1].phys, areas[2].phys), (None, Some(0xbffe_0000)));
        assert!(parse("no area\n").is_err());
    }
}
