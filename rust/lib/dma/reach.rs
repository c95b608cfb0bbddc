// SPDX-License-Identifier: GPL-2.0-only

//! What memory a device reaches, found out before the DMA API is asked for an address: it warns in the
//! kernel's log about memory for which it has none.

use crate::{
    base::errno,
    ffi,
    memory::backing::Backing, //
};
use core::{
    cmp::min,
    ops::Range, //
};
use kernel::{
    bindings,
    page::PAGE_SIZE,
    prelude::*, //
};

/// What memory a device reaches.
#[derive(Clone, Copy)]
pub(crate) struct Reach {
    /// The last physical address that it reaches by itself, or all if something else sees to it.
    direct: u64,
    /// Whether what is beyond is copied for it into a bounce buffer (swiotlb) that it reaches.
    bounces: bool,
    /// Bytes that are given one address at most.
    max_segment: usize,
}

impl Reach {
    /// Of a device that reaches nothing.
    const NONE: Self = Self {
        direct: 0,
        bounces: false,
        max_segment: usize::MAX,
    };

    /// # Safety
    ///
    /// `device` must be a device that may be used for DMA, whose mask is set if it has one.
    pub(crate) unsafe fn of(device: *mut bindings::device) -> Self {
        // SAFETY: By the requirement of this function. None of these changes anything.
        unsafe {
            // It is for no DMA at all: the DMA API warns of it, whatever is mapped.
            if (*device).dma_mask.is_null() {
                return Self::NONE;
            }
            let max_segment = bindings::dma_max_mapping_size(device);
            let limited =
                ffi::mapkit_dma_is_direct(device) && bindings::dma_addressing_limited(device);
            let limit = ffi::mapkit_dma_limit(device);
            let buffers = ffi::mapkit_swiotlb_last(device);
            Self {
                direct: if limited { limit } else { u64::MAX },
                bounces: buffers != 0 && buffers <= limit,
                max_segment,
            }
        }
    }

    /// Whether there is memory that cannot be given an address.
    #[inline]
    pub(crate) fn is_limited(&self) -> bool {
        self.direct != u64::MAX && !self.bounces
    }

    /// Whether the bytes `range` of `memory` can be given addresses as a list whose entries are
    /// [clamped](Self::clamp). `EADDRNOTAVAIL` if not.
    #[inline]
    pub(crate) fn check_list(&self, memory: &dyn Backing, range: &Range<usize>) -> Result {
        match self.is_limited() {
            true => self.check_runs(memory, range),
            false => Ok(()),
        }
    }

    #[cold]
    fn check_runs(&self, memory: &dyn Backing, range: &Range<usize>) -> Result {
        let (first, end) = (range.start / PAGE_SIZE, range.end.div_ceil(PAGE_SIZE));
        memory
            .runs(first, end)
            .try_for_each(|run| self.check_frames(run.pfn, run.nr_pages))
    }

    /// The same for contiguous frames.
    #[inline]
    pub(crate) fn check_frames(&self, pfn: usize, nr_pages: usize) -> Result {
        match !self.is_limited() || self.is_direct(pfn, nr_pages) {
            true => Ok(()),
            false => Err(errno::eaddrnotavail()),
        }
    }

    /// Whether the device reaches contiguous frames by itself.
    fn is_direct(&self, pfn: usize, nr_pages: usize) -> bool {
        let end = (pfn as u64)
            .checked_add(nr_pages as u64)
            .and_then(|end| end.checked_mul(PAGE_SIZE as u64));
        end.is_some_and(|end| end.wrapping_sub(1) <= self.direct)
    }

    /// Whether `bytes` contiguous bytes, from byte `within` of the frame `pfn` on, can be given one
    /// address. `EADDRNOTAVAIL` if not, `EOPNOTSUPP` if it is only that they are too many.
    #[inline]
    pub(crate) fn check_single(&self, pfn: usize, within: usize, bytes: usize) -> Result {
        match self.direct == u64::MAX && self.max_segment == usize::MAX {
            true => Ok(()),
            false => self.check_stretch(pfn, within, bytes),
        }
    }

    #[cold]
    fn check_stretch(&self, pfn: usize, within: usize, bytes: usize) -> Result {
        let end = within.checked_add(bytes).ok_or(EINVAL)?;
        let nr_pages = end.div_ceil(PAGE_SIZE);
        self.check_frames(pfn, nr_pages)?;
        // Where all memory is reached and entries are short all the same, everything is copied:
        // `swiotlb=force`, or a guest whose memory is encrypted.
        let is_copied = self.direct == u64::MAX || !self.is_direct(pfn, nr_pages);
        match bytes <= self.max_segment || !is_copied {
            true => Ok(()),
            false => Err(errno::eopnotsupp()),
        }
    }

    /// `max_bytes`, or fewer if that is too much for an entry.
    pub(crate) fn clamp(&self, max_bytes: usize) -> usize {
        min(max_bytes, self.max_segment)
    }
}
