// SPDX-License-Identifier: MIT OR Apache-2.0

//! `mapwright-fuzz`: runs in a guest, as root, with the modules loaded. `make fuzz` boots one.

#[cfg(target_arch = "x86_64")]
mod arguments;

#[cfg(target_arch = "x86_64")]
fn main() -> std::process::ExitCode {
    arguments::run()
}

#[cfg(not(target_arch = "x86_64"))]
fn main() {
    eprintln!("mapwright-fuzz runs on the debug kernel, which is for x86-64.");
}
