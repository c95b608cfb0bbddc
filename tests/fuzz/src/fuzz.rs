// SPDX-License-Identifier: MIT OR Apache-2.0

//! The fuzzer's loop.

use crate::corpus;
use crate::coverage::Coverage;
use crate::inject;
use crate::kcov::Kcov;
use crate::mutate;
use crate::oracle::Log;
use crate::process::{self, Finding, Groups};
use crate::program::{Program, MAX_THREADS};
use anyhow::{bail, Context as _, Result};
use fastrand::Rng;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What is to be done.
pub struct Options {
    pub seed: u64,
    pub time: Duration,
    /// Where programs are that it begins with.
    pub corpus: Option<PathBuf>,
    /// Where it writes what it finds, and how far it is.
    pub results: Option<PathBuf>,
}

/// Between two lines that tell how far it is.
const TELLING: Duration = Duration::from_secs(10);
/// Programs that are tried at most to make a finding's smaller.
const SMALLER: usize = 400;

/// A machine to run programs on.
struct Fuzzer {
    kcov: Vec<Kcov>,
    groups: Groups,
    log: Log,
    coverage: Coverage,
    programs: u64,
    calls: u64,
    begun: Instant,
    results: Option<PathBuf>,
    /// The program that is run: if the kernel does not survive it, this tells what it was.
    last: Option<File>,
}

impl Fuzzer {
    fn new(results: Option<PathBuf>) -> Result<Self> {
        inject::prepare()?;
        process::adopt_orphans();
        let kcov = (0..=MAX_THREADS)
            .map(|_| Kcov::new())
            .collect::<Result<Option<Vec<_>>>>()?;
        let last = results
            .as_ref()
            .map(|directory| File::create(directory.join("last.json")));
        Ok(Self {
            last: last.transpose().context("last.json")?,
            kcov: kcov.unwrap_or_default(),
            groups: Groups::new(),
            log: Log::new()?,
            coverage: Coverage::default(),
            programs: 0,
            calls: 0,
            begun: Instant::now(),
            results,
        })
    }

    /// Runs a program. Tells what was found, and whether it ran code that none had run.
    fn run(&mut self, program: &Program) -> Result<(Option<Finding>, bool)> {
        if let Some(last) = &self.last {
            let text = corpus::text(program)?;
            last.write_all_at(text.as_bytes(), 0)?;
            last.set_len(text.len() as u64)?;
        }
        let finding = process::run(program, &self.kcov, &self.groups, &mut self.log)?;
        self.programs += 1;
        self.calls +=
            (program.first.len() + program.others.iter().map(Vec::len).sum::<usize>()) as u64;
        let is_new = self.coverage.add(&self.kcov);
        Ok((finding, is_new))
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        match &self.results {
            Some(directory) => {
                let path = directory.join(name);
                fs::write(&path, text).with_context(|| path.display().to_string())
            }
            None => Ok(()),
        }
    }

    /// A line that tells how far it is, for people and for the plot.
    fn tell(&self, kept: usize) -> Result<()> {
        let seconds = self.begun.elapsed().as_secs_f64();
        println!(
            "{seconds:.0} s: {} programs, {} calls ({:.0} a second), {} places of the modules, {kept} programs kept",
            self.programs,
            self.calls,
            self.calls as f64 / seconds,
            self.coverage.places(),
        );
        std::io::stdout().flush()?;
        let Some(directory) = &self.results else {
            return Ok(());
        };
        let mut options = fs::OpenOptions::new();
        let mut file = options
            .create(true)
            .append(true)
            .open(directory.join("progress.csv"))?;
        writeln!(
            file,
            "{seconds:.0},{},{},{},{kept}",
            self.programs,
            self.calls,
            self.coverage.places()
        )?;
        Ok(())
    }

