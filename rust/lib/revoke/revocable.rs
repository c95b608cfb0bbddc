// SPDX-License-Identifier: GPL-2.0-only

//! Memory that can be taken back while programs have it mapped.
//!
//! The lock of a [`Revocable`] is taken with that of an address space held, and before that of a
//! [`Space`]. That of a [right](Revocable::right) is taken before that of memory.

use crate::{
    base::gfp::GFP_FOR_CALLER,
    revoke::{
        space::Space,
        unbind::Revoke, //
    }, //
};
use core::ops::{
    Deref,
    Range, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        lock::{
            mutex::MutexBackend,
            Guard, //
        },
        Arc,
        Mutex, //
    }, //
};

/// Memory that can be taken back, even while programs have it mapped.
///
/// A [`Backing`](crate::memory::backing::Backing) that has one shows no memory by itself, only by
/// [`hold`](Self::hold).
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
/// use mapkit::memory::mappable::Mappable;
///
/// /// How many runs the memory has. `ENODEV` if it was taken back; it is not while this looks.
/// fn runs(buffer: &Mappable<()>) -> Result<usize> {
///     let memory = buffer.hold()?;
///     Ok(memory.count_runs()?.0)
/// }
/// ```
#[pin_data]
pub struct Revocable<B: ?Sized> {
    #[pin]
    state: Mutex<State<B>>,
}

struct State<B: ?Sized> {
    /// Until it was taken back.
    memory: Option<KBox<B>>,
    /// Where programs may have it mapped.
    mapped: Option<Place>,
}

impl<B: ?Sized> State<B> {
    /// Of memory that was not taken back, nor mapped.
    fn new(memory: KBox<B>) -> Self {
        Self {
            memory: Some(memory),
            mapped: None,
        }
    }
}

/// Pages of a file.
struct Place {
    space: Arc<Space>,
    pages: Range<usize>,
}

impl Revocable<()> {
    /// The right to use memory that stays when the right is taken back: see
    /// [`MappingEvents::while_there`](crate::memory::mappable::MappingEvents::while_there).
    pub fn right() -> Result<Arc<Self>> {
        let state = State::new(KBox::new((), GFP_FOR_CALLER)?);
        // A lock class of its own: memory is held by those who hold the right to use it.
        Self::with_lock(new_mutex!(state))
    }
}

impl<B: ?Sized> Revocable<B> {
    /// `memory`, until it is taken back.
    pub(crate) fn new(memory: KBox<B>) -> Result<Arc<Self>> {
        Self::with_lock(new_mutex!(State::new(memory)))
    }

    fn with_lock(state: impl PinInit<Mutex<State<B>>>) -> Result<Arc<Self>> {
        Arc::pin_init(pin_init!(Self { state <- state }), GFP_FOR_CALLER)
    }

    /// Keeps the memory from being taken back until what is returned is dropped, for which whoever takes it
    /// back waits: not to be kept for longer than the kernel alone needs. `ENODEV` if it was taken back.
    pub fn hold(&self) -> Result<Held<'_, B>> {
        let state = self.state.lock();
        let memory: *const B = &**state.memory.as_ref().ok_or(ENODEV)?;
        // INVARIANT: It is what `state` has, which is locked.
        Ok(Held {
            memory,
            _state: Some(state),
        })
    }

    /// Has a fault handler that [holds](Self::hold) the memory map it into VMAs of `space`, of whose file
    /// it is the pages `pages`. `ENODEV` if it was taken back, `EXDEV` if it is mapped elsewhere.
    pub(crate) fn map_in(&self, space: &Arc<Space>, pages: Range<usize>) -> Result {
        let mut state = self.state.lock();
        if state.memory.is_none() {
            return Err(ENODEV);
        }
        match &state.mapped {
            Some(place) if !Arc::ptr_eq(&place.space, space) || place.pages != pages => Err(EXDEV),
            Some(_) => Ok(()),
            None => {
                let space = space.clone();
                state.mapped = Some(Place { space, pages });
                Ok(())
            }
        }
    }
}

impl<B: ?Sized + Send + 'static> Revoke for Revocable<B> {
    fn revoke(&self) {
        let mut state = self.state.lock();
        let Some(memory) = state.memory.take() else {
            return;
        };
        if let Some(place) = state.mapped.take().filter(|_| cfg!(not(planted_lost_zap))) {
            // Fault handlers, which map it, wait for the lock, and then find nothing.
            place.space.zap(place.pages.start, place.pages.len());
        }
        // With the lock held: who drops it the usual way waits until it is gone, too.
        drop(memory);
    }
}

/// Memory that is not taken back as long as this exists.
///
/// # Invariants
///
/// `memory` is valid as long as the lock is held, or for `'a` if there is none.
///
/// For an example, see [`Revocable`].
pub struct Held<'a, B: ?Sized> {
    memory: *const B,
    _state: Option<Guard<'a, State<B>, MutexBackend>>,
}

impl<'a, B: ?Sized> Held<'a, B> {
    /// Memory that cannot be taken back.
    pub(crate) fn lasting(memory: &'a B) -> Self {
        // INVARIANT: It is borrowed for `'a`.
        Self {
            memory,
            _state: None,
        }
    }
}

impl<B: ?Sized> Deref for Held<'_, B> {
    type Target = B;

    fn deref(&self) -> &B {
        // SAFETY: By the type invariant, and `self` is borrowed for as long.
        unsafe { &*self.memory }
    }
}
