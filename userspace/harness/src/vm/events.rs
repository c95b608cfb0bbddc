// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a guest, its emulator and the user do: threads that tell of it.

use crate::boot::Sockets;
use anyhow::{Context, Result};
use nix::sys::signal::{killpg, Signal};
use nix::unistd::Pid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::sync::mpsc::SyncSender;
use std::thread;

/// The command's standard output or standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Out,
    Err,
}

/// Something happened.
pub(super) enum Event {
    /// The guest's control port is connected.
    Connected(UnixStream),
    Control(String),
    Output(Stream, Vec<u8>),
    Log(String),
    LogEnded,
    OutputEnded,
    Child(ExitStatus),
    Signal(i32),
}

/// Kills the guest and its helpers when it goes out of scope.
pub(super) struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // ESRCH: all have ended by themselves.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

pub(super) fn start(
    command: &mut Command,
    interactive: bool,
    events: &SyncSender<Event>,
) -> Result<Group> {
    if !interactive {
        // Of its own, so that Ctrl-C reaches the test harness alone, and everything in it can be killed. A
        // guest with a shell needs the terminal.
        command.process_group(0);
    }
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot run {program}: run this inside the toolchain root"))?;
    let pid = i32::try_from(child.id()).context("a process id that is none")?;
    let group = (!interactive).then(|| Pid::from_raw(pid));
    if let Some(stderr) = child.stderr.take() {
        let events = events.clone();
        thread::spawn(move || read_log(stderr, &events));
    }
    let events = events.clone();
    thread::spawn(move || {
        if let Ok(status) = child.wait() {
            let _ = events.send(Event::Child(status));
        }
    });
    Ok(Group(group))
}

pub(super) fn catch_signals(events: &SyncSender<Event>) -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("cannot catch signals")?;
    let events = events.clone();
    thread::spawn(move || {
        for signal in signals.forever() {
            if events.send(Event::Signal(signal)).is_err() {
                break;
            }
        }
    });
    Ok(())
}

/// QEMU connects to each socket once.
pub(super) fn listen(sockets: &Sockets, events: &SyncSender<Event>) -> Result<()> {
    let bind = |path: &Path| {
        UnixListener::bind(path).with_context(|| format!("cannot listen on {}", path.display()))
    };
    for (path, stream) in [(sockets.out(), Stream::Out), (sockets.err(), Stream::Err)] {
        let listener = bind(&path)?;
        let events = events.clone();
        thread::spawn(move || {
            if let Ok((socket, _)) = listener.accept() {
                read_output(socket, stream, &events);
            }
            let _ = events.send(Event::OutputEnded);
        });
    }
    let listener = bind(&sockets.control())?;
    let control = events.clone();
    thread::spawn(move || {
        if let Ok((socket, _)) = listener.accept() {
            if let Ok(answers) = socket.try_clone() {
                let _ = control.send(Event::Connected(answers));
            }
            for line in BufReader::new(socket).lines().map_while(Result::ok) {
                let _ = control.send(Event::Control(line));
            }
        }
        let _ = control.send(Event::OutputEnded);
    });
    let listener = bind(&sockets.log())?;
    let events = events.clone();
    thread::spawn(move || {
        if let Ok((socket, _)) = listener.accept() {
            read_log(socket, &events);
        }
    });
    Ok(())
}

/// What a guest without ports says on its console: see `line_up` in `guest.sh`.
pub(super) fn listen_to_console(sockets: &Sockets, events: &SyncSender<Event>) -> Result<()> {
    let path = sockets.log();
    let listener = UnixListener::bind(&path)
        .with_context(|| format!("cannot listen on {}", path.display()))?;
    let events = events.clone();
    thread::spawn(move || {
        if let Ok((socket, _)) = listener.accept() {
            for line in lines(socket) {
                if events.send(console_event(line)).is_err() {
                    return;
                }
            }
        }
        let _ = events.send(Event::LogEnded);
    });
    Ok(())
}

/// A line of a console: whose it is, and the line. All others are the kernel's.
fn console_event(line: String) -> Event {
    let output = |stream, text: &str| Event::Output(stream, format!("{text}\n").into_bytes());
    match line.split_once(' ') {
        Some(("mapwright.ctl", text)) => Event::Control(text.to_owned()),
        Some(("mapwright.out", text)) => output(Stream::Out, text),
        Some(("mapwright.err", text)) => output(Stream::Err, text),
        Some(("mapwright.log", text)) => Event::Log(text.to_owned()),
        _ => Event::Log(line),
    }
}

/// The lines of something that may not be UTF-8.
fn lines(from: impl Read) -> impl Iterator<Item = String> {
    let mut from = BufReader::new(from);
    std::iter::from_fn(move || {
        let mut bytes = Vec::new();
        let Ok(1..) = from.read_until(b'\n', &mut bytes) else {
            return None;
        };
        let text = String::from_utf8_lossy(&bytes);
        Some(text.trim_end_matches(['\n', '\r']).to_owned())
    })
}

fn read_output(mut socket: UnixStream, stream: Stream, events: &SyncSender<Event>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = socket.read(&mut buffer) {
        if events
            .send(Event::Output(stream, buffer[..count].to_vec()))
            .is_err()
        {
            break;
        }
    }
}

fn read_log(from: impl Read, events: &SyncSender<Event>) {
    for line in lines(from) {
        if events.send(Event::Log(line)).is_err() {
            return;
        }
    }
    let _ = events.send(Event::LogEnded);
}
