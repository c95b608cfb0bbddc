// SPDX-License-Identifier: MIT OR Apache-2.0
//! Boots a guest, follows it to its end, and judges it.

use crate::boot::{tiny, virtme, Guest, Sockets};
use crate::cli::{Boot, GuestArgs, RunArgs, ShellArgs};
use crate::judge::{self, judge, Report};
use crate::kvm::Accel;
use crate::machine::Machine;
use crate::patience::{Patience, Stage, SILENCE};
use crate::place::Kernel;
use crate::{device_tree, gpio, kvm, place, EXIT_JUDGED_BAD};
use anyhow::{bail, Context, Result};
use nix::sys::signal::{killpg, Signal};
use nix::unistd::Pid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::sync::mpsc::{sync_channel, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

/// A guest whose kernel has panicked, or which said that it has ended, is gone after this.
const GRACE: Duration = Duration::from_secs(30);
/// What a guest wrote before it died has arrived after this.
const DRAIN: Duration = Duration::from_secs(2);
/// So many lines of the log are shown where no report says what happened.
const LAST_LINES: usize = 20;
const SHOWN_REPORTS: usize = 3;

/// The command's standard output or standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Out,
    Err,
}

/// How a guest ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// The command's status.
    Exited(u8),
    /// The command could not be started: the modules, for example, were not accepted.
    Refused(String),
    /// Without a word.
    Died(String),
    /// It has said nothing for too long, and had not come to the command.
    Hung,
    TimedOut,
    /// By a signal to the rig.
    Interrupted(i32),
}

/// A guest's end, and the kernel's log.
pub struct Ended {
    pub how: How,
    /// How far it had come.
    pub stage: Stage,
    pub log: Vec<String>,
    pub reports: Vec<Report>,
}

impl Ended {
    /// Whether the kernel has nothing to be blamed for.
    pub fn is_clean(&self) -> bool {
        self.reports.is_empty()
    }

    /// Whether the command was started.
    fn is_running(&self) -> bool {
        self.stage == Stage::Running
    }

    /// Whether it hung before anything of the project ran in it.
    fn hung_while_booting(&self) -> bool {
        self.how == How::Hung && self.stage == Stage::Booting
    }
}

/// The kernel that a guest boots.
pub fn kernel(repository: &Path, args: &GuestArgs) -> Result<Kernel> {
    match &args.kernel_dir {
        Some(dir) => place::kernel_in(dir),
        None => place::kernel(repository, args.kernel.as_deref()),
    }
}

/// Finds everything a guest needs.
pub fn guest(boot: Boot, args: &GuestArgs, command: Option<Vec<String>>) -> Result<Guest> {
    let machine = args.machine;
    if command.is_none() && machine.terminal().is_none() {
        bail!("a {machine} has no second line for a shell: use --machine virt");
    }
    if args.monitor && (command.is_none() || !machine.has_virtio()) {
        bail!("--monitor takes a command, and a machine with virtio ports");
    }
    if args.non_coherent && machine != Machine::Arm64 {
        bail!("a {machine} has no device tree without coherence: use --machine arm64");
    }
    // The programs of the toolchain root are this machine's.
    let boot = if machine.is_native() {
        boot
    } else {
        Boot::Tiny
    };
    let repository = place::repository()?;
    let kernel = kernel(&repository, args)?;
    let has_9p = machine.has_virtio() && kernel.has("9P_FS") && kernel.has("NET_9P_VIRTIO");
    if args.results.is_some() && !has_9p {
        bail!(
            "a {machine} with the kernel {} cannot mount --results, for which it needs virtio and 9p",
            kernel.release
        );
    }
    let modules = if args.no_modules {
        Vec::new()
    } else {
        let built = || repository.join("build").join(&kernel.release);
        let dir = args.modules.clone().unwrap_or_else(built);
        place::modules(&dir, &kernel.release, &args.module_params)?
    };
    let results = match &args.results {
        None => None,
        Some(dir) => {
            fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
            Some(dir.canonicalize()?)
        }
    };
    let programs = args.programs.as_deref();
    let programs = repository.join(programs.unwrap_or(machine.programs().as_ref()));
    let cache = place::cache().ok();
    let qemu = shell_words::split(&args.qemu).context("--qemu has an open quote")?;
    // To count instructions is the translator's business, and that of one thread.
    let accel = match qemu.iter().any(|arg| arg == "-icount") {
        true => Accel::TcgOneThread,
        false if !machine.is_native() => Accel::Tcg,
        false => kvm::choose(&kernel, cache.as_deref(), args.verbose)?,
    };
    Ok(Guest {
        boot,
        machine,
        accel,
        kernel,
        modules,
        repository,
        results,
        qemu,
        gpio: args.gpio.clone(),
        gpio_mode: args.gpio_mode,
        has_9p,
        non_coherent: args.non_coherent,
        monitor: args.monitor,
        programs,
        own_program: args.own_program,
        append: shell_words::split(&args.append).context("--append has an open quote")?,
        memory: args.memory.clone(),
        cpus: args.cpus,
        command,
        verbose: args.verbose,
    })
}

