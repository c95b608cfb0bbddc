// SPDX-License-Identifier: GPL-2.0-only

//! What a region is made of.

use crate::settings::DefaultRegion;
use kernel::{
    page::PAGE_SIZE,
    prelude::*, //
};
use mapkit::base::errno;
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
        })
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
