// SPDX-License-Identifier: MIT OR Apache-2.0
//! The pages of results: docs/claims.md, a row per claim, and docs/claims/, a page per part.

use super::verdicts::Verdicts;
use crate::vms::build_of;
use anyhow::{Context as _, Result};
use mapwright_prove::{Claim, Document, Part, Record, Report, Source, Table, Vm};
use std::fmt::{self, Write as _};
use std::fs;
use std::path::Path;

/// How the index is to be read.
const ABOUT: &str = "\
Written by `make prove`. Each claim is judged by an experiment on the running kernel; the code is in \
`userspace/prove/src/claims/`. A claim has statements, and the verdict of the first, its core; but if some statements are \
confirmed or config and others outdated or refuted, it is *partly* so. In brackets is how many statements are config, \
outdated or refuted beside it. Where VMs differ, the verdict is of the one that objects most, the last in this table:

| verdict | |
|---|---|
| not testable here | what the experiment takes was not there: a kernel, a device, a processor |
| confirmed | it is so |
| config | whether it is so depends on the architecture or on the kernel's configuration |
| partly | some of it is so, and some is not, or no more |
| outdated | it was so, and the kernel has changed |
| refuted | it is not so |

How to try one: quickly, for one VM, `mapwright prove A1` in `make shell`; `make prove CLAIM=A1` boots all VMs that the \
claim is judged in. The debug kernel and the kernels of ARM are used once they are there: [testing](testing.md) says how \
they are built and fetched. Without them, such a VM is left out.
";

/// Where the claims are from.
const DOCUMENTS: &str = "\
They are unpublished course notes on Linux's memory management and cannot be had; what they say is in each claim. \
*Asked here* is what none of them says.
";

/// Writes the index and the page of each part.
pub fn write(verdicts: &Verdicts, docs: &Path) -> Result<()> {
    let pages = docs.join("claims");
    fs::create_dir_all(&pages).with_context(|| format!("cannot make {}", pages.display()))?;
    let put = |file: &Path, page: &dyn Fn(&mut String) -> fmt::Result| {
        let mut text = String::new();
        page(&mut text)?;
        fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
    };
    put(&docs.join("claims.md"), &|text| index(text, verdicts))?;
    for part in Part::ALL {
        if of_part(verdicts, part).next().is_some() {
            put(&pages.join(file_of(part)), &|text| {
                page(text, verdicts, part)
            })?;
        }
    }
    Ok(())
}

fn file_of(part: Part) -> String {
    format!("{}.md", part.letter.to_ascii_lowercase())
}

/// The claims that are in a part.
fn of_part(verdicts: &Verdicts, part: Part) -> impl Iterator<Item = &'static Claim> + '_ {
    let is_in = move |claim: &&&Claim| claim.id.starts_with(part.letter);
    verdicts.claims.iter().filter(is_in).copied()
}

/// A row per claim.
fn index(text: &mut String, verdicts: &Verdicts) -> fmt::Result {
    writeln!(text, "# What textbooks say, and what the kernel says\n")?;
    writeln!(text, "{ABOUT}")?;
    for part in Part::ALL {
        index_of_part(text, verdicts, part)?;
    }
    writeln!(text, "## The documents\n\n{DOCUMENTS}")?;
    writeln!(text, "| document | |\n|---|---|")?;
    for document in Document::ALL {
        writeln!(text, "| {} | {} |", document.name(), document.about())?;
    }
    writeln!(
        text,
        "\n## The VMs\n\n| VM | | kernel | judged on |\n|---|---|---|---|"
    )?;
    for report in &verdicts.boots {
        let (name, about) = (&report.vm, about(report));
        let (release, date) = (&report.machine.release, &report.date);
        writeln!(text, "| {name} | {about} | {release} | {date} |")?;
    }
    Ok(())
}