/// `vm run`
pub fn run(args: &RunArgs) -> Result<u8> {
    let guest = guest(args.boot, &args.guest, Some(args.command.clone()))?;
    let timeout = Duration::from_secs(args.timeout);
    let log = guest.repository.join("build/vm-last.log");
    let tell = |text: &str| eprintln!("mapwright-rig: {text}");
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
            eprintln!("mapwright-rig: the command succeeded, but the kernel reported a fault");
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

pub fn interrupted(signal: i32) -> u8 {
    u8::try_from(128 + signal).unwrap_or(u8::MAX)
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
            eprintln!("mapwright-rig: {why}");
            show_last_lines(&ended.log);
            Ok(EXIT_JUDGED_BAD)
        }
        _ if ended.is_clean() => Ok(0),
        _ => Ok(EXIT_JUDGED_BAD),
    }
}

/// One sentence on a guest that did not get to its end, and the log's last lines.
pub fn describe(ended: &Ended, command: &str, timeout: Duration) -> String {
    let seconds = timeout.as_secs();
    let what = match &ended.how {
        How::Exited(status) => return format!("mapwright-rig: `{command}` ended with {status}"),
        How::Interrupted(signal) => return format!("mapwright-rig: stopped by signal {signal}"),
        How::Refused(why) => format!("the guest could not be prepared: {why}"),
        How::TimedOut if ended.is_running() => format!(
            "`{command}` did not end within {seconds} s and was stopped; --timeout gives it longer"
        ),
        How::Hung => format!(
            "the guest hung before `{command}`: {}",
            silence(ended.stage)
        ),
        How::TimedOut => format!("the guest did not get to `{command}` within {seconds} s"),
        How::Died(why) if ended.is_running() => format!("the guest died during `{command}`: {why}"),
        How::Died(why) => format!("the guest died before `{command}`: {why}"),
    };
    let mut text = format!("mapwright-rig: {what}");
    if ended.is_clean() || matches!(ended.how, How::Hung | How::TimedOut) {
        text.push_str(&last_lines(&ended.log));
    }
    text
}

/// What a guest did that hung.
fn silence(stage: Stage) -> String {
    let doing = match stage {
        Stage::Inserting => "was given the modules",
        Stage::Booting | Stage::Running => "booted",
    };
    format!(
        "while it {doing}, it said nothing for {} s",
        SILENCE.as_secs()
    )
}

fn last_lines(log: &[String]) -> String {
    if log.is_empty() {
        return "\n(the kernel's log is empty)".to_owned();
    }
    let last = &log[log.len().saturating_sub(LAST_LINES)..];
    format!(
        "\nThe last lines of the kernel's log:\n  {}",
        last.join("\n  ")
    )
}

fn show_last_lines(log: &[String]) {
    eprintln!("{}", last_lines(log).trim_start());
}

