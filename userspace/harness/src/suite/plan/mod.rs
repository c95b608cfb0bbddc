// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which tests run in which VMs: a boot and what runs in it is a plan.

mod arm;
mod debug;
mod names;
mod stock;

pub use arm::{ARM, ARM64_PLANS};
pub use debug::DEBUG;
pub use stock::{smoke, STOCK};

use crate::guest::{Boot, GuestArgs};
use crate::machine_type::MachineType;
use crate::place::Kernel;
use crate::vms::Build;
use anyhow::{bail, Result};
use names::{DMA_SLEEP, SLEEP_TESTS, SUSPEND_TESTS};
use std::path::Path;

/// A boot, and the tests that run in it.
pub struct Plan {
    pub name: &'static str,
    pub boot: Boot,
    build: Build,
    /// Parameters that are added to the kernel's command line.
    append: &'static str,
    /// What the names of this boot's tests begin with. Empty: any test runs in it.
    tests: &'static [&'static str],
    /// What the names of tests begin with that this boot leaves out, as they have boots of their own.
    without: &'static [&'static str],
    /// Whether the boot's programs are built for 32-bit ARM.
    narrow: bool,
}

/// Fails if a name of `asked` is not the name of a plan.
pub fn check_names(plans: &[Plan], asked: &[String]) -> Result<()> {
    let names: Vec<&str> = plans.iter().map(|plan| plan.name).collect();
    match asked.iter().find(|name| !names.contains(&name.as_str())) {
        Some(name) => bail!(
            "there is no run named {name}: they are {}",
            names.join(", ")
        ),
        None => Ok(()),
    }
}

impl Plan {
    /// Whether the plan's VM is the usual one, in which all tests run that need no other VM.
    pub fn has_all(&self) -> bool {
        self.tests.is_empty()
    }

    /// Whether the boot runs the tests whose names begin with `filter`.
    pub fn has(&self, filter: Option<&str>) -> bool {
        let Some(filter) = filter else {
            return true;
        };
        // The dot at its end may be left out.
        let begins =
            |start: &&str| filter.starts_with(*start) || start.strip_suffix('.') == Some(filter);
        let taken = self.has_all() || self.tests.iter().any(begins);
        taken && !self.without.iter().any(begins)
    }

    /// Why a kernel cannot do what this plan tests, if it cannot.
    pub fn lacking(&self, kernel: &Kernel) -> Option<&'static str> {
        if self.narrow && !kernel.has("COMPAT") {
            Some("this kernel runs no 32-bit programs (CONFIG_COMPAT)")
        } else if self.build.gpio && !kernel.has("GPIOLIB") {
            Some("this kernel has no GPIO lines (CONFIG_GPIOLIB)")
        } else if self.build.monitor && !kernel.has("HOTPLUG_PCI_ACPI") {
            Some("this kernel lets no device be pulled out (CONFIG_HOTPLUG_PCI_ACPI)")
        } else {
            None
        }
    }

    /// The suite's arguments, to run those whose names contain `filter`.
    pub fn arguments(&self, filter: Option<&str>) -> Vec<String> {
        let names = filter.as_slice();
        let names = if names.is_empty() { self.tests } else { names };
        let mut arguments: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        for start in self.without {
            arguments.extend(["--skip", start].map(str::to_owned));
        }
        arguments
    }

    /// The arguments of the plan's guest, but for the kernel. A modelled device writes its record into a directory of
    /// the plan's own in `results`.
    pub fn guest_args(&self, results: &Path) -> GuestArgs {
        let mut guest = self.build.guest_args(&results.join(self.name));
        guest.append = format!("{} {}", guest.append, self.append)
            .trim()
            .to_owned();
        let sleeps = |start: &&str| [DMA_SLEEP, SLEEP_TESTS, SUSPEND_TESTS].contains(start);
        guest.own_program = self.tests.iter().any(sleeps);
        guest.programs = self.narrow.then(|| MachineType::Virt.programs().into());
        guest
    }
}

#[cfg(test)]
mod tests;
