// SPDX-License-Identifier: MIT OR Apache-2.0

//! `mapwright prove`: what textbooks say, judged by the running kernel.

use crate::reader;
use crate::style::{self, paint, BAD, DIM, GOOD, HEADING, STRONG, WARN};
use anstyle::Style;
use anyhow::{bail, Context as _, Result};
use comfy_table::{presets::UTF8_FULL_CONDENSED, CellAlignment, ContentArrangement};
use mapwright_prove::{Claim, Lab, Record, Report, Table, Verdict, CLAIMS};
use serde::de::DeserializeOwned;
use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

#[derive(clap::Args)]
pub struct Args {
    /// Claims, or whole parts: `B4`, `B`
    #[arg(required_unless_present_any = ["all", "list"], value_name = "CLAIM")]
    claims: Vec<String>,
    /// All claims
    #[arg(long, conflicts_with = "claims")]
    all: bool,
    /// List the claims instead of proving them
    #[arg(long)]
    list: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Write the JSON to a file, too
    #[arg(long, value_name = "FILE")]
    json_to: Option<PathBuf>,
    /// JSON of boots before this one, to compare with
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    earlier: Option<PathBuf>,
    /// The module mapwright_faulty.ko, for claims that take a mistake in the kernel. It may not survive
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    faulty: Option<PathBuf>,
    /// JSON with what the Rust compiler says of such mistakes, by their names
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    refused: Option<PathBuf>,
    /// A name for this machine, for the JSON
    #[arg(long, value_name = "NAME", default_value = "", hide_short_help = true)]
    vm: String,
}

impl Args {
    /// Whether it tries things on the kernel.
    pub fn proves(&self) -> bool {
        !self.list
    }
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let chosen = choose(&args.claims)?;
    if args.list {
        list(&chosen);
        return Ok(ExitCode::SUCCESS);
    }
    let lab = Lab::here(read_json(args.earlier.as_deref())?)?
        .with_faulty(args.faulty.clone())
        .with_refused(read_json(args.refused.as_deref())?);
    let mut report = Report {
        vm: args.vm.clone(),
        date: String::new(),
        machine: lab.machine.clone(),
        records: Vec::new(),
    };
    let mut failed = Vec::new();
    for claim in &chosen {
        if let Some(seconds) = claim.seconds() {
            eprintln!("{} may take {seconds} s", claim.id);
        }
        match lab.prove(claim) {
            Ok(record) => {
                match args.json {
                    true => eprintln!("{}: {}", record.id, record.verdict),
                    false => show(&record),
                }
                report.records.push(record);
                if !reader::stays_for(Duration::ZERO) {
                    return Err(io::Error::from(io::ErrorKind::BrokenPipe).into());
                }
            }
            Err(err) => {
                eprintln!("mapwright: the experiment of {} failed: {err:#}", claim.id);
                failed.push(claim.id);
            }
        }
    }
    let json = serde_json::to_string_pretty(&report)?;
    if let Some(file) = &args.json_to {
        fs::write(file, format!("{json}\n"))
            .with_context(|| format!("writing {}", file.display()))?;
    }
    match args.json {
        true => println!("{json}"),
        false if chosen.len() > 1 => summary(&report),
        false => {}
    }
    if !failed.is_empty() {
        eprintln!("mapwright: could not be judged: {}", failed.join(", "));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// What a file of JSON says; nothing if there is none.
fn read_json<T: Default + DeserializeOwned>(file: Option<&Path>) -> Result<T> {
    let Some(file) = file else {
        return Ok(T::default());
    };
    let parsed = fs::read_to_string(file).map(|text| serde_json::from_str(&text));
    parsed
        .map_err(anyhow::Error::from)
        .and_then(|parsed| Ok(parsed?))
        .with_context(|| format!("reading {}", file.display()))
}

/// The claims that are meant; all if nothing is said.
fn choose(choices: &[String]) -> Result<Vec<&'static Claim>> {
    for choice in choices {
        if !CLAIMS.iter().any(|claim| claim.is_in(choice)) {
            bail!("there is no claim {choice}: mapwright prove --list shows them");
        }
    }
    let is_chosen =
        |claim: &&&Claim| choices.is_empty() || choices.iter().any(|choice| claim.is_in(choice));
    Ok(CLAIMS.iter().filter(is_chosen).copied().collect())
}

fn list(claims: &[&Claim]) {
    for claim in claims {
        let id = paint(STRONG, format_args!("{:<4}", claim.id));
        anstream::println!("{id}  {}", claim.title);
    }
}

/// Shows what was found of one claim.
fn show(record: &Record) {
    let title = format!("{}  {}", record.id, record.title);
    anstream::println!("{}", paint(HEADING, title));
    style::block("claim", &record.says);
    let finding = &record.finding;
    for table in &finding.tables {
        anstream::println!();
        show_table(table);
    }
    if !finding.statements.is_empty() {
        anstream::println!();
    }
    for statement in &finding.statements {
        let (mark, style) = mark(statement.verdict);
        let source = paint(DIM, format_args!("({})", statement.source));
        anstream::println!("  {} {} {source}", paint(style, mark), statement.says);
        let verdict = paint(style, statement.verdict);
        anstream::println!("    {verdict}: {}", statement.observed);
    }
    anstream::println!();
    style::block("verdict", &one_line(record));
    if !finding.instead.is_empty() {
        style::block("in truth", &finding.instead);
    }
    anstream::println!();
}

/// A line per claim.
fn summary(report: &Report) {
    anstream::println!("{}", paint(HEADING, "Verdicts"));
    for record in &report.records {
        let id = paint(STRONG, format_args!("{:<4}", record.id));
        anstream::println!("{id} {}", one_line(record));
    }
}

/// The verdict and the deciding figure.
fn one_line(record: &Record) -> String {
    let (_, style) = mark(record.verdict);
    let verdict = paint(style, record.verdict);
    let but = record.but();
    let but = match but.is_empty() {
        true => String::new(),
        false => paint(DIM, format_args!(" ({but})")),
    };
    format!("{verdict}{but}: {}", record.finding.figure)
}

fn mark(verdict: Verdict) -> (char, Style) {
    match verdict {
        Verdict::Confirmed => ('✓', GOOD),
        Verdict::Refuted => ('✗', BAD),
        Verdict::Partly => ('◐', WARN),
        Verdict::Outdated => ('↻', WARN),
        Verdict::Config => ('◦', WARN),
        Verdict::NotTestableHere => ('–', DIM),
    }
}

/// The evidence; columns of numbers are aligned to the right.
pub fn show_table(table: &Table) {
    anstream::println!("  {}", paint(DIM, &table.title));
    let mut shown = comfy_table::Table::new();
    shown
        .load_preset(UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(&table.columns)
        .add_rows(&table.rows);
    for (i, column) in shown.column_iter_mut().enumerate() {
        let cells = || table.rows.iter().filter_map(|row| row.get(i));
        let number =
            |cell: &String| cell.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+');
        if cells().all(|cell| cell.is_empty() || number(cell)) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    anstream::println!("{shown}");
}
