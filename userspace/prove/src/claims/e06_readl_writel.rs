// SPDX-License-Identifier: MIT OR Apache-2.0

//! E6: what `readl` and `writel` promise, seen from the device.

use super::gpio::{bank, settled};
use crate::{Claim, Document, Finding, Lab, Need, Table, Verdict, Vm};
use anyhow::{ensure, Result};
use gpio_model::{Operation, Record, Register};
use mapwright::gpio::Line;

pub const CLAIM: Claim = Claim {
    id: "E6",
    title: "ioremap, readl, writel",
    sources: &[
        Document::Walkthrough.section("8, Device & MMIO mappings"),
        Document::Reference.section("4.6, Hardware Peripheral Access Pattern"),
        Document::Reference.section("5, Why Physical Address Space Matters"),
    ],
    says: "A device's registers are mapped with ioremap() and accessed with readl() and writel() only: \
           each access reaches the device, as wide as it was written, in the order of the program.",
    needs: &[Need::Module("mapwright_gpio")],
    vms: &[Vm::Gpio, Vm::GpioArm, Vm::Arm64Gpio],
    prove,
};

/// What is done: the same store thrice, then the other one. A compiler would make one of the three.
const HIGHS: usize = 3;

fn prove(_: &Lab) -> Result<Finding> {
    let (mut model, bank) = bank()?;
    let led: Line = "USR0".parse()?;
    bank.set_direction(led, true)?;
    let from = settled(&mut model, &bank)?;
    for _ in 0..HIGHS {
        bank.set(led.mask(), 0)?;
    }
    bank.set(0, led.mask())?;
    let records = model.since(from)?;
    ensure!(!records.is_empty(), "the device saw nothing");

    let stores: Vec<&Record> = records
        .iter()
        .filter(|r| r.operation == Operation::Write)
        .collect();
    let expected = [Register::SetDataOut; HIGHS]
        .into_iter()
        .chain([Register::ClearDataOut]);
    let expected: Vec<_> = expected.map(Some).collect();
    let in_order = stores.iter().map(|r| r.register()).collect::<Vec<_>>() == expected;
    let values = stores.iter().all(|r| r.value == led.mask());
    let wide = records.iter().all(Record::is_proper);
    // After each call's store, its load: the store had reached the device before.
    let load_after_store = records.windows(2).all(|pair| {
        let stored = pair[0].operation == Operation::Write;
        !stored
            || (pair[1].operation == Operation::Read
                && pair[1].register() == Some(Register::DataIn))
    });
    let high = records.windows(2).all(|pair| {
        let set = pair[0].operation == Operation::Write
            && pair[0].register() == Some(Register::SetDataOut);
        !set || pair[1].value & led.mask() != 0
    });
    Ok(Finding::new(format!(
        "{} accesses, in order, each 32 bits",
        records.len()
    ))
    .statement(
        "Each store reaches the device, also one that repeats the former, in the program's order",
        Verdict::of(in_order && values),
        format!(
            "{} stores of the program, {} at the device",
            HIGHS + 1,
            stores.len()
        ),
    )
    .said_in(&[
        Document::Walkthrough.section("8, Device & MMIO mappings"),
        Document::Walkthrough.section("Common pitfalls to call out"),
    ])
    .statement(
        "They are as wide as writel() and readl() say",
        Verdict::of(wide),
        format!(
            "accesses that were not 32 bits wide, to a register: {}",
            records.iter().filter(|r| !r.is_proper()).count()
        ),
    )
    .said_in(&[
        Document::Walkthrough.section("8, Device & MMIO mappings"),
        Document::Walkthrough.section("Common pitfalls to call out"),
    ])
    .statement(
        "A load comes after the stores before it, and sees what they did",
        Verdict::of(load_after_store && high),
        "DATAIN is read after each store, and has the level",
    )
    .said_in(&[
        Document::Walkthrough.section("8, Device & MMIO mappings"),
        Document::Walkthrough.section("Common pitfalls to call out"),
    ])
    .table(table(&records)))
}

fn table(records: &[Record]) -> Table {
    let mut table = Table::new(
        "What the device saw",
        ["access", "register", "bits", "value"],
    );
    for record in records {
        let access = match record.operation {
            Operation::Read => "load",
            Operation::Write => "store",
        };
        table.row([
            access.into(),
            record.name.clone().unwrap_or_default(),
            record.width.to_string(),
            format!("{:#010x}", record.value),
        ]);
    }
    table
}
