// SPDX-License-Identifier: MIT OR Apache-2.0

//! The modelled GPIO bank that claims about registers are proved on.

use crate::not_testable;
use anyhow::{Context as _, Result};
use gpio_model::Client;
use mapwright::{gpio::Bank, page_bytes};
use nix::{
    errno::Errno,
    libc::{c_void, O_SYNC},
    sys::mman::{mmap, munmap, MapFlags, ProtFlags},
};
use std::{fs::OpenOptions, num::NonZeroUsize, os::unix::fs::OpenOptionsExt, ptr::NonNull};

/// The driver's bank, and the model that tells what reached it.
pub fn bank() -> Result<(Client, Bank)> {
    let Some(model) = Client::connect().context("asking the model of the GPIO bank")? else {
        return not_testable("it needs a GPIO bank that tells what reaches it: the VM `gpio`");
    };
    Ok((model, Bank::open(0)?))
}

/// How many accesses there were, once all have arrived: stores are posted, and a load comes after them.
pub fn settled(model: &mut Client, bank: &Bank) -> Result<usize> {
    bank.levels()?;
    Ok(model.count()?)
}

/// A page of a device's registers, by `/dev/mem`.
pub struct PhysicalPage(NonNull<c_void>);

impl PhysicalPage {
    /// Maps the page at a physical address; none, where the kernel does not let a program (`iomem=relaxed`
    /// lets it).
    pub fn map(address: i32) -> Result<Option<Self>> {
        let memory = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(O_SYNC)
            .open("/dev/mem")?;
        let length = NonZeroUsize::new(page_bytes()).unwrap_or(NonZeroUsize::MIN);
        // SAFETY: A new mapping at an address of the kernel's choice.
        let mapped = unsafe {
            mmap(
                None,
                length,
                ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
                MapFlags::MAP_SHARED,
                &memory,
                address.into(),
            )
        };
        match mapped {
            Ok(mapped) => Ok(Some(Self(mapped))),
            Err(Errno::EPERM) => Ok(None),
            Err(errno) => Err(errno).context("mapping /dev/mem"),
        }
    }

    fn at(&self, offset: usize) -> *mut u32 {
        assert!(
            offset % 4 == 0 && offset < page_bytes(),
            "no register is at {offset:#x}"
        );
        self.0.as_ptr().wrapping_byte_add(offset).cast()
    }

    /// A load.
    pub fn read(&self, offset: usize) -> u32 {
        // SAFETY: It is inside of the mapping, which lives as long as `self`.
        unsafe { self.at(offset).read_volatile() }
    }

    /// A store.
    pub fn write(&self, offset: usize, value: u32) {
        // SAFETY: As in `read`.
        unsafe { self.at(offset).write_volatile(value) };
    }
}

impl Drop for PhysicalPage {
    fn drop(&mut self) {
        // SAFETY: This is the mapping that `map` made, and nothing of it is borrowed.
        let unmapped = unsafe { munmap(self.0, page_bytes()) };
        debug_assert_eq!(unmapped, Ok(()));
    }
}
