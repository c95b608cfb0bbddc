// SPDX-License-Identifier: MIT OR Apache-2.0

//! An interface as a page of the book.

use crate::{
    c::{elements_of, field_name, ioctl_of, summary, type_of, value_of},
    names::{Marks, Names},
    source::{Constant, Doc, Struct, Value, Words},
};
use anyhow::Result;
use std::fmt::Write as _;

/// The text of a page. `example` is the name of the programs in `userspace/examples` that show it.
pub fn page(names: &Names<'_>, node: &str, file: &str, example: &str) -> Result<String> {
    let source = names.source;
    let mut text = format!("# {node}\n\n");
    for paragraph in &source.doc {
        let words = names.translate(paragraph, "", Marks::Markdown)?;
        writeln!(
            text,
            "{}\n",
            words.replacen("# ", "## ", usize::from(words.starts_with("# ")))
        )?;
    }
    writeln!(
        text,
        "In C: `#include \"{}.h\"`, which is in `rust/uapi`. `make header` wrote this page and that file from `{file}`.\n",
        names.name
    )?;
    writeln!(
        text,
        "## Example\n\nIn C, `userspace/examples/{example}.c`:\n\n```c"
    )?;
    writeln!(
        text,
        "{{{{#include ../../userspace/examples/{example}.c:example}}}}\n```\n"
    )?;
    writeln!(
        text,
        "In Python, `userspace/examples/{example}.py`, with `mapwright.py` beside it:\n\n```python"
    )?;
    writeln!(
        text,
        "{{{{#include ../../userspace/examples/{example}.py:example}}}}\n```"
    )?;
    for structure in &source.structs {
        describe(&mut text, structure, names)?;
    }
    if !source.words.is_empty() {
        text.push_str("\n## Enumerations\n");
    }
    for words in &source.words {
        enumeration(&mut text, words, names)?;
    }
    constants(&mut text, names)?;
    Ok(text)
}

/// Documentation in a cell of a table.
fn cell(doc: &Doc, context: &str, names: &Names<'_>) -> Result<String> {
    let words = names.translate(&doc.join(" "), context, Marks::Markdown)?;
    Ok(words.replace('|', "\\|"))
}

fn describe(text: &mut String, structure: &Struct, names: &Names<'_>) -> Result<()> {
    let name = names.c_name(&structure.name);
    match ioctl_of(names.source, structure) {
        Some(ioctl) => {
            let number = names.c_name(&ioctl.name);
            writeln!(
                text,
                "\n## {number}\n\n`#define {number} {}`, with `struct {name}`.\n",
                value_of(ioctl)
            )?;
        }
        None => writeln!(text, "\n## struct {name}\n")?,
    }
    let (first, rest) = summary(structure);
    for paragraph in std::iter::once(first).chain(rest.iter().map(String::as_str)) {
        let words = names.translate(paragraph, &structure.name, Marks::Markdown)?;
        let mut letters = words.chars();
        let first: String = letters
            .next()
            .into_iter()
            .flat_map(char::to_uppercase)
            .collect();
        match words.strip_prefix("Errors: ") {
            Some(errors) => list_errors(text, errors)?,
            None => writeln!(text, "{first}{}\n", letters.as_str())?,
        }
    }
    text.push_str("| field | type | meaning |\n|---|---|---|\n");
    for field in &structure.fields {
        let of = format!("{}{}", type_of(field, names)?, elements_of(field, names));
        writeln!(
            text,
            "| `{}` | `{of}` | {} |",
            field_name(field),
            cell(&field.doc, &structure.name, names)?
        )?;
    }
    Ok(())
}

/// Errors as a list: `EINVAL` (one reason), `EIO`, as `errors` has them, with no comma between but outside of brackets.
fn list_errors(text: &mut String, errors: &str) -> Result<()> {
    let mut depth = 0;
    let is_between = |c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        depth == 0 && c == ','
    };
    text.push_str("Errors:\n\n");
    for error in errors.trim_end_matches('.').split(is_between) {
        let error = error.trim();
        match error
            .strip_suffix(')')
            .and_then(|error| error.split_once(" ("))
        {
            Some((name, reason)) => writeln!(text, "- {name}: {reason}")?,
            None => writeln!(text, "- {error}")?,
        }
    }
    text.push('\n');
    Ok(())
}

fn enumeration(text: &mut String, words: &Words, names: &Names<'_>) -> Result<()> {
    let doc = names.translate(&words.doc.join(" "), &words.name, Marks::Markdown)?;
    writeln!(text, "\n### enum {}\n\n{doc}\n", names.enumeration(words))?;
    text.push_str("| | number | meaning |\n|---|--:|---|\n");
    for word in &words.words {
        let name = names.word(words, &word.variant).unwrap_or_default();
        writeln!(
            text,
            "| `{name}` | {} | {} |",
            word.number,
            cell(&word.doc, &words.name, names)?
        )?;
    }
    Ok(())
}

fn constants(text: &mut String, names: &Names<'_>) -> Result<()> {
    let is_other = |constant: &&Constant| !matches!(constant.value, Value::Ioctl(_));
    text.push_str("\n## Constants\n\n| | value | meaning |\n|---|---|---|\n");
    for constant in names.source.constants.iter().filter(is_other) {
        writeln!(
            text,
            "| `{}` | `{}` | {} |",
            names.c_name(&constant.name),
            value_of(constant),
            cell(&constant.doc, "", names)?
        )?;
    }
    Ok(())
}
