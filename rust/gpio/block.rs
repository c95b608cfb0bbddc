// SPDX-License-Identifier: GPL-2.0-only

//! The registers of a device that may go at any time.

use crate::registers::{
    Registers,
    REVISION,
    SIZE, //
};
use kernel::{
    devres::Devres,
    io::{
        mem::IoMem,
        Io, //
    },
    pci,
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};

/// Where the registers are mapped from.
pub(crate) enum Window {
    /// A PCI function's memory.
    Pci(Devres<pci::Bar<'static, SIZE>>),
    /// A device-tree node's memory.
    #[cfg_attr(not(CONFIG_OF), expect(dead_code))]
    Platform(Devres<IoMem<'static, SIZE>>),
}

/// The registers, for as long as the driver is bound and the device answers.
pub(crate) struct Block {
    window: Window,
    gone: Atomic<bool>,
}

/// What all registers of a device that is gone read as.
const NOBODY: u32 = u32::MAX;

impl Block {
    /// `ENODEV` if nobody answers, or something that is no bank of an AM335x.
    pub(crate) fn new(window: Window) -> Result<Self> {
        let block = Self {
            window,
            gone: Atomic::new(false),
        };
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
    /// `ENODEV` once the driver is unbound or the device was found to be gone.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&Registers) -> R) -> Result<R> {
        if self.is_gone() {
            return Err(ENODEV);
        }
        match &self.window {
            Window::Pci(bar) => bar.try_access_with(|bar| f(bar)),
            Window::Platform(mem) => mem.try_access_with(|mem| f(mem)),
        }
        .ok_or(ENODEV)
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
    pub(crate) fn read(&self, f: impl FnOnce(&Registers) -> u32) -> Result<u32> {
        let value = self.with(f)?;
        if value == NOBODY {
            self.revision()?;
        }
        Ok(value)
    }

    /// Whether it was found to be gone.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Relaxed)
    }
}
