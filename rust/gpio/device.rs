// SPDX-License-Identifier: GPL-2.0-only

//! A bound bank: what programs see of it, from probe to unbind.

use crate::{
    bank::{
        Bank,
        Mode, //
    },
    chip,
    file::File,
    interrupt::Interrupt,
    leds::{
        self,
        Lamp, //
    },
    registers::context::Context,
    sleep::Sleep, //
};
use kernel::{
    device::{
        Bound,
        Device, //
    },
    new_mutex,
    prelude::*,
    sync::{
        atomic::Atomic,
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
        led::Led,
        suspend::Suspender, //
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

/// A bank that is ours, which is given back when this is dropped.
struct TakenOver {
    bank: Arc<Bank>,
    before: Context,
}

impl TakenOver {
    /// Takes `bank` over, if it is to be ours.
    fn new(bank: &Arc<Bank>) -> Result<Option<Self>> {
        if bank.mode == Mode::Hog {
            return Ok(None);
        }
        Ok(Some(Self {
            before: bank.take_over()?,
            bank: bank.clone(),
        }))
    }
}

impl Drop for TakenOver {
    fn drop(&mut self) {
        // A device that was pulled out is what it is, and has been reported.
        let _ = self.bank.restore(&self.before);
    }
}

/// A bank that nobody changes any more, nor waits for, after this is dropped.
struct Open(Arc<Bank>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// What uses the registers, and must not any more when the device goes. Whatever of it there is when that
/// happens, or when the device cannot be published, is taken back in the order of the fields.
struct Users {
    /// Their triggers use the lines until they are gone.
    leds: KVec<Led<Lamp>>,
    _open: Open,
    /// It calls the chip's consumers, as does the handler of the interrupt.
    sleep: Option<Suspender<Sleep>>,
    interrupt: Option<irq::Registration<Arc<Interrupt>>>,
    chip: Option<Arc<GpioChip<Bank>>>,
    _taken: Option<TakenOver>,
}

impl Users {
    fn new(
        device: &Device<Bound>,
        bank: &Arc<Bank>,
        interrupt: Option<irq::Request<'_>>,
        label: &'static CStr,
        names: Option<&Names>,
    ) -> Result<Self> {
        let mut users = Self {
            leds: KVec::new(),
            sleep: None,
            interrupt: None,
            chip: None,
            _taken: TakenOver::new(bank)?,
            _open: Open(bank.clone()),
        };
        // Before gpiolib, which may give lines away at once.
        users.leds = leds::register(bank, leds::lines_of(device.name()))?;
        if bank.mode == Mode::Bank {
            users.chip = chip::register(device, bank, label, names)?;
        }
        if let Some(chip) = &users.chip {
            bank.has_chip(chip.clone());
            leds::tell(bank, leds::lines_of(device.name()))?;
        }
        let mut handler = None;
        if let Some(request) = interrupt {
            let new = Interrupt::new(bank.clone(), users.chip.clone())?;
            users.interrupt = Some(Interrupt::register(&new, request)?);
            handler = Some(new);
        }
        if bank.mode == Mode::Bank {
            let sleep = Sleep::new(bank.clone(), handler)?;
            users.sleep = Some(Suspender::new(device, sleep)?);
        }
        Ok(users)
    }
}

/// A bank that programs can use, until this is dropped: whether the driver is unbound or was not bound after
/// all. Fields are dropped in this order.
pub(crate) struct Published {
    users: Pin<KBox<Mutex<Option<Users>>>>,
    _tables: Directory<Bank>,
    _file: Pin<KBox<Registration<File>>>,
    _name: Name,
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
        let (name, text) = Name::take()?;
        let mut tables = Directory::new(bank.clone())?;
        let users = Users::new(device, &bank, interrupt, text, names)?;
        let users = KBox::pin_init(new_mutex!(Some(users)), GFP_KERNEL)?;
        let file = Registration::of_device(device, text, MODE, bank);
        let file = KBox::pin_init(file, GFP_KERNEL)?;
        tables.publish(text);
        Ok(Self {
            users,
            _tables: tables,
            _file: file,
            _name: name,
        })
    }

    /// The device goes, while its registers can still be reached.
    pub(crate) fn leave(&self) {
        let users = self.users.lock().take();
        drop(users);
    }
}
