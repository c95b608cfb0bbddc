// SPDX-License-Identifier: GPL-2.0-only

//! Programs that wait for edges of a bank's lines.

use super::{
    mask,
    Bank,
    Mode, //
};
use crate::edges::EdgeCounts;
use kernel::{
    bindings,
    fs::File,
    prelude::*,
    sync::poll::PollTable, //
};
use mapkit::{
    base::errno::eopnotsupp,
    sync::deadline::Deadline, //
};
use mapwright_uapi::gpio as uapi;

/// Who uses a line whose edges are waited for, as gpiolib tells it.
const WATCHING: &CStr = c"mapwright:edges";

impl Bank {
    /// Wakes who waits for an edge, or for the device to go.
    pub(crate) fn wake(&self) {
        self.waiting.wake_all();
        self.polling.notify_all();
    }

    /// `EOPNOTSUPP` where edges are another driver's, or not told.
    pub(crate) fn expect_edges(&self) -> Result {
        match self.mode {
            Mode::Bank if self.has_interrupt => Ok(()),
            _ => Err(eopnotsupp()),
        }
    }

    /// Begins to count the edges `which` of a line; how many there were so far. `EBUSY` if a consumer of gpiolib has
    /// it.
    pub(crate) fn watch(&self, line: u32, which: u32) -> Result<EdgeCounts> {
        let mask = mask(line)?;
        let counts = self.with_lines(|lines, registers| {
            if (lines.requested | lines.interrupting) & mask != 0 {
                return Err(EBUSY);
            }
            lines.edges.want(registers, line, which, true);
            lines.edges.counts(line)
        })?;
        self.hold(line, WATCHING)
            .inspect_err(|_| self.want_no_more(line, which))?;
        Ok(counts)
    }

    /// Ends what [`watch`](Self::watch) has begun.
    pub(crate) fn unwatch(&self, line: u32, which: u32) {
        self.let_go(line);
        self.want_no_more(line, which);
    }

    fn want_no_more(&self, line: u32, which: u32) {
        // A device that is gone detects nothing anyway.
        let _ = self.with_lines(|lines, registers| {
            lines.edges.want(registers, line, which, false);
            Ok(())
        });
    }

    /// How many edges a line had so far. `ENODEV` once the device goes.
    pub(crate) fn counts(&self, line: u32) -> Result<EdgeCounts> {
        self.with_lines(|lines, _| lines.edges.counts(line))
    }

    /// Registers with `table` what tells that there was an edge, or that the device goes.
    pub(crate) fn register_poll(&self, file: &File, table: &PollTable<'_>) {
        table.register_wait(file, &self.polling);
    }

    /// Sleeps until `line` has one of `which` edges; how many it had. `ETIMEDOUT` after `deadline`,
    /// `ERESTARTSYS` if a signal comes, by which a program is also stopped.
    pub(crate) fn wait(&self, line: u32, which: u32, deadline: &Deadline) -> Result<u32> {
        mask(line)?;
        if which == 0 || which & !(uapi::EDGE_RISING | uapi::EDGE_FALLING) != 0 {
            return Err(EINVAL);
        }
        self.expect_edges()?;
        self.block.revision()?;
        let before = self.watch(line, which)?;
        let result = self.waiting.wait(deadline, || match self.counts(line) {
            Ok(counts) => match counts.since(&before, which) {
                0 => None,
                count => Some(Ok(count)),
            },
            Err(err) => Some(Err(err)),
        });
        self.unwatch(line, which);
        result?
    }
}

/// The `poll(2)` bits of a file whose edges were seen, or not, or cannot be told.
pub(crate) fn poll_bits(has_edges: Result<bool>) -> u32 {
    match has_edges {
        Ok(true) => bindings::POLLIN | bindings::POLLRDNORM,
        Ok(false) => 0,
        Err(_) => bindings::POLLERR | bindings::POLLHUP,
    }
}
