// SPDX-License-Identifier: MIT OR Apache-2.0

//! A GPIO bank of an AM335x, as `/dev/mapwright-gpioN` gives it.
//!
//! ```no_run
//! use mapwright::gpio::{Bank, Line};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let bank = Bank::open(0)?;
//! let led: Line = "USR0".parse()?;
//! bank.set_direction(led, true)?;
//! bank.set(led.mask(), 0)?;
//! # Ok(())
//! # }
//! ```

use crate::{beaglebone::gpio_of, device, page_bytes, Error, Result};
use mapwright_uapi::{gpio as uapi, Request};
use nix::{
    errno::Errno,
    sys::mman::{mmap, munmap, MapFlags, ProtFlags},
};
use std::{
    ffi::c_void,
    fs::File,
    num::NonZeroUsize,
    os::fd::{AsFd, BorrowedFd},
    path::PathBuf,
    ptr::NonNull,
};

pub use crate::line::{Line, NoSuchLine, USER_LEDS};
pub use uapi::{Info, EDGE_FALLING, EDGE_RISING, LINES, MAX_PERIOD, MIN_PERIOD, MODE_BANK};

/// Bytes of a bank's registers. The page that they are mapped by is at least as large.
const REGISTERS: usize = 0x1000;

/// An open bank.
#[derive(Debug)]
pub struct Bank {
    file: File,
}

impl Bank {
    /// Opens the bank with that number: 0 is the first that the driver found.
    pub fn open(number: u32) -> Result<Self> {
        let file = device::open(&Self::path(number))?;
        Ok(Self { file })
    }

    /// The device node of the bank with this number.
    pub fn path(number: u32) -> PathBuf {
        PathBuf::from(format!("/dev/{}{number}", uapi::NAME))
    }

    /// The number by which to [`open`](Self::open) GPIO0, GPIO1, GPIO2 or GPIO3, if this driver has it.
    pub fn number_of(gpio: u32) -> Option<u32> {
        (0..uapi::MAX_BANKS).find(|number| Self::gpio(*number) == Some(gpio))
    }

    /// Which of GPIO0 to GPIO3 the bank of that number is, if that is known.
    pub fn gpio(number: u32) -> Option<u32> {
        let device = format!("/sys/class/misc/{}{number}/device", uapi::NAME);
        let device = std::fs::canonicalize(device).ok()?;
        gpio_of(device.file_name()?.to_str()?)
    }

    /// Does an ioctl of the interface.
    pub fn request<R: Request>(&self, request: &mut R) -> std::result::Result<(), Errno> {
        device::request(&self.file, request)
    }

    fn ask<R: Request>(&self, what: &'static str, mut request: R) -> Result<R> {
        match self.request(&mut request) {
            Ok(()) => Ok(request),
            Err(errno) => Err(Error::System { what, errno }),
        }
    }

    /// How it is now.
    pub fn info(&self) -> Result<Info> {
        self.ask("asking how the bank is", Info::new())
    }

    /// Makes the outputs of the mask `set` high and of `clear` low; the levels of all lines then.
    pub fn set(&self, set: u32, clear: u32) -> Result<u32> {
        let outputs = uapi::Outputs {
            set,
            clear,
            ..uapi::Outputs::new()
        };
        Ok(self.ask("setting outputs", outputs)?.levels)
    }

    /// The levels of all lines.
    pub fn levels(&self) -> Result<u32> {
        let levels = self.ask("reading the lines", uapi::Outputs::new())?;
        Ok(levels.levels)
    }

    /// Makes a line an output or an input.
    pub fn set_direction(&self, line: Line, output: bool) -> Result<()> {
        let direction = uapi::Direction {
            line: line.number(),
            output: u32::from(output),
            ..uapi::Direction::new()
        };
        self.ask("setting a line's direction", direction).map(drop)
    }

    /// Lets the kernel blink an output, with a period in microseconds; 0 stops it.
    pub fn blink(&self, line: Line, period: u32) -> Result<()> {
        let blink = uapi::Blink {
            line: line.number(),
            period,
            ..uapi::Blink::new()
        };
        self.ask("blinking", blink).map(drop)
    }

    /// Sleeps until the line has one of the `edges`, or for `timeout` milliseconds if that is not 0:
    /// how many it had, and whether it is high.
    pub fn wait(&self, line: Line, edges: u32, timeout: u32) -> Result<(u32, bool)> {
        let wait = uapi::Wait {
            line: line.number(),
            edges,
            timeout,
            ..uapi::Wait::new()
        };
        let wait = self.ask("waiting for an edge", wait)?;
        Ok((wait.nr_edges, wait.level != 0))
    }

    /// From now on `poll(2)` tells of rising edges of the lines of `rising`, and of falling edges of those of
    /// `falling`.
    pub fn watch(&self, rising: u32, falling: u32) -> Result<()> {
        let watch = uapi::Watch {
            rising,
            falling,
            ..uapi::Watch::new()
        };
        self.ask("watching lines", watch).map(drop)
    }

    /// The lines of which there were such edges since this was last asked: rising and falling.
    pub fn events(&self) -> Result<(u32, u32)> {
        let events = self.ask("asking for edges", uapi::Events::new())?;
        Ok((events.rising, events.falling))
    }

    /// Maps the registers into this process, uncached.
    pub fn map(&self, writable: bool) -> Result<Registers> {
        let mut protection = ProtFlags::PROT_READ;
        protection.set(ProtFlags::PROT_WRITE, writable);
        let length = NonZeroUsize::new(page_bytes()).unwrap_or(NonZeroUsize::MIN);
        // SAFETY: A new mapping at an address of the kernel's choice.
        let mapped = unsafe {
            mmap(
                None,
                length,
                protection,
                MapFlags::MAP_SHARED,
                &self.file,
                0,
            )
        };
        let address = mapped.map_err(|errno| Error::System {
            what: "mapping the registers",
            errno,
        })?;
        Ok(Registers { address, writable })
    }
}

impl AsFd for Bank {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// The registers of a bank, in this process. When the device goes, an access is `SIGBUS`.
#[derive(Debug)]
pub struct Registers {
    address: NonNull<c_void>,
    writable: bool,
}

impl Registers {
    /// The register at `offset`, a multiple of 4 within the bank.
    fn at(&self, offset: usize) -> *mut u32 {
        assert!(
            offset % 4 == 0 && offset < REGISTERS,
            "no register is at {offset:#x}"
        );
        self.address.as_ptr().wrapping_byte_add(offset).cast()
    }

    /// A single load of 32 bits.
    pub fn read(&self, offset: usize) -> u32 {
        // SAFETY: It is inside of the mapping, which lives as long as `self`.
        unsafe { self.at(offset).read_volatile() }
    }

    /// A single store of 32 bits.
    ///
    /// # Panics
    ///
    /// If it was not mapped writable.
    pub fn write(&self, offset: usize, value: u32) {
        assert!(self.writable, "the registers are mapped read-only");
        // SAFETY: As in `read`, and it is writable.
        unsafe { self.at(offset).write_volatile(value) };
    }
}

impl Drop for Registers {
    fn drop(&mut self) {
        // SAFETY: This is the mapping that `map` made, and nothing of it is borrowed.
        let unmapped = unsafe { munmap(self.address, page_bytes()) };
        debug_assert_eq!(unmapped, Ok(()));
    }
}
