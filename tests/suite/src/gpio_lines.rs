// SPDX-License-Identifier: MIT OR Apache-2.0

//! The GPIO driver's lines as gpiolib, `poll(2)` and other drivers get them, on the modelled bank.

mod edges;
mod requests;
mod values;

pub(crate) use edges::level_module;

use crate::{
    gpio::{address, is_pci, last_write, line, modelled_bank, unbind, wait_for},
    runner::{skip, suite, Context},
};
use anyhow::{ensure, Result};
use edges::{
    edges_are_events, levels_interrupt_for_as_long_as_they_last,
    nothing_that_was_before_is_an_event, poll_tells_of_edges,
};
use gpio_model::Register;
use gpiocdev::chip::{chips, Chip};
use mapwright::gpio::Bank;
use nix::{
    errno::Errno,
    sys::mman::{mmap, munmap, MapFlags, ProtFlags},
};
use requests::{
    a_line_in_use_is_refused_to_gpiolib, a_requested_line_holds_the_module,
    a_requested_line_is_refused_to_others, debugfs_witnesses_a_request,
    each_allocation_of_a_call_fails_in_turn, unbinding_ends_requests,
};
use std::{
    ffi::c_void,
    fs::{self, OpenOptions},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    ptr::NonNull,
};
use values::{
    an_output_is_read_as_it_drives, inputs_are_read, many_outputs_take_two_stores,
    outputs_are_set_with_a_store,
};

suite! { "gpio.lines":
    the_chip_has_its_name_and_its_lines,
    outputs_are_set_with_a_store,
    many_outputs_take_two_stores,
    inputs_are_read,
    an_output_is_read_as_it_drives,
    edges_are_events,
    nothing_that_was_before_is_an_event,
    levels_interrupt_for_as_long_as_they_last,
    debugfs_witnesses_a_request,
    a_requested_line_is_refused_to_others,
    a_line_in_use_is_refused_to_gpiolib,
    a_requested_line_holds_the_module,
    unbinding_ends_requests,
    poll_tells_of_edges,
    registers_are_restored,
    each_allocation_of_a_call_fails_in_turn,
}

/// The chip that the driver registered with gpiolib.
pub(crate) fn chip() -> Result<PathBuf> {
    for path in chips()? {
        if Chip::from_path(&path)?.info()?.label == "mapwright-gpio0" {
            return Ok(path);
        }
    }
    skip("this kernel has no gpiolib")
}

/// Where the kernel's error number is in what the crate says.
pub(crate) fn errno(err: &gpiocdev::Error) -> Option<Errno> {
    match err {
        gpiocdev::Error::Os(err) | gpiocdev::Error::Uapi(_, gpiocdev_uapi::Error::Os(err)) => {
            Some(Errno::from_raw(err.0))
        }
        _ => None,
    }
}

fn the_chip_has_its_name_and_its_lines(_: &Context) -> Result<()> {
    let (_model, _bank) = modelled_bank()?;
    let chip = Chip::from_path(chip()?)?;
    let info = chip.info()?;
    ensure!(info.num_lines == 32, "{} lines", info.num_lines);
    // The pins of the BeagleBone's headers that GPIO1 has, and its LEDs.
    let named = [
        (0, "P8_25"),
        (12, "P8_12"),
        (19, "P9_16"),
        (21, "USR0"),
        (24, "USR3"),
        (28, "P9_12"),
        (31, "P8_20"),
    ];
    for offset in 0..32 {
        let line = chip.line_info(offset)?;
        let expected = named.iter().find(|(of, _)| *of == offset);
        if let Some((_, name)) = expected {
            ensure!(line.name == *name, "line {offset}: {:?}", line.name);
        }
        let nothing = matches!(offset, 8..=11 | 20 | 25..=27);
        ensure!(
            line.name.is_empty() == nothing,
            "line {offset}: {:?}",
            line.name
        );
        ensure!(!line.used, "line {offset} is in use");
    }
    Ok(())
}

pub(crate) fn expect_interrupts() -> Result<()> {
    let symbols = fs::read_to_string("/proc/kallsyms")?;
    match symbols
        .lines()
        .any(|line| line.ends_with(" gpiochip_irq_map"))
    {
        true => Ok(()),
        false => skip("this kernel's gpiolib has no interrupts: CONFIG_GPIOLIB_IRQCHIP is off"),
    }
}

/// The registers, mapped without a driver.
pub(crate) struct Unbound {
    address: NonNull<c_void>,
}

