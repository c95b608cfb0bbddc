// SPDX-License-Identifier: GPL-2.0-only

//! A bound bank: what programs see of it, from probe to unbind.

use crate::{
    bank::{
        Bank,
        Before,
        Mode, //
    },
    chip,
    edges::Interrupt,
    file::File,
    leds::{
        self,
        Lamp, //
    }, //
};
use kernel::{
    device::{
        Bound,
        Device, //
    },
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
    device::{
        chardev::Registration,
        gpio_chip::{
            GpioChip,
            Names, //
        },
        irq,
        led::Led, //
    },
    observe::debugfs::Directory, //
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

/// What uses the registers, and must not any more when the device goes.
struct Users {
    leds: KVec<Led<Lamp>>,
    interrupt: Option<irq::Registration<Interrupt>>,
    chip: Option<Arc<GpioChip<Bank>>>,
}

impl Users {
    const NONE: Self = Self {
        leds: KVec::new(),
        interrupt: None,
        chip: None,
    };
}

/// A bank that programs can use. Fields are dropped in this order.
pub(crate) struct Published {
    users: Pin<KBox<Mutex<Users>>>,
    _tables: Directory<Bank>,
    _file: Pin<KBox<Registration<File>>>,
    _name: Name,
    bank: Arc<Bank>,
    before: Option<Before>,
    left: Atomic<bool>,
}

impl Published {
    /// Takes the bank `bank` of `device` over, if it is to be ours, makes LEDs of the lines that the module's
    /// parameter names, handles its `interrupt`, and publishes it, with gpiolib under these `names`.
    pub(crate) fn new(
        device: &Device<Bound>,
        bank: Arc<Bank>,
        interrupt: Option<irq::Request<'_>>,
        names: Option<&Names>,
    ) -> Result<Self> {
        let before = match bank.mode {
            Mode::Hog => None,
            Mode::Bank => Some(bank.take_over()?),
        };
        match Self::publish(device, bank.clone(), interrupt, names) {
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

    fn publish(
        device: &Device<Bound>,
        bank: Arc<Bank>,
        interrupt: Option<irq::Request<'_>>,
        names: Option<&Names>,
    ) -> Result<Self> {
        let (name, text) = Name::take()?;
        let mut tables = Directory::new(bank.clone())?;
        // Before gpiolib, which may give lines away at once.
        let leds = leds::register(&bank, leds::lines_of(device.name()))?;
        let chip = match bank.mode {
            Mode::Hog => None,
            Mode::Bank => chip::register(device, &bank, text, names)?,
        };
        let interrupt = match interrupt {
            None => None,
            Some(request) => Some(Interrupt::new(request, bank.clone(), chip.clone())?),
        };
        let users = Users {
            leds,
            interrupt,
            chip,
        };
        let users = KBox::pin_init(new_mutex!(users), GFP_KERNEL)?;
        let file = KBox::pin_init(Registration::new(text, MODE, bank.clone()), GFP_KERNEL)?;
        tables.publish(text);
        Ok(Self {
            users,
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
        let Users {
            leds,
            interrupt,
            chip,
        } = core::mem::replace(&mut *self.users.lock(), Users::NONE);
        // Their triggers use the lines until they are gone.
        drop(leds);
        self.bank.leave();
        // Its handler calls the chip's consumers.
        drop(interrupt);
        drop(chip);
        if let Some(before) = &self.before {
            // A device that was pulled out is what it is, and has been reported.
            let _ = self.bank.give_back(before);
        }
    }
}
