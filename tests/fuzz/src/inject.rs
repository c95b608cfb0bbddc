// SPDX-License-Identifier: MIT OR Apache-2.0

//! Failing an allocation of the calling thread: `/proc/thread-self/fail-nth`. What may fail is set once, see [`prepare`].

use anyhow::{Context as _, Result};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

const FAIL_NTH: &str = "/proc/thread-self/fail-nth";

/// Whatever can fail does, of who asks for it, and the log is not flooded.
const KNOBS: &[(&str, &str, &str)] = &[
    ("failslab", "ignore-gfp-wait", "N"),
    ("failslab", "task-filter", "Y"),
    ("failslab", "verbose", "0"),
    ("fail_page_alloc", "ignore-gfp-wait", "N"),
    ("fail_page_alloc", "ignore-gfp-highmem", "N"),
    ("fail_page_alloc", "min-order", "0"),
    ("fail_page_alloc", "task-filter", "Y"),
    ("fail_page_alloc", "verbose", "0"),
    ("fail_usercopy", "task-filter", "Y"),
    ("fail_usercopy", "verbose", "0"),
];

/// Sets what may fail, where the kernel can do that.
pub fn prepare() -> Result<()> {
    if !Path::new(FAIL_NTH).exists() {
        return Ok(());
    }
    for (dir, knob, value) in KNOBS {
        let path = Path::new("/sys/kernel/debug").join(dir).join(knob);
        fs::write(&path, value).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Makes calls of this thread fail.
pub struct Injector(File);

impl Injector {
    /// Where the kernel can do that.
    pub fn new() -> Result<Self> {
        Ok(Self(
            OpenOptions::new().read(true).write(true).open(FAIL_NTH)?,
        ))
    }

    /// Makes `call` with its `nth` allocation, or copy from or to the program, failing.
    pub fn fail<T>(&self, nth: u8, call: impl FnOnce() -> T) -> T {
        let armed = self.0.write_all_at(nth.to_string().as_bytes(), 0);
        let result = call();
        // The copy of this very text can be what fails, and then nothing else does.
        if armed.is_ok() {
            while self.0.write_all_at(b"0", 0).is_err() {}
        }
        result
    }
}
