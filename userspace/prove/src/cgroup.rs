// SPDX-License-Identifier: MIT OR Apache-2.0

//! This process in a memory cgroup of its own.

use crate::{not_testable, read};
use anyhow::{Context as _, Result};
use nix::mount::{mount, umount2, MntFlags, MsFlags};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A memory cgroup that this process is in, until this is dropped.
pub struct Cgroup {
    dir: PathBuf,
    /// Where the process was before.
    home: PathBuf,
    _mounted: Option<Mounted>,
}

impl Cgroup {
    /// Makes it, and moves this process there.
    pub fn enter() -> Result<Self> {
        let (root, mounted) = match hierarchy()? {
            Some(root) => (root, None),
            None => {
                let mounted = Mounted::new()?;
                (mounted.0.clone(), Some(mounted))
            }
        };
        if !read::text(root.join("cgroup.controllers"))?
            .split_whitespace()
            .any(|name| name == "memory")
        {
            return not_testable("this kernel has no controller for memory in cgroup2");
        }
        fs::write(root.join("cgroup.subtree_control"), "+memory")
            .context("switching on the controller for memory")?;
        let of_process = read::text("/proc/self/cgroup")?;
        let home = of_process
            .lines()
            .find_map(|line| line.strip_prefix("0::/"));
        let home = root.join(home.context("this process is in no cgroup2")?);
        let dir = root.join(format!("mapwright-prove-{}", std::process::id()));
        fs::create_dir(&dir).with_context(|| format!("making {}", dir.display()))?;
        let cgroup = Self {
            dir,
            home,
            _mounted: mounted,
        };
        fs::write(cgroup.dir.join("cgroup.procs"), "0").context("entering the cgroup")?;
        Ok(cgroup)
    }

    /// Bytes that are charged to it.
    pub fn charged(&self) -> Result<u64> {
        let text = read::text(self.dir.join("memory.current"))?;
        text.trim().parse().context("memory.current is no number")
    }

    /// How many bytes may be charged to it.
    pub fn limit(&self, bytes: u64) -> Result<()> {
        fs::write(self.dir.join("memory.max"), bytes.to_string()).context("writing memory.max")
    }

    /// A counter of `memory.events`: how often `max` was met.
    pub fn events(&self, name: &str) -> Result<u64> {
        let text = read::text(self.dir.join("memory.events"))?;
        let counters = text.lines().filter_map(|line| line.split_once(' '));
        let count = counters.clone().find(|(counter, _)| *counter == name);
        count
            .with_context(|| format!("memory.events has no {name}"))?
            .1
            .parse()
            .context("no number")
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::write(self.home.join("cgroup.procs"), "0");
        let _ = fs::remove_dir(&self.dir);
    }
}

/// Where cgroup2 is mounted.
fn hierarchy() -> Result<Option<PathBuf>> {
    let mounts = procfs::mounts().context("reading /proc/mounts")?;
    let found = mounts
        .into_iter()
        .find(|mount| mount.fs_vfstype == "cgroup2");
    Ok(found.map(|mount| PathBuf::from(mount.fs_file)))
}

/// A mount of cgroup2 of this process's own, which goes when it is dropped.
struct Mounted(PathBuf);

impl Mounted {
    fn new() -> Result<Self> {
        let dir = std::env::temp_dir().join(format!("mapwright-cgroup-{}", std::process::id()));
        fs::create_dir(&dir).with_context(|| format!("making {}", dir.display()))?;
        mount(
            Some("cgroup2"),
            &dir,
            Some("cgroup2"),
            MsFlags::empty(),
            None::<&Path>,
        )
        .context("mounting cgroup2")?;
        Ok(Self(dir))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
        let _ = fs::remove_dir(&self.0);
    }
}
