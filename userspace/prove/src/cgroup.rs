// SPDX-License-Identifier: MIT OR Apache-2.0

//! This process in a memory cgroup of its own.

use crate::{mounted::Mounted, not_testable, read};
use anyhow::{Context as _, Result};
use nix::errno::Errno;
use std::{fs, io::ErrorKind, path::PathBuf};

/// A memory cgroup, which goes when this is dropped, and this process leaves it.
pub struct Cgroup {
    dir: PathBuf,
    /// Where the process was before.
    home: PathBuf,
    _mounted: Option<Mounted>,
}

impl Cgroup {
    /// Makes it, and moves this process there.
    pub fn enter() -> Result<Self> {
        let cgroup = Self::new()?;
        cgroup.add(0)?;
        Ok(cgroup)
    }

    /// Makes it, with nobody in it.
    pub fn new() -> Result<Self> {
        let (root, mounted) = match hierarchy()? {
            Some(root) => (root, None),
            None => {
                let mounted = Mounted::new("cgroup2", None)?;
                (mounted.dir().to_owned(), Some(mounted))
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
        Ok(Self {
            dir,
            home,
            _mounted: mounted,
        })
    }

    /// Moves a process there; 0 is this one.
    pub fn add(&self, pid: u32) -> Result<()> {
        let moved = fs::write(self.dir.join("cgroup.procs"), pid.to_string());
        moved.with_context(|| format!("moving {pid} into a cgroup"))
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

    /// Nothing of it may go to swap.
    pub fn forbid_swap(&self) -> Result<()> {
        match fs::write(self.dir.join("memory.swap.max"), "0") {
            // A kernel without swap.
            Err(err) if err.kind() == ErrorKind::NotFound => Ok(()),
            result => result.context("writing memory.swap.max"),
        }
    }

    /// Has the kernel reclaim so many bytes of it, or as many as it can.
    pub fn reclaim(&self, bytes: u64) -> Result<()> {
        let file = self.dir.join("memory.reclaim");
        match fs::write(&file, bytes.to_string()) {
            // It did not find that many.
            Err(err) if err.raw_os_error() == Some(Errno::EAGAIN as i32) => Ok(()),
            Err(err) if err.kind() == ErrorKind::NotFound => not_testable(
                "this kernel reclaims nothing of a cgroup when asked to (memory.reclaim)",
            ),
            result => result.context("writing memory.reclaim"),
        }
    }

    /// A counter of `memory.events`: how often `max` was met.
    pub fn events(&self, name: &str) -> Result<u64> {
        self.counter("memory.events", name)
    }

    /// A counter of `memory.stat`: bytes on the list `active_file`.
    pub fn stat(&self, name: &str) -> Result<u64> {
        self.counter("memory.stat", name)
    }

    fn counter(&self, file: &str, name: &str) -> Result<u64> {
        let text = read::text(self.dir.join(file))?;
        let mut counters = text.lines().filter_map(|line| line.split_once(' '));
        let count = counters.find(|(counter, _)| *counter == name);
        count
            .with_context(|| format!("{file} has no {name}"))?
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
    let mount = mounts
        .into_iter()
        .find(|mount| mount.fs_vfstype == "cgroup2");
    Ok(mount.map(|mount| PathBuf::from(mount.fs_file)))
}
