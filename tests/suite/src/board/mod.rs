// SPDX-License-Identifier: MIT OR Apache-2.0

//! The GPIO driver on banks at their true addresses, from a device tree, beside the kernel's own
//! drivers: `vm run --machine virt --gpio DIR --gpio-mode bank|hog`. The modelled banks abort
//! accesses without a clock.

pub mod bank;
pub mod banks;
pub mod hog;
pub mod sleep;

use crate::{
    gpio::modelled_bank,
    runner::{skip, Context},
};
use anyhow::{ensure, Context as _, Result};
use gpio_model::{Client, Record, Register};
use mapwright::{
    gpio::{Bank, Line},
    page_bytes,
};
use nix::sys::mman::{mmap, munmap, MapFlags, ProtFlags};
use std::{
    fs::{self, OpenOptions},
    num::NonZeroUsize,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    thread,
    time::Duration,
};

/// The parent of the bank GPIO1 and of its drivers' devices.
const TARGET_MODULE: &str = "/sys/bus/platform/devices/4804c000.target-module";
/// Our node in the device tree.
const NODE: &str = "/proc/device-tree/ocp/interconnect@48000000/segment@0/target-module@4c000/mapwright-gpio@0/compatible";
/// What gpio-omap's driver is called, and its device for GPIO1.
const OMAP: &str = "/sys/bus/platform/drivers/omap_gpio";
/// The runtime power management of `ti,sysc` and of gpio-omap is done with a bank after this.
const PAST_IDLE: Duration = Duration::from_secs(20);
const BANKS: usize = 4;
/// The one that this driver is for here: GPIO1.
const OURS: usize = 1;

/// The model and the driver's bank, on a machine whose device tree has it in this `mode`.
fn board(mode: &str) -> Result<(Client, Bank)> {
    let compatible = fs::read_to_string(NODE).unwrap_or_default();
    if compatible.trim_end_matches('\0') != format!("mapwright,am335x-gpio-{mode}") {
        return skip(format!(
            "it needs --machine virt --gpio DIR --gpio-mode {mode}"
        ));
    }
    modelled_bank()
}

/// All accesses to a bank of the model.
fn records(model: &mut Client, bank: usize) -> Result<Vec<Record>> {
    model.choose(bank);
    let records = model.since(0)?;
    model.choose(OURS);
    Ok(records)
}

/// Fails if one of the accesses so far, of any driver, was none that it should do. Of the first bank that
/// it finds, gpio-omap reads the lower half of REVISION, to print it.
fn all_proper(model: &mut Client, context: &Context) -> Result<()> {
    all_proper_of(model, context, &[OURS])
}

/// The same, where the banks `ours` are this driver's.
fn all_proper_of(model: &mut Client, context: &Context, ours: &[usize]) -> Result<()> {
    let mut count = 0;
    for bank in 0..BANKS {
        let records = records(model, bank)?;
        let is_proper = |record: &&Record| match ours.contains(&bank) {
            true => record.is_proper(),
            false => !record.aborted && record.name.is_some(),
        };
        let improper: Vec<_> = records.iter().filter(|r| !is_proper(r)).collect();
        ensure!(
            improper.is_empty(),
            "GPIO{bank}: {} of {}: {:?}",
            improper.len(),
            records.len(),
            improper.first()
        );
        count += records.len();
    }
    let others = model.others(0)?;
    let aborted = others.iter().find(|r| r.aborted || r.width != 32);
    ensure!(aborted.is_none(), "beside the banks: {aborted:?}");
    context.note(format!(
        "{count} accesses to four banks, each to a register, with the clock on, and to ours 32 bits wide"
    ));
    Ok(())
}

/// Lets the LED's line blink for longer than anybody waits with switching a clock off, and returns
/// what was written from the access `from` on.
fn blink_past_idle(
    model: &mut Client,
    bank: &Bank,
    led: Line,
    from: usize,
) -> Result<Vec<(Register, u32)>> {
    bank.blink(led, 500_000)?;
    thread::sleep(PAST_IDLE);
    bank.blink(led, 0)?;
    let writes = model.writes(from)?;
    // Four a second; a busy machine may be late.
    ensure!(
        (60..=90).contains(&writes.len()),
        "{} stores in {PAST_IDLE:?}",
        writes.len()
    );
    Ok(writes)
}

/// A word of physical memory, by `/dev/mem`.
fn word_at(address: i32) -> Result<u32> {
    let page = address & !(page_bytes() as i32 - 1);
    let memory = OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_SYNC)
        .open("/dev/mem")?;
    let length = NonZeroUsize::new(page_bytes()).context("a page of nothing")?;
    // SAFETY: A new mapping at an address of the kernel's choice, of registers, which nobody takes for
    // memory.
    let mapped = unsafe {
        mmap(
            None,
            length,
            ProtFlags::PROT_READ,
            MapFlags::MAP_SHARED,
            &memory,
            page.into(),
        )
    };
    let mapped =
        mapped.context("mapping /dev/mem: the kernel must be booted with iomem=relaxed")?;
    // SAFETY: The word is in the page that was just mapped.
    let value = unsafe {
        let offset = (address - page) as usize;
        mapped
            .as_ptr()
            .byte_add(offset)
            .cast::<u32>()
            .read_volatile()
    };
    // SAFETY: This is the mapping, of which nothing is borrowed.
    unsafe { munmap(mapped, page_bytes())? };
    Ok(value)
}

/// A line that the kernel's own driver has, through sysfs.
struct KernelLine(u32);

impl KernelLine {
    /// A line of the bank at a physical address.
    fn of(bank: &str, line: u32) -> Result<Self> {
        for entry in fs::read_dir("/sys/class/gpio")?.flatten() {
            let device = fs::read_link(entry.path().join("device")).unwrap_or_default();
            let base = fs::read_to_string(entry.path().join("base"));
            let of_bank = device.ends_with(format!("{bank}.gpio"));
            if let (true, Ok(base)) = (of_bank, base) {
                let number = base.trim().parse::<u32>()? + line;
                fs::write("/sys/class/gpio/export", number.to_string())?;
                return Ok(Self(number));
            }
        }
        skip("this kernel shows no lines in /sys/class/gpio (CONFIG_GPIO_SYSFS)")
    }

    fn path(&self, name: &str) -> String {
        format!("/sys/class/gpio/gpio{}/{name}", self.0)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.path(name);
        fs::write(&path, text).with_context(|| format!("writing {text} to {path}"))
    }

    fn value(&self) -> Result<bool> {
        Ok(fs::read_to_string(self.path("value"))?.trim() == "1")
    }
}

impl Drop for KernelLine {
    fn drop(&mut self) {
        // The next test tells.
        let _ = fs::write("/sys/class/gpio/unexport", self.0.to_string());
    }
}

/// Binds a device to a driver, or unbinds it.
fn rebind(driver: &str, what: &str, device: &str) -> Result<()> {
    let path = Path::new(driver).join(what);
    fs::write(&path, device).with_context(|| format!("writing {device} to {}", path.display()))
}

fn runtime_status() -> Result<String> {
    let text = fs::read_to_string(format!("{TARGET_MODULE}/power/runtime_status"))?;
    Ok(text.trim().to_owned())
}
