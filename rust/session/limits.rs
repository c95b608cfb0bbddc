// SPDX-License-Identifier: GPL-2.0-only

//! How much may be held, in all and by one session.

use kernel::{
    prelude::*,
    sync::Arc, //
};
use mapkit::{
    budget::Budget,
    gfp::GFP_FOR_CALLER,
    sysinfo, //
};

/// The limits, fixed when the module is loaded.
pub(crate) struct Limits {
    /// Bytes that all regions may hold together.
    pub(crate) total_bytes: u64,
    /// Bytes that the regions of one session may hold together.
    pub(crate) session_bytes: u64,
    /// Regions that one session may hold.
    pub(crate) session_regions: u32,
}

impl Limits {
    /// From the module parameters of the same names, in MiB and 0 for the default.
    pub(crate) fn new(total_mib: u32, session_mib: u32, session_regions: u32) -> Self {
        let total_bytes = match total_mib {
            0 => sysinfo::low_memory_bytes() / 2,
            mib => u64::from(mib) << 20,
        };
        let session_bytes = match session_mib {
            0 => total_bytes,
            mib => u64::from(mib) << 20,
        };
        Self {
            total_bytes,
            session_bytes,
            session_regions,
        }
    }
}

/// What is left of a limit, of bytes and of regions.
pub(crate) struct Account {
    bytes: Budget,
    regions: Budget,
}

impl Account {
    pub(crate) fn new(bytes: u64, regions: u64) -> Result<Arc<Self>> {
        let account = Self {
            bytes: Budget::new(bytes),
            regions: Budget::new(regions),
        };
        Ok(Arc::new(account, GFP_FOR_CALLER)?)
    }

    /// Takes a region of `bytes` bytes; `ENOSPC` if that is over the limit.
    fn take(&self, bytes: i64) -> Result {
        self.regions.take(1)?;
        self.bytes
            .take(bytes)
            .inspect_err(|_| self.regions.give_back(1))
    }

    fn give_back(&self, bytes: i64) {
        self.bytes.give_back(bytes);
        self.regions.give_back(1);
    }
}

/// A region that was taken from an account, given back when its memory has been freed. Pages that are
/// still pinned then are no longer counted here, only by the memory cgroup.
pub(crate) struct Charge {
    account: Arc<Account>,
    bytes: i64,
}

impl Charge {
    /// Takes a region of `bytes` bytes from `account`; `ENOSPC` if that is over the limit.
    pub(crate) fn new(account: &Arc<Account>, bytes: u64) -> Result<Self> {
        let bytes = i64::try_from(bytes).map_err(|_| ENOSPC)?;
        account.take(bytes)?;
        Ok(Self {
            account: account.clone(),
            bytes,
        })
    }
}

/// Bytes that a session's limits and those of all count, until this is dropped: a region's, or those of
/// memory that is held for a call.
pub struct Reserved {
    _session: Charge,
    _total: Charge,
}

impl Reserved {
    /// Takes `bytes` bytes from what is left of a session's limits and from all; `ENOSPC` if that is over
    /// either.
    pub(crate) fn new(session: &Arc<Account>, total: &Arc<Account>, bytes: u64) -> Result<Self> {
        Ok(Self {
            _session: Charge::new(session, bytes)?,
            _total: Charge::new(total, bytes)?,
        })
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.account.give_back(self.bytes);
    }
}
