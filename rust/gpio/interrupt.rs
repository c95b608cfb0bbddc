// SPDX-License-Identifier: GPL-2.0-only

//! The bank's interrupt: edges are counted, and whoever wants to know is told.

use crate::{
    bank::Bank,
    registers::IRQSTATUS_0,
    untold::Teller, //
};
use kernel::{
    device::{
        Bound,
        Device, //
    },
    io::Io,
    irq::{
        IrqReturn,
        ThreadedIrqReturn, //
    },
    prelude::*,
    sync::Arc, //
};
use mapkit::device::{
    gpio_chip::GpioChip,
    irq, //
};
use mapwright_uapi::gpio as uapi;

/// What an interrupt does: it tells gpiolib, and a thread wakes programs.
pub(crate) struct Interrupt {
    bank: Arc<Bank>,
    chip: Option<(Arc<GpioChip<Bank>>, Teller)>,
}

impl Interrupt {
    /// What an interrupt of `bank` does, whose consumers are those of `chip`.
    pub(crate) fn new(bank: Arc<Bank>, chip: Option<Arc<GpioChip<Bank>>>) -> Result<Arc<Self>> {
        let chip = match chip {
            Some(chip) => Some((chip.clone(), Teller::new(bank.clone(), chip)?)),
            None => None,
        };
        Ok(Arc::new(Self { bank, chip }, GFP_KERNEL)?)
    }

    /// Has it called for the interrupt `request` until what this returns is dropped.
    pub(crate) fn register(
        this: &Arc<Self>,
        request: irq::Request<'_>,
    ) -> Result<irq::Registration<Arc<Self>>> {
        irq::Registration::new(request, c"mapwright_gpio", this.clone())
    }

    /// Acknowledges what there is and tells gpiolib. Whether programs wait for some of it; `None` if there is
    /// nothing.
    fn look(&self) -> Option<bool> {
        // With the lock held, so that nothing of it is of a line that began anew since.
        let take = |even_all: bool| {
            self.bank.with_lines(|lines, registers| {
                let status = registers.read(IRQSTATUS_0).into_raw();
                // A device that is gone reads as all ones.
                let is_valid = status != u32::MAX || even_all;
                Ok(is_valid.then(|| (status, lines.edges.take(registers, status))))
            })
        };
        let taken = match take(false) {
            Ok(None) => self.bank.block.revision().and_then(|_| take(true)),
            taken => taken,
        };
        // It is gone, or goes: then what is detected is switched off soon.
        let Ok(Some((status, taken))) = taken else {
            return None;
        };
        if status == 0 {
            return None;
        }
        if let Some((chip, teller)) = &self.chip {
            let is_told = |line: &u32| taken.now & 1u32.wrapping_shl(*line) != 0;
            for line in (0..uapi::LINES).filter(is_told) {
                chip.interrupt(line);
            }
            if taken.later {
                // A device that goes has nothing to tell any more.
                let _ = self.bank.with_lines(|lines, _| {
                    lines.edges.untold.begin();
                    Ok(())
                });
                teller.tell();
            }
        }
        Some(taken.watched)
    }

    /// Handles what there is, if there is something, though no interrupt has told of it. May sleep.
    ///
    /// What is told to a line's consumer while his interrupts are suspended is pending until they are resumed.
    pub(crate) fn look_again(&self) {
        if self.look() == Some(true) {
            self.bank.wake();
        }
        // What was being told may have been interrupted.
        if let Some((_, teller)) = &self.chip {
            teller.tell();
        }
    }
}

impl irq::Handler for Interrupt {
    const THREADED: bool = true;

    fn handle(&self, _device: &Device<Bound>) -> ThreadedIrqReturn {
        match self.look() {
            None => ThreadedIrqReturn::None,
            Some(true) => ThreadedIrqReturn::WakeThread,
            Some(false) => ThreadedIrqReturn::Handled,
        }
    }

    fn handle_threaded(&self, _device: &Device<Bound>) -> IrqReturn {
        self.bank.wake();
        IrqReturn::Handled
    }
}
