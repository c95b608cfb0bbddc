// SPDX-License-Identifier: GPL-2.0-only

//! A bound bank: what programs see of it, from probe to unbind.

use crate::{
    bank::{
        Bank,
        Before,
        Mode, //
    },
    file::File,
    leds::{
        self,
        Lamp, //
    }, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Mutex, //
    }, //
};
use mapkit::{
    chardev::Registration,
    debugfs::Directory,
    led::Led, //
};

/// The device nodes belong to root, who may give them away.
const MODE: u16 = 0o600;

const NAMES: [&CStr; mapwright_uapi::gpio::MAX_BANKS as usize] = [
    c"mapwright-gpio0",
    c"mapwright-gpio1",
    c"mapwright-gpio2",
    c"mapwright-gpio3",
];

/// Which names are taken.
static TAKEN: [Atomic<bool>; NAMES.len()] = [const { Atomic::new(false) }; NAMES.len()];

/// A name of a device node, free again when dropped.
struct Name(usize);

impl Name {
    /// `ENOSPC` if there are as many banks as an AM335x has.
    fn take() -> Result<(Self, &'static CStr)> {
        for (at, (name, taken)) in NAMES.iter().zip(&TAKEN).enumerate() {
            if taken
                .cmpxchg(false, true, kernel::sync::atomic::Full)
                .is_ok()
            {
                return Ok((Self(at), name));
            }
        }
        Err(ENOSPC)
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        if let Some(taken) = TAKEN.get(self.0) {
            taken.store(false, kernel::sync::atomic::Release);
        }
    }
}

/// A bank that programs can use. Fields are dropped in this order.
pub(crate) struct Published {
    leds: Pin<KBox<Mutex<KVec<Led<Lamp>>>>>,
    _tables: Directory<Bank>,
    _file: Pin<KBox<Registration<File>>>,
    _name: Name,
    bank: Arc<Bank>,
    before: Option<Before>,
    left: Atomic<bool>,
}

impl Published {
    /// Takes the bank over, if it is to be ours, makes LEDs of the lines of the mask `leds`, and
    /// publishes it.
    pub(crate) fn new(bank: Arc<Bank>, leds: u32) -> Result<Self> {
        let before = match bank.mode {
            Mode::Hog => None,
            Mode::Bank => Some(bank.take_over()?),
        };
        match Self::publish(bank.clone(), leds) {
            Ok(published) => Ok(Self {
                before,
                ..published
            }),
            Err(err) => {
                if let Some(before) = before {
                    // The probe fails anyway.
                    let _ = bank.give_back(&before);
                }
                Err(err)
            }
        }
    }

    fn publish(bank: Arc<Bank>, leds: u32) -> Result<Self> {
        let (name, text) = Name::take()?;
        let mut tables = Directory::new(bank.clone())?;
        let leds = leds::register(&bank, leds)?;
        let leds = KBox::pin_init(new_mutex!(leds), GFP_KERNEL)?;
        let file = KBox::pin_init(Registration::new(text, MODE, bank.clone()), GFP_KERNEL)?;
        tables.publish(text);
        Ok(Self {
            leds,
            _tables: tables,
            _file: file,
            _name: name,
            bank,
            before: None,
            left: Atomic::new(false),
        })
    }

    /// The device goes, while its registers can still be reached.
    pub(crate) fn leave(&self) {
        if self.left.xchg(true, Relaxed) {
            return;
        }
        // Their triggers use the lines until they are gone.
        let leds = core::mem::replace(&mut *self.leds.lock(), KVec::new());
        drop(leds);
        self.bank.leave();
        if let Some(before) = &self.before {
            // A device that was pulled out is what it is, and has been reported.
            let _ = self.bank.give_back(before);
        }
    }
}
