// SPDX-License-Identifier: MIT OR Apache-2.0

//! Programs as files: JSON with a call in each line.

use crate::program::{Op, Program};
use anyhow::{Context as _, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// The program as text.
pub fn text(program: &Program) -> Result<String> {
    let list = |ops: &[Op]| -> Result<String> {
        let lines = ops
            .iter()
            .map(serde_json::to_string)
            .collect::<Result<Vec<_>, _>>()?;
        Ok(lines
            .iter()
            .map(|line| format!("\n    {line}"))
            .collect::<Vec<_>>()
            .join(","))
    };
    let others = program
        .others
        .iter()
        .map(|ops| Ok(format!("\n   [{}]", list(ops)?)))
        .collect::<Result<Vec<_>>>()?;
    Ok(format!(
        "{{\n  \"limit\": {},\n  \"killed_after\": {},\n  \"first\": [{}],\n  \"others\": [{}]\n}}\n",
        program.limit,
        program.killed_after,
        list(&program.first)?,
        others.join(",")
    ))
}

/// The program that a text is.
pub fn parse(text: &str) -> Result<Program> {
    serde_json::from_str(text).context("this is no program of the fuzzer")
}

/// The program in a file.
pub fn read(path: &Path) -> Result<Program> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    parse(&text).with_context(|| path.display().to_string())
}

/// The programs of a directory, by their files' names; none if there is no such directory.
pub fn read_all(directory: &Path) -> Result<Vec<(PathBuf, Program)>> {
    let entries = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let mut paths: Vec<PathBuf> = entries
        .filter(|path| path.extension().is_some_and(|it| it == "json"))
        .collect();
    paths.sort();
    paths
        .into_iter()
        .map(|path| Ok((path.clone(), read(&path)?)))
        .collect()
}
