// SPDX-License-Identifier: MIT OR Apache-2.0

//! Mode "bank": GPIO1 is ours, with its clock and its interrupt. The other banks are the kernel's own
//! driver's, whose accesses ours are compared with.

use super::{
    all_proper, blink_past_idle, board, rebind, records, runtime_status, word_at, KernelLine, OMAP,
};
use crate::{
    child,
    gpio::{insert, led_parameter, line, remove, settled, unbind, wait_for, MODULE},
    runner::{suite, Context},
};
use anyhow::{ensure, Result};
use gpio_model::{Client, Level, Operation, Register};
use mapwright::gpio::Bank;
use nix::sys::signal::Signal;
use std::{fs, path::Path, process::Command, thread, time::Duration};

suite! { "gpio.board":
    set_and_clear_are_the_kernels_stores,
    an_led_is_the_kernels_stores,
    a_direction_is_the_kernels_store,
    a_level_is_the_kernels_load,
    taking_over_is_as_the_kernel_begins,
    the_claim_has_our_name,
    blinks_past_the_idle_delay,
    bound_again_while_the_parent_idles,
    inserted_again,
    all_accesses_were_proper,
    an_access_without_clock_aborts,
}

/// The bank GPIO3, which has the kernel's driver here.
const ORACLE: &str = "481ae000";
const ORACLE_BANK: usize = 3;

type Trace = Vec<(Operation, Register, u32)>;

/// What `act` does to the registers of `bank` that lines are driven and read by.
fn trace(model: &mut Client, bank: usize, act: impl FnOnce() -> Result<()>) -> Result<Trace> {
    use Register as R;
    let from = records(model, bank)?.len();
    act()?;
    let records = records(model, bank)?;
    let lines = records[from..].iter().filter_map(|record| {
        let register = record.register()?;
        let of_lines = [R::Oe, R::DataIn, R::DataOut, R::SetDataOut, R::ClearDataOut];
        of_lines
            .contains(&register)
            .then_some((record.operation, register, record.value))
    });
    Ok(lines.collect())
}

fn stores(trace: &Trace) -> Vec<(Register, u32)> {
    let stores = trace.iter().filter(|(of, ..)| *of == Operation::Write);
    stores
        .map(|(_, register, value)| (*register, *value))
        .collect()
}

fn set_and_clear_are_the_kernels_stores(context: &Context) -> Result<()> {
    let (mut model, bank) = board("bank")?;
    let led = line(21);
    let theirs = KernelLine::of(ORACLE, led.number())?;
    theirs.write("direction", "low")?;
    bank.set_direction(led, true)?;
    for high in [true, false] {
        let kernel = trace(&mut model, ORACLE_BANK, || {
            theirs.write("value", if high { "1" } else { "0" })
        })?;
        let ours = trace(&mut model, 1, || {
            let (set, clear) = if high {
                (led.mask(), 0)
            } else {
                (0, led.mask())
            };
            bank.set(set, clear)?;
            Ok(())
        })?;
        ensure!(
            stores(&kernel).len() == 1 && stores(&kernel) == stores(&ours),
            "gpio-omap: {kernel:x?}, ours: {ours:x?}"
        );
        context.note(format!("both: {:x?}", stores(&ours)));
    }
    bank.set_direction(led, false)?;
    Ok(())
}

fn an_led_is_the_kernels_stores(_: &Context) -> Result<()> {
    let (mut model, bank) = board("bank")?;
    let led = line(21);
    // It may be there already.
    let _ = Command::new("modprobe").arg("leds-gpio").output();
    let brightness = Path::new("/sys/class/leds/oracle/brightness");
    wait_for("the LED of leds-gpio", || brightness.exists())?;
    let blink = |to: &Path| -> Result<()> {
        fs::write(to, "1")?;
        fs::write(to, "0")?;
        Ok(())
    };
    let kernel = trace(&mut model, ORACLE_BANK, || blink(brightness))?;
    bank.set_direction(led, true)?;
    let ours = trace(&mut model, 1, || {
        bank.set(led.mask(), 0)?;
        bank.set(0, led.mask())?;
        Ok(())
    })?;
    bank.set_direction(led, false)?;
    ensure!(
        stores(&kernel).len() == 2 && stores(&kernel) == stores(&ours),
        "leds-gpio: {kernel:x?}, ours: {ours:x?}"
    );
    Ok(())
}

