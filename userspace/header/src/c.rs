// SPDX-License-Identifier: MIT OR Apache-2.0

//! An interface as a header in C, as those of the kernel's `include/uapi` are.

use crate::{
    names::{Marks, Names},
    pairs,
    source::{Constant, Doc, Field, Source, Struct, Value, Words},
};
use anyhow::{bail, Result};
use std::fmt::Write as _;

/// Columns of a comment.
const WIDTH: usize = 80;

/// Words that C keeps for itself.
const KEYWORDS: [&str; 1] = ["register"];

/// What a field is called: in C, too.
pub fn field_name(field: &Field) -> String {
    match KEYWORDS.contains(&field.name.as_str()) {
        true => format!("{}_", field.name),
        false => field.name.clone(),
    }
}

/// A field's type in C, without the elements of an array.
pub fn type_of(field: &Field, names: &Names<'_>) -> Result<String> {
    Ok(match field.of.as_str() {
        "u8" => "__u8".to_owned(),
        "u32" => "__u32".to_owned(),
        "i32" => "__s32".to_owned(),
        "u64" => "__u64".to_owned(),
        name if name.starts_with(char::is_uppercase) => format!("struct {}", names.c_name(name)),
        name => bail!("a field of the type {name}"),
    })
}

/// `[5]`, or nothing.
pub fn elements_of(field: &Field, names: &Names<'_>) -> String {
    match &field.elements {
        Some(number) if number.starts_with(char::is_numeric) => format!("[{number}]"),
        Some(name) => format!("[{}]", names.c_name(name)),
        None => String::new(),
    }
}

pub fn value_of(constant: &Constant) -> String {
    match &constant.value {
        Value::Word(number) => number.to_string(),
        Value::Long(number) => format!("{number:#x}ULL"),
        Value::Ioctl(number) => format!("_IO(0xe7, {number:#x})"),
        Value::Text(value) => format!("\"{value}\""),
    }
}

/// The number of the ioctl that takes a structure.
pub fn ioctl_of<'a>(source: &'a Source, structure: &Struct) -> Option<&'a Constant> {
    let takes = format!("[`{}`]", structure.name);
    let is_ours = |constant: &&Constant| {
        matches!(constant.value, Value::Ioctl(_))
            && constant.doc.iter().any(|text| text.contains(&takes))
    };
    source.constants.iter().find(is_ours)
}

