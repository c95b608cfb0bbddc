// SPDX-License-Identifier: MIT OR Apache-2.0

//! C14: from which size on the compiler warns of a function's stack frame.

use super::b18_kernel_stack;
use crate::{
    not_testable, read::config::Config, Claim, Document, Finding, Lab, Table, Verdict, Vm,
};
use anyhow::{Context as _, Result};
use std::{fs, path::Path};

pub const CLAIM: Claim = Claim {
    id: "C14",
    title: "CONFIG_FRAME_WARN",
    sources: &[Document::Reference.section("Stack Size and Overflow Protection")],
    says: "The compiler warns of a function of the kernel with a stack frame above CONFIG_FRAME_WARN, 1024 bytes. It can be \
           set to 0 to 8192, the size of a kernel stack.",
    needs: &[],
    vms: &[Vm::Normal, Vm::Arm, Vm::Arm64],
    prove,
};

/// What the documents say.
const CLAIMED: u64 = 1024;
const CLAIMED_RANGE: &str = "range 0 8192";
const OPTION: &str = "CONFIG_FRAME_WARN";
/// Options that the kernel's own choice depends on: lib/Kconfig.debug.
const CAUSES: [&str; 5] = [
    "CONFIG_64BIT",
    "CONFIG_KASAN",
    "CONFIG_GCC_PLUGIN_LATENT_ENTROPY",
    "CONFIG_PARISC",
    "CONFIG_XTENSA",
];

fn prove(lab: &Lab) -> Result<Finding> {
    let release = &lab.machine.release;
    let Some(config) = Config::read(release)? else {
        return not_testable("the configuration of the running kernel is nowhere to be found");
    };
    let line = config.line(OPTION).unwrap_or("not there");
    let value = line.strip_prefix("CONFIG_FRAME_WARN=");
    let value: Option<u64> = match value {
        None => None,
        Some(number) => Some(number.parse().with_context(|| line.to_owned())?),
    };
    let mut table = Table::new(
        format!("The configuration of the running kernel, {release}"),
        ["option", "its line"],
    );
    for option in [OPTION].iter().chain(&CAUSES) {
        let line = config.line(option).unwrap_or("not there").to_owned();
        table.row([(*option).to_owned(), line]);
    }
    let figure = match value {
        Some(bytes) => format!("{bytes} bytes"),
        None => "this kernel has no such option".to_owned(),
    };
    let (range, observed) = range(release)?;
    let (of_stack, stack) = stack(lab.machine.page_size)?;
    Ok(Finding::new(figure)
        .statement(
            "CONFIG_FRAME_WARN is 1024",
            match value {
                Some(CLAIMED) => Verdict::Confirmed,
                Some(_) => Verdict::Config,
                None => Verdict::Refuted,
            },
            format!("{line} on {}", lab.machine.arch),
        )
        .statement("It can be 0 to 8192", range, observed)
        .statement("That is all of a kernel stack", of_stack, stack)
        .table(table)
        .fact("bytes", value.unwrap_or(0))
        .instead(
            "The kernel's own choice goes by the size of a pointer, and by what the compiler adds to a frame (KASAN, some plugins): \
             2048 for 64-bit architectures; 1024 was that for 32-bit ones, and Debian's kernel for 32-bit ARM has 1280.",
        ))
}

/// Whether a kernel stack has as many bytes.
fn stack(page_size: u64) -> Result<(Verdict, String)> {
    let areas = b18_kernel_stack::stack_areas()?;
    let Some(pages) = areas.first().and_then(|area| area.pages) else {
        let why = "this kernel's stacks are not in /proc/vmallocinfo";
        return Ok((Verdict::NotTestableHere, why.into()));
    };
    let bytes = pages * page_size;
    Ok((
        Verdict::Confirmed.if_else(bytes == 8192, Verdict::Config),
        format!("a stack has {bytes} bytes in /proc/vmallocinfo"),
    ))
}

/// What the sources of the running kernel say, if they are there.
fn range(release: &str) -> Result<(Verdict, String)> {
    let build = Path::new("/lib/modules").join(release);
    let places = ["build", "source"].map(|dir| build.join(dir).join("lib/Kconfig.debug"));
    let Some(place) = places.iter().find(|place| place.exists()) else {
        return Ok((
            Verdict::NotTestableHere,
            "the range is in lib/Kconfig.debug, and the kernel's sources are not here".into(),
        ));
    };
    let text = fs::read_to_string(place).with_context(|| format!("reading {}", place.display()))?;
    let range = range_in(&text).context("lib/Kconfig.debug has no FRAME_WARN with a range")?;
    Ok((
        Verdict::of(range == CLAIMED_RANGE),
        format!("{range} in {}", place.display()),
    ))
}

/// The range of FRAME_WARN.
fn range_in(kconfig: &str) -> Option<&str> {
    let mut lines = kconfig.lines().map(str::trim);
    lines.find(|line| *line == "config FRAME_WARN")?;
    lines
        .take_while(|line| !line.starts_with("config "))
        .find(|line| line.starts_with("range "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_is_the_options_own() {
        let text = "config A\n\trange 1 2\nconfig FRAME_WARN\n\tint\n\trange 0 8192\nconfig B\n";
        assert_eq!(range_in(text), Some(CLAIMED_RANGE));
        assert_eq!(range_in("config FRAME_WARN\nconfig B\n\trange 1 2\n"), None);
    }
}
