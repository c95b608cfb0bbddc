// SPDX-License-Identifier: GPL-2.0-only

//! Until when something is waited for, which stays the same when a wait is interrupted and begins again.
//!
//! C header: [`include/linux/jiffies.h`](srctree/include/linux/jiffies.h)

use crate::ffi;
use kernel::{
    bindings,
    time::{
        msecs_to_jiffies,
        Jiffies, //
    }, //
};

/// A moment, or never. The time that the system sleeps does not count.
///
/// # Examples
///
/// ```
/// use mapkit::sync::deadline::Deadline;
///
/// assert!(Deadline::after(1000).milliseconds_left().is_some());
/// assert_eq!(Deadline::NEVER.milliseconds_left(), None);
/// ```
#[derive(Clone, Copy)]
pub struct Deadline(Option<Jiffies>);

impl Deadline {
    /// Never.
    pub const NEVER: Self = Self(None);

    /// That in `milliseconds`.
    pub fn after(milliseconds: u32) -> Self {
        Self(Some(now().wrapping_add(msecs_to_jiffies(milliseconds))))
    }

    /// How long to wait: as long as can be for [`NEVER`](Self::NEVER), 0 if it is over.
    pub fn left(&self) -> Jiffies {
        match self.0 {
            None => Jiffies::MAX,
            Some(end) => {
                let left = end.wrapping_sub(now());
                // What is over seems to be in a very distant future.
                match left > Jiffies::MAX / 2 {
                    true => 0,
                    false => left,
                }
            }
        }
    }

    /// Milliseconds that are left; `None` for [`NEVER`](Self::NEVER).
    pub fn milliseconds_left(&self) -> Option<u32> {
        self.0?;
        // SAFETY: Any number may be converted.
        Some(unsafe { ffi::mapkit_jiffies_to_msecs(self.left()) })
    }
}

fn now() -> Jiffies {
    // SAFETY: It is a word that is always valid, and changes by itself.
    unsafe { core::ptr::read_volatile(&raw const bindings::jiffies) }
}
