// SPDX-License-Identifier: GPL-2.0-only

//! GFP flags: what an allocation may do, and where its memory may be.

use crate::ffi;
use core::ops::BitOr;
use kernel::bindings;

/// GFP flags of an allocation that neither warns nor calls the OOM killer, and of which no combination
/// makes the kernel crash.
///
/// # Examples
///
/// ```
/// use mapkit::source::Gfp;
///
/// let gfp = Gfp::KERNEL | Gfp::ZERO;
/// assert!(gfp.has(Gfp::ZERO) && !gfp.has(Gfp::COMP));
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Gfp(bindings::gfp_t);

impl Gfp {
    /// `GFP_KERNEL`.
    pub const KERNEL: Self = Self(bindings::GFP_KERNEL);
    /// `GFP_ATOMIC`.
    pub const ATOMIC: Self = Self(bindings::GFP_ATOMIC);
    /// `GFP_NOWAIT`.
    pub const NOWAIT: Self = Self(bindings::GFP_NOWAIT);
    /// `GFP_NOIO`.
    pub const NOIO: Self = Self(ffi::GFP_NOIO);
    /// `GFP_NOFS`.
    pub const NOFS: Self = Self(ffi::GFP_NOFS);
    /// `GFP_USER`.
    pub const USER: Self = Self(ffi::GFP_USER);
    /// `GFP_HIGHUSER`.
    pub const HIGHUSER: Self = Self(ffi::GFP_HIGHUSER);
    /// `GFP_KERNEL | GFP_DMA`.
    pub const DMA: Self = Self(bindings::GFP_KERNEL | ffi::__GFP_DMA);
    /// `GFP_KERNEL | GFP_DMA32`.
    pub const DMA32: Self = Self(bindings::GFP_KERNEL | ffi::__GFP_DMA32);

    /// `__GFP_ZERO`.
    pub const ZERO: Self = Self(bindings::__GFP_ZERO);
    /// `__GFP_ACCOUNT`.
    pub const ACCOUNT: Self = Self(ffi::__GFP_ACCOUNT);
    /// `__GFP_THISNODE`.
    pub const THISNODE: Self = Self(ffi::__GFP_THISNODE);
    /// `__GFP_COMP`.
    pub const COMP: Self = Self(ffi::__GFP_COMP);
    /// `__GFP_MOVABLE`.
    pub const MOVABLE: Self = Self(ffi::__GFP_MOVABLE);
    /// `__GFP_RECLAIMABLE`.
    pub const RECLAIMABLE: Self = Self(ffi::__GFP_RECLAIMABLE);
    /// `__GFP_NORETRY`: gives up after a first try to reclaim.
    pub const NORETRY: Self = Self(ffi::__GFP_NORETRY);
    /// `__GFP_RETRY_MAYFAIL`.
    pub const RETRY_MAYFAIL: Self = Self(ffi::__GFP_RETRY_MAYFAIL);

    /// Whether all flags of `other` are among these.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The flags for the page allocator.
    pub(super) fn for_pages(self) -> bindings::gfp_t {
        let mut gfp = self.quiet();
        // What is one of them cannot be the other.
        if self.has(Self::MOVABLE) {
            gfp &= !Self::RECLAIMABLE.0;
        }
        // The lowest zone of those that were asked for.
        if self.has(Self(ffi::__GFP_DMA)) {
            gfp &= !(ffi::__GFP_DMA32 | bindings::__GFP_HIGHMEM);
        } else if self.has(Self(ffi::__GFP_DMA32)) {
            gfp &= !bindings::__GFP_HIGHMEM;
        }
        gfp
    }

    /// The flags for what has an address and is no page of its own.
    pub(super) fn for_objects(self) -> bindings::gfp_t {
        let not = bindings::__GFP_HIGHMEM
            | ffi::__GFP_DMA32
            | Self::COMP.0
            | Self::MOVABLE.0
            | Self::RECLAIMABLE.0;
        self.quiet() & !not
    }

    /// The flags for vmalloc and all that may call it.
    pub(super) fn for_vmalloc(self) -> bindings::gfp_t {
        self.for_objects() & !(ffi::__GFP_DMA | Self::THISNODE.0)
    }

    /// No warning, no OOM killer.
    fn quiet(self) -> bindings::gfp_t {
        match self.has(Self::RETRY_MAYFAIL) {
            true => self.0 & !Self::NORETRY.0 | bindings::__GFP_NOWARN,
            false => self.0 | Self::NORETRY.0 | bindings::__GFP_NOWARN,
        }
    }
}

impl BitOr for Gfp {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
