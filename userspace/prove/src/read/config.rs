// SPDX-License-Identifier: MIT OR Apache-2.0

//! The options that the running kernel was built with.

use anyhow::{Context as _, Result};
use std::{fs, path::Path};

/// The text of the kernel's `.config`.
pub struct Config(String);

impl Config {
    /// Reads that of the kernel `release` from where distributions put it; `None` if it is nowhere.
    pub fn read(release: &str) -> Result<Option<Self>> {
        let places = [
            format!("/lib/modules/{release}/config"),
            format!("/lib/modules/{release}/build/.config"),
            format!("/boot/config-{release}"),
        ];
        let Some(place) = places.iter().find(|place| Path::new(place).exists()) else {
            return Ok(None);
        };
        let text = fs::read_to_string(place).with_context(|| format!("reading {place}"))?;
        Ok(Some(Self(text)))
    }

    /// The line of an option: `CONFIG_X=y`, or that it is not set. `None` if the kernel knows no such
    /// option, or one that it depends on is off.
    pub fn line(&self, option: &str) -> Option<&str> {
        self.0.lines().find(|line| {
            let name = line.strip_prefix("# ").unwrap_or(line);
            name.split(['=', ' ']).next() == Some(option)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_is_set_off_or_unknown() {
        let config = Config("CONFIG_SLUB=y\n# CONFIG_SLUB_TINY is not set\n".into());
        assert_eq!(config.line("CONFIG_SLUB"), Some("CONFIG_SLUB=y"));
        assert!(config.line("CONFIG_SLUB_TINY").unwrap().contains("not set"));
        assert_eq!(config.line("CONFIG_SLAB"), None);
    }
}
