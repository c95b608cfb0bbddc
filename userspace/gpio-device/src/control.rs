// SPDX-License-Identifier: MIT OR Apache-2.0

//! Answers what tests ask.

use crate::shared::Shared;
use gpio_model::{Drive, Level, Reply, Request, LINES};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;

/// Answers whoever connects to the socket `path`, each in a thread.
pub fn listen(path: &Path, shared: Arc<Shared>) -> io::Result<()> {
    let listener = UnixListener::bind(path)?;
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let shared = shared.clone();
            // Who asked has gone: nobody is left to be told.
            thread::spawn(move || drop(converse(&stream, &shared)));
        }
    });
    Ok(())
}

fn converse(mut stream: &UnixStream, shared: &Shared) -> io::Result<()> {
    for line in BufReader::new(stream).lines() {
        let reply = match serde_json::from_str(&line?) {
            Ok(request) => answer(request, shared)?,
            Err(error) => Reply::Refused(error.to_string()),
        };
        let mut text = serde_json::to_vec(&reply)?;
        text.push(b'\n');
        stream.write_all(&text)?;
    }
    Ok(())
}

fn answer(request: Request, shared: &Shared) -> io::Result<Reply> {
    if matches!(request, Request::Die) {
        shared.die();
    }
    shared.with(|bench, now| {
        Ok(match request {
            Request::Drive(line, _) if line >= LINES => Reply::Refused(format!(
                "there is no line {line}: the last is {}",
                LINES - 1
            )),
            Request::Drive(line, level) => {
                let drive = match level {
                    Level::High => Drive::High,
                    Level::Low => Drive::Low,
                    Level::Floating => Drive::Floating,
                };
                bench.drive(now, line, drive)?;
                Reply::Done
            }
            Request::Clock(on) => {
                bench.set_clock(now, on)?;
                Reply::Done
            }
            Request::Levels => Reply::Levels(bench.bank().levels()),
            Request::Vanish => {
                bench.vanish();
                Reply::Done
            }
            Request::Return => {
                bench.come_back(now)?;
                Reply::Done
            }
            Request::Die => Reply::Refused("it does not die".to_owned()),
            Request::Count => Reply::Count(bench.records().len()),
            Request::Records(from) => {
                Reply::Records(bench.records().get(from..).unwrap_or_default().to_vec())
            }
        })
    })
}
