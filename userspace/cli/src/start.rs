// SPDX-License-Identifier: MIT OR Apache-2.0

//! `mapwright` alone: where to begin.

use crate::style::{paint, DIM, HEADING, STRONG};
use std::path::Path;

/// What to try first.
const FIRST: [(&str, &str); 6] = [
    (
        "mapwright tour",
        "two regions of kernel memory, mapped two ways; an LED, where there is a GPIO bank",
    ),
    (
        "mapwright map --backing vmalloc --method insert",
        "a region of your choice, and all about it",
    ),
    (
        "mapwright walk --self",
        "how addresses are found in the page tables",
    ),
    (
        "mapwright model cow",
        "copy-on-write, step by step; needs no module",
    ),
    (
        "mapwright prove --list",
        "what textbooks say, to be judged by this kernel",
    ),
    ("mapwright --help", "all commands"),
];

pub fn show() {
    anstream::println!(
        "{}\n",
        paint(
            HEADING,
            "Kernel memory, mapped in each way that Linux knows. Begin with:"
        )
    );
    let width = FIRST
        .iter()
        .map(|(command, _)| command.len())
        .max()
        .unwrap_or(0);
    for (command, about) in FIRST {
        let room = " ".repeat(width - command.len());
        anstream::println!("  {}{room}  {}", paint(STRONG, command), paint(DIM, about));
    }
    if !Path::new(mapwright::DEVICE).exists() {
        anstream::println!(
            "\n{} is not there: insert the module, with \"modprobe mapwright\" or, in the repository,\n\
             \"sudo make load\". Or boot a virtual machine that has it, with \"make demo\".",
            mapwright::DEVICE
        );
    }
}
