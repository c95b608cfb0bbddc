// SPDX-License-Identifier: GPL-2.0-only

//! What an administrator sees: counters, histograms, tables in debugfs, trace events.

pub mod debugfs;
pub mod histogram;
pub mod percpu;
pub mod trace;
