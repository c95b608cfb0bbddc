// SPDX-License-Identifier: MIT OR Apache-2.0

//! Answers what tests ask, on a Unix socket.

use crate::{Reply, Request};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;

/// Answers whoever connects to the socket `path`, each in a thread.
pub fn listen<F>(path: &Path, answer: F) -> io::Result<()>
where
    F: Fn(&Request) -> io::Result<Reply> + Send + Sync + 'static,
{
    let listener = UnixListener::bind(path)?;
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let answer = answer.clone();
            // Who asked has gone: nobody is left to be told.
            thread::spawn(move || drop(converse(&stream, &*answer)));
        }
    });
    Ok(())
}

fn converse(
    mut stream: &UnixStream,
    answer: &impl Fn(&Request) -> io::Result<Reply>,
) -> io::Result<()> {
    for request in BufReader::new(stream).lines() {
        let reply = match serde_json::from_str(&request?) {
            Ok(request) => answer(&request)?,
            Err(error) => Reply::Refused(error.to_string()),
        };
        let mut text = serde_json::to_vec(&reply)?;
        text.push(b'\n');
        stream.write_all(&text)?;
    }
    Ok(())
}