fn a_direction_is_the_kernels_store(_: &Context) -> Result<()> {
    let (mut model, bank) = board("bank")?;
    let pin = line(9);
    let theirs = KernelLine::of(ORACLE, pin.number())?;
    theirs.write("direction", "in")?;
    bank.set_direction(pin, false)?;
    for output in [true, false] {
        let kernel = trace(&mut model, ORACLE_BANK, || {
            theirs.write("direction", if output { "low" } else { "in" })
        })?;
        let ours = trace(&mut model, 1, || Ok(bank.set_direction(pin, output)?))?;
        for (who, trace) in [("gpio-omap", &kernel), ("ours", &ours)] {
            let directions: Vec<_> = stores(trace)
                .into_iter()
                .filter(|(register, _)| *register == Register::Oe)
                .collect();
            ensure!(
                matches!(directions[..], [(_, oe)] if (oe & pin.mask() == 0) == output),
                "{who}: {trace:x?}"
            );
        }
    }
    Ok(())
}

fn a_level_is_the_kernels_load(_: &Context) -> Result<()> {
    let (mut model, bank) = board("bank")?;
    let button = line(9);
    let theirs = KernelLine::of(ORACLE, button.number())?;
    theirs.write("direction", "in")?;
    bank.set_direction(button, false)?;
    for (level, high) in [(Level::High, true), (Level::Low, false)] {
        for of in [ORACLE_BANK, 1] {
            model.choose(of);
            model.drive(button.number(), level)?;
        }
        let mut read = [None; 2];
        let kernel = trace(&mut model, ORACLE_BANK, || {
            read[0] = Some(theirs.value()?);
            Ok(())
        })?;
        let ours = trace(&mut model, 1, || {
            read[1] = Some(bank.levels()? & button.mask() != 0);
            Ok(())
        })?;
        ensure!(read == [Some(high); 2], "{level:?} is read as {read:?}");
        for (who, trace) in [("gpio-omap", &kernel), ("ours", &ours)] {
            let loads = trace.iter().filter(|(_, of, _)| *of == Register::DataIn);
            ensure!(
                loads.count() == 1 && stores(trace).is_empty(),
                "{who}: {trace:x?}"
            );
        }
    }
    Ok(())
}

/// What is written last to each register, until `act` is done.
fn taking_over_is_as_the_kernel_begins(context: &Context) -> Result<()> {
    let (mut model, bank) = board("bank")?;
    drop(bank);
    let kernel_from = records(&mut model, ORACLE_BANK)?.len();
    let device = format!("{ORACLE}.gpio");
    rebind(OMAP, "unbind", &device)?;
    rebind(OMAP, "bind", &device)?;
    let kernel = records(&mut model, ORACLE_BANK)?;
    let device = unbind()?;
    let from = model.count()?;
    device.bind()?;
    let ours = model.since(from)?;
    let last = |records: &[gpio_model::Record], register: Register| {
        let mut stores = records
            .iter()
            .rev()
            .filter(|r| r.operation == Operation::Write);
        stores
            .find(|r| r.register() == Some(register))
            .map(|r| r.value)
    };
    use Register as R;
    for register in [
        R::Ctrl,
        R::LevelDetect0,
        R::LevelDetect1,
        R::RisingDetect,
        R::FallingDetect,
        R::DebounceEnable,
        R::IrqStatus0,
    ] {
        let values = [
            last(&kernel[kernel_from..], register),
            last(&ours, register),
        ];
        ensure!(
            values[0].is_some() && values[0] == values[1],
            "{register}: gpio-omap, ours: {values:x?}"
        );
        context.note(format!(
            "{register}: both end with {:#x}",
            values[0].unwrap_or(0)
        ));
    }
    // That is how they switch interrupts off: gpio-omap finds none on, or stores as we do.
    let info = fs::read_to_string("/sys/kernel/debug/mapwright-gpio0/registers")?;
    let enabled = info.lines().find(|l| l.contains("IRQSTATUS_SET_0"));
    ensure!(
        enabled.is_some_and(|l| l.contains("0x00000000")),
        "interrupts are on: {enabled:?}"
    );
    Ok(())
}

