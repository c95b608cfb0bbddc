// SPDX-License-Identifier: MIT OR Apache-2.0

//! E7: the AM335x's GPIO in numbers.

use super::gpio::{bank, settled, PhysicalPage};
use crate::{Claim, Document, Finding, Lab, Need, Table, Verdict, Vm};
use anyhow::{ensure, Result};
use gpio_model::{Client, Operation, Register};
use mapwright::gpio::{Bank, Line};

pub const CLAIM: Claim = Claim {
    id: "E7",
    title: "The AM335x's GPIO registers",
    sources: &[
        Document::Reference.section("1.2, ARM Physical Address Layout"),
        Document::Reference.section("1.4, Accessing Hardware Registers on ARM"),
        Document::Reference.section("1.7, BeagleBone Black LED Blink"),
    ],
    says:
        "GPIO0 is at 0x44E00000; OE is at offset 0x34, DATAIN at 0x38, DATAOUT at 0x3C; the LED is \
           GPIO0_27, and writel(0, DATAOUT) turns it off.",
    needs: &[Need::Module("mapwright_gpio")],
    vms: &[Vm::Gpio, Vm::GpioArm, Vm::Arm64Gpio],
    prove,
};

/// Where the documents have GPIO0.
const CLAIMED_GPIO0: i32 = 0x44E0_0000;

/// A register, and where the documents have it.
const CLAIMED: [(Register, u32); 3] = [
    (Register::Oe, 0x34),
    (Register::DataIn, 0x38),
    (Register::DataOut, 0x3c),
];

fn prove(_: &Lab) -> Result<Finding> {
    let (mut model, bank) = bank()?;
    let led: Line = "USR0".parse()?;
    bank.set_direction(led, true)?;
    bank.set(led.mask(), 0)?;
    let page = bank.map(false)?;
    settled(&mut model, &bank)?;
    let mut offsets = Table::new(
        "The registers of a bank in which line 21 is an output, and high",
        [
            "register",
            "is at",
            "reads",
            "the documents say",
            "what is there",
            "reads",
        ],
    );
    let mut right = 0;
    for (register, claimed) in CLAIMED {
        let from = model.count()?;
        let (true_value, claimed_value) = (
            page.read(register.offset() as usize),
            page.read(claimed as usize),
        );
        let accessed: Vec<_> = model
            .since(from)?
            .iter()
            .map(|r| r.name.clone().unwrap_or_default())
            .collect();
        ensure!(
            accessed.len() == 2,
            "the device saw {accessed:?} for two loads"
        );
        right += usize::from(accessed[1] == register.name());
        offsets.row([
            register.name().into(),
            format!("{:#05x}", register.offset()),
            format!("{true_value:#010x}"),
            format!("{claimed:#04x}"),
            accessed[1].clone(),
            format!("{claimed_value:#010x}"),
        ]);
    }
    ensure!(
        leaves_others(&bank, led)?,
        "CLEARDATAOUT changed another output"
    );
    let hit = at_the_documents_address(&mut model)?;
    let finding = Finding::new(format!("{right} of {} offsets are right", CLAIMED.len()))
        .statement(
            "OE, DATAIN and DATAOUT are at 0x34, 0x38 and 0x3C",
            Verdict::of(right == CLAIMED.len()),
            "the device names what is there: registers of the interrupts",
        )
        .said_in(&[Document::Reference.section("1.4, Accessing Hardware Registers on ARM")])
        .statement(
            "GPIO0 is at 0x44E00000",
            Verdict::Refuted,
            "the kernel's device tree of the AM335x has GPIO0 at 0x44E07000, and at 0x44E00000 the clock \
             module CM_PER",
        )
        .said_in(&[
            Document::Reference.section("1.2, ARM Physical Address Layout"),
            Document::Reference.section("1.4, Accessing Hardware Registers on ARM"),
        ])
        .statement(
            "The LED is GPIO0_27",
            Verdict::Refuted,
            "the kernel's device tree of the BeagleBone Black has the LEDs USR0 to USR3 at GPIO1_21 to \
             GPIO1_24; GPIO0_27 is pin 17 of the header P8",
        )
        .said_in(&[Document::Reference.section("1.7, BeagleBone Black LED Blink")])
        .statement(
            "A store of 0 to DATAOUT turns the LED off",
            Verdict::Refuted,
            "at 0x3C a store of 0 does nothing; at 0x13C it would turn all outputs of the bank off. The \
             LED's bit stored to CLEARDATAOUT turned off just that, and left another output high",
        )
        .said_in(&[Document::Reference.section("1.7, BeagleBone Black LED Blink")])
        .table(offsets)
        .table(hits())
        .instead(
            "The documents' offsets are those of the OMAP2 and OMAP3. Here the same registers are 0x100 \
             further on: OE 0x134, DATAIN 0x138, DATAOUT 0x13C, and CLEARDATAOUT 0x190 and SETDATAOUT 0x194 change \
             single lines. The base addresses and the LED's line are read from the kernel's device \
             trees, not from a board.",
        );
    Ok(match hit {
        Some(table) => finding.table(table),
        None => finding,
    })
}