/// Bytes of them.
const BYTES: NonZeroUsize = NonZeroUsize::new(gpio_model::SIZE as usize).expect("not 0");

impl Unbound {
    pub(crate) fn map(device: &str) -> Result<Self> {
        let sysfs = Path::new("/sys/bus/pci/devices").join(device);
        fs::write(sysfs.join("enable"), "1")?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(sysfs.join("resource0"))?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: A new mapping at an address of the kernel's choice.
        let address = unsafe { mmap(None, BYTES, protection, MapFlags::MAP_SHARED, &file, 0) }?;
        Ok(Self { address })
    }

    fn at(&self, register: Register) -> *mut u32 {
        let offset = register.offset() as usize;
        self.address.as_ptr().wrapping_byte_add(offset).cast()
    }

    pub(crate) fn read(&self, register: Register) -> u32 {
        // SAFETY: Registers are inside of the mapping, which lives as long as `self`.
        unsafe { self.at(register).read_volatile() }
    }

    pub(crate) fn write(&self, register: Register, value: u32) {
        // SAFETY: As in `read`.
        unsafe { self.at(register).write_volatile(value) };
    }
}

impl Drop for Unbound {
    fn drop(&mut self) {
        // SAFETY: This is the mapping that `map` made, and nothing of it is borrowed.
        let _ = unsafe { munmap(self.address, BYTES.get()) };
    }
}

/// Sets registers of a bank without a driver, and enables interrupts. Returns what was in the registers.
pub(crate) fn set_by_somebody_else<const N: usize>(
    address: &str,
    values: [(Register, u32); N],
    interrupts: u32,
) -> Result<[(Register, u32); N]> {
    let registers = Unbound::map(address)?;
    let original = values.map(|(register, _)| (register, registers.read(register)));
    for (register, value) in values {
        registers.write(register, value);
    }
    registers.write(Register::IrqStatusSet0, interrupts);
    Ok(original)
}

/// Whoever had the bank before gets it back as it was, all that the driver changes.
fn registers_are_restored(_: &Context) -> Result<()> {
    // Events are not enabled whose levels are there: the model would interrupt without end.
    const BEFORE: [(Register, u32); 9] = [
        (Register::DataOut, 0x0f00_0001),
        (Register::Oe, 0xf0ff_fffe),
        (Register::LevelDetect0, 0),
        (Register::LevelDetect1, 1 << 30),
        (Register::RisingDetect, 1 << 29),
        (Register::FallingDetect, 1 << 28),
        (Register::DebounceEnable, 1 << 27),
        (Register::DebouncingTime, 0x55),
        // The functional clock is divided by 2.
        (Register::Ctrl, 1 << 1),
    ];
    const ENABLED: u32 = (1 << 30) | (1 << 29) | (1 << 28);
    let (mut model, bank) = modelled_bank()?;
    let address = address()?;
    if !is_pci(&address) {
        return skip("without its driver, a bank of a device tree has no clock: only one behind PCI is looked at");
    }
    drop(bank);
    let device = unbind()?;
    let original = set_by_somebody_else(&address, BEFORE, ENABLED)?;
    device.bind()?;
    let bank = Bank::open(0)?;
    let info = bank.info()?;
    ensure!(info.outputs == 0x0f00_0001, "outputs: {:#x}", info.outputs);
    // All that can be changed is.
    for number in [1, 2, 24] {
        bank.set_direction(line(number), true)?;
    }
    bank.set(line(1).mask(), line(24).mask())?;
    bank.set_direction(line(0), false)?;
    bank.watch(line(29).mask() | line(3).mask(), line(28).mask())?;
    bank.blink(line(2), 1000)?;
    wait_for("it to blink", || {
        last_write(&mut model, Register::ClearDataOut).is_ok_and(|v| v == Some(line(2).mask()))
    })?;
    drop(bank);
    let device = unbind()?;
    let registers = Unbound::map(&address)?;
    let after = BEFORE.map(|(register, _)| (register, registers.read(register)));
    let enabled = registers.read(Register::IrqStatusSet0);
    for (register, value) in original {
        registers.write(register, value);
    }
    registers.write(Register::IrqStatusClr0, u32::MAX);
    drop(registers);
    device.bind()?;
    ensure!(after == BEFORE, "was {BEFORE:x?}, is {after:x?}");
    ensure!(enabled == ENABLED, "interrupts enabled: {enabled:#x}");
    Ok(())
}