fn the_claim_has_our_name(_: &Context) -> Result<()> {
    drop(board("bank")?);
    let iomem = fs::read_to_string("/proc/iomem")?;
    let resource = iomem.lines().find(|l| l.contains("4804c000-4804cfff"));
    ensure!(
        resource.is_some_and(|l| l.ends_with(": mapwright_gpio")),
        "/proc/iomem says {resource:?}"
    );
    Ok(())
}

fn blinks_past_the_idle_delay(context: &Context) -> Result<()> {
    let (mut model, bank) = board("bank")?;
    let led = line(22);
    bank.set_direction(led, true)?;
    let from = settled(&mut model, &bank)?;
    let writes = blink_past_idle(&mut model, &bank, led, from)?;
    let toggles = writes.iter().all(|(register, value)| {
        matches!(register, Register::SetDataOut | Register::ClearDataOut) && *value == led.mask()
    });
    ensure!(toggles, "other stores: {writes:x?}");
    bank.set_direction(led, false)?;
    context.note(format!("the parent is {}", runtime_status()?));
    Ok(())
}

fn bound_again_while_the_parent_idles(_: &Context) -> Result<()> {
    let (mut model, bank) = board("bank")?;
    drop(bank);
    for _ in 0..2 {
        let device = unbind()?;
        wait_for("the parent to be suspended", || {
            runtime_status().is_ok_and(|status| status == "suspended")
        })?;
        let off = |model: &mut Client| -> Result<bool> {
            let others = model.others(0)?;
            let clock = others.iter().rev().find(|r| {
                r.name.as_deref() == Some("CM_PER_GPIO1_CLKCTRL") && r.operation == Operation::Write
            });
            Ok(clock.is_some_and(|r| r.value & 3 == 0))
        };
        ensure!(off(&mut model)?, "the clock stayed on");
        device.bind()?;
        Bank::open(0)?.info()?;
        ensure!(runtime_status()? == "active", "the parent idles");
    }
    Ok(())
}

fn inserted_again(context: &Context) -> Result<()> {
    drop(board("bank")?);
    context.module_named(MODULE)?;
    let leds = led_parameter(0x01e0_0000)?;
    for _ in 0..2 {
        remove()?;
        insert(context, &leds)?;
        fs::write("/sys/class/leds/mapwright:usr3/brightness", "1")?;
        Bank::open(0)?.info()?;
    }
    remove()?;
    insert(context, "")
}

fn all_accesses_were_proper(context: &Context) -> Result<()> {
    let (mut model, _bank) = board("bank")?;
    all_proper(&mut model, context)
}

/// On purpose, to see that the model would tell: GPIO2 has its clock off, as nobody uses it.
fn an_access_without_clock_aborts(context: &Context) -> Result<()> {
    const GPIO2: i32 = 0x481a_c000;
    let (mut model, _bank) = board("bank")?;
    // While a line is in use, the clock is on.
    let held = KernelLine::of("481ac000", 1)?;
    let revision = word_at(GPIO2)?;
    ensure!(revision == 0x5060_0801, "REVISION is {revision:#x}");
    drop(held);
    thread::sleep(Duration::from_millis(200));
    let from = records(&mut model, 2)?.len();
    let signal = child::killed_by(|| word_at(GPIO2).map(drop))?;
    let accesses = records(&mut model, 2)?;
    ensure!(
        signal == Some(Signal::SIGBUS),
        "the program that loaded it was ended by {signal:?}"
    );
    // Rust's handler of SIGBUS looks whether the stack was full, and lets the load be tried again.
    let loads = &accesses[from..];
    ensure!(
        !loads.is_empty() && loads.iter().all(|load| load.aborted && load.offset == 0),
        "the model saw {loads:?}"
    );
    context.note("a load without clock: an external abort, SIGBUS for the program".to_owned());
    Ok(())
}
