// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory that is to be mapped.

use mapwright::Region;
use std::fs::File;

/// Memory of a subject, to be mapped.
pub enum Memory {
    Region(Region),
    File(File, u64),
    /// It comes with the mapping.
    None(u64),
}
