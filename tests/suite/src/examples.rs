// SPDX-License-Identifier: MIT OR Apache-2.0

//! The programs of userspace/examples, which README.md and the book show, do what they say.

use crate::{
    dma::device,
    gpio::modelled_bank,
    runner::{self, skip, Case, Suite},
};
use anyhow::{ensure, Context as _, Result};
use std::{
    path::Path,
    process::{Command, Output},
};

#[path = "../../../userspace/examples/hello.rs"]
mod hello;

/// Those that need no device, and what the last line has that they print.
pub const SUITE: Suite = Suite {
    name: "examples",
    cases: || {
        let mut cases = vec![Case::new("hello_rust", |_| Ok(hello::main()?))];
        cases.extend(in_both("hello", "hello", || Ok(())));
        for name in ["regions", "faults", "osync", "walk", "alloc"] {
            cases.extend(in_both(name, "done", || Ok(())));
        }
        cases.push(Case::new(
            "python_as_with_any_file",
            python_as_with_any_file,
        ));
        cases
    },
};

/// That of a device for DMA.
pub const DMA: Suite = Suite {
    name: "dma.examples",
    cases: || in_both("dma", "done", || device().map(drop)).into(),
};

/// That of a GPIO bank.
pub const GPIO: Suite = Suite {
    name: "gpio.examples",
    cases: || in_both("gpio", "done", || modelled_bank().map(drop)).into(),
};

/// An example in C and in Python, where there is what it `needs`.
fn in_both(name: &'static str, words: &'static str, needs: fn() -> Result<()>) -> [Case; 2] {
    [
        Case::new(format!("{name}_c"), move |_| {
            needs()?;
            run_c(name, words)
        }),
        Case::new(format!("{name}_python"), move |_| {
            needs()?;
            run_python(name, words)
        }),
    ]
}

fn run(command: &mut Command) -> Result<Output> {
    command
        .output()
        .with_context(|| format!("running {command:?}"))
}

fn expect(output: &Output, words: &str) -> Result<()> {
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let last = text.lines().last().unwrap_or_default();
    ensure!(
        output.status.success() && last.contains(words),
        "{}: {text}{errors}",
        output.status
    );
    Ok(())
}

pub fn run_c(name: &str, words: &str) -> Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(["build/bin".into()]);
    let program = format!("example-{name}");
    let Some(example) = dirs
        .map(|dir| dir.join(&program))
        .find(|file| file.exists())
    else {
        return skip(format!(
            "userspace/examples/{name}.c is not compiled: run make programs"
        ));
    };
    expect(&run(&mut Command::new(example))?, words)
}

/// A Python with its standard library, or a skip.
pub fn python3() -> Result<Command> {
    let has_mmap = Command::new("python3").args(["-c", "import mmap"]).output();
    if !has_mmap.is_ok_and(|output| output.status.success()) {
        return skip("there is no python3 here");
    }
    Ok(Command::new("python3"))
}

pub fn run_python(name: &str, words: &str) -> Result<()> {
    let mut python = python3()?;
    let example = format!("userspace/examples/{name}.py");
    if !Path::new(&example).exists() {
        return skip("the source tree is not the current directory");
    }
    expect(&run(python.arg(example))?, words)
}

/// What numpy.memmap does, and others, with the standard library alone.
const AS_WITH_ANY_FILE: &str = r#"
import mmap, os, select, shutil, tempfile
NODE = "/dev/mapwright"

def memmap(size):
    with open(NODE, "r+b") as file:
        file.seek(0, 2)
        if file.tell() < size:
            file.seek(size - 1, 0)
            file.write(b"\0")
            file.flush()
        return mmap.mmap(file.fileno(), size, access=mmap.ACCESS_WRITE)

for size in 64 << 10, 1 << 20, 8 << 20:
    memory = memmap(size)
    memory[size - 1] = 7
    memory.flush()
    memory.flush(0, mmap.PAGESIZE)
    assert memory[size - 1] == 7 and memory[0] == 0
    memory.close()

fd = os.open(NODE, os.O_RDWR)
os.pwrite(fd, b"x", 0)
memory = mmap.mmap(fd, 8 << 20)
assert memory[0] == ord("x")
memory.close()
os.fsync(fd)
os.fdatasync(fd)
assert select.select([fd], [fd], [], 0) == ([fd], [fd], [])
os.close(fd)

with open(NODE, "ab") as file:
    file.write(b"at the end")

with open(NODE, "r+b") as file, tempfile.TemporaryFile() as copy:
    file.write(b"hello")
    file.flush()
    file.seek(0)
    assert os.sendfile(copy.fileno(), file.fileno(), 0, 5) == 5
    assert os.pread(copy.fileno(), 5, 0) == b"hello"

with open(NODE, "rb") as file, tempfile.TemporaryFile() as copy:
    shutil.copyfileobj(file, copy)
    assert copy.tell() == 1 << 20
print("as with any file")
"#;

fn python_as_with_any_file(_: &runner::Context) -> Result<()> {
    let output = run(python3()?.args(["-c", AS_WITH_ANY_FILE]))?;
    expect(&output, "as with any file")
}

#[cfg(test)]
mod tests {
    const README: &str = include_str!("../../../README.md");

    /// The lines of the first block of README.md in a language, without what is only for the eye.
    fn shown(language: &str) -> Vec<String> {
        let fence = format!("```{language}\n");
        let block = README.split(&fence).nth(1).expect("a program in README.md");
        words_of(block.split("```").next().unwrap_or_default())
    }

    fn words_of(program: &str) -> Vec<String> {
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        program
            .lines()
            .map(words)
            .filter(|line| !line.is_empty())
            .collect()
    }

    #[test]
    fn the_programs_of_the_readme_are_the_examples() {
        let examples = [
            (
                "python",
                include_str!("../../../userspace/examples/hello.py"),
            ),
            ("c", include_str!("../../../userspace/examples/hello.c")),
            ("rust", include_str!("../../../userspace/examples/hello.rs")),
        ];
        for (language, example) in examples {
            let lines = words_of(example);
            for line in shown(language) {
                assert!(lines.contains(&line), "{language}: {line}");
            }
        }
    }
}