/// Appends `words` to a comment, in lines that begin with `first` and then with `more`.
fn wrap(text: &mut String, words: &str, first: &str, more: &str) {
    let mut line = first.to_owned();
    let mut is_empty = true;
    for word in words.split_whitespace() {
        let width = line.replace('\t', "        ").chars().count() + 1 + word.chars().count();
        if !is_empty && width > WIDTH {
            text.push_str(line.trim_end());
            text.push('\n');
            line = more.to_owned();
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    text.push_str(line.trim_end());
    text.push('\n');
}

/// The text of a header.
pub fn header(names: &Names<'_>, file: &str) -> Result<String> {
    let source = names.source;
    let guard = names.name.to_uppercase();
    let mut text =
        "/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */\n/*\n".to_owned();
    paragraphs(&mut text, &source.doc, names, "")?;
    if names.main.is_none() {
        text.push_str(" *\n");
        wrap(&mut text, "Which backings can be mapped how:", " * ", " * ");
        for line in pairs::lines() {
            wrap(&mut text, &line, " *   ", " *     ");
        }
    }
    writeln!(
        text,
        " *\n * Written by make header, from {file}: change that.\n */"
    )?;
    writeln!(text, "#ifndef _UAPI_{guard}_H\n#define _UAPI_{guard}_H\n")?;
    text.push_str("#include <linux/ioctl.h>\n#include <linux/types.h>\n");
    for constant in &source.constants {
        if !matches!(constant.value, Value::Ioctl(_)) {
            define(&mut text, constant, names)?;
        }
    }
    if names.main.is_none() {
        text.push_str("#define MAPWRIGHT_DEVICE \"/dev/\" MAPWRIGHT_NAME\n");
    }
    for words in &source.words {
        enumeration(&mut text, words, names)?;
    }
    for structure in in_order(&source.structs) {
        define_structure(&mut text, structure, names)?;
    }
    writeln!(text, "\n#endif /* _UAPI_{guard}_H */")?;
    Ok(text)
}

/// The structures, each after those that it has as fields.
fn in_order(structs: &[Struct]) -> Vec<&Struct> {
    let is_field_of =
        |inner: &Struct, outer: &Struct| outer.fields.iter().any(|field| field.of == inner.name);
    let is_inner = |inner: &&Struct| structs.iter().any(|outer| is_field_of(inner, outer));
    let (mut first, others): (Vec<&Struct>, Vec<&Struct>) = structs.iter().partition(is_inner);
    first.extend(others);
    first
}

/// Paragraphs of a comment, as lines that begin with ` * `.
fn paragraphs(text: &mut String, doc: &[String], names: &Names<'_>, context: &str) -> Result<()> {
    for (i, paragraph) in doc.iter().enumerate() {
        if i > 0 {
            text.push_str(" *\n");
        }
        let words = names
            .translate(paragraph, context, Marks::Plain)?
            .replace('*', "");
        wrap(text, words.trim_start_matches("# "), " * ", " * ");
    }
    Ok(())
}

fn define(text: &mut String, constant: &Constant, names: &Names<'_>) -> Result<()> {
    let doc = names.translate(&constant.doc.join(" "), "", Marks::Plain)?;
    text.push('\n');
    if doc.chars().count() + 6 <= WIDTH {
        writeln!(text, "/* {doc} */")?;
    } else {
        text.push_str("/*\n");
        wrap(text, &doc, " * ", " * ");
        text.push_str(" */\n");
    }
    writeln!(
        text,
        "#define {} {}",
        names.c_name(&constant.name),
        value_of(constant)
    )?;
    Ok(())
}

/// `@name: what it is`, for a member of an enumeration or a structure.
fn member(
    text: &mut String,
    name: &str,
    doc: &Doc,
    names: &Names<'_>,
    context: &str,
) -> Result<()> {
    let words = names.translate(&doc.join(" "), context, Marks::Plain)?;
    wrap(text, &words, &format!(" * @{name}: "), " *\t");
    Ok(())
}

fn enumeration(text: &mut String, words: &Words, names: &Names<'_>) -> Result<()> {
    let name = names.enumeration(words);
    let doc = names.translate(&words.doc.join(" "), &words.name, Marks::Plain)?;
    text.push_str("\n/**\n");
    wrap(text, &format!("enum {name} - {doc}"), " * ", " *\t");
    let word_name = |variant: &str| names.word(words, variant).unwrap_or_default();
    for word in &words.words {
        member(
            text,
            &word_name(&word.variant),
            &word.doc,
            names,
            &words.name,
        )?;
    }
    writeln!(text, " */\nenum {name} {{")?;
    for word in &words.words {
        writeln!(text, "\t{} = {},", word_name(&word.variant), word.number)?;
    }
    text.push_str("};\n");
    Ok(())
}

/// What a structure is for, without the name of its ioctl; and the paragraphs after that.
pub fn summary(structure: &Struct) -> (&str, &[String]) {
    let (first, rest) = match structure.doc.split_first() {
        Some((first, rest)) => (first.as_str(), rest),
        None => ("", &[][..]),
    };
    let first = match first.strip_prefix("[`IOCTL_") {
        Some(named) => named.split_once("`]: ").map_or(named, |(_, words)| words),
        None => first,
    };
    (first, rest)
}

fn define_structure(text: &mut String, structure: &Struct, names: &Names<'_>) -> Result<()> {
    let name = names.c_name(&structure.name);
    let (first, rest) = summary(structure);
    let first = names.translate(first, &structure.name, Marks::Plain)?;
    text.push_str("\n/**\n");
    wrap(text, &format!("struct {name} - {first}"), " * ", " *\t");
    for field in &structure.fields {
        member(text, &field_name(field), &field.doc, names, &structure.name)?;
    }
    if !rest.is_empty() {
        text.push_str(" *\n");
        paragraphs(text, rest, names, &structure.name)?;
    }
    writeln!(text, " */\nstruct {name} {{")?;
    for field in &structure.fields {
        let (of, elements) = (type_of(field, names)?, elements_of(field, names));
        writeln!(text, "\t{of} {}{elements};", field_name(field))?;
    }
    text.push_str("};\n");
    if let Some(ioctl) = ioctl_of(names.source, structure) {
        writeln!(
            text,
            "#define {} {}",
            names.c_name(&ioctl.name),
            value_of(ioctl)
        )?;
    }
    Ok(())
}
