// SPDX-License-Identifier: MIT OR Apache-2.0

//! The GPIO driver, on a modelled bank that tells each access: `vm run --gpio DIR`.
//!
//! The model's record is the judge: which registers were read and written, how wide, in what order.

mod ends;
mod leds;
mod levels;
mod names;
mod refusals;
mod registers;

use crate::runner::{skip, suite, Context};
use anyhow::{ensure, Context as _, Result};
use ends::{
    inserted_and_removed_twice, removed_while_blinking, the_device_vanishes, the_model_is_killed,
    unbinding_ends_what_waits,
};
use gpio_model::{Client, Level, Operation, Record, Register};
use leds::{leds_of_no_bank_are_refused, lines_are_leds_with_triggers};
use levels::{
    blinks_beyond_the_idle_delay, directions_leave_other_lines, edges_are_waited_for,
    inputs_are_read, outputs_take_a_single_store, the_kernel_blinks, two_programs_at_once,
};
use mapwright::gpio::{Bank, Line, MODE_BANK};
use names::lines_go_by_the_boards_names;
use nix::kmod::{delete_module, finit_module, DeleteModuleFlags, ModuleInitFlags};
use refusals::{
    a_reading_descriptor_drives_nothing, mistakes_are_told_why, refusals_have_their_errno,
};
use registers::{
    a_store_to_the_page_is_an_edge, debugfs_shows_each_register_once,
    the_page_goes_with_the_driver, the_page_of_registers_is_read_only,
};
use std::{
    ffi::CString,
    fs::{self, File},
    path::Path,
    thread,
    time::{Duration, Instant},
};

suite! { "gpio":
    is_found_and_named,
    outputs_take_a_single_store,
    inputs_are_read,
    directions_leave_other_lines,
    the_kernel_blinks,
    edges_are_waited_for,
    refusals_have_their_errno,
    a_reading_descriptor_drives_nothing,
    two_programs_at_once,
    debugfs_shows_each_register_once,
    the_page_of_registers_is_read_only,
    a_store_to_the_page_is_an_edge,
    lines_are_leds_with_triggers,
    leds_of_no_bank_are_refused,
    the_page_goes_with_the_driver,
    unbinding_ends_what_waits,
    removed_while_blinking,
    inserted_and_removed_twice,
    mistakes_are_told_why,
    lines_go_by_the_boards_names,
    blinks_beyond_the_idle_delay,
    all_accesses_were_proper,
    the_device_vanishes,
    the_model_is_killed,
}

pub(crate) const MODULE: &str = "mapwright_gpio";
/// The driver, on each bus that banks are on.
const DRIVERS: [&str; 2] = [
    "/sys/bus/pci/drivers/mapwright_gpio",
    "/sys/bus/platform/drivers/mapwright_gpio",
];
const DEBUGFS: &str = "/sys/kernel/debug/mapwright-gpio0/registers";
/// What an AM335x says in REVISION.
const REVISION: u32 = 0x5060_0801;

/// How many accesses there were, once all have arrived: stores are posted, and a load comes after them.
pub(crate) fn settled(model: &mut Client, bank: &Bank) -> Result<usize> {
    bank.levels()?;
    Ok(model.count()?)
}

/// The model and the driver's bank.
pub(crate) fn modelled_bank() -> Result<(Client, Bank)> {
    let Some(model) = Client::connect()? else {
        return skip("this machine has no modelled GPIO bank: boot it with --gpio DIR");
    };
    wait_for("the device node", || Bank::path(0).exists())?;
    Ok((model, Bank::open(0)?))
}

/// Does something to a line from outside. What the driver wrote before reaches the model by another way and
/// would be overtaken; a load comes back after it.
pub(crate) fn press(model: &mut Client, bank: &Bank, line: u32, level: Level) -> Result<()> {
    bank.levels()?;
    Ok(model.drive(line, level)?)
}

