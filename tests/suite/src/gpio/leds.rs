// SPDX-License-Identifier: MIT OR Apache-2.0

//! Lines as LEDs of the kernel.

use super::{
    address, insert, led_parameter, line, load, modelled_bank, remove, settled, wait_for, AsUsual,
    MODULE,
};
use crate::{log::Log, runner::Context};
use anyhow::{ensure, Result};
use gpio_model::Register;
use mapwright::gpio::Bank;
use nix::errno::Errno;
use std::{
    fs::{self},
    path::Path,
    process::Command,
};

pub(super) fn lines_are_leds_with_triggers(context: &Context) -> Result<()> {
    const LED: &str = "/sys/class/leds/mapwright:usr2";
    let led = line(23);
    drop(modelled_bank()?);
    context.module_named(MODULE)?;
    let leds = led_parameter(0x0180_0000)?;
    remove()?;
    insert(context, &leds)?;
    let _as_usual = AsUsual(context);
    let (mut model, bank) = modelled_bank()?;
    let outputs = bank.info()?.outputs;
    ensure!(outputs == 0x0180_0000, "outputs: {outputs:#x}");
    ensure!(
        !Path::new("/sys/class/leds/mapwright:usr0").exists(),
        "an LED that was not asked for"
    );
    let set = |name: &str, text: &str| fs::write(Path::new(LED).join(name), text);
    let from = settled(&mut model, &bank)?;
    set("brightness", "1")?;
    let high = bank.levels()?;
    set("brightness", "0")?;
    let low = bank.levels()?;
    ensure!(
        high & led.mask() != 0 && low & led.mask() == 0,
        "{high:#x}, then {low:#x}"
    );
    let writes = model.writes(from)?;
    let expected = [
        (Register::SetDataOut, led.mask()),
        (Register::ClearDataOut, led.mask()),
    ];
    ensure!(writes == expected, "written: {writes:?}");
    // It may be built in.
    let _ = Command::new("modprobe").arg("ledtrig-heartbeat").output();
    let triggers = fs::read_to_string(Path::new(LED).join("trigger"))?;
    match triggers.split_whitespace().any(|name| name == "heartbeat") {
        true => set("trigger", "heartbeat")?,
        false => {
            context.note("this kernel has no trigger heartbeat: it is the timer's".to_owned());
            set("trigger", "timer")?;
        }
    }
    let from = settled(&mut model, &bank)?;
    wait_for("four edges of the trigger", || {
        model.writes(from).is_ok_and(|writes| writes.len() >= 4)
    })?;
    // Removed while the trigger runs, by `AsUsual`.
    Ok(())
}

/// The module does not come with a parameter that it cannot follow, and says why. One that names a bank that is
/// not there makes no LED.
pub(super) fn leds_of_no_bank_are_refused(context: &Context) -> Result<()> {
    let (_, bank) = modelled_bank()?;
    let name = address()?;
    drop(bank);
    context.module_named(MODULE)?;
    remove()?;
    let _as_usual = AsUsual(context);
    for (leds, why) in [
        ("0x01e00000", "it names no bank"),
        (":0x01e00000", "it names no bank"),
        (&format!("{name}:"), "is no mask of lines"),
        (&format!("{name}:LED"), "is no mask of lines"),
        (&format!("{name}:0x1ffffffff"), "is no mask of lines"),
        (&format!("{name}:1"), "only the lines 21 to 24"),
        (&format!("{name}:0x00200000,"), "it names no bank"),
        (&format!("{name}:0x00200000,0x00400000"), "it names no bank"),
        (
            &[format!("{name}:0x00200000").as_str(); 5].join(","),
            "it is one too many",
        ),
    ] {
        let mut log = Log::from_now()?;
        let refused = load(context, &format!("leds={leds}"));
        let errno = refused.as_ref().err().and_then(|err| err.downcast_ref());
        ensure!(errno == Some(&Errno::EINVAL), "leds={leds}: {refused:?}");
        let lines = log.lines();
        ensure!(
            lines
                .iter()
                .any(|line| line.contains("leds=") && line.contains(why)),
            "leds={leds}: {lines:?}"
        );
    }
    let mut log = Log::from_now()?;
    insert(context, "leds=0000:ff:1f.7:0x01e00000")?;
    let lines = log.lines();
    ensure!(
        lines
            .iter()
            .any(|line| line.contains("no such bank so far")),
        "another bank's LEDs: {lines:?}"
    );
    let info = Bank::open(0)?.info()?;
    ensure!(info.leds == 0 && info.outputs == 0, "{info:?}");
    Ok(())
}
