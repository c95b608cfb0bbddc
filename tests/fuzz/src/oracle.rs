// SPDX-License-Identifier: MIT OR Apache-2.0

//! What must hold after a program has ended, whatever it did.

use anyhow::{bail, Context as _, Result};
use mapwright::{uapi, uapi::Request as _};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Counters of what begins and what ends.
const PAIRS: &[(&str, &str)] = &[
    ("sessions_opened", "sessions_closed"),
    ("regions_created", "regions_freed"),
    ("pages_allocated", "pages_freed"),
    ("vmas_opened", "vmas_closed"),
];

/// How long the kernel may take to free what a process had: files are closed by work that is put off.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a line of the kernel's log has that tells of a mistake.
const REPORTS: &[&str] = &[
    "BUG: ",
    "WARNING: ",
    "KASAN: ",
    "UBSAN: ",
    "INFO: task ",
    "INFO: possible ",
    "Oops",
    "general protection fault",
    "kernel BUG at",
    "Bad page ",
    "bad page state",
    "rust_kernel: panicked",
    "refcount_t: ",
    "unreferenced object",
    "DMA-API: ",
    "sleeping function called",
    "suspected memory leaks",
];

/// The lines of the kernel's log that were not there before.
pub struct Log(File);

impl Log {
    /// From its end on.
    pub fn new() -> Result<Self> {
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/kmsg")
            .context("/dev/kmsg")?;
        // SAFETY: Only numbers are passed.
        unsafe { libc::lseek64(file.as_raw_fd(), 0, libc::SEEK_END) };
        Ok(Self(file))
    }

    /// The first new line that tells of a mistake.
    pub fn report(&mut self) -> Result<Option<String>> {
        let mut found = None;
        let mut record = [0; 8192];
        loop {
            match self.0.read(&mut record) {
                Ok(0) => return Ok(found),
                Ok(length) => {
                    let text = String::from_utf8_lossy(&record[..length]);
                    // `6,339,5140900,-;message`, and then lines that tell where it is from.
                    let line = text.lines().next().unwrap_or_default();
                    let message = line.split_once(';').map_or(line, |(_, message)| message);
                    if found.is_none() && REPORTS.iter().any(|report| message.contains(report)) {
                        found = Some(message.to_owned());
                    }
                }
                Err(err) if err.kind() == ErrorKind::WouldBlock => return Ok(found),
                // Lines were overwritten before they were read.
                Err(err) if err.raw_os_error() == Some(libc::EPIPE) => {}
                Err(err) => return Err(err).context("/dev/kmsg"),
            }
        }
    }
}

/// The counter `name` of a module.
fn counter(stats: &str, name: &str) -> Option<u64> {
    let mut lines = stats.lines().filter_map(|line| line.split_once(' '));
    lines.find_map(|(counter, value)| (counter == name).then(|| value.trim().parse().ok())?)
}

/// What is there that should have been freed, if anything is.
fn left() -> Result<Option<String>> {
    for module in ["mapwright", "mapwright_dma", "mapwright_buffer"] {
        let path = Path::new("/sys/kernel/debug").join(module).join("stats");
        // Not all are loaded.
        let Ok(stats) = fs::read_to_string(path) else {
            continue;
        };
        for (begun, ended) in PAIRS {
            let counts = (counter(&stats, begun), counter(&stats, ended));
            let (Some(one), Some(other)) = counts else {
                bail!("{module} has no counters {begun} and {ended}");
            };
            if one != other {
                return Ok(Some(format!("{module}: {begun} {one}, {ended} {other}")));
            }
        }
    }
    let Ok(alloc) = File::open("/dev/mapwright_alloc") else {
        return Ok(None);
    };
    let mut info = uapi::alloc::Info::new();
    // SAFETY: The structure begins with its size, and any bits are a value of it.
    let told = unsafe {
        libc::ioctl(
            alloc.as_raw_fd(),
            uapi::alloc::IOCTL_INFO as libc::Ioctl,
            &mut info,
        )
    };
    Ok((told == 0 && info.used_bytes != 0).then(|| {
        format!(
            "mapwright_alloc: {} bytes are still in use",
            info.used_bytes
        )
    }))
}

/// What a program left behind, if it left anything.
pub fn left_behind() -> Result<Option<String>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match left()? {
            Some(left) if Instant::now() > deadline => return Ok(Some(left)),
            Some(_) => sleep(Duration::from_millis(1)),
            None => return Ok(None),
        }
    }
}

/// Where the kernel is with a process that does not end.
pub fn stack_of(pid: i32) -> String {
    let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
    format!("{}{}", read("wchan"), read("stack"))
}
