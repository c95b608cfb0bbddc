// SPDX-License-Identifier: MIT OR Apache-2.0

//! `mapwright model`: small models of memory management, driven by scripts; and the same on the kernel.

use crate::{
    prove::show_table,
    style::{self, paint, BAD, DIM, GOOD, HEADING, STRONG},
};
use anyhow::{Context as _, Result};
use comfy_table::{presets::UTF8_FULL_CONDENSED, ContentArrangement};
use mapwright_models::{picture, run as run_model, Kind, Transcript};
use mapwright_prove::models::{check, Comparison};
use serde::Serialize;
use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

#[derive(clap::Args)]
pub struct Args {
    /// Which model
    #[arg(value_enum)]
    model: Which,
    /// The steps, one per line; `-` is standard input. Without, the textbook's example
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// List the steps that the model knows, and its example, instead of running it
    #[arg(long, conflicts_with_all = ["script", "json", "svg", "check"])]
    steps: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Draw it, too
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Do the same steps on the running kernel, side by side with the model. Needs root
    #[arg(long)]
    check: bool,
}

impl Args {
    /// Whether it tries things on the kernel.
    pub fn checks(&self) -> bool {
        self.check
    }
}

/// Which model.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Which {
    /// The buddy allocator: split and coalesce
    Buddy,
    /// The check of a zone's watermarks
    Watermark,
    /// SLUB's list of free objects inside these
    Slub,
    /// The walk through x86-64's page tables
    Walk,
    /// Copy-on-write after fork()
    Cow,
    /// The active and the inactive list of pages
    Lru,
    /// Addresses for DMA, with and without an IOMMU
    Dma,
}

impl Which {
    fn kind(self) -> Kind {
        match self {
            Self::Buddy => Kind::Buddy,
            Self::Watermark => Kind::Watermark,
            Self::Slub => Kind::Slub,
            Self::Walk => Kind::Walk,
            Self::Cow => Kind::Cow,
            Self::Lru => Kind::Lru,
            Self::Dma => Kind::Dma,
        }
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    transcript: &'a Transcript,
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<&'a Comparison>,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let kind = args.model.kind();
    if args.steps {
        list(kind);
        return Ok(ExitCode::SUCCESS);
    }
    let (script, name) = script(kind, args.script.as_deref())?;
    let transcript = run_model(kind, &script).with_context(|| name.clone())?;
    if let Some(file) = &args.svg {
        fs::write(file, picture(&transcript))
            .with_context(|| format!("writing {}", file.display()))?;
    }
    let compared = match args.check {
        true => Some(check(kind, &script)?),
        false => None,
    };
    let check = compared.as_ref();
    if args.json {
        let report = Report {
            transcript: &transcript,
            check,
        };
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        show(&transcript, args.script.is_none());
        if let Some(compared) = check {
            show_comparison(compared);
        }
    }
    Ok(match check.is_none_or(|compared| compared.agrees) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// The script, and what to call it.
fn script(kind: Kind, file: Option<&Path>) -> Result<(String, String)> {
    let Some(file) = file else {
        return Ok((kind.example().to_owned(), "the example".to_owned()));
    };
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .context("reading the script from standard input")?;
        return Ok((text, "standard input".to_owned()));
    }
    let name = file.display().to_string();
    let text = fs::read_to_string(file).with_context(|| format!("reading {name}"))?;
    Ok((text, name))
}

fn list(kind: Kind) {
    anstream::println!("{}", paint(HEADING, kind.title()));
    for step in kind.steps() {
        anstream::println!("  {step}");
    }
    anstream::println!();
    anstream::println!("{}", paint(STRONG, "The example"));
    for line in kind.example().lines() {
        anstream::println!("  {line}");
    }
}

fn show(transcript: &Transcript, is_example: bool) {
    anstream::println!("{}", paint(HEADING, transcript.title));
    let mut table = comfy_table::Table::new();
    table
        .load_preset(UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(&transcript.columns);
    for row in transcript.rows() {
        table.add_row(transcript.cells(row));
    }
    anstream::println!("{table}");
    // They are about the document's example.
    if is_example {
        for note in transcript.notes {
            style::block("textbook", note);
        }
    }
}

fn show_comparison(compared: &Comparison) {
    anstream::println!();
    anstream::println!("{}", paint(HEADING, "The same steps on the running kernel"));
    for about in &compared.about {
        style::block("how", about);
    }
    let mut table = comfy_table::Table::new();
    table
        .load_preset(UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(["line", "step", "model", "kernel", ""]);
    for step in &compared.steps {
        let line = match step.line {
            0 => String::new(),
            line => line.to_string(),
        };
        let mark = if step.agrees { "✓" } else { "✗" };
        table.add_row([&line, &step.step, &step.model, &step.kernel, mark]);
    }
    anstream::println!("{table}");
    for evidence in &compared.evidence {
        anstream::println!();
        show_table(evidence);
    }
    anstream::println!();
    let style = if compared.agrees { GOOD } else { BAD };
    style::row("verdict", paint(style, &compared.verdict));
    for reason in &compared.reasons {
        style::block("they may part", &paint(DIM, reason).to_string());
    }
}
