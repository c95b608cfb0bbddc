// SPDX-License-Identifier: MIT OR Apache-2.0

//! `/proc/kallsyms`: the names of the kernel's functions and variables.

use super::text;
use anyhow::Result;
use std::collections::HashSet;

/// The names of the running kernel's functions and variables.
pub struct Symbols {
    names: HashSet<String>,
    /// The names without what the compiler has added to them: of `expand.constprop.0`.
    stems: HashSet<String>,
}

impl Symbols {
    /// Reads them.
    pub fn read() -> Result<Self> {
        Ok(Self::parse(&text("/proc/kallsyms")?))
    }

    fn parse(text: &str) -> Self {
        let name = |line| str::split_whitespace(line).nth(2);
        let names: HashSet<String> = text.lines().filter_map(name).map(str::to_owned).collect();
        let stem = |name: &String| name.split_once('.').map(|(stem, _)| stem.to_owned());
        Self {
            stems: names.iter().filter_map(stem).collect(),
            names,
        }
    }

    /// Whether one has this name.
    pub fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Whether one has this name, or the compiler has made one of it.
    pub fn has_form_of(&self, name: &str) -> bool {
        self.has(name) || self.stems.contains(name)
    }
}

/// The addresses of the names that the kernel has, in their order; empty where it hides them.
pub fn addresses(names: &[&str]) -> Result<Vec<(String, u64)>> {
    let text = text("/proc/kallsyms")?;
    let addresses = names.iter().filter_map(|name| {
        let line = lines(&text).find(|line| line.name == *name && line.module.is_none())?;
        Some(((*name).to_owned(), line.address))
    });
    Ok(addresses.filter(|(_, address)| *address != 0).collect())
}

/// The lowest address of a module's symbols.
pub fn first_of_module(module: &str) -> Result<Option<u64>> {
    let text = text("/proc/kallsyms")?;
    let of_module = lines(&text).filter(|line| line.module == Some(module));
    Ok(of_module.map(|line| line.address).min())
}

/// A line of `/proc/kallsyms`: `ffffffff81000000 T _text`, or with `\t[module]`.
struct Line<'a> {
    address: u64,
    name: &'a str,
    module: Option<&'a str>,
}

fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        Some(Line {
            address: u64::from_str_radix(words.next()?, 16).ok()?,
            name: words.nth(1)?,
            module: words.next().map(|module| module.trim_matches(['[', ']'])),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_whole() {
        let symbols = Symbols::parse("ffff T kfree\nffff t vfree_atomic\t[some]\n");
        assert!(symbols.has("kfree") && symbols.has("vfree_atomic"));
        assert!(!symbols.has("vfree"));
        let symbols = Symbols::parse("ffff t expand.constprop.0\n");
        assert!(symbols.has_form_of("expand") && !symbols.has("expand"));
    }

    #[test]
    fn a_line_has_an_address_and_perhaps_a_module() {
        let text = "ffffffff81000000 T _text\nffffffffc0001000 t open\t[mapwright]\n";
        let lines: Vec<_> = lines(text).collect();
        assert_eq!(
            (lines[0].address, lines[0].module),
            (0xffff_ffff_8100_0000, None)
        );
        assert_eq!(
            (lines[1].name, lines[1].module),
            ("open", Some("mapwright"))
        );
    }
}
