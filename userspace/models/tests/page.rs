// SPDX-License-Identifier: MIT OR Apache-2.0

//! docs/models.md is what the models tell today, with its figures. With MAPWRIGHT_WRITE=1 they are written.

use mapwright_models::{picture, run, Kind, Transcript};
use std::{env, fmt::Write as _, fs};

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs");

const HEAD: &str = "\
# Seven small models

What textbooks sketch as seven small programs, as models that do a script's steps one by one: `mapwright model NAME`.
Without `--script FILE` they do the example below; `--script -` reads standard input, `--steps` lists the steps that a
model knows, `--json` prints JSON, `--svg FILE` draws, in light and dark. The examples are those of the textbook where it
has one; where its table contradicts itself or the kernel, the notes below say so.

`--check` does the same steps on the running kernel, side by side, and says where the two part. It needs root and
the modules: in a VM,
`scripts/vm run --boot tiny -- mapwright model buddy --check`.

This page and its figures are written by `MAPWRIGHT_WRITE=1 cargo test -p mapwright-models --test page`.
";

/// What `--check` does.
fn check(kind: Kind) -> &'static str {
    match kind {
        Kind::Buddy => {
            "`--check` makes a pool of the kernel's: a free block whose buddy is held, while nothing else between order 4 \
             and the largest is free. A page of the model's is 16 of the kernel's there, as each processor keeps smaller \
             blocks at hand. Blocks, and the counts of all free lists, are compared after each step; the kernel's trace \
             events are shown. Pools of up to order 4."
        }
        Kind::Slub => {
            "`--check` takes kmalloc() objects: which is given again is compared. Kernels with sheaves part from the \
             model where an object of another slab is freed and comes back first."
        }
        Kind::Walk => {
            "`--check` maps memory at the script's addresses and walks the real tables: indices and page sizes must be the \
             model's, and the model, given the kernel's entries, must find the kernel's frame. x86-64 only."
        }
        Kind::Cow => {
            "`--check` forks real processes. After each step the frame, the write bit and the number of mappings of each \
             page are compared, and whether a store faulted."
        }
        Kind::Watermark => {
            "`--check` has no script, as its zone would not be the kernel's: a program uses up memory step by step, \
             until the kernel's own zones are below their marks. What the model's arithmetic says of each step is \
             compared with the kernel's trace events: when kswapd is woken, and when who allocates must reclaim."
        }
        Kind::Lru => {
            "`--check` reads pages of a disk in memory, with MGLRU off, and compares each page's flags: active, referenced, \
             dirty. What is reclaimed is not compared: the kernel takes 32 pages at a time, and chooses which."
        }
        Kind::Dma => {
            "`--check` lends such buffers to QEMU's edu device, and has it write: in a machine with `-device edu`, without an \
             IOMMU or behind one. Steps about the other kind of machine are left out, and so are writes that would hit \
             somebody's memory."
        }
    }
}

fn table(transcript: &Transcript) -> String {
    let line = |cells: &[&str]| format!("| {} |\n", cells.join(" | "));
    let columns: Vec<&str> = transcript.columns.iter().map(String::as_str).collect();
    let rule: Vec<&str> = columns.iter().map(|_| "---").collect();
    let rows = transcript.rows().map(|row| line(&transcript.cells(row)));
    [line(&columns), line(&rule)]
        .into_iter()
        .chain(rows)
        .collect()
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    for kind in Kind::ALL {
        let transcript = run(kind, kind.example()).unwrap();
        let _ = write!(
            page,
            "\n## {}: `mapwright model {}`\n\n```\n{}```\n\n![{}, step by step]({})\n\n{}\n",
            kind.title(),
            kind.name(),
            kind.example(),
            kind.title(),
            figure(kind),
            table(&transcript)
        );
        for note in kind.notes() {
            let _ = writeln!(page, "- {note}");
        }
        let _ = writeln!(page, "\n{}", check(kind));
    }
    page
}

/// Where the figure of a model is, seen from its page.
fn figure(kind: Kind) -> String {
    format!("figures/model-{}.svg", kind.name())
}

#[test]
fn the_page_and_its_figures_are_what_the_models_tell() {
    let picture_of = |kind: Kind| picture(&run(kind, kind.example()).unwrap());
    let figures = Kind::ALL
        .iter()
        .map(|kind| (figure(*kind), picture_of(*kind)));
    for (name, text) in figures.chain([("models.md".to_owned(), page())]) {
        let file = format!("{DOCS}/{name}");
        if env::var_os("MAPWRIGHT_WRITE").is_some() {
            fs::write(&file, &text).unwrap();
        }
        let there = fs::read_to_string(&file).unwrap_or_default();
        assert!(
            there == text,
            "docs/{name} is not of today: write it with MAPWRIGHT_WRITE=1"
        );
    }
}
