// SPDX-License-Identifier: MIT OR Apache-2.0
//! The page of results, docs/claims.md.

use crate::shape::build_of;
use crate::verdicts::Verdicts;
use mapwright_prove::{Claim, Document, Record, Report, Shape, Table};
use std::fmt::Write as _;

/// The page.
pub fn markdown(verdicts: &Verdicts) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut text, verdicts);
    text
}

fn write(text: &mut String, verdicts: &Verdicts) -> std::fmt::Result {
    let kernels = kernels(verdicts);
    writeln!(text, "# What textbooks say, and what the kernel says\n")?;
    writeln!(
        text,
        "Written by `make prove` on {} with Linux {kernels}. Each claim is judged by an experiment on the \
         running kernel; the code is in `userspace/prove/src/claims/`. A claim has statements: it is confirmed \
         if all of them are, and partly so if some are refuted or outdated. Where machines differ, the \
         verdict is of the one that objects most.\n",
        verdicts.date
    )?;
    writeln!(text, "| document | |\n|---|---|")?;
    for document in Document::ALL {
        writeln!(text, "| {} | {} |", document.name(), document.about())?;
    }
    writeln!(text, "\n| machine | |\n|---|---|")?;
    for report in &verdicts.boots {
        let about = about(report);
        writeln!(
            text,
            "| {} | {about}; Linux {} |",
            report.shape, report.machine.release
        )?;
    }
    writeln!(text)?;
    writeln!(
        text,
        "| | claim | verdict | deciding figure |\n|---|---|---|---|"
    )?;
    for claim in &verdicts.claims {
        let line = verdicts.line(claim);
        let verdict = line.verdict_text();
        let id = claim.id;
        let anchor = id.to_lowercase();
        let (title, figure) = (cell(claim.title), cell(&line.figure));
        writeln!(
            text,
            "| [{id}](#{anchor}) | {title} | {verdict} | {figure} |"
        )?;
    }
    for claim in &verdicts.claims {
        writeln!(
            text,
            "\n## {}\n\n**{}.** {}\n\nSaid by: {}. To try it: `make prove CLAIM={}`.",
            claim.id,
            claim.title,
            claim.says,
            documents(claim),
            claim.id
        )?;
        for (report, record) in verdicts.of(claim) {
            write_record(text, report, record)?;
        }
    }
    Ok(())
}

/// The names of the documents that say it.
fn documents(claim: &Claim) -> String {
    let names: Vec<&str> = claim.documents.iter().map(|one| one.name()).collect();
    names.join(", ")
}

/// The releases of the kernels that were booted.
fn kernels(verdicts: &Verdicts) -> String {
    let mut releases: Vec<&str> = Vec::new();
    for report in &verdicts.boots {
        if !releases.contains(&report.machine.release.as_str()) {
            releases.push(&report.machine.release);
        }
    }
    releases.join(" and ")
}

/// What is special about a machine.
fn about(report: &Report) -> &'static str {
    let named = |shape: &Shape| shape.name() == report.shape;
    let shape = Shape::ALL.into_iter().find(named);
    shape.map_or("", |shape| build_of(shape).about)
}

fn write_record(text: &mut String, report: &Report, record: &Record) -> std::fmt::Result {
    let finding = &record.finding;
    let (verdict, figure) = (record.verdict, &finding.figure);
    writeln!(text, "\n*{}*: **{verdict}**, {figure}\n", report.shape)?;
    for statement in &finding.statements {
        let (says, verdict, seen) = (&statement.says, statement.verdict, &statement.seen);
        writeln!(text, "- {verdict}: {says}. Seen: {seen}.")?;
    }
    for table in &finding.tables {
        write_table(text, table)?;
    }
    if !finding.instead.is_empty() {
        writeln!(text, "\n{}", finding.instead)?;
    }
    Ok(())
}

fn write_table(text: &mut String, table: &Table) -> std::fmt::Result {
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

/// What would end a cell, or begin something else, is written otherwise.
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
