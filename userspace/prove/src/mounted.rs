// SPDX-License-Identifier: MIT OR Apache-2.0

//! A file system of this process's own.

use anyhow::{Context as _, Result};
use nix::mount::{mount, umount2, MntFlags, MsFlags};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A mounted file system, which goes when this is dropped.
pub struct Mounted(PathBuf);

impl Mounted {
    /// One of this kind, on a device if it takes one.
    pub fn new(kind: &str, device: Option<&Path>) -> Result<Self> {
        let dir = std::env::temp_dir().join(format!("mapwright-{kind}-{}", std::process::id()));
        fs::create_dir(&dir).with_context(|| format!("making {}", dir.display()))?;
        let source = device.unwrap_or(Path::new(kind));
        let mounted = mount(
            Some(source),
            &dir,
            Some(kind),
            MsFlags::empty(),
            None::<&Path>,
        );
        if mounted.is_err() {
            let _ = fs::remove_dir(&dir);
        }
        mounted.with_context(|| format!("mounting {kind}"))?;
        Ok(Self(dir))
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.0
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Where somebody still uses it, it goes when nobody does.
        let _ =
            umount2(&self.0, MntFlags::empty()).or_else(|_| umount2(&self.0, MntFlags::MNT_DETACH));
        let _ = fs::remove_dir(&self.0);
    }
}
