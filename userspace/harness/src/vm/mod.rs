// SPDX-License-Identifier: MIT OR Apache-2.0
//! Boots a guest, follows it to its end, and judges it.

mod ended;
mod events;
mod follow;
mod prepare;
mod tail;

pub use ended::{describe, show_reports, Ended, How};
pub use events::Stream;
pub use prepare::{guest, kernel};

use crate::boot::{tiny, virtme, Sockets};
use crate::guest::{Boot, Guest, GuestArgs};
use crate::judge::{judge, Report};
use crate::patience::Stage;
use crate::{device_tree, gpio, EXIT_JUDGED_BAD};
use anyhow::{Context, Result};
use clap::Args;
use ended::{keep_log, show_last_lines, silence, LAST_LINES};
use follow::{Following, Sink, GRACE};
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

#[derive(Debug, Args)]
pub struct RunArgs {
    /// How to boot
    #[arg(long, env = "VM", default_value_t = Boot::Virtme, value_enum)]
    pub boot: Boot,
    #[command(flatten)]
    pub guest: GuestArgs,
    /// Stop the guest after this many seconds, boot included
    #[arg(long, value_name = "SECS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: u64,
    /// Show what the kernel reports, but let the command's status decide
    #[arg(long)]
    pub allow_warnings: bool,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

#[derive(Debug, Args)]
pub struct ShellArgs {
    /// How to boot
    #[arg(long, env = "VM", default_value_t = Boot::Virtme, value_enum)]
    pub boot: Boot,
    #[command(flatten)]
    pub guest: GuestArgs,
}

/// `vm run`
pub fn run(args: &RunArgs) -> Result<u8> {
    let guest = guest(args.boot, &args.guest, Some(args.command.clone()))?;
    let timeout = Duration::from_secs(args.timeout);
    let log = guest.repository.join("build/vm-last.log");
    let tell = |text: &str| eprintln!("mapwright-harness: {text}");
    let ended = follow(
        &guest,
        timeout,
        &log,
        &tell,
        &mut |stream, bytes| match stream {
            Stream::Out => {
                let mut out = io::stdout().lock();
                out.write_all(bytes)?;
                out.flush()
            }
            Stream::Err => io::stderr().lock().write_all(bytes),
        },
    )?;
    show_reports(&ended);
    let command = shell_words::join(&args.command);
    Ok(match &ended.how {
        How::Exited(0) if !ended.is_clean() && !args.allow_warnings => {
            eprintln!("mapwright-harness: the command succeeded, but the kernel reported a fault");
            EXIT_JUDGED_BAD
        }
        How::Exited(status) => *status,
        How::Interrupted(signal) => interrupted(*signal),
        _ => {
            eprintln!("{}", describe(&ended, &command, timeout));
            EXIT_JUDGED_BAD
        }
    })
}

/// `vm shell`
pub fn shell(args: &ShellArgs) -> Result<u8> {
    let guest = guest(args.boot, &args.guest, None)?;
    let ended = boot(&guest, Duration::from_secs(365 * 24 * 3600), &mut |_, _| {
        Ok(())
    })?;
    keep_log(&guest.repository.join("build/vm-last.log"), &ended.log);
    show_reports(&ended);
    match &ended.how {
        How::Died(why) if !ended.is_running() => {
            eprintln!("mapwright-harness: {why}");
            show_last_lines(&ended.log);
            Ok(EXIT_JUDGED_BAD)
        }
        _ if ended.is_clean() => Ok(0),
        _ => Ok(EXIT_JUDGED_BAD),
    }
}

/// Boots the guest and follows it to its end. If it hangs while it boots, that is told, and it is booted
/// once more. Its log is kept in `log`, and that of the guest that hung beside it.
pub fn follow(
    guest: &Guest,
    timeout: Duration,
    log: &Path,
    tell: &dyn Fn(&str),
    sink: &mut Sink,
) -> Result<Ended> {
    let mut ended = boot(guest, timeout, sink)?;
    if ended.hung_while_booting() {
        let hung = log.with_extension("hung.log");
        keep_log(&hung, &ended.log);
        tell(&format!(
            "the guest hung: {}, and is booted once more (its log is in {})",
            silence(ended.stage),
            hung.display()
        ));
        ended = boot(guest, timeout, sink)?;
    }
    keep_log(log, &ended.log);
    Ok(ended)
}

/// Boots the guest once.
fn boot(guest: &Guest, timeout: Duration, sink: &mut Sink) -> Result<Ended> {
    let dir = tempfile::Builder::new()
        .prefix("mapwright-")
        .tempdir_in("/tmp")
        .context("cannot make a directory in /tmp")?;
    let sockets = Sockets {
        dir: dir.path().to_owned(),
    };
    let token = format!("\u{1}mapwright-end-{}", file_token(dir.path()));
    // Beside the guest until that has ended.
    let mut guest = guest.clone();
    if guest.non_coherent {
        device_tree::without_coherence(&mut guest, dir.path())?;
    }
    if guest.tree_buffers {
        device_tree::with_buffers(&mut guest, dir.path())?;
    }
    let model = gpio::start(&mut guest)?;
    let guest = &guest;
    let mut command = match guest.boot {
        Boot::Virtme => virtme::command(guest, &sockets, &token)?,
        Boot::Tiny => tiny::command(guest, &sockets, &token)?,
    };
    if model.as_ref().is_some_and(gpio::Model::is_apart) {
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", gpio::EMULATOR));
    }
    if guest.verbose {
        show_command(&command);
    }

    let (sender, received) = sync_channel(64);
    match guest.has_ports() {
        true => events::listen(&sockets, &sender)?,
        false => events::listen_to_console(&sockets, &sender)?,
    }
    events::catch_signals(&sender)?;
    let interactive = guest.command.is_none();
    let group = events::start(&mut command, interactive, &sender)?;
    // What goes on at a terminal is seen there.
    let stage = match interactive {
        true => Stage::Running,
        false => Stage::Booting,
    };
    let mut run = Following::new(guest, timeout, &token, stage);
    let how = run.follow(&received, sink);
    drop(group);
    drop(model);
    let how = how?;
    // Output and log that were on their way when the guest ended.
    run.drain(&received, sink)?;
    let mut reports = judge(&run.log);
    if run.stays_on() && !matches!(how, How::Interrupted(_)) {
        reports.push(Report {
            title: format!("it did not power off within {} s", GRACE.as_secs()),
            lines: run
                .log
                .iter()
                .rev()
                .take(LAST_LINES)
                .rev()
                .cloned()
                .collect(),
        });
    }
    Ok(Ended {
        how,
        stage: run.patience.stage(),
        log: run.log,
        reports,
    })
}

fn file_token(dir: &Path) -> String {
    let nanos = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap_or_default();
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    format!("{name}-{:x}", nanos.as_nanos())
}

fn show_command(command: &Command) {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    eprintln!("mapwright-harness: {}", shell_words::join(words));
}

/// The exit status of a command that a signal ended.
pub fn interrupted(signal: i32) -> u8 {
    u8::try_from(128 + signal).unwrap_or(u8::MAX)
}
