// SPDX-License-Identifier: MIT OR Apache-2.0

//! Failing the kernel's allocations on purpose, one at a time: `/proc/self/fail-nth`.

use crate::runner::skip;
use anyhow::{bail, ensure, Context as _, Result};
use nix::errno::Errno;
use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt as _,
    path::Path,
};

const FAIL_NTH: &str = "/proc/self/fail-nth";
const DEBUGFS: &str = "/sys/kernel/debug";

/// What is set for all that can fail. Waiting for memory, high memory and single pages are no excuse,
/// nobody fails but who asks to, and the log is not flooded.
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

/// More allocations than any single call makes.
const LIMIT: u32 = 5000;

/// Whether this kernel can fail allocations.
pub fn is_available() -> bool {
    Path::new(FAIL_NTH).exists()
}

/// Makes what this process does in the kernel fail: an allocation, or a copy from or to the program.
pub struct Injector {
    fail_nth: File,
}

impl Injector {
    /// For this process, not its children. A skip where the kernel cannot do that.
    pub fn new() -> Result<Self> {
        if !is_available() {
            return skip(
                "this kernel cannot fail allocations (CONFIG_FAULT_INJECTION): see make test-debug",
            );
        }
        for (dir, knob, value) in KNOBS {
            let path = Path::new(DEBUGFS).join(dir).join(knob);
            let wrote = fs::write(&path, value);
            wrote.with_context(|| format!("cannot write {}", path.display()))?;
        }
        let fail_nth = OpenOptions::new().read(true).write(true).open(FAIL_NTH)?;
        Ok(Self { fail_nth })
    }

    /// Does `call` with its `nth` allocation failing. Returns its result, and whether it made so many.
    pub fn fail<T>(&self, nth: u32, call: impl FnOnce() -> T) -> Result<(T, bool)> {
        let (result, left) = self.count_down(nth, call)?;
        Ok((result, left == Some(0)))
    }

    /// Does `call`, and says how many allocations it made.
    pub fn count<T>(&self, call: impl FnOnce() -> T) -> Result<(T, u32)> {
        let (result, left) = self.count_down(LIMIT, call)?;
        let left = left.context("the count itself failed")?;
        Ok((result, LIMIT - left))
    }

    /// Does `call`; how many allocations before the `nth` it had left to make, which fails.
    fn count_down<T>(&self, nth: u32, call: impl FnOnce() -> T) -> Result<(T, Option<u32>)> {
        let text = nth.to_string();
        let mut left = [0; 16];
        self.fail_nth.write_all_at(text.as_bytes(), 0)?;
        let result = call();
        let read = self.fail_nth.read_at(&mut left, 0);
        // These two calls copy, too, so either can be what fails; then `call` did not.
        let cleared = self.fail_nth.write_all_at(b"0", 0);
        for failed in [read.as_ref().err(), cleared.as_ref().err()]
            .into_iter()
            .flatten()
        {
            ensure!(is(failed, Errno::EFAULT), "{FAIL_NTH}: {failed}");
        }
        let text = read.map(|length| String::from_utf8_lossy(&left[..length]).into_owned());
        Ok((result, text.ok().and_then(|text| text.trim().parse().ok())))
    }
}

fn is(err: &io::Error, errno: Errno) -> bool {
    err.raw_os_error() == Some(errno as i32)
}

/// How often a call was made to fail.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Allocations whose failure the call reported.
    pub reported: u32,
    /// Allocations that it could do without.
    pub survived: u32,
}

impl Tally {
    pub fn count(&mut self, reported: bool) {
        match reported {
            true => self.reported += 1,
            false => self.survived += 1,
        }
    }

    pub fn total(&self) -> u32 {
        self.reported + self.survived
    }
}

/// Does `call` again and again, with its first allocation failing, its second, and so on, until it has
/// no more; that time it has to succeed. An error must be one of `clean`. After each time, `after` looks
/// at what is there and clears it away.
pub fn each_failure<T>(
    clean: &[Errno],
    mut call: impl FnMut() -> Result<T, Errno>,
    mut after: impl FnMut(Option<T>) -> Result<()>,
) -> Result<Tally> {
    let injector = Injector::new()?;
    let mut tally = Tally::default();
    for nth in 1..=LIMIT {
        let (result, was_done) = injector.fail(nth, &mut call)?;
        if was_done {
            tally.count(result.is_err());
        }
        let value = match result {
            Ok(value) => Some(value),
            Err(errno) => {
                ensure!(was_done, "{errno} though nothing was made to fail");
                ensure!(
                    clean.contains(&errno),
                    "allocation {nth} failed, which gave {errno}"
                );
                None
            }
        };
        after(value).with_context(|| format!("after the failure of allocation {nth}"))?;
        if !was_done {
            return Ok(tally);
        }
    }
    bail!("after {LIMIT} failures there still is one more")
}
