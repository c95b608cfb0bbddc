// SPDX-License-Identifier: MIT OR Apache-2.0

//! Signals that come while a program is in a call.

use anyhow::Result;
use nix::{
    errno::Errno,
    libc,
    sys::signal::{sigaction, SaFlags, SigAction, SigHandler, SigSet, Signal},
};

extern "C" fn handler(_: libc::c_int) {}

/// Has `SIGALRM` handled, by doing nothing.
pub fn handle(flags: SaFlags) -> Result<()> {
    let action = SigAction::new(SigHandler::Handler(handler), flags, SigSet::empty());
    // SAFETY: The handler does nothing.
    unsafe { sigaction(Signal::SIGALRM, &action) }?;
    Ok(())
}

/// Has `SIGALRM` come every `milliseconds`, or no more if that is 0.
pub fn every(milliseconds: i64) -> Result<()> {
    let time = libc::timeval {
        tv_sec: 0,
        tv_usec: (milliseconds * 1000) as _,
    };
    let timer = libc::itimerval {
        it_interval: time,
        it_value: time,
    };
    // SAFETY: The structure is valid.
    let ret = unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut()) };
    Errno::result(ret)?;
    Ok(())
}