/// Whether the right way leaves another output as it was.
fn leaves_others(bank: &Bank, led: Line) -> Result<bool> {
    let other: Line = "USR1".parse()?;
    bank.set_direction(other, true)?;
    bank.set(led.mask() | other.mask(), 0)?;
    let levels = bank.set(0, led.mask())?;
    ensure!(levels & led.mask() == 0, "CLEARDATAOUT left the LED on");
    bank.set(0, other.mask())?;
    Ok(levels & other.mask() != 0)
}

/// Does what the documents do, where the banks are at their true addresses, and shows what was hit.
fn at_the_documents_address(model: &mut Client) -> Result<Option<Table>> {
    let Ok(others) = model.others(0) else {
        return Ok(None);
    };
    let Some(memory) = PhysicalPage::map(CLAIMED_GPIO0)? else {
        return Ok(None);
    };
    for (_, offset) in CLAIMED {
        memory.read(offset as usize);
    }
    memory.write(0x3c, 0);
    let records = model.others(others.len())?;
    ensure!(
        records.len() == CLAIMED.len() + 1,
        "the board saw {records:?}"
    );
    let mut table = Table::new(
        "The documents' accesses, done on the board: what they hit",
        ["access", "at", "hit", "which has the value"],
    );
    for record in records {
        let access = match record.operation {
            Operation::Read => "load",
            Operation::Write => "store",
        };
        table.row([
            access.into(),
            format!("{:#x}", record.offset),
            record.name.unwrap_or_else(|| "nothing".into()),
            format!("{:#010x}", record.value),
        ]);
    }
    Ok(Some(table))
}

/// What the documents' accesses would have done on the chip.
fn hits() -> Table {
    let mut table = Table::new(
        "What the documents' stores would have hit",
        ["store", "meant", "hits", "and does"],
    );
    for row in [
        [
            "0x44E00000 + 0x34",
            "GPIO0 OE",
            "CM_PER, MCASP0's clock",
            "changes the audio port's clock",
        ],
        [
            "0x44E00000 + 0x3C, 0",
            "GPIO0 DATAOUT",
            "CM_PER, MMC1's clock",
            "switches off the clock of a card reader",
        ],
        [
            "0x44E07000 + 0x34",
            "GPIO0 OE",
            "IRQSTATUS_SET_0",
            "lets lines interrupt",
        ],
        [
            "0x44E07000 + 0x3C, 0",
            "GPIO0 DATAOUT",
            "IRQSTATUS_CLR_0",
            "nothing: it acts on ones",
        ],
    ] {
        table.row(row.map(str::to_owned));
    }
    table
}