    /// The smallest program found that still fails like `program` does.
    fn minimise(&mut self, program: &Program, finding: &Finding) -> Result<Program> {
        let mut least = program.clone();
        let mut tries = 0;
        'smaller: loop {
            for candidate in mutate::smaller(&least) {
                tries += 1;
                if tries > SMALLER {
                    return Ok(least);
                }
                let (found, _) = self.run(&candidate)?;
                if found.is_some_and(|found| is_like(&found, finding)) {
                    least = candidate;
                    continue 'smaller;
                }
            }
            return Ok(least);
        }
    }

    fn report(&mut self, program: &Program, finding: &Finding) -> Result<()> {
        println!(
            "found after {:.0} s and {} calls: {}",
            self.begun.elapsed().as_secs_f64(),
            self.calls,
            finding.0
        );
        self.write("found-whole.json", &corpus::text(program)?)?;
        let least = self.minimise(program, finding)?;
        let text = corpus::text(&least)?;
        self.write("found.json", &text)?;
        println!("a program that does it:\n{text}");
        Ok(())
    }
}

/// Whether two findings are of the same kind: they begin alike, but for numbers.
fn is_like(one: &Finding, other: &Finding) -> bool {
    let start = |finding: &Finding| -> String {
        finding
            .0
            .chars()
            .take_while(|letter| *letter != '\n')
            .filter(|letter| letter.is_alphabetic())
            .take(24)
            .collect()
    };
    start(one) == start(other)
}

/// Makes and runs programs until the time is over. Tells whether nothing was found.
pub fn fuzz(options: &Options) -> Result<bool> {
    let mut fuzzer = Fuzzer::new(options.results.clone())?;
    // Who makes the kernel stumble is ended, and a smaller program is looked for. Not all kernels survive that.
    let _ = fs::write("/proc/sys/kernel/panic_on_oops", "0");
    if fuzzer.kcov.is_empty() {
        println!("this kernel has no KCOV: programs are made without knowing what code they run");
    }
    println!("seed {}", options.seed);
    let mut random = Rng::with_seed(options.seed);
    let mut kept: Vec<Program> = Vec::new();
    let mut waiting: Vec<Program> = match &options.corpus {
        Some(directory) => corpus::read_all(directory)?
            .into_iter()
            .map(|(_, program)| program)
            .collect(),
        None => Vec::new(),
    };
    let mut told = Instant::now();
    while fuzzer.begun.elapsed() < options.time {
        let program = match waiting.pop() {
            Some(program) => program,
            None if kept.is_empty() || random.u8(..) < 32 => mutate::new(&mut random),
            None => {
                let old = &kept[random.usize(..kept.len())];
                mutate::changed(old, &kept[random.usize(..kept.len())], &mut random)
            }
        };
        let (finding, is_new) = fuzzer.run(&program)?;
        if let Some(finding) = finding {
            fuzzer.report(&program, &finding)?;
            return Ok(false);
        }
        if is_new {
            fuzzer.write(
                &format!("kept-{:05}.json", kept.len()),
                &corpus::text(&program)?,
            )?;
            kept.push(program);
        }
        if told.elapsed() > TELLING {
            told = Instant::now();
            fuzzer.tell(kept.len())?;
        }
    }
    fuzzer.tell(kept.len())?;
    fuzzer.write("places.txt", &fuzzer.coverage.list())?;
    Ok(true)
}

/// Runs the program that `text` is, so often. Tells what was found.
pub fn replay_text(text: &str, times: u32) -> Result<Option<String>> {
    let program = corpus::parse(text)?;
    let mut fuzzer = Fuzzer::new(None)?;
    for _ in 0..times {
        if let (Some(finding), _) = fuzzer.run(&program)? {
            return Ok(Some(finding.0));
        }
    }
    Ok(None)
}

/// Runs the programs of a file or a directory, a few times each. Tells whether nothing was found.
pub fn replay(path: &Path, times: u32) -> Result<bool> {
    let programs = match path.is_dir() {
        true => corpus::read_all(path)?,
        false => vec![(path.to_owned(), corpus::read(path)?)],
    };
    if programs.is_empty() {
        bail!("{} has no programs of the fuzzer", path.display());
    }
    let mut fuzzer = Fuzzer::new(None)?;
    let mut clean = true;
    for (path, program) in programs {
        for _ in 0..times {
            if let (Some(finding), _) = fuzzer.run(&program)? {
                println!("{}: {}", path.display(), finding.0);
                clean = false;
                break;
            }
        }
    }
    println!("{} programs, {} calls", fuzzer.programs, fuzzer.calls);
    Ok(clean)
}
