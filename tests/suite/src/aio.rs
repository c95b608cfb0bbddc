// SPDX-License-Identifier: MIT OR Apache-2.0

//! Transfers that go on while the program does: `io_submit(2)`.

use nix::{errno::Errno, libc};
use std::{
    fs::File,
    os::fd::{AsFd as _, AsRawFd as _},
};

/// What a transfer does.
#[derive(Clone, Copy)]
pub enum Direction {
    /// From the file to memory.
    Read = 0,
    /// From memory to the file.
    Write = 1,
}

/// Transfers in flight. When it is dropped, they have ended.
pub struct InFlight {
    context: libc::c_ulong,
    begun: usize,
    ended: Vec<Event>,
}

/// What `io_getevents(2)` tells of a transfer.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Event {
    data: u64,
    request: u64,
    /// Bytes, or a negative errno.
    result: i64,
    result2: i64,
}

impl InFlight {
    /// Begins to transfer `length` bytes between `addr` and byte 0 of the file and on, `step` bytes at a
    /// time. The kernel has the pages when this returns.
    ///
    /// Where the memory is unmapped before the transfers end, they go to or come from the pages that were
    /// mapped.
    pub fn begin(
        file: &File,
        direction: Direction,
        addr: usize,
        length: usize,
        step: usize,
    ) -> Result<Self, Errno> {
        let count = length / step;
        let mut flight = Self {
            context: 0,
            begun: 0,
            ended: Vec::new(),
        };
        let context: *mut libc::c_ulong = &mut flight.context;
        // SAFETY: The kernel writes the context's handle, and nothing else.
        Errno::result(unsafe { libc::syscall(libc::SYS_io_setup, count, context) })?;
        for at in (0..count).map(|i| i * step) {
            flight.submit(file, direction, addr + at, at, step)?;
        }
        Ok(flight)
    }

    fn submit(
        &mut self,
        file: &File,
        direction: Direction,
        addr: usize,
        at: usize,
        length: usize,
    ) -> Result<(), Errno> {
        // SAFETY: All fields may be zero.
        let mut request: libc::iocb = unsafe { std::mem::zeroed() };
        request.aio_lio_opcode = direction as u16;
        request.aio_fildes = file.as_fd().as_raw_fd() as u32;
        request.aio_buf = addr as u64;
        request.aio_nbytes = length as u64;
        request.aio_offset = at as i64;
        let mut requests = [&raw mut request];
        // SAFETY: The request is copied. Its memory is a mapping of the caller's, which the kernel checks;
        // nobody in this program borrows from it.
        let submitted =
            unsafe { libc::syscall(libc::SYS_io_submit, self.context, 1, requests.as_mut_ptr()) };
        Errno::result(submitted)?;
        self.begun += 1;
        Ok(())
    }

    /// How many have not ended yet.
    pub fn left(&mut self) -> Result<usize, Errno> {
        self.collect(0)?;
        Ok(self.begun - self.ended.len())
    }

    /// Waits for the end of all, and returns the bytes of each, or its error, in the order in which they
    /// ended.
    pub fn end(mut self) -> Result<Vec<Result<usize, Errno>>, Errno> {
        while self.left()? > 0 {
            self.collect(1)?;
        }
        Ok(self.ended.iter().map(Event::outcome).collect())
    }

    /// Takes note of what has ended, and waits until so many have.
    fn collect(&mut self, at_least: usize) -> Result<(), Errno> {
        let mut events = vec![Event::default(); self.begun];
        let (most, forever) = (events.len(), std::ptr::null_mut::<libc::timespec>());
        // SAFETY: There is room for `most` events, and nobody else uses it.
        let count = Errno::result(unsafe {
            libc::syscall(
                libc::SYS_io_getevents,
                self.context,
                at_least,
                most,
                events.as_mut_ptr(),
                forever,
            )
        })?;
        self.ended.extend(events.iter().take(count as usize));
        Ok(())
    }
}

impl Event {
    fn outcome(&self) -> Result<usize, Errno> {
        usize::try_from(self.result).map_err(|_| Errno::from_raw(-self.result as i32))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        // SAFETY: The context is this one's; the kernel waits for what is in flight.
        unsafe { libc::syscall(libc::SYS_io_destroy, self.context) };
    }
}
