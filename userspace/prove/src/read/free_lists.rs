// SPDX-License-Identifier: MIT OR Apache-2.0

//! `/proc/buddyinfo` and `/proc/pagetypeinfo`: the page allocator's lists of free blocks.

use super::text;
use anyhow::{Context as _, Result};
use std::collections::BTreeMap;

/// Free blocks of a zone, by order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreeLists {
    /// Number of its node.
    pub node: usize,
    /// Name of the zone.
    pub zone: String,
    /// Blocks of 2^n pages, for n from 0.
    pub blocks: Vec<u64>,
}

/// Reads `/proc/buddyinfo`.
pub fn read() -> Result<Vec<FreeLists>> {
    parse(&text("/proc/buddyinfo")?)
}

/// Orders of blocks that the page allocator has, from 0 on.
pub fn orders() -> Result<usize> {
    let lists = read()?;
    let first = lists.first().context("/proc/buddyinfo is empty")?;
    Ok(first.blocks.len())
}

/// `Node 0, zone    DMA32     38     25     15 …`
fn parse(text: &str) -> Result<Vec<FreeLists>> {
    let line = |line: &str| {
        let (node, rest) = line.strip_prefix("Node ")?.split_once(", zone ")?;
        let mut words = rest.split_whitespace();
        Some(FreeLists {
            node: node.parse().ok()?,
            zone: words.next()?.to_owned(),
            blocks: words.map(str::parse).collect::<Result<_, _>>().ok()?,
        })
    };
    text.lines()
        .map(|text| line(text).with_context(|| format!("/proc/buddyinfo has the line {text}")))
        .collect()
}

/// Free blocks of the migrate type Unmovable in a zone of the first node, by order, from the first table of
/// `/proc/pagetypeinfo`. None if there is no such zone.
pub fn unmovable(zone: &str) -> Result<Vec<u64>> {
    parse_unmovable(&text("/proc/pagetypeinfo")?, zone)
}

/// `Node    0, zone    DMA32, type    Unmovable      1      1      1 …`
fn parse_unmovable(text: &str, zone: &str) -> Result<Vec<u64>> {
    for line in text.lines() {
        let words: Vec<&str> = line
            .split([' ', ','])
            .filter(|word| !word.is_empty())
            .collect();
        if let ["Node", "0", "zone", name, "type", "Unmovable", counts @ ..] = &words[..] {
            if *name == zone {
                let count = |word: &&str| word.parse().with_context(|| format!("no count: {line}"));
                return counts.iter().map(count).collect();
            }
        }
    }
    Ok(Vec::new())
}

/// Blocks of pages by what they are for: the last table of `/proc/pagetypeinfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockTypes {
    /// Pages of a block.
    pub pages_per_block: u64,
    /// Blocks of all zones, by the name of their migrate type.
    pub blocks: BTreeMap<String, u64>,
    /// The names, in the order of the kernel's numbers for them.
    pub names: Vec<String>,
}

/// Reads `/proc/pagetypeinfo`.
pub fn block_types() -> Result<BlockTypes> {
    parse_types(&text("/proc/pagetypeinfo")?)
}

fn parse_types(text: &str) -> Result<BlockTypes> {
    let pages = text
        .lines()
        .find_map(|line| line.strip_prefix("Pages per block:"));
    let pages = pages.and_then(|count| count.trim().parse().ok());
    let pages_per_block = pages.context("/proc/pagetypeinfo does not tell pages per block")?;
    let mut lines = text.lines();
    let names = lines.find_map(|line| line.strip_prefix("Number of blocks type"));
    let names = names.context("/proc/pagetypeinfo has no table of blocks")?;
    let names: Vec<String> = names.split_whitespace().map(str::to_owned).collect();
    let mut blocks = BTreeMap::new();
    for line in lines {
        // Node 0, zone DMA 1 7 0 …
        let counts = line.split_whitespace().skip(4);
        for (name, count) in names.iter().zip(counts) {
            *blocks.entry(name.clone()).or_insert(0) += count.parse::<u64>()?;
        }
    }
    Ok(BlockTypes {
        pages_per_block,
        blocks,
        names,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_counted_by_order() {
        let lists = parse("Node 0, zone      DMA      0      1      3 \n").unwrap();
        assert_eq!((lists[0].node, lists[0].zone.as_str()), (0, "DMA"));
        assert_eq!(lists[0].blocks, [0, 1, 3]);
        assert!(parse("Node 0, zone DMA many\n").is_err());
    }

    #[test]
    fn blocks_are_counted_by_migrate_type() {
        let text = "\
Page block order: 9
Pages per block:  512

Free pages count per migrate type at order       0
Node    0, zone      DMA, type    Unmovable      7

Number of blocks type     Unmovable      Movable
Node 0, zone      DMA            1            7
Node 0, zone    DMA32           32          470
";
        let types = parse_types(text).unwrap();
        assert_eq!(parse_unmovable(text, "DMA").unwrap(), [7]);
        assert!(parse_unmovable(text, "Normal").unwrap().is_empty());
        assert_eq!(types.pages_per_block, 512);
        assert_eq!(types.names, ["Unmovable", "Movable"]);
        assert_eq!(
            (types.blocks["Unmovable"], types.blocks["Movable"]),
            (33, 477)
        );
    }
}
