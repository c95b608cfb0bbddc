// SPDX-License-Identifier: MIT OR Apache-2.0

//! The examples of the README and of userspace/examples do what they say.

use crate::runner::{skip, suite, Context};
use anyhow::{ensure, Context as _, Result};
use std::{
    path::Path,
    process::{Command, Output},
};

suite! { "examples":
    c,
    python,
    python_without_ioctl,
}

fn run(command: &mut Command) -> Result<Output> {
    command
        .output()
        .with_context(|| format!("running {command:?}"))
}

fn expect(output: &Output, words: &str) -> Result<()> {
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success() && text.contains(words),
        "{}: {text}{errors}",
        output.status
    );
    Ok(())
}

fn c(_: &Context) -> Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(["build/bin".into()]);
    let Some(example) = dirs
        .map(|dir| dir.join("map-example"))
        .find(|file| file.exists())
    else {
        return skip("userspace/examples/map.c is not compiled: run make programs");
    };
    expect(&run(&mut Command::new(example))?, "the kernel sees 'hello'")
}

/// A Python with its standard library, or a skip.
pub fn python3() -> Result<Command> {
    let has_mmap = Command::new("python3").args(["-c", "import mmap"]).output();
    if !has_mmap.is_ok_and(|output| output.status.success()) {
        return skip("there is no python3 here");
    }
    Ok(Command::new("python3"))
}

fn python(_: &Context) -> Result<()> {
    let example = "userspace/examples/map.py";
    if !Path::new(example).exists() {
        return skip("the source tree is not the current directory");
    }
    expect(&run(python3()?.arg(example))?, "the kernel sees b'hello'")
}

/// The program of the README.
fn python_without_ioctl(_: &Context) -> Result<()> {
    let readme = std::fs::read_to_string("README.md");
    let Ok(readme) = readme else {
        return skip("the source tree is not the current directory");
    };
    let program = readme
        .split("```python\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    let program = program.context("README.md has no Python program")?;
    expect(&run(python3()?.args(["-c", program]))?, "b'hello'")
}
