// SPDX-License-Identifier: GPL-2.0-only

//! Memory types.

/// A memory type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caching {
    /// Ordinary memory.
    WriteBack,
    /// Stores are collected and written out in any order, loads are not cached.
    WriteCombine,
    /// Every access goes to memory, in order.
    Uncached,
}
