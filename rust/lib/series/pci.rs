// SPDX-License-Identifier: GPL-2.0-only

//! What a PCI driver is told of the entry of its table that a function matched, and how tables are made.

/// What `probe` is told of the entry: none, if root has named an ID that is in no table.
#[cfg(kernel_has = "optional_id_info")]
pub type Matched<'a, T> = Option<&'a T>;

/// What `probe` is told of the entry.
#[cfg(not(kernel_has = "optional_id_info"))]
pub type Matched<'a, T> = &'a T;
