// SPDX-License-Identifier: MIT OR Apache-2.0

//! The two designs of the lists of pages that may be reclaimed: active and inactive, and generations (MGLRU).

use anyhow::{Context as _, Result};
use std::{fs, path::Path};

const FILE: &str = "/sys/kernel/mm/lru_gen/enabled";

/// Whether the kernel has generations instead of two lists.
pub fn is_on() -> Result<bool> {
    if !Path::new(FILE).exists() {
        return Ok(false);
    }
    let text = fs::read_to_string(FILE).context(FILE)?;
    let bits = u32::from_str_radix(text.trim().trim_start_matches("0x"), 16);
    // The lowest is the design itself, the others are parts of it.
    Ok(bits.with_context(|| format!("{FILE} has no number"))? & 1 != 0)
}

/// Whether it could have.
pub fn is_known() -> bool {
    Path::new(FILE).exists()
}

/// Another design than before, until this is dropped.
pub struct LruGen(Option<String>);

impl LruGen {
    /// Generations, or two lists. A kernel that knows no generations has two lists.
    pub fn switch(on: bool) -> Result<Self> {
        if !is_known() {
            return Ok(Self(None));
        }
        let before = fs::read_to_string(FILE).context(FILE)?;
        let wanted = if on { "y" } else { "n" };
        fs::write(FILE, wanted).with_context(|| format!("writing {FILE}"))?;
        Ok(Self(Some(before.trim().to_owned())))
    }
}

impl Drop for LruGen {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = fs::write(FILE, before);
        }
    }
}
