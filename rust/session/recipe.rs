// SPDX-License-Identifier: GPL-2.0-only

//! What a region is made of.

use crate::settings::DefaultRegion;
use kernel::{
    page::PAGE_SIZE,
    prelude::*, //
};
use mapkit::{
    base::{
        capability,
        errno,
        levels::PMD_PAGES, //
    },
    memory::blocks::MAX_BLOCK_PAGES, //
};
use mapwright_uapi as uapi;

/// What a region is made of.
#[derive(Clone, Copy)]
pub struct Recipe {
    pub(crate) backing: uapi::Backing,
    pub(crate) method: uapi::Method,
    pub(crate) caching: uapi::Caching,
    /// Not zero.
    pub(crate) nr_pages: usize,
    /// Whether it is one physically contiguous run.
    pub(crate) contiguous: bool,
    /// Whether its pages are those of the DMA API for a device.
    pub(crate) for_device: bool,
}

impl Recipe {
    /// `EINVAL` for words that do not exist and for no bytes at all, `EOPNOTSUPP` for a pair that
    /// cannot be, `ENOSPC` for more than any machine has.
    pub(crate) fn new(backing: u32, method: u32, caching: u32, bytes: u64) -> Result<Self> {
        let backing = uapi::Backing::from_number(backing).ok_or(EINVAL)?;
        let method = uapi::Method::from_number(method).ok_or(EINVAL)?;
        let caching = uapi::Caching::from_number(caching).ok_or(EINVAL)?;
        if bytes == 0 {
            return Err(EINVAL);
        }
        let unsound = uapi::reason_against(backing, method).or(uapi::reason_against_caching(
            uapi::Architecture::HERE,
            backing,
            method,
            caching,
        ));
        if unsound.is_some() {
            return Err(errno::eopnotsupp());
        }
        let nr_pages = usize::try_from(bytes.div_ceil(PAGE_SIZE as u64)).map_err(|_| ENOSPC)?;
        nr_pages.checked_mul(PAGE_SIZE).ok_or(ENOSPC)?;
        Ok(Self {
            backing,
            method,
            caching,
            nr_pages,
            contiguous: false,
            for_device: false,
        })
    }

    /// The same for a device with a driver.
    pub(crate) fn for_device(self) -> Self {
        Self {
            for_device: self.backing == uapi::Backing::Pages,
            ..self
        }
    }

    /// Whether it is memory of the DMA API.
    pub(crate) fn is_dma(&self) -> bool {
        self.for_device || self.backing == uapi::Backing::Coherent
    }

    /// The same as one physically contiguous run. `EOPNOTSUPP` for single pages.
    pub(crate) fn contiguous(self) -> Result<Self> {
        match self.backing {
            uapi::Backing::Vmalloc => Err(errno::eopnotsupp()),
            _ => Ok(Self {
                contiguous: true,
                ..self
            }),
        }
    }

    /// Whether it is a run that the page allocator has no block for, and that memory is moved out of the way for.
    fn is_long(&self) -> bool {
        self.contiguous && self.backing == uapi::Backing::Pages && self.nr_pages > MAX_BLOCK_PAGES
    }

    /// `EPERM` unless the caller may have it. To search a long run keeps all others from the page allocator for
    /// milliseconds per gigabyte of memory, what is in the way is moved while its owners wait, and no memory cgroup is charged.
    pub(crate) fn expect_allowed(&self) -> Result {
        let allowed = !self.is_long() || capability::is_sys_admin();
        allowed.then_some(()).ok_or(EPERM)
    }

    /// Pages that its memory takes, with what its allocator rounds up to.
    pub(crate) fn pages_taken(&self) -> u64 {
        let pages = match self.backing {
            // Blocks of a power of two, of which nothing is given back. Of CMA, and behind an IOMMU, it is less.
            _ if self.is_dma() => self.nr_pages.checked_next_power_of_two(),
            uapi::Backing::Kmalloc | uapi::Backing::Coherent => {
                self.nr_pages.checked_next_power_of_two()
            }
            uapi::Backing::Folio if self.contiguous => self.nr_pages.checked_next_power_of_two(),
            // What it is rounded up by is given back, but is taken first.
            uapi::Backing::Pages if self.is_long() => {
                self.nr_pages.checked_next_multiple_of(PMD_PAGES)
            }
            uapi::Backing::Pages | uapi::Backing::Folio | uapi::Backing::Vmalloc => {
                Some(self.nr_pages)
            }
        };
        pages.unwrap_or(usize::MAX) as u64
    }

    /// What a default region of `bytes` is made of.
    pub(crate) fn default_region(default: &DefaultRegion, bytes: u64) -> Result<Self> {
        Self::new(
            default.backing.number(),
            default.method.number(),
            default.caching.number(),
            bytes,
        )
    }

    /// Its size, which `new` made sure fits.
    pub(crate) fn bytes(&self) -> u64 {
        (self.nr_pages as u64).wrapping_mul(PAGE_SIZE as u64)
    }
}
