// SPDX-License-Identifier: MIT OR Apache-2.0

//! A fuzzer of the modules: it makes programs of calls, runs each in a process of its own, and looks afterwards whether
//! all was given back, memory has what it should, and the kernel reported nothing. Programs that run code of the modules that
//! none ran before are kept and changed. It needs a kernel for debugging.

#![cfg(target_arch = "x86_64")]

mod access;
mod corpus;
mod coverage;
mod fuzz;
mod inject;
mod kcov;
mod machine;
mod mutate;
mod oracle;
mod process;
mod program;
#[cfg(test)]
mod tests;

pub use fuzz::{fuzz, replay, replay_text, Options};
