// SPDX-License-Identifier: MIT OR Apache-2.0

//! `/proc/kallsyms`: the names of the kernel's functions and variables.

use super::text;
use anyhow::Result;
use std::collections::HashSet;

/// The names of the running kernel's functions and variables.
pub struct Symbols(HashSet<String>);

impl Symbols {
    /// Reads them.
    pub fn read() -> Result<Self> {
        Ok(Self::parse(&text("/proc/kallsyms")?))
    }

    fn parse(text: &str) -> Self {
        let name = |line: &str| line.split_whitespace().nth(2).map(str::to_owned);
        Self(text.lines().filter_map(name).collect())
    }

    /// Whether one has this name.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_whole() {
        let symbols = Symbols::parse("ffff T kfree\nffff t vfree_atomic\t[some]\n");
        assert!(symbols.has("kfree") && symbols.has("vfree_atomic"));
        assert!(!symbols.has("vfree"));
    }
}
