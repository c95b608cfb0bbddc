// SPDX-License-Identifier: GPL-2.0-only

//! A buffer: its memory, and who uses it.

use crate::sync::Syncing;
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    }, //
};
use mapkit::{
    base::{
        capability,
        gfp::GFP_FOR_CALLER,
        lockdown, //
    },
    dma::device::DmaDevice,
    revoke::space::Space, //
};
use mapwright_session::SharedRegion;

/// A buffer, shared by its files and its attributes.
#[pin_data]
pub(crate) struct Buffer {
    /// Where the VMAs of all its files are found.
    space: Arc<Space>,
    dma: Arc<DmaDevice>,
    /// Whether addresses may be seen without `CAP_SYS_ADMIN`.
    addresses_for_all: bool,
    #[pin]
    state: Mutex<State>,
    /// How programs sync it.
    #[pin]
    pub(crate) syncing: Mutex<Syncing>,
}

struct State {
    /// Until it is removed.
    memory: Option<Arc<SharedRegion>>,
    /// Files that are open.
    files: usize,
}

impl Buffer {
    /// A buffer of `memory`, which a device finds where `dma` does.
    pub(crate) fn new(
        memory: SharedRegion,
        dma: Arc<DmaDevice>,
        addresses_for_all: bool,
    ) -> Result<Arc<Self>> {
        let space = Space::of_many()?;
        let syncing = Syncing::new(memory.bytes());
        let memory = Some(Arc::new(memory, GFP_FOR_CALLER)?);
        Arc::pin_init(
            pin_init!(Self {
                space,
                dma,
                addresses_for_all,
                state <- new_mutex!(State { memory, files: 0 }),
                syncing <- new_mutex!(syncing),
            }),
            GFP_FOR_CALLER,
        )
    }

    pub(crate) fn space(&self) -> &Arc<Space> {
        &self.space
    }

    /// The device that it is for.
    pub(crate) fn dma(&self) -> &DmaDevice {
        &self.dma
    }

    /// Its memory; `ENODEV` if it was removed, or its device has lost its driver.
    pub(crate) fn memory(&self) -> Result<Arc<SharedRegion>> {
        self.dma.check()?;
        self.state.lock().memory.clone().ok_or(ENODEV)
    }

    /// A file is opened; `ENODEV` if the buffer was removed.
    pub(crate) fn opened(&self) -> Result {
        self.dma.check()?;
        let mut state = self.state.lock();
        if state.memory.is_none() {
            return Err(ENODEV);
        }
        state.files = state.files.checked_add(1).ok_or(ENFILE)?;
        Ok(())
    }

    /// A file that was opened is closed.
    pub(crate) fn closed(&self) {
        let mut state = self.state.lock();
        state.files = state.files.saturating_sub(1);
    }

    /// Takes the memory out if nobody uses it, after which nobody can; `EBUSY` if a file is open, or it is mapped.
    pub(crate) fn retire(&self) -> Result {
        let mut state = self.state.lock();
        let is_busy = |memory: &Arc<SharedRegion>| memory.is_busy();
        if state.files > 0 || state.memory.as_ref().is_some_and(is_busy) {
            return Err(EBUSY);
        }
        let memory = state.memory.take();
        drop(state);
        // Frees it, with the lock released.
        drop(memory);
        Ok(())
    }

    /// Takes the memory away from all who use it.
    pub(crate) fn revoke(&self) {
        let memory = self.state.lock().memory.take();
        if let Some(memory) = memory {
            memory.revoke();
        }
    }

    /// `EPERM` unless the caller may see addresses.
    pub(crate) fn check_addresses(&self) -> Result {
        if self.addresses_for_all {
            return lockdown::expect_kernel_may_be_seen();
        }
        capability::may_see_addresses().then_some(()).ok_or(EPERM)
    }
}
