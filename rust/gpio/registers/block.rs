// SPDX-License-Identifier: GPL-2.0-only

//! The registers of a device that may go at any time.

use crate::registers::{
    Registers,
    CLEARDATAOUT,
    REVISION,
    SETDATAOUT,
    SIZE, //
};
use kernel::{
    io::Io,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    }, //
};
use mapkit::{
    device::{
        mmio::Window,
        power::{
            self,
            Sleeper, //
        }, //
    },
    sync::irq_lock::IrqLock, //
};

/// Outputs to be made high and low, which have no line in common.
#[derive(Clone, Copy, Default)]
struct Levels {
    set: u32,
    clear: u32,
}

/// The registers, for as long as the driver is bound and the device answers.
#[pin_data]
pub(crate) struct Block {
    window: Window<SIZE>,
    gone: Atomic<bool>,
    /// Whether the registers may be accessed: one of [`CLOCKED`], [`ASLEEP`] and [`LEFT`].
    clock: Atomic<u32>,
    /// What is to be driven when the system is awake again.
    #[pin]
    later: IrqLock<Levels>,
}

const CLOCKED: u32 = 0;
/// Not while the system sleeps.
const ASLEEP: u32 = 1;
/// Not any more.
const LEFT: u32 = 2;

/// What all registers of a device that is gone read as.
const NOBODY: u32 = u32::MAX;

impl Block {
    /// `ENODEV` if nobody answers, or something that is no bank of an AM335x.
    pub(crate) fn new(window: Window<SIZE>) -> Result<Arc<Self>> {
        let block = Arc::pin_init(
            pin_init!(Self {
                window,
                gone: Atomic::new(false),
                clock: Atomic::new(CLOCKED),
                later <- IrqLock::new(Levels::default()),
            }),
            GFP_KERNEL,
        )?;
        let revision = block.revision()?;
        if revision.scheme().get() != 1 || revision.function().get() != 0x060 {
            pr_err!(
                "REVISION is {:#010x}, so this is no GPIO bank of an AM335x\n",
                revision.into_raw()
            );
            return Err(ENODEV);
        }
        Ok(block)
    }

    /// Does something with the registers. `f` must not sleep.
    ///
    /// `ENODEV` once the driver is unbound or the device was found to be gone; `EAGAIN` while the system
    /// sleeps.
    pub(crate) fn with<R>(&self, f: impl FnOnce(Registers<'_>) -> R) -> Result<R> {
        if self.is_gone() {
            return Err(ENODEV);
        }
        // Within the section in which the registers are mapped: who switches the clock off waits for its
        // end after it has said so.
        let clocked = |registers: Registers<'_>| match self.clock.load(Relaxed) {
            CLOCKED => Ok(f(registers)),
            ASLEEP => Err(EAGAIN),
            _ => Err(ENODEV),
        };
        self.window.with(clocked).ok_or(ENODEV)?
    }

    /// Makes outputs of the mask `set` high and of `clear` low, from any context; while the system
    /// sleeps, as soon as it is awake again.
    pub(crate) fn drive(&self, set: u32, clear: u32) -> Result {
        self.later.with(|later| {
            let stored = self.with(|registers| store(registers, set, clear));
            if stored != Err(EAGAIN) {
                return stored;
            }
            *later = Levels {
                set: later.set & !clear | set,
                clear: later.clear & !set | clear,
            };
            Ok(())
        })
    }

    /// As [`sleep`](Sleeper::sleep), when programs do not run any more: nobody accesses the registers until
    /// [`wake_after`](Self::wake_after), but `f`. `None` if there are none any more.
    pub(crate) fn rest<R>(&self, f: impl FnOnce(Registers<'_>) -> R) -> Option<R> {
        self.sleep();
        power::wait_for_readers();
        self.while_asleep(f)
    }

    /// As [`wake`](Sleeper::wake), after `f`, which is the first to access the registers.
    pub(crate) fn wake_after<R>(&self, f: impl FnOnce(Registers<'_>) -> R) -> Option<R> {
        let result = self.while_asleep(f);
        self.wake();
        result
    }

    fn while_asleep<R>(&self, f: impl FnOnce(Registers<'_>) -> R) -> Option<R> {
        let is_asleep = || self.clock.load(Relaxed) == ASLEEP && !self.is_gone();
        let asleep = |registers: Registers<'_>| is_asleep().then(|| f(registers));
        self.window.with(asleep).flatten()
    }

    /// What it is.
    pub(crate) fn revision(&self) -> Result<REVISION> {
        let revision = self.with(|registers| registers.read(REVISION))?;
        if revision.into_raw() == NOBODY {
            self.gone.store(true, Relaxed);
            pr_err!("the device does not answer any more; unbind its driver\n");
            return Err(ENODEV);
        }
        Ok(revision)
    }

    /// As [`with`](Self::with) for what was read: where it is all ones, looks whether the device
    /// still answers.
    pub(crate) fn read(&self, f: impl FnOnce(Registers<'_>) -> u32) -> Result<u32> {
        let value = self.with(f)?;
        if value == NOBODY {
            self.revision()?;
        }
        Ok(value)
    }

    /// The driver goes, and with it the clock: returns when nobody accesses the registers any more. A
    /// file that is still open would find them mapped until after the clock is off.
    #[cfg_attr(not(CONFIG_OF), expect(dead_code))]
    pub(crate) fn leave(&self) {
        self.clock.store(LEFT, Relaxed);
        power::wait_for_readers();
    }

    /// Whether it was found to be gone.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Relaxed)
    }
}

/// Makes outputs high and low, with a single store each.
pub(crate) fn store(registers: Registers<'_>, set: u32, clear: u32) {
    if set != 0 {
        registers.write_reg(SETDATAOUT::from(set));
    }
    if clear != 0 {
        registers.write_reg(CLEARDATAOUT::from(clear));
    }
}

/// A bank whose clock is another driver's loses it while the system sleeps; and one that is ours may.
impl Sleeper for Block {
    fn sleep(&self) {
        // Unless it has left.
        let _ = self.clock.cmpxchg(CLOCKED, ASLEEP, Relaxed);
    }

    fn wake(&self) {
        self.later.with(|later| {
            let _ = self.clock.cmpxchg(ASLEEP, CLOCKED, Relaxed);
            let Levels { set, clear } = core::mem::take(later);
            // A device that is gone has no outputs.
            let _ = self.with(|registers| store(registers, set, clear));
        });
    }
}