/// Prints what the kernel reported.
pub fn show_reports(ended: &Ended) {
    for report in ended.reports.iter().take(SHOWN_REPORTS) {
        eprintln!(
            "mapwright-rig: the kernel reported:\n  {}",
            report.lines.join("\n  ")
        );
    }
    let more = ended.reports.len().saturating_sub(SHOWN_REPORTS);
    if more > 0 {
        eprintln!("mapwright-rig: and {more} more reports");
    }
}

/// Keeps the kernel's log; runs at the same time do not mix in it.
pub fn keep_log(file: &Path, log: &[String]) {
    let mut text = log.join("\n");
    text.push('\n');
    let kept = || -> Result<()> {
        let dir = file.parent().context("no directory")?;
        fs::create_dir_all(dir)?;
        let mut new = tempfile::NamedTempFile::new_in(dir)?;
        new.write_all(text.as_bytes())?;
        new.persist(file)?;
        Ok(())
    };
    if let Err(error) = kept() {
        eprintln!(
            "mapwright-rig: cannot keep the kernel's log in {}: {error}",
            file.display()
        );
    }
}

enum Event {
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

type Sink<'a> = dyn FnMut(Stream, &[u8]) -> io::Result<()> + 'a;

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

    let (events, received) = sync_channel(64);
    match guest.has_ports() {
        true => listen(&sockets, &events)?,
        false => listen_to_console(&sockets, &events)?,
    }
    catch_signals(&events)?;
    let interactive = guest.command.is_none();
    let group = start(&mut command, interactive, &events)?;
    // What goes on at a terminal is seen there.
    let stage = match interactive {
        true => Stage::Running,
        false => Stage::Booting,
    };
    let mut run = Run {
        has_ports: guest.has_ports(),
        deadline: Instant::now() + timeout,
        log: Vec::new(),
        verbose: guest.verbose && !interactive,
        interactive,
        patience: Patience::new(stage, Instant::now()),
        control: None,
        status: None,
        refused: None,
        out: Tail::new(&token),
        err: Tail::new(&token),
        answered: false,
        gone: false,
        open: 3,
        log_open: true,
    };
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
    eprintln!("mapwright-rig: {}", shell_words::join(words));
}

/// Kills the guest and its helpers when it goes out of scope.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // ESRCH: all have ended by themselves.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

