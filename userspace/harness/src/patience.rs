// SPDX-License-Identifier: MIT OR Apache-2.0
//! When a guest that is to run a command has hung on its way there.
//!
//! How long a boot takes depends on the kernel and on what else the machine does; that the guest goes on
//! saying something does not. A guest that hangs before the project's modules are inserted may be booted
//! again: nothing of the project has run in it. One that hangs later may not.

use crate::judge;
use std::time::{Duration, Instant};

/// A guest that has said nothing for so long has hung.
/// kernel with KASAN beside five others on two processors, was a third of it.
pub const SILENCE: Duration = Duration::from_secs(75);

/// How far a guest has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The kernel and the guest's own programs begin.
    Booting,
    /// The modules are being inserted.
    Inserting,
    /// The command was started.
    Running,
}

/// Watches a guest until its command runs.
#[derive(Debug)]
pub struct Patience {
    stage: Stage,
    heard: Instant,
    /// The kernel has reported a fault; what it says after that, again and again perhaps, is no progress.
    faulty: bool,
}

impl Patience {
    /// The patience with a guest that is started at `now`.
    pub fn new(stage: Stage, now: Instant) -> Self {
        Self {
            stage,
            heard: now,
            faulty: false,
        }
    }

    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// The guest has come so far.
    pub fn reached(&mut self, stage: Stage, now: Instant) {
        self.stage = stage;
        self.heard = now;
    }

    /// The guest's kernel has logged a line.
    pub fn line(&mut self, line: &str, now: Instant) {
        self.faulty |= judge::is_fault(line);
        if !self.faulty {
            self.heard = now;
        }
    }

    /// When it has hung if nothing more is heard; never, once the command runs.
    pub fn ends(&self) -> Option<Instant> {
        (self.stage != Stage::Running).then(|| self.heard + SILENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_guest_that_talks_has_not_hung() {
        let begun = Instant::now();
        let mut patience = Patience::new(Stage::Booting, begun);
        assert_eq!(patience.ends(), Some(begun + SILENCE));
        let mut now = begun;
        for second in 0..10 {
            now += SILENCE - SECOND;
            patience.line(&format!("[    {second}.000000] smp: Bringing up CPUs"), now);
        }
        assert_eq!(patience.ends(), Some(now + SILENCE));
        patience.reached(Stage::Inserting, now + SECOND);
        assert_eq!(patience.ends(), Some(now + SECOND + SILENCE));
    }

    #[test]
    fn the_command_may_be_silent() {
        let begun = Instant::now();
        let mut patience = Patience::new(Stage::Booting, begun);
        patience.reached(Stage::Running, begun + SECOND);
        assert_eq!(patience.ends(), None);
        assert_eq!(Patience::new(Stage::Running, begun).ends(), None);
    }

    #[test]
    fn reports_of_a_stall_are_no_progress() {
        let begun = Instant::now();
        let mut patience = Patience::new(Stage::Booting, begun);
        for (after, line) in [
            (1, "[    1.0] smp: Bringing up secondary CPUs ..."),
            (
                22,
                "[   22.0] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
            ),
            (23, "[   23.0] Call Trace:"),
            (
                85,
                "[   85.0] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
            ),
        ] {
            patience.line(line, begun + after * SECOND);
        }
        assert_eq!(patience.ends(), Some(begun + SECOND + SILENCE));
        // It goes on after all; that its kernel reported a fault is judged in the end.
        patience.reached(Stage::Inserting, begun + 70 * SECOND);
        assert_eq!(patience.ends(), Some(begun + 70 * SECOND + SILENCE));
    }
}
