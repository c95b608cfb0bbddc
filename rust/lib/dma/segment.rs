// SPDX-License-Identifier: GPL-2.0-only

//! Where a device finds something.
//!
//! C header: [`include/linux/scatterlist.h`](srctree/include/linux/scatterlist.h)

use kernel::bindings;

/// A contiguous stretch of a device's addresses.
///
/// # Examples
///
/// ```
/// use mapkit::dma::streaming::{Memory, StreamingMapping};
///
/// /// Tells a device with a ring of descriptors where its memory is.
/// fn fill<M: Memory>(mapping: &StreamingMapping<M>, mut descriptor: impl FnMut(u64, usize)) {
///     mapping.for_each_segment(|segment| descriptor(segment.bus, segment.bytes));
/// }
/// ```
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