fn start(command: &mut Command, interactive: bool, events: &SyncSender<Event>) -> Result<Group> {
    if !interactive {
        // Of its own, so that Ctrl-C reaches the rig alone, and everything in it can be killed. A
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

fn catch_signals(events: &SyncSender<Event>) -> Result<()> {
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
fn listen(sockets: &Sockets, events: &SyncSender<Event>) -> Result<()> {
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
fn listen_to_console(sockets: &Sockets, events: &SyncSender<Event>) -> Result<()> {
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

/// Output up to the token that ends it.
struct Tail {
    token: Vec<u8>,
    held: Vec<u8>,
    ended: bool,
}

impl Tail {
    fn new(token: &str) -> Self {
        Self {
            token: token.as_bytes().to_vec(),
            held: Vec::new(),
            ended: false,
        }
    }

    /// What can be passed on; what may be the beginning of the token is held back.
    fn take(&mut self, bytes: &[u8]) -> Vec<u8> {
        if self.ended {
            return Vec::new();
        }
        let mut all = std::mem::take(&mut self.held);
        all.extend_from_slice(bytes);
        let token = &self.token;
        if let Some(at) = all.windows(token.len()).position(|w| w == &token[..]) {
            self.ended = true;
            all.truncate(at);
            return all;
        }
        let longest = token.len().min(all.len() + 1) - 1;
        let hold = (1..=longest)
            .rev()
            .find(|&n| all.ends_with(&token[..n]))
            .unwrap_or(0);
        self.held = all.split_off(all.len() - hold);
        all
    }
}

struct Run {
    has_ports: bool,
    deadline: Instant,
    log: Vec<String>,
    verbose: bool,
    interactive: bool,
    patience: Patience,
    control: Option<UnixStream>,
    status: Option<u8>,
    refused: Option<String>,
    out: Tail,
    err: Tail,
    answered: bool,
    /// Its virtual machine has ended.
    gone: bool,
    /// Ports whose end was not seen yet.
    open: usize,
    log_open: bool,
}

impl Run {
    fn follow(&mut self, received: &Receiver<Event>, sink: &mut Sink) -> Result<How> {
        loop {
            let patience = self.patience.ends().filter(|ends| *ends < self.deadline);
            let until = patience.unwrap_or(self.deadline);
            match received.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Err(RecvTimeoutError::Disconnected) => bail!("the rig lost its guest"),
                Err(RecvTimeoutError::Timeout) => {
                    return Ok(match self.end() {
                        How::TimedOut if patience.is_some() => How::Hung,
                        how => how,
                    });
                }
                Ok(Event::Signal(SIGINT)) if self.interactive => {}
                Ok(Event::Signal(signal)) => return Ok(How::Interrupted(signal)),
                Ok(Event::Child(status)) => {
                    self.gone = true;
                    // What it said last may still be on its way.
                    self.drain(received, sink)?;
                    return Ok(match self.end() {
                        How::TimedOut => How::Died(self.death(status)),
                        how => how,
                    });
                }
                Ok(event) => self.take(event, sink)?,
            }
        }
    }

    /// The result, as far as it is known; `TimedOut` if it is not.
    fn end(&self) -> How {
        if let Some(why) = &self.refused {
            return How::Refused(why.clone());
        }
        match self.status {
            Some(status) if self.out.ended && self.err.ended => How::Exited(status),
            Some(_) => How::Died("the end of its output is missing".to_owned()),
            None if self.panicked() => How::Died("its kernel panicked".to_owned()),
            None => How::TimedOut,
        }
    }

    /// Whether it was let go, should have powered off, and has not.
    fn stays_on(&self) -> bool {
        self.has_ports && self.answered && !self.gone && !self.panicked()
    }

    fn panicked(&self) -> bool {
        self.log.iter().any(|line| judge::is_panic(line))
    }

    fn death(&self, status: ExitStatus) -> String {
        // QEMU's and virtme-ng's own complaints have no time stamp.
        let booted = self.log.iter().any(|line| line.starts_with('['));
        match (status.code(), status.signal()) {
            _ if !booted => "its virtual machine did not start".to_owned(),
            (Some(0), _) => "it powered off or rebooted".to_owned(),
            (_, Some(signal)) => format!("signal {signal} ended its virtual machine"),
            _ => format!("its virtual machine ended ({status})"),
        }
    }

    fn take(&mut self, event: Event, sink: &mut Sink) -> Result<()> {
        match event {
            Event::Connected(control) => self.control = Some(control),
            Event::Control(line) => self.control_line(&line),
            Event::Output(stream, bytes) => {
                let tail = match stream {
                    Stream::Out => &mut self.out,
                    Stream::Err => &mut self.err,
                };
                let bytes = tail.take(&bytes);
                if !bytes.is_empty() {
                    sink(stream, &bytes).context("cannot pass the guest's output on")?;
                }
            }
            Event::Log(line) => {
                if self.verbose {
                    eprintln!("{line}");
                }
                if judge::is_panic(&line) {
                    self.leave_soon();
                }
                self.patience.line(&line, Instant::now());
                self.log.push(line);
            }
            Event::LogEnded => self.log_open = false,
            Event::OutputEnded => self.open = self.open.saturating_sub(1),
            Event::Child(_) | Event::Signal(_) => {}
        }
        self.answer();
        Ok(())
    }

    fn control_line(&mut self, line: &str) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "ready" => self.patience.reached(Stage::Inserting, Instant::now()),
            "running" => self.patience.reached(Stage::Running, Instant::now()),
            "fail" => {
                self.refused.get_or_insert_with(|| rest.trim().to_owned());
            }
            "exit" => self.status = rest.trim().parse().ok(),
            _ => {}
        }
    }

    /// Lets the guest go once everything it had to say has arrived.
    fn answer(&mut self) {
        let all = self.status.is_some() && self.out.ended && self.err.ended;
        if self.answered || !(all || self.refused.is_some()) {
            return;
        }
        self.answered = true;
        if !self.has_ports {
            // It cannot end by itself.
            self.deadline = Instant::now();
            return;
        }
        if let Some(control) = &mut self.control {
            // If the guest is gone already, its end is seen anyway.
            let _ = control.write_all(b"bye\n");
        }
        self.leave_soon();
    }

    fn leave_soon(&mut self) {
        self.deadline = self.deadline.min(Instant::now() + GRACE);
    }

    /// Takes what is still on its way from a guest that has ended.
    fn drain(&mut self, received: &Receiver<Event>, sink: &mut Sink) -> Result<()> {
        let until = Instant::now() + DRAIN;
        // The ports of a guest with a shell, or of one that never started, are never opened.
        let connected = self.control.is_some();
        while self.log_open || (connected && self.open > 0) {
            let left = until.saturating_duration_since(Instant::now());
            match received.recv_timeout(left) {
                Ok(event) => self.take(event, sink)?,
                Err(_) => break,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(chunks: &[&str]) -> (String, bool) {
        let mut tail = Tail::new("\u{1}END");
        let mut all = Vec::new();
        for chunk in chunks {
            all.extend(tail.take(chunk.as_bytes()));
        }
        (String::from_utf8(all).unwrap(), tail.ended)
    }

    #[test]
    fn output_ends_with_its_token() {
        let whole = ("text\n".to_owned(), true);
        assert_eq!(taken(&["text\n\u{1}END\n"]), whole);
        assert_eq!(taken(&["te", "xt\n", "\u{1}", "E", "ND", "\n"]), whole);
        assert_eq!(taken(&["text\n\u{1}EN", "D\nmore"]), whole);
        assert_eq!(
            taken(&["\u{1}\u{1}EN\u{1}END"]),
            ("\u{1}\u{1}EN".to_owned(), true)
        );
        assert_eq!(taken(&["a\u{1}E", "x"]), ("a\u{1}Ex".to_owned(), false));
        assert_eq!(taken(&["no end"]), ("no end".to_owned(), false));
        assert_eq!(taken(&[""]), (String::new(), false));
    }

    #[test]
    fn a_hang_is_described() {
        let ended = Ended {
            how: How::TimedOut,
            stage: Stage::Running,
            log: (0..30).map(|n| format!("[ 1.0] line {n}")).collect(),
            reports: Vec::new(),
        };
        let text = describe(&ended, "sleep 99", Duration::from_secs(20));
        assert!(
            text.contains("`sleep 99` did not end within 20 s"),
            "{text}"
        );
        assert_eq!(text.lines().count(), 2 + LAST_LINES);
        assert!(text.contains("line 10") && !text.contains("line 9\n"));
    }

    #[test]
    fn only_a_boot_is_tried_again() {
        let ended = |how, stage| Ended {
            how,
            stage,
            log: Vec::new(),
            reports: Vec::new(),
        };
        assert!(ended(How::Hung, Stage::Booting).hung_while_booting());
        for (how, stage) in [
            (How::Hung, Stage::Inserting),
            (How::TimedOut, Stage::Running),
            (How::TimedOut, Stage::Booting),
            (How::Died("its kernel panicked".to_owned()), Stage::Booting),
            (How::Exited(1), Stage::Running),
        ] {
            assert!(!ended(how.clone(), stage).hung_while_booting(), "{how:?}");
        }
        let text = describe(&ended(How::Hung, Stage::Inserting), "true", SILENCE);
        assert!(text.contains("was given the modules"), "{text}");
    }
}
