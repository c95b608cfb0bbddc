// SPDX-License-Identifier: GPL-2.0-only

//! What a lock guards is reached only while it is held, and a value of one thread is none for a lock of
//! several.

use mapkit::sync::irq_lock::IrqLock;

pub fn keep(lock: &IrqLock<u32>) -> &mut u32 {
    lock.with(|value| value) //~ lifetime may not live long enough
}

pub struct OfOneThread(*mut u32);

pub fn share(lock: &'static IrqLock<OfOneThread>) -> &'static (dyn Sync + 'static) {
    lock //~ E0277
}
