// SPDX-License-Identifier: GPL-2.0-only

//! Amounts that are used up.

use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    }, //
};

/// An amount that can be taken from until it is used up.
///
/// For an example, see [`Charged`].
pub struct Budget {
    used: Atomic<i64>,
    limit: i64,
}

impl Budget {
    /// A budget of `limit`, or `i64::MAX` if that is less.
    pub fn new(limit: u64) -> Self {
        Self {
            used: Atomic::new(0),
            limit: i64::try_from(limit).unwrap_or(i64::MAX),
        }
    }

    /// Charges `amount`; `ENOSPC` if less is left.
    pub fn charge(&self, amount: i64) -> Result {
        let mut used = self.used.load(Relaxed);
        loop {
            let sum = used.checked_add(amount).ok_or(ENOSPC)?;
            if sum > self.limit {
                return Err(ENOSPC);
            }
            match self.used.cmpxchg(used, sum, Relaxed) {
                Ok(_) => return Ok(()),
                Err(now) => used = now,
            }
        }
    }

    /// Undoes a charge.
    pub fn uncharge(&self, amount: i64) {
        self.used.fetch_sub(amount, Relaxed);
    }

    /// What may be used in all.
    pub fn limit(&self) -> u64 {
        self.limit.unsigned_abs()
    }

    /// What is used now.
    pub fn used(&self) -> u64 {
        u64::try_from(self.used.load(Relaxed)).unwrap_or(0)
    }
}

/// An amount that is charged until this is dropped.
///
/// # Examples
///
/// ```
/// use kernel::{prelude::*, sync::Arc};
/// use mapkit::base::budget::{Budget, Charged};
///
/// /// Ten bytes of twelve, which are uncharged when what is returned is dropped.
/// fn ten_bytes() -> Result<Charged> {
///     let budget = Arc::new(Budget::new(12), GFP_KERNEL)?;
///     let ten = Charged::new(&budget, 10)?;
///     assert!(Charged::new(&budget, 3).is_err());
///     assert_eq!(budget.used(), 10);
///     Ok(ten)
/// }
/// ```
pub struct Charged {
    budget: Arc<Budget>,
    amount: i64,
}

impl Charged {
    /// Charges `amount` to `budget`; `ENOSPC` if less is left.
    pub fn new(budget: &Arc<Budget>, amount: u64) -> Result<Self> {
        let amount = i64::try_from(amount).map_err(|_| ENOSPC)?;
        budget.charge(amount)?;
        Ok(Self {
            budget: budget.clone(),
            amount,
        })
    }
}

impl Drop for Charged {
    fn drop(&mut self) {
        self.budget.uncharge(self.amount);
    }
}
