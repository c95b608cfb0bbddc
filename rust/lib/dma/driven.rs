// SPDX-License-Identifier: GPL-2.0-only

//! What a device with a driver has beside the device: who uses it, and what is revoked when it loses the driver.

use crate::{
    base::gfp::GFP_FOR_CALLER,
    revoke::unbind::Revoke, //
};
use kernel::{
    device::Device,
    new_condvar,
    new_mutex,
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNodeReservation, //
    },
    sync::{
        aref::ARef,
        Arc,
        CondVar,
        Mutex, //
    }, //
};

/// Who uses a device, and what is allocated and mapped for it, until it loses its driver.
#[pin_data]
pub(super) struct Driven {
    _device: ARef<Device>,
    stop: KBox<dyn Fn() + Send + Sync>,
    #[pin]
    state: Mutex<State>,
    /// Nobody uses it.
    #[pin]
    idle: CondVar,
}

struct State {
    /// It loses its driver, or has lost it.
    gone: bool,
    /// Those who use it now.
    users: usize,
    /// What is to be revoked.
    holdings: RBTree<u64, Arc<dyn Revoke>>,
    last_key: u64,
}

impl Driven {
    /// A device that nobody uses yet, and that `stop` stops when it loses its driver.
    pub(super) fn new(
        device: ARef<Device>,
        stop: KBox<dyn Fn() + Send + Sync>,
    ) -> impl PinInit<Self> {
        pin_init!(Self {
            _device: device,
            stop,
            state <- new_mutex!(State {
                gone: false,
                users: 0,
                holdings: RBTree::new(),
                last_key: 0,
            }),
            idle <- new_condvar!(),
        })
    }

    /// `ENODEV` if it has lost its driver.
    pub(super) fn check(&self) -> Result {
        match self.state.lock().gone {
            true => Err(ENODEV),
            false => Ok(()),
        }
    }

    /// It has one more user, for whom [`revoke`](Self::revoke) waits. `ENODEV` if it has lost its driver.
    pub(super) fn use_begins(&self) -> Result {
        let mut state = self.state.lock();
        if state.gone {
            return Err(ENODEV);
        }
        state.users = state.users.wrapping_add(1);
        Ok(())
    }

    /// It has one less.
    pub(super) fn use_ends(&self) {
        let mut state = self.state.lock();
        state.users = state.users.wrapping_sub(1);
        if state.users == 0 {
            self.idle.notify_all();
        }
    }

    /// Has `holding` revoked when the device loses its driver, until what is returned is
    /// [unregistered](Self::unregister).
    pub(super) fn register(&self, holding: Arc<dyn Revoke>) -> Result<u64> {
        let node = RBTreeNodeReservation::new(GFP_FOR_CALLER)?;
        let mut state = self.state.lock();
        // 2^64 of them last for longer than any machine.
        state.last_key = state.last_key.wrapping_add(1);
        let key = state.last_key;
        state.holdings.insert(node.into_node(key, holding));
        Ok(key)
    }

    /// What was registered as `key` need not be revoked any more.
    pub(super) fn unregister(&self, key: u64) {
        let removed = self.state.lock().holdings.remove(&key);
        // With the lock released.
        drop(removed);
    }

    /// Stops the device, waits for its users, and revokes what is registered.
    pub(super) fn revoke(&self) {
        let mut state = self.state.lock();
        if core::mem::replace(&mut state.gone, true) {
            return;
        }
        drop(state);
        (self.stop)();
        let mut state = self.state.lock();
        while state.users > 0 {
            self.idle.wait(&mut state);
        }
        let holdings = core::mem::replace(&mut state.holdings, RBTree::new());
        drop(state);
        // What is being dropped at this moment is either here, so that this waits for it, or over.
        for holding in holdings.values() {
            holding.revoke();
        }
    }
}
