// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the running kernel says of a statement.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What the running kernel says of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The statement could not be judged on this machine.
    NotTestableHere,
    /// The statement is true.
    Confirmed,
    /// Whether the statement is true depends on the architecture or the kernel's configuration.
    Config,
    /// Some of it is so, and some is not, or no more.
    Partly,
    /// It was so; the kernel has changed.
    Outdated,
    /// It is not so.
    Refuted,
}

impl Verdict {
    /// [`Verdict::Confirmed`] if it holds, and [`Verdict::Refuted`] if not.
    pub fn of(holds: bool) -> Self {
        Self::Confirmed.if_else(holds, Self::Refuted)
    }

    /// This one if it holds, and `otherwise` if not.
    pub fn if_else(self, holds: bool, otherwise: Self) -> Self {
        if holds {
            self
        } else {
            otherwise
        }
    }

    /// As it is shown to a person.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotTestableHere => "not testable here",
            Self::Confirmed => "confirmed",
            Self::Config => "config",
            Self::Partly => "partly",
            Self::Outdated => "outdated",
            Self::Refuted => "refuted",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
