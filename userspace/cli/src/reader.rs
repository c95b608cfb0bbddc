// SPDX-License-Identifier: MIT OR Apache-2.0

//! Who reads what the command prints, and may go away: `mapwright stat --watch | head -3`.
//!
//! A program ends then, as others do: quietly, by SIGPIPE. Experiments and tests keep on ignoring that signal, as
//! their own pipes and sockets lose readers, too; what they print to nobody ends them in the same way, by hand.

use anyhow::Error;
use nix::{
    poll::{poll, PollFd, PollFlags, PollTimeout},
    sys::signal::{signal, SigHandler, Signal},
};
use std::{
    io,
    os::fd::AsFd as _,
    panic,
    process::{exit, ExitCode},
    time::{Duration, Instant},
};

/// What a shell says of a program that SIGPIPE has killed.
const WITHOUT_READER: u8 = 128 + Signal::SIGPIPE as u8;

/// What a failed `println!` says before its reason.
const FAILED: &str = "failed printing to stdout: ";

/// What to do when nobody reads any more.
pub fn end_without_one(by_signal: bool) {
    if by_signal {
        // SAFETY: The program has one thread and no handler yet, and this one is the kernel's.
        let _ = unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) };
    }
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panicked| {
        let said = panicked.payload_as_text();
        match said.and_then(|said| said.strip_prefix(FAILED)) {
            // As io::Error says it.
            Some(why) if why.contains("Broken pipe") => exit(WITHOUT_READER.into()),
            Some(why) => {
                eprintln!("mapwright: writing to standard output: {why}");
                exit(1)
            }
            None => usual(panicked),
        }
    }));
}

/// The text of a panic.
trait Text {
    fn payload_as_text(&self) -> Option<&str>;
}

impl Text for panic::PanicHookInfo<'_> {
    fn payload_as_text(&self) -> Option<&str> {
        let payload = self.payload();
        let text = payload.downcast_ref::<String>().map(String::as_str);
        text.or_else(|| payload.downcast_ref::<&str>().copied())
    }
}

/// Ends the program if an error is that nobody reads any more; its status then.
pub fn has_gone(err: &Error) -> Option<ExitCode> {
    let is_it = |cause: &(dyn std::error::Error + 'static)| {
        let cause = cause.downcast_ref::<io::Error>();
        cause.is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
    };
    err.chain().any(is_it).then(|| WITHOUT_READER.into())
}

/// Waits, and returns whether somebody still reads: at once if not.
pub fn stays_for(time: Duration) -> bool {
    let until = Instant::now().checked_add(time);
    loop {
        let left = match until {
            Some(until) => until.saturating_duration_since(Instant::now()),
            None => Duration::MAX,
        };
        // Rounded up, and as much as fits.
        let timeout = PollTimeout::try_from(left.saturating_add(Duration::from_micros(999)));
        let stdout = io::stdout();
        let mut fds = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
        let polled = poll(&mut fds, timeout.unwrap_or(PollTimeout::MAX));
        let events = fds[0].revents().unwrap_or(PollFlags::empty());
        if polled.is_ok() && events.intersects(PollFlags::POLLERR | PollFlags::POLLHUP) {
            return false;
        }
        if left.is_zero() {
            return true;
        }
    }
}
