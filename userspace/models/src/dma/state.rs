// SPDX-License-Identifier: MIT OR Apache-2.0

//! What there is of the model after a step.

use serde::Serialize;

/// Which way a mapping may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// The device reads.
    To,
    /// The device writes.
    From,
    /// Both.
    Both,
}

/// A buffer that the device may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Mapping {
    /// The kernel's address.
    pub virt: u64,
    /// The physical address.
    pub physical: u64,
    /// The device's address.
    pub bus: u64,
    /// Bytes.
    pub bytes: u64,
    /// Which way.
    pub direction: Direction,
}

/// What the device did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Used {
    /// The address that it used.
    pub bus: u64,
    /// The memory that it reached, if it reached any.
    pub physical: Option<u64>,
    /// The memory that was reached was meant for the device.
    pub meant: bool,
}

/// What there is after a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct State {
    /// An IOMMU is before the device.
    pub iommu: bool,
    /// Where the kernel maps all memory.
    pub direct_map: u64,
    /// Buffers that are mapped.
    pub mappings: Vec<Mapping>,
    /// What the device did in this step.
    pub used: Option<Used>,
}
