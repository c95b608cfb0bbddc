// SPDX-License-Identifier: MIT OR Apache-2.0

//! All four banks are ours, in the mode "bank".

use super::{all_proper_of, board, records, BANKS};
use crate::{
    gpio::{addresses, driver, insert, line, remove, wait_for, AsUsual, MODULE},
    runner::{skip, suite, Context},
};
use anyhow::{bail, ensure, Context as _, Result};
use gpio_model::{Client, Operation, Register};
use mapwright::gpio::Bank;
use std::{fs, path::Path};

suite! { "gpio.banks":
    each_is_a_bank_of_its_own,
    all_blink_at_once,
    leds_are_of_the_bank_that_is_named,
    each_is_restored,
    all_accesses_were_proper,
}

/// GPIO0's node in the device tree.
const NODE: &str = "/proc/device-tree/ocp/interconnect@44c00000/segment@200000/target-module@7000/mapwright-gpio@0";
/// A line that no bank has for anything.
const LINE: u32 = 9;

fn number(bank: usize) -> Result<u32> {
    Ok(u32::try_from(bank)?)
}

fn wait_for_all() -> Result<()> {
    wait_for("four device nodes", || {
        (0..BANKS).all(|bank| number(bank).is_ok_and(|bank| Bank::path(bank).exists()))
    })
}

/// The model, and the driver's banks.
fn banks() -> Result<(Client, Vec<Bank>)> {
    if !Path::new(NODE).exists() {
        return skip("it needs --machine virt --gpio DIR --gpio-mode banks");
    }
    let (model, _) = board("bank")?;
    wait_for_all()?;
    let open = |bank| Ok(Bank::open(number(bank)?)?);
    let banks = (0..BANKS).map(open).collect::<Result<_>>()?;
    Ok((model, banks))
}

/// How many accesses each of the modelled banks has had.
fn counts(model: &mut Client) -> Result<Vec<usize>> {
    (0..BANKS)
        .map(|bank| Ok(records(model, bank)?.len()))
        .collect()
}

fn each_is_a_bank_of_its_own(context: &Context) -> Result<()> {
    let (mut model, banks) = banks()?;
    let line = line(LINE);
    let mut numbers = Vec::new();
    for (number, bank) in banks.iter().enumerate() {
        let before = counts(&mut model)?;
        bank.set_direction(line, true)?;
        let levels = bank.set(line.mask(), 0)?;
        ensure!(levels & line.mask() != 0, "it is not high: {levels:#x}");
        bank.set_direction(line, false)?;
        let after = counts(&mut model)?;
        let changed: Vec<_> = (0..BANKS).filter(|of| before[*of] != after[*of]).collect();
        let [of] = changed[..] else {
            bail!("mapwright-gpio{number} is the banks {changed:?}");
        };
        numbers.push(of);
    }
    context.note(format!("mapwright-gpio0 to 3 are the banks {numbers:?}"));
    numbers.sort_unstable();
    ensure!(numbers == [0, 1, 2, 3], "not each is one: {numbers:?}");
    Ok(())
}

fn all_blink_at_once(context: &Context) -> Result<()> {
    let (mut model, banks) = banks()?;
    let line = line(LINE);
    let before = counts(&mut model)?;
    for bank in &banks {
        bank.set_direction(line, true)?;
        bank.blink(line, 20_000)?;
    }
    let mut toggles = |of: usize| -> Result<usize> {
        let all = records(&mut model, of)?;
        let stores = all[before[of]..].iter().filter(|record| {
            let register = record.register();
            matches!(
                register,
                Some(Register::SetDataOut | Register::ClearDataOut)
            ) && record.operation == Operation::Write
                && record.value == line.mask()
        });
        Ok(stores.count())
    };
    for of in 0..BANKS {
        wait_for("ten stores", || toggles(of).is_ok_and(|count| count >= 10))?;
    }
    for bank in &banks {
        bank.blink(line, 0)?;
        ensure!(bank.levels()? & line.mask() == 0, "it was left high");
        bank.set_direction(line, false)?;
    }
    context.note("at least ten stores to each".to_owned());
    Ok(())
}

/// The parameter's bank has LEDs, and no other bank's lines are touched.
fn leds_are_of_the_bank_that_is_named(context: &Context) -> Result<()> {
    const NAMED: usize = 2;
    const LEDS: u32 = 0x0180_0000;
    let (mut model, banks) = banks()?;
    drop(banks);
    context.module_named(MODULE)?;
    let before = counts(&mut model)?;
    remove()?;
    insert(context, &format!("leds=481ac000.mapwright-gpio:{LEDS:#x}"))?;
    let _as_usual = AsUsual(context);
    wait_for_all()?;
    for (name, is_there) in [
        ("usr0", false),
        ("usr1", false),
        ("usr2", true),
        ("usr3", true),
    ] {
        let led = format!("/sys/class/leds/mapwright:{name}");
        ensure!(Path::new(&led).exists() == is_there, "{led}: {}", !is_there);
    }
    fs::write("/sys/class/leds/mapwright:usr3/brightness", "1")?;
    let mut leds = Vec::new();
    for bank in 0..BANKS {
        leds.push(Bank::open(number(bank)?)?.info()?.leds);
    }
    leds.sort_unstable();
    ensure!(leds == [0, 0, 0, LEDS], "LEDs of the banks: {leds:x?}");
    for of in 0..BANKS {
        let records = records(&mut model, of)?;
        let mut stores = records[before[of]..]
            .iter()
            .filter(|record| record.operation == Operation::Write);
        let driven = stores.find(|record| match record.register() {
            Some(Register::SetDataOut | Register::ClearDataOut) => true,
            // When the module is removed, all are inputs as before.
            Some(Register::Oe) => record.value != u32::MAX,
            _ => false,
        });
        ensure!(driven.is_some() == (of == NAMED), "GPIO{of}: {driven:?}");
    }
    Ok(())
}

fn each_is_restored(_: &Context) -> Result<()> {
    let (mut model, banks) = banks()?;
    let line = line(LINE);
    for bank in &banks {
        bank.set_direction(line, true)?;
        bank.set(line.mask(), 0)?;
    }
    drop(banks);
    let names = addresses();
    ensure!(names.len() == BANKS, "bound are {names:?}");
    let write = |to: &str, name: &str| {
        fs::write(driver(name).join(to), name).with_context(|| format!("{to} {name}"))
    };
    for name in &names {
        write("unbind", name)?;
    }
    for of in 0..BANKS {
        let records = records(&mut model, of)?;
        for (register, before) in [(Register::Oe, u32::MAX), (Register::DataOut, 0)] {
            let mut stores = records.iter().rev().filter(|record| {
                record.register() == Some(register) && record.operation == Operation::Write
            });
            let last = stores.next().map(|record| record.value);
            ensure!(
                last == Some(before),
                "GPIO{of}: {register} is left {last:x?}"
            );
        }
    }
    for name in &names {
        write("bind", name)?;
    }
    wait_for_all()
}

fn all_accesses_were_proper(context: &Context) -> Result<()> {
    let (mut model, _banks) = banks()?;
    all_proper_of(&mut model, context, &[0, 1, 2, 3])
}
