// SPDX-License-Identifier: GPL-2.0-only

//! Where a device finds something.

use kernel::bindings;

/// A contiguous stretch of a device's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The first address.
    pub bus: u64,
    /// Bytes. Never zero.
    pub bytes: usize,
}

impl Segment {
    #[allow(
        clippy::unnecessary_cast,
        reason = "`dma_addr_t` has 32 bits on some machines"
    )]
    pub(crate) fn new(bus: bindings::dma_addr_t, bytes: usize) -> Option<Self> {
        let bus = bus as u64;
        (bytes > 0).then_some(Self { bus, bytes })
    }

    /// What is left of it after `offset` bytes.
    pub(crate) fn after(self, offset: usize) -> Option<Self> {
        let bytes = self.bytes.checked_sub(offset).filter(|left| *left > 0)?;
        let bus = self.bus.checked_add(offset as u64)?;
        Some(Self { bus, bytes })
    }
}
