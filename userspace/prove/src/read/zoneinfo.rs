// SPDX-License-Identifier: MIT OR Apache-2.0

//! `/proc/zoneinfo`: the zones of each node, their watermarks and counters.

use super::text;
use anyhow::{Context as _, Result};
use std::collections::HashMap;

/// A zone. Numbers are of pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Zone {
    /// Number of its node.
    pub node: usize,
    /// `DMA`, `DMA32`, `Normal`, …
    pub name: String,
    /// By the names that the file uses: `free`, `min`, `low`, `managed`, `start_pfn`, `numa_hit`.
    counters: HashMap<String, u64>,
    /// Pages kept free of allocations that could also use a higher zone, by that zone.
    pub protection: Vec<u64>,
}

impl Zone {
    /// The number that the file calls so; 0 if it does not have it.
    pub fn counter(&self, name: &str) -> u64 {
        self.counters.get(name).copied().unwrap_or(0)
    }

    /// Free pages.
    pub fn free(&self) -> u64 {
        self.counter("free")
    }

    /// Pages that the page allocator manages.
    pub fn managed(&self) -> u64 {
        self.counter("managed")
    }

    /// Whether the frame `pfn` is in its range.
    pub fn spans(&self, pfn: u64) -> bool {
        let first = self.counter("start_pfn");
        (first..first + self.counter("spanned")).contains(&pfn)
    }
}

/// Reads the zones that have memory.
pub fn read() -> Result<Vec<Zone>> {
    let zones = parse(&text("/proc/zoneinfo")?)?;
    Ok(zones
        .into_iter()
        .filter(|zone| zone.managed() > 0)
        .collect())
}

fn parse(text: &str) -> Result<Vec<Zone>> {
    let mut zones: Vec<Zone> = Vec::new();
    // Counters of a node stand in its first zone, before that zone's own; those of its CPUs after.
    let mut in_zone = false;
    for line in text.lines() {
        if let Some(zone) = header(line) {
            zones.push(zone?);
            in_zone = false;
            continue;
        }
        let Some(zone) = zones.last_mut() else {
            continue;
        };
        let line = line.trim();
        let (line, begins) = match line.strip_prefix("pages ") {
            Some(rest) => (rest, true),
            None => (line, false),
        };
        in_zone |= begins;
        if line == "per-node stats" {
            in_zone = false;
        }
        if let Some(list) = line.strip_prefix("protection:") {
            let numbers = list.trim().trim_matches(['(', ')']).split(", ");
            zone.protection = numbers.filter_map(|number| number.parse().ok()).collect();
        } else if let (true, Some((name, value))) = (in_zone, line.split_once(char::is_whitespace))
        {
            if let Ok(value) = value.trim().parse() {
                // Those of CPUs have the same names again.
                zone.counters
                    .entry(name.trim_end_matches(':').to_owned())
                    .or_insert(value);
            }
        }
    }
    Ok(zones)
}

/// `Node 0, zone    DMA32`
fn header(line: &str) -> Option<Result<Zone>> {
    let (node, name) = line.strip_prefix("Node ")?.split_once(", zone ")?;
    let node = node.parse().with_context(|| format!("{line} has no node"));
    Some(node.map(|node| Zone {
        node,
        name: name.trim().to_owned(),
        ..Zone::default()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
Node 0, zone      DMA
  per-node stats
      nr_inactive_anon 7
  pages free     3808
        boost    0
        min      178
        low      222
        spanned  4095
        managed  3840
        protection: (0, 946, 946)
      nr_free_pages 3808
  pagesets
    cpu: 0
              count:    11
              high_min: 111
  node_unreclaimable:  0
  start_pfn:           1
Node 1, zone   Normal
  pages free     0
        managed  0
        protection: (0, 0, 0)
";

    #[test]
    fn zones_have_watermarks_and_counters() {
        let zones = parse(TEXT).unwrap();
        assert_eq!(zones.len(), 2);
        let dma = &zones[0];
        assert_eq!((dma.node, dma.name.as_str()), (0, "DMA"));
        assert_eq!(
            (dma.free(), dma.counter("min"), dma.managed()),
            (3808, 178, 3840)
        );
        assert_eq!(dma.protection, [0, 946, 946]);
        assert_eq!(dma.counter("nr_inactive_anon"), 0);
        assert!(dma.spans(1) && dma.spans(4095) && !dma.spans(0) && !dma.spans(4096));
        assert_eq!((zones[1].node, zones[1].name.as_str()), (1, "Normal"));
    }
}
