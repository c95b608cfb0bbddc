// SPDX-License-Identifier: MIT OR Apache-2.0

//! The module's tables in debugfs.

use crate::{Error, Result, DEBUGFS};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use std::{fs, path::Path};

/// The module's tables, read at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tables {
    /// Counters since the module was loaded, by name and in the module's order.
    pub counters: IndexMap<String, u64>,
    /// Regions that hold memory.
    pub regions: Vec<LiveRegion>,
    /// How long things took.
    pub latency: Vec<Bucket>,
}

/// A bucket of a histogram of latencies, not empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// What took that long.
    pub operation: String,
    /// Less than that many nanoseconds, and at least half as many.
    pub below_ns: u64,
    /// How often.
    pub count: u64,
}

/// A line of the table of regions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveRegion {
    /// The region's number.
    pub id: u64,
    /// Process that made it.
    pub pid: i32,
    /// Where its memory comes from.
    pub backing: String,
    /// How it is mapped.
    pub method: String,
    /// The memory type it is mapped with.
    pub caching: String,
    /// The region's size in bytes.
    pub bytes: u64,
    /// VMAs that map it now.
    pub vmas: u64,
    /// Successful `mmap(2)` calls so far.
    pub mmaps: u64,
    /// Page faults answered for a load so far.
    pub faults_read: u64,
    /// Page faults answered for a store so far.
    pub faults_write: u64,
    /// Pages that these mapped.
    pub pages_faulted: u64,
}

impl Tables {
    /// Reads those of `/dev/mapwright` from debugfs. Needs root.
    pub fn read() -> Result<Self> {
        Self::read_from(Path::new(DEBUGFS))
    }

    /// Reads those in the directory `dir`.
    pub fn read_from(dir: &Path) -> Result<Self> {
        Ok(Self {
            counters: parse_counters(&read(dir, "stats")?)?,
            regions: parse_regions(&read(dir, "regions")?)?,
            latency: parse_latency(&read(dir, "latency")?)?,
        })
    }

    /// A counter's value, 0 if the module does not have it.
    pub fn counter(&self, name: &str) -> u64 {
        self.counters.get(name).copied().unwrap_or(0)
    }

    /// Pages that regions hold now.
    pub fn live_pages(&self) -> u64 {
        self.counter("pages_allocated")
            .wrapping_sub(self.counter("pages_freed"))
    }
}

fn read(dir: &Path, file: &str) -> Result<String> {
    let path = dir.join(file);
    fs::read_to_string(&path).map_err(|source| Error::NoTables {
        path: path.display().to_string(),
        source,
    })
}

fn parse_counters(text: &str) -> Result<IndexMap<String, u64>> {
    Rows::new("stats", text)
        .map(|row| Ok((row.text("counter")?.to_owned(), row.number("value")?)))
        .collect()
}

fn parse_regions(text: &str) -> Result<Vec<LiveRegion>> {
    Rows::new("regions", text)
        .map(|row| {
            Ok(LiveRegion {
                id: row.number("id")?,
                pid: row.number("pid")?,
                backing: row.text("backing")?.to_owned(),
                method: row.text("method")?.to_owned(),
                caching: row.text("caching")?.to_owned(),
                bytes: row.number("bytes")?,
                vmas: row.number("vmas")?,
                mmaps: row.number("mmaps")?,
                faults_read: row.number("faults_read")?,
                faults_write: row.number("faults_write")?,
                pages_faulted: row.number("pages_faulted")?,
            })
        })
        .collect()
}

fn parse_latency(text: &str) -> Result<Vec<Bucket>> {
    Rows::new("latency", text)
        .map(|row| {
            Ok(Bucket {
                operation: row.text("operation")?.to_owned(),
                below_ns: row.number("below_ns")?,
                count: row.number("count")?,
            })
        })
        .collect()
}

/// The rows of a table whose first line names its columns. Columns are found by name, so that a
/// newer module may have more of them.
struct Rows<'a> {
    table: &'static str,
    columns: Vec<&'a str>,
    lines: std::str::Lines<'a>,
}

impl<'a> Rows<'a> {
    fn new(table: &'static str, text: &'a str) -> Self {
        let mut lines = text.lines();
        let columns = lines.next().unwrap_or("").split_whitespace().collect();
        Self {
            table,
            columns,
            lines,
        }
    }
}

impl<'a> Iterator for Rows<'a> {
    type Item = Row<'a>;

    fn next(&mut self) -> Option<Row<'a>> {
        let values = self.lines.next()?.split_whitespace();
        Some(Row {
            table: self.table,
            cells: self.columns.iter().copied().zip(values).collect(),
        })
    }
}

struct Row<'a> {
    table: &'static str,
    cells: Vec<(&'a str, &'a str)>,
}

impl<'a> Row<'a> {
    fn text(&self, column: &str) -> Result<&'a str> {
        let cell = self.cells.iter().find(|(name, _)| *name == column);
        cell.map(|(_, value)| *value)
            .ok_or_else(|| self.error(format!("no column {column}")))
    }

    fn number<T: std::str::FromStr>(&self, column: &str) -> Result<T> {
        let text = self.text(column)?;
        text.parse()
            .map_err(|_| self.error(format!("{column} is {text}, not a number")))
    }

    fn error(&self, detail: String) -> Error {
        Error::Unexpected {
            what: format!("{DEBUGFS}/{}", self.table),
            detail,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_by_name() {
        let counters = parse_counters("counter value\nmmaps 3\nreads 18446744073709551615\n");
        let counters = counters.unwrap();
        assert_eq!(counters["mmaps"], 3);
        assert_eq!(counters["reads"], u64::MAX);
    }

    #[test]
    fn columns_may_move_and_grow() {
        let text = "pid new id backing method caching bytes offset vmas mmaps \
                    faults_write faults_read pages_faulted\n\
                    7 x 2 pages remap wb 4096 0x40000000 1 5 6 7 8\n";
        let regions = parse_regions(text).unwrap();
        assert_eq!(regions.len(), 1);
        assert_eq!((regions[0].id, regions[0].pid, regions[0].mmaps), (2, 7, 5));
        assert_eq!((regions[0].faults_write, regions[0].faults_read), (6, 7));
        assert_eq!(regions[0].backing, "pages");
    }

    #[test]
    fn a_missing_column_is_named() {
        let err = parse_regions("id pid\n1 2\n").unwrap_err();
        assert!(err.to_string().contains("no column backing"), "{err}");
    }

    #[test]
    fn a_bad_number_is_named() {
        let err = parse_counters("counter value\nmmaps many\n").unwrap_err();
        assert!(err.to_string().contains("many"), "{err}");
    }
}
