// SPDX-License-Identifier: GPL-2.0-only

//! What a module's drivers share: a static, set by the module's `init`.

use core::{
    marker::PhantomData,
    mem::ManuallyDrop,
    ptr, //
};
use kernel::{
    bindings,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Full,
            Relaxed, //
        },
        rcu,
        Arc, //
    }, //
};

/// A static in which something is as long as the module wants. `probe` of a driver, which is told nothing by the module,
/// finds it there.
///
/// # Invariants
///
/// `what` is null or a pointer of `Arc::into_raw()`, with a reference that is only dropped when `what` is another since an
/// RCU grace period.
///
/// # Examples
///
/// ```
/// use kernel::{prelude::*, sync::Arc};
/// use mapkit::sync::global::{Global, Set};
///
/// /// What the drivers share.
/// struct Shared;
///
/// static SHARED: Global<Shared> = Global::new();
///
/// /// In `init`, before the driver is registered. The module keeps what is returned for longer than the driver.
/// fn init() -> Result<Set<Shared>> {
///     SHARED.set(Arc::new(Shared, GFP_KERNEL)?)
/// }
///
/// /// In `probe`.
/// fn probe() -> Result<Arc<Shared>> {
///     SHARED.get().ok_or(ENODEV)
/// }
/// ```
pub struct Global<T: Send + Sync + 'static> {
    what: Atomic<*mut T>,
    _owned: PhantomData<Arc<T>>,
}

impl<T: Send + Sync + 'static> Global<T> {
    /// Nothing is there.
    #[allow(clippy::new_without_default, reason = "it is for statics")]
    pub const fn new() -> Self {
        // INVARIANT: It is null.
        Self {
            what: Atomic::new(ptr::null_mut()),
            _owned: PhantomData,
        }
    }

    /// What is there.
    pub fn get(&self) -> Option<Arc<T>> {
        let _guard = rcu::read_lock();
        let what = self.what.load(Acquire);
        if what.is_null() {
            return None;
        }
        // SAFETY: By the type invariant it is such a pointer, whose reference is not dropped before the guard is. That
        // reference is not this one's to drop.
        let shared = ManuallyDrop::new(unsafe { Arc::from_raw(what.cast_const()) });
        Some((*shared).clone())
    }

    /// Puts `what` there, until what is returned is dropped. It may sleep then. `EBUSY` if something is there.
    pub fn set(&'static self, what: Arc<T>) -> Result<Set<T>> {
        let raw = Arc::into_raw(what).cast_mut();
        // INVARIANT: It is such a pointer, with its reference.
        match self.what.cmpxchg(ptr::null_mut(), raw, Full) {
            Ok(_) => Ok(Set(self)),
            Err(_) => {
                // SAFETY: It was made of an `Arc` above, and nobody else has it.
                drop(unsafe { Arc::from_raw(raw.cast_const()) });
                Err(EBUSY)
            }
        }
    }
}

/// Something is in a [`Global`], until this is dropped.
///
/// # Invariants
///
/// There is only one for a `Global`, which is not null.
///
/// For an example, see [`Global`].
pub struct Set<T: Send + Sync + 'static>(&'static Global<T>);

impl<T: Send + Sync + 'static> Drop for Set<T> {
    fn drop(&mut self) {
        let what = self.0.what.load(Relaxed);
        // By the type invariant nobody else changes it.
        self.0.what.store(ptr::null_mut(), Relaxed);
        // SAFETY: This may sleep.
        unsafe { bindings::synchronize_rcu() };
        // SAFETY: By the type invariants it is such a pointer, which has been replaced for a grace period.
        drop(unsafe { Arc::from_raw(what.cast_const()) });
    }
}