pub(crate) fn wait_for(what: &str, mut done: impl FnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        ensure!(Instant::now() < deadline, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

pub(crate) fn line(number: u32) -> Line {
    number.to_string().parse().expect("a line of the bank")
}

pub(crate) fn remove() -> Result<()> {
    let name = CString::new(MODULE)?;
    delete_module(&name, DeleteModuleFlags::O_NONBLOCK).with_context(|| format!("rmmod {MODULE}"))
}

pub(crate) fn load(context: &Context, parameters: &str) -> Result<()> {
    let file = File::open(context.module_named(MODULE)?)?;
    finit_module(&file, &CString::new(parameters)?, ModuleInitFlags::empty())?;
    Ok(())
}

pub(crate) fn insert(context: &Context, parameters: &str) -> Result<()> {
    load(context, parameters)?;
    wait_for("the device node", || Bank::path(0).exists())
}

/// Whether an access enables interrupts.
pub(crate) fn armed(record: &Record) -> bool {
    record.operation == Operation::Write && record.register() == Some(Register::IrqStatusSet0)
}

/// What was written to a register last, once all stores have arrived.
pub(crate) fn settled_write(
    model: &mut Client,
    bank: &Bank,
    which: Register,
) -> Result<Option<u32>> {
    settled(model, bank)?;
    last_write(model, which)
}

/// What was written to a register last, as far as that has arrived.
pub(crate) fn last_write(model: &mut Client, which: Register) -> Result<Option<u32>> {
    let writes = model.writes(0)?;
    let last = writes.iter().rev().find(|(register, _)| *register == which);
    Ok(last.map(|(_, value)| *value))
}

/// What the banks are called on their bus: `0000:00:03.0`, `4804c000.mapwright-gpio`.
pub(crate) fn addresses() -> Vec<String> {
    let entries = DRIVERS.iter().flat_map(fs::read_dir).flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names
        .filter(|name| is_pci(name) || name.ends_with(".mapwright-gpio"))
        .collect()
}

/// The module's parameter that makes LEDs of the lines `lines` of the first bank.
pub(crate) fn led_parameter(lines: u32) -> Result<String> {
    Ok(format!("leds={}:{lines:#010x}", address()?))
}

/// What the first of them is called.
pub(crate) fn address() -> Result<String> {
    let mut names = addresses().into_iter();
    names.next().context("no device is bound")
}

/// The driver, on the bus that has such names.
pub(crate) fn driver(address: &str) -> &'static Path {
    Path::new(DRIVERS[usize::from(!is_pci(address))])
}

/// Whether the bank of that name is a PCI function.
pub(crate) fn is_pci(address: &str) -> bool {
    address.starts_with("0000:")
}

fn is_found_and_named(_: &Context) -> Result<()> {
    let (_, bank) = modelled_bank()?;
    let info = bank.info()?;
    ensure!(info.revision == REVISION, "REVISION {:#x}", info.revision);
    ensure!(info.mode == MODE_BANK, "mode {}", info.mode);
    let iomem = fs::read_to_string("/proc/iomem")?;
    ensure!(
        iomem.contains(": mapwright_gpio"),
        "our resource is not in /proc/iomem"
    );
    let interrupts = fs::read_to_string("/proc/interrupts")?;
    ensure!(
        interrupts.contains("mapwright_gpio"),
        "nor in /proc/interrupts"
    );
    Ok(())
}

/// Inserts the module again as usual, whatever became of the test.
pub(crate) struct AsUsual<'a>(pub(crate) &'a Context);

impl Drop for AsUsual<'_> {
    fn drop(&mut self) {
        // If it fails, the next test tells.
        // It may not be loaded, where the test had it refused.
        let _ = remove();
        let _ = insert(self.0, "");
    }
}

/// A device without its driver, until it is bound again: at the end of a test that failed, too.
#[must_use]
pub(crate) struct WithoutDriver(String);

/// Takes the driver off the first device.
pub(crate) fn unbind() -> Result<WithoutDriver> {
    let address = address()?;
    fs::write(driver(&address).join("unbind"), &address).context("unbinding")?;
    Ok(WithoutDriver(address))
}

impl WithoutDriver {
    fn rebind(&self) -> std::io::Result<()> {
        fs::write(driver(&self.0).join("bind"), &self.0)
    }

    pub(crate) fn bind(mut self) -> Result<()> {
        self.rebind().context("binding")?;
        self.0.clear();
        wait_for("the device node", || Bank::path(0).exists())
    }
}

impl Drop for WithoutDriver {
    fn drop(&mut self) {
        if !self.0.is_empty() {
            // If it fails, the next test tells.
            let _ = self.rebind();
        }
    }
}

/// Fails if registers were accessed from the record `from` on. The parent of a bank of a device tree is
/// the kernel's own driver's (`ti-sysc`), which idles the module by SYSCONFIG whenever it likes.
pub(crate) fn expect_untouched(model: &mut Client, from: usize, since: &str) -> Result<()> {
    let records = model.since(from)?;
    let ours = records
        .iter()
        .find(|record| record.register() != Some(Register::SysConfig));
    ensure!(ours.is_none(), "accessed after {since}: {ours:?}");
    Ok(())
}

fn all_accesses_were_proper(context: &Context) -> Result<()> {
    let (mut model, _bank) = modelled_bank()?;
    let records = model.since(0)?;
    let improper: Vec<_> = records
        .iter()
        .filter(|record| !record.is_proper())
        .collect();
    ensure!(
        improper.is_empty(),
        "{} of {}: {improper:?}",
        improper.len(),
        records.len()
    );
    context.note(format!(
        "{} accesses, each 32 bits wide, to a register",
        records.len()
    ));
    Ok(())
}
