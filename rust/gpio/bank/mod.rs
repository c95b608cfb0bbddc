// SPDX-License-Identifier: GPL-2.0-only

//! A bank, whatever bus it is on.
//!
//! Locks, in the order they are taken: `blinks`, a file's `watch`, `chip`, `lines`. The last is taken
//! by interrupt handlers, too, and held while registers are changed together with what is known of
//! them. Registers are accessed in RCU read-side sections, in which nothing sleeps.

mod blinking;
mod holders;
mod levels;
mod lines;
mod waits;

use crate::{
    blink::Blink,
    registers::{
        block::Block,
        context::{
            self,
            Context, //
        },
        Registers,
        IRQSTATUS_CLR_0, //
    }, //
};
use kernel::{
    io::Io,
    new_mutex,
    new_poll_condvar,
    prelude::*,
    sync::{
        poll::PollCondVar,
        Arc,
        Mutex, //
    }, //
};
use mapkit::{
    device::gpio_chip::GpioChip,
    map::register_page::RegisterPage,
    sync::{
        irq_lock::IrqLock,
        wait_queue::WaitQueue, //
    }, //
};
use mapwright_uapi::gpio as uapi;

pub(crate) use levels::set_oe;
pub(crate) use lines::Lines;
pub(crate) use waits::poll_bits;

/// Whose the bank is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Another driver keeps lines, directions and clock. Nothing but SETDATAOUT and CLEARDATAOUT is
    /// written, which do not disturb it.
    Hog,
    /// All of it is ours.
    Bank,
}

/// One bank.
#[pin_data]
pub(crate) struct Bank {
    pub(crate) block: Arc<Block>,
    pub(crate) mode: Mode,
    pub(crate) has_interrupt: bool,
    /// Without it, the bank debounces nothing.
    pub(crate) has_debounce_clock: bool,
    pub(crate) page: Arc<RegisterPage>,
    /// Lines that blink.
    #[pin]
    blinks: Mutex<[Option<Blink>; uapi::LINES as usize]>,
    /// Of gpiolib, which is told of the lines that are used here; while there is one.
    #[pin]
    chip: Mutex<Option<Arc<GpioChip<Bank>>>>,
    #[pin]
    lines: IrqLock<Lines>,
    /// Told when there was an edge that programs wait for, or the device goes: those that wait for an edge only,
    /// and those that wait for something else, too.
    #[pin]
    waiting: WaitQueue,
    #[pin]
    polling: PollCondVar,
}

/// The mask of a line. `EINVAL` if there is no such line.
pub(crate) fn mask(line: u32) -> Result<u32> {
    1u32.checked_shl(line).ok_or(EINVAL)
}

impl Bank {
    /// A bank whose registers are at the physical address of `page`.
    pub(crate) fn new(
        block: Arc<Block>,
        mode: Mode,
        has_interrupt: bool,
        has_debounce_clock: bool,
        page: Arc<RegisterPage>,
    ) -> impl PinInit<Self> {
        pin_init!(Self {
            block,
            mode,
            has_interrupt,
            has_debounce_clock,
            page,
            blinks <- new_mutex!([const { None }; uapi::LINES as usize]),
            chip <- new_mutex!(None),
            lines <- IrqLock::new(Lines::new()),
            waiting <- WaitQueue::new(c"mapwright_gpio", kernel::static_lock_class!()),
            polling <- new_poll_condvar!(),
        })
    }

    /// Does something with the registers and what is known of the lines. `ENODEV` once the device goes.
    pub(crate) fn with_lines<R>(
        &self,
        f: impl FnOnce(&mut Lines, Registers<'_>) -> Result<R>,
    ) -> Result<R> {
        self.lines.with(|lines| match lines.left {
            true => Err(ENODEV),
            false => self.block.with(|registers| f(lines, registers))?,
        })
    }

    /// Switches the bank on and its interrupts off, and says how it was.
    pub(crate) fn take_over(&self) -> Result<Context> {
        self.block.with(|registers| {
            let before = Context::of(registers);
            context::begin_anew(registers);
            before
        })
    }

    /// Undoes [`take_over`](Self::take_over) and what was done since. Nobody handles interrupts any
    /// more, and what is restored of them is for who comes next.
    pub(crate) fn restore(&self, before: &Context) -> Result {
        // A device that was pulled out is noticed here at the latest.
        self.block.revision()?;
        self.block.with(|registers| before.restore(registers))
    }

    /// The device goes: stops the timers, wakes who waits. The page of registers was taken out of programs.
    pub(crate) fn leave(&self) {
        self.lines.with(|lines| {
            lines.left = true;
            if self.mode == Mode::Bank {
                // One that is gone does not interrupt.
                let _ = self
                    .block
                    .with(|registers| registers.write_reg(IRQSTATUS_CLR_0::from(u32::MAX)));
            }
        });
        for blink in self.blinks.lock().iter_mut() {
            drop(blink.take());
        }
        // Who has registered it unregisters it, and lets go of all lines.
        let chip = self.chip.lock().take();
        drop(chip);
        self.wake();
    }

    /// gpiolib is there, and is told of lines that are used here from now on.
    pub(crate) fn has_chip(&self, chip: Arc<GpioChip<Bank>>) {
        *self.chip.lock() = Some(chip);
    }

    /// `ENODEV` once the device goes, or was found to be gone.
    pub(crate) fn expect_here(&self) -> Result {
        self.with_lines(|_, _| Ok(()))
    }
}
