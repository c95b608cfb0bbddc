// SPDX-License-Identifier: MIT OR Apache-2.0

//! Settings of the kernel that are other ones for a while.

use crate::read::text;
use anyhow::{Context as _, Result};
use std::fs;

/// A file of the kernel's with a setting, which is as it was when this is dropped.
pub struct Setting {
    path: &'static str,
    before: String,
}

impl Setting {
    /// Keeps what is set.
    pub fn keep(path: &'static str) -> Result<Self> {
        let text = text(path)?;
        // Where one of some words is chosen, that one is in brackets.
        let chosen = text.split(['[', ']']).nth(1).unwrap_or(&text);
        Ok(Self {
            path,
            before: chosen.trim().to_owned(),
        })
    }

    /// Sets it.
    pub fn to(path: &'static str, value: &str) -> Result<Self> {
        let setting = Self::keep(path)?;
        setting.set(value)?;
        Ok(setting)
    }

    /// Sets it again.
    pub fn set(&self, value: &str) -> Result<()> {
        fs::write(self.path, value).with_context(|| format!("writing {value} to {}", self.path))
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        let _ = fs::write(self.path, &self.before);
    }
}