fn index_of_part(text: &mut String, verdicts: &Verdicts, part: Part) -> fmt::Result {
    let mut claims = of_part(verdicts, part).peekable();
    if claims.peek().is_none() {
        return Ok(());
    }
    let file = file_of(part);
    writeln!(
        text,
        "## [{}. {}](claims/{file})\n",
        part.letter, part.title
    )?;
    writeln!(
        text,
        "| | claim | verdict | deciding figure |\n|---|---|---|---|"
    )?;
    for claim in claims {
        let row = verdicts.row(claim);
        let (verdict, id) = (row.verdict_text(), claim.id);
        let anchor = id.to_lowercase();
        let (title, figure) = (cell(claim.title), cell(&row.figure));
        writeln!(
            text,
            "| [{id}](claims/{file}#{anchor}) | {title} | {verdict} | {figure} |"
        )?;
    }
    writeln!(text)
}

/// All that was found of a part's claims.
fn page(text: &mut String, verdicts: &Verdicts, part: Part) -> fmt::Result {
    writeln!(text, "# {}. {}\n", part.letter, part.title)?;
    writeln!(
        text,
        "Written by `make prove`; [the other parts, the documents and the VMs](../claims.md)."
    )?;
    for claim in of_part(verdicts, part) {
        let (id, title, says) = (claim.id, claim.title, claim.says);
        writeln!(text, "\n## {id}\n\n**{title}.** {says}\n")?;
        let verdict = verdicts.row(claim).verdict_text();
        writeln!(
            text,
            "Said by: {}. Verdict: **{verdict}**.\n",
            sources(claim)
        )?;
        writeln!(text, "How to try it yourself: `make prove CLAIM={id}`")?;
        for (report, record) in verdicts.of(claim) {
            write_record(text, report, record)?;
        }
    }
    Ok(())
}

/// Where the documents make the claim.
fn sources(claim: &Claim) -> String {
    let texts: Vec<String> = claim.sources.iter().map(Source::to_string).collect();
    texts.join("; ")
}

/// What is special about a VM.
fn about(report: &Report) -> &'static str {
    let named = |vm: &Vm| vm.name() == report.vm;
    let vm = Vm::ALL.into_iter().find(named);
    vm.map_or("", |vm| build_of(vm).about)
}

fn write_record(text: &mut String, report: &Report, record: &Record) -> fmt::Result {
    let finding = &record.finding;
    let (verdict, figure) = (record.verdict, &finding.figure);
    let (vm, release, date) = (&report.vm, &report.machine.release, &report.date);
    writeln!(
        text,
        "\n*{vm}* (Linux {release}, {date}): **{verdict}**, {figure}\n"
    )?;
    for statement in &finding.statements {
        let (says, verdict, observed) = (&statement.says, statement.verdict, &statement.observed);
        writeln!(
            text,
            "- **{verdict}**: {says}. *({})* Seen: {observed}.",
            statement.source
        )?;
    }
    for table in &finding.tables {
        write_table(text, table)?;
    }
    if !finding.instead.is_empty() {
        writeln!(text, "\n{}", finding.instead)?;
    }
    Ok(())
}

fn write_table(text: &mut String, table: &Table) -> fmt::Result {
    let row = |cells: &[String]| {
        let cells: Vec<String> = cells.iter().map(|text| cell(text)).collect();
        format!("| {} |", cells.join(" | "))
    };
    writeln!(text, "\n{}:\n\n{}", table.title, row(&table.columns))?;
    writeln!(text, "|{}", "---|".repeat(table.columns.len()))?;
    for cells in &table.rows {
        writeln!(text, "{}", row(cells))?;
    }
    Ok(())
}

/// Escapes what would end a cell, or begin something else, in Markdown.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
        .replace('<', "&lt;")
        .replace('\n', "<br>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_keeps_its_columns() {
        let mut table = Table::new("Bits", ["a", "b"]);
        table.row(["1|2".to_owned(), "<x>".to_owned()]);
        let mut text = String::new();
        write_table(&mut text, &table).unwrap();
        assert!(
            text.ends_with("| a | b |\n|---|---|\n| 1\\|2 | &lt;x> |\n"),
            "{text}"
        );
    }
}
