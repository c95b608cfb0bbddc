// SPDX-License-Identifier: MIT OR Apache-2.0

//! A bank whose driver cannot be bound, because an allocation fails: it is as it was.

use crate::{
    gpio::{address, driver, is_pci, modelled_bank, unbind, wait_for, MODULE},
    gpio_lines::{chip, set_by_somebody_else, Unbound},
    inject::Injector,
    runner::{skip, suite, Context},
};
use anyhow::{ensure, Context as _, Result};
use gpio_model::Register;
use mapwright::gpio::Bank;
use std::{fs, path::Path};

suite! { "gpio.failing":
    a_bank_that_is_not_bound_is_given_back,
}

/// All that the driver changes, as somebody else has set it.
const BEFORE: [(Register, u32); 8] = [
    (Register::DataOut, 0x0f00_0001),
    (Register::Oe, 0xf0ff_fffe),
    (Register::LevelDetect0, 0),
    (Register::LevelDetect1, 1 << 30),
    (Register::RisingDetect, 1 << 29),
    (Register::FallingDetect, 1 << 28),
    (Register::DebounceEnable, 1 << 27),
    (Register::Ctrl, 1 << 1),
];
const ENABLED: u32 = (1 << 30) | (1 << 29) | (1 << 28);
/// So many failures are looked at: the driver core's, which comes last, and of those by which the device node is
/// made.
///
/// Not all, as the kernel warns of files in `/proc/irq` for which there was no memory.
const LATE: u32 = 12;

/// Fails if something of the driver's is left.
fn expect_given_back(address: &str) -> Result<()> {
    ensure!(!driver(address).join(address).exists(), "it is bound");
    ensure!(!Bank::path(0).exists(), "its device node stayed");
    ensure!(
        !Path::new("/sys/kernel/debug/mapwright-gpio0").exists(),
        "its directory in debugfs stayed"
    );
    ensure!(chip().is_err(), "its chip stayed");
    for list in ["/proc/iomem", "/proc/interrupts"] {
        ensure!(
            !fs::read_to_string(list)?.contains(MODULE),
            "it stayed in {list}"
        );
    }
    let registers = Unbound::map(address)?;
    let after = BEFORE.map(|(register, _)| (register, registers.read(register)));
    ensure!(after == BEFORE, "was {BEFORE:x?}, is {after:x?}");
    let enabled = registers.read(Register::IrqStatusSet0);
    ensure!(enabled == ENABLED, "interrupts enabled: {enabled:#x}");
    Ok(())
}

fn a_bank_that_is_not_bound_is_given_back(context: &Context) -> Result<()> {
    let (_model, bank) = modelled_bank()?;
    let injector = Injector::new()?;
    let address = address()?;
    if !is_pci(&address) {
        return skip("without its driver, a bank of a device tree has no clock: only one behind PCI is looked at");
    }
    drop(bank);
    let device = unbind()?;
    let original = set_by_somebody_else(&address, BEFORE, ENABLED)?;

    let write = |to: &str| fs::write(driver(&address).join(to), &address);
    let (bound, allocations) = injector.count(|| write("bind"))?;
    bound.context("binding it with nothing to fail")?;
    let mut failed = 0;
    let looked_at = (1..=allocations).rev().try_for_each(|nth| {
        if failed == LATE {
            return Ok(());
        }
        if driver(&address).join(&address).exists() {
            write("unbind")?;
        }
        let (bound, _) = injector.fail(nth, || write("bind"))?;
        if bound.is_ok() {
            return Ok(());
        }
        failed += 1;
        expect_given_back(&address).with_context(|| format!("allocation {nth} failed"))
    });
    if driver(&address).join(&address).exists() {
        write("unbind")?;
    }
    let registers = Unbound::map(&address)?;
    for (register, value) in original {
        registers.write(register, value);
    }
    registers.write(Register::IrqStatusClr0, u32::MAX);
    drop(registers);
    device.bind()?;
    wait_for("the device node", || Bank::path(0).exists())?;
    looked_at?;
    ensure!(
        failed == LATE,
        "{failed} of {allocations} failures were reported"
    );
    context.note(format!(
        "the last {failed} failures that binding it reports, of {allocations} allocations"
    ));
    Ok(())
}
