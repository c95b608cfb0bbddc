// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the benchmarks of mappings are asked for.

use super::{modules, subject::REFERENCE, Output};
use crate::size::size;
use anyhow::{ensure, Result};
use mapwright::{page_size, Session};
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
pub struct Options {
    /// Measure only that whose name contains this: `remap`, `pages + fault`, `memfd`
    pub filter: Option<String>,
    #[command(flatten)]
    pub output: Output,
    /// Draw the costs into an SVG file
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// Sizes, in bytes or with K, M, G (powers of 1024); by default a page to 256 MiB by fours, for peers 4 and 256 MiB
    #[arg(long, value_name = "SIZE,…", value_delimiter = ',', value_parser = size)]
    pub size: Vec<u64>,
    /// Runs of each measurement at most; fewer if they repeat to 0.2 %
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u16).range(1..))]
    pub repeat: u16,
    /// Where mapwright.ko is, and mapwright_reference.ko if it is to be compared
    #[arg(long, env = "MAPWRIGHT_MODULES", value_name = "DIR")]
    pub modules: Option<PathBuf>,
}

impl Options {
    /// The sizes that are asked for, or else `usual`, in whole pages.
    pub fn sizes(&self, usual: &[u64]) -> Result<Vec<u64>> {
        sizes(match self.size[..] {
            [] => usual,
            _ => &self.size,
        })
    }

    /// The C reference, if it is there or can be inserted.
    pub fn reference(&self) -> Result<Option<Session>> {
        let dir = self.modules.as_ref();
        let file = dir.map(|dir| dir.join("mapwright_reference.ko"));
        if let Some(file) = file.filter(|file| file.exists()) {
            modules::insert(&file, "", REFERENCE)?;
        }
        match Path::new(REFERENCE).exists() {
            true => Ok(Some(Session::open_at(REFERENCE)?)),
            false => Ok(None),
        }
    }
}

fn sizes(wanted: &[u64]) -> Result<Vec<u64>> {
    ensure!(!wanted.contains(&0), "a size is 0");
    let page = page_size();
    let mut sizes: Vec<u64> = wanted
        .iter()
        .map(|bytes| bytes.next_multiple_of(page))
        .collect();
    sizes.sort_unstable();
    sizes.dedup();
    Ok(sizes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_whole_pages_and_in_order() {
        let page = page_size();
        assert_eq!(sizes(&[page + 1, 1, page]).unwrap(), [page, 2 * page]);
        assert!(sizes(&[0]).is_err());
    }
}
