// SPDX-License-Identifier: GPL-2.0-only

//! Locks that interrupt handlers take, what drivers share, waiting with a timeout, doing things later, and telling
//! programs.

pub mod barrier;
pub mod completion;
pub mod deadline;
#[cfg(CONFIG_EVENTFD)]
pub mod eventfd;
pub mod global;
pub mod irq_lock;
pub mod wait_queue;
pub mod workqueue;
