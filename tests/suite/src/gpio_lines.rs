// SPDX-License-Identifier: MIT OR Apache-2.0

//! The GPIO driver's lines as gpiolib, `poll(2)` and other drivers get them, on the modelled bank.

use crate::{
    gpio::{
        address, armed, expect_untouched, insert, is_pci, last_write, led_parameter, line, load,
        modelled_bank, press, remove, settled, unbind, wait_for, AsUsual, MODULE,
    },
    inject::each_failure,
    runner::{skip, suite, Context},
};
use anyhow::{ensure, Context as _, Result};
use gpio_model::{Level, Register};
use gpiocdev::{
    chip::{chips, Chip},
    line::{EdgeDetection, EdgeKind, Value, Values},
    Request,
};
use mapwright::gpio::{Bank, EDGE_FALLING, EDGE_RISING};
use nix::{
    errno::Errno,
    kmod::{delete_module, finit_module, DeleteModuleFlags, ModuleInitFlags},
    poll::{poll, PollFd, PollFlags, PollTimeout},
    sys::mman::{mmap, munmap, MapFlags, ProtFlags},
};
use std::{
    ffi::{c_void, CString},
    fs::{self, File, OpenOptions},
    num::NonZeroUsize,
    os::fd::AsFd,
    path::{Path, PathBuf},
    ptr::NonNull,
    thread,
    time::Duration,
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

fn outputs_are_set_with_a_store(_: &Context) -> Result<()> {
    let (mut model, bank) = modelled_bank()?;
    let led = line(21);
    let from = settled(&mut model, &bank)?;
    let request = Request::builder()
        .on_chip(chip()?)
        .with_line(21)
        .as_output(Value::Active)
        .request()?;
    settled(&mut model, &bank)?;
    let writes = model.writes(from)?;
    let (set, oe) = (Register::SetDataOut, Register::Oe);
    ensure!(
        matches!(writes[..], [(a, mask), (b, value)]
            if a == set && b == oe && mask == led.mask() && value & led.mask() == 0),
        "the level comes first, then the direction: {writes:x?}"
    );
    for (value, register) in [
        (Value::Inactive, Register::ClearDataOut),
        (Value::Active, Register::SetDataOut),
    ] {
        let from = settled(&mut model, &bank)?;
        request.set_value(21, value)?;
        settled(&mut model, &bank)?;
        let writes = model.writes(from)?;
        ensure!(writes == [(register, led.mask())], "{value:?}: {writes:x?}");
        let high = model.levels()? & led.mask() != 0;
        ensure!(
            high == (value == Value::Active),
            "{value:?}: the line is not"
        );
    }
    Ok(())
}

fn many_outputs_take_two_stores(_: &Context) -> Result<()> {
    let (mut model, bank) = modelled_bank()?;
    let mut values = Values::default();
    for offset in 0..32 {
        values.set(offset, Value::Inactive);
    }
    let request = Request::builder()
        .on_chip(chip()?)
        .with_output_lines(&values)
        .request()?;
    for offset in (0..32).step_by(2) {
        values.set(offset, Value::Active);
    }
    let from = settled(&mut model, &bank)?;
    request.set_values(&values)?;
    settled(&mut model, &bank)?;
    let writes = model.writes(from)?;
    let expected = [
        (Register::SetDataOut, 0x5555_5555),
        (Register::ClearDataOut, 0xaaaa_aaaa),
    ];
    ensure!(writes == expected, "written: {writes:x?}");
    ensure!(model.levels()? == 0x5555_5555, "the lines are not");
    drop(request);
    for offset in 0..32 {
        bank.set_direction(line(offset), false)?;
    }
    Ok(())
}

fn inputs_are_read(_: &Context) -> Result<()> {
    let (mut model, _bank) = modelled_bank()?;
    let request = Request::builder()
        .on_chip(chip()?)
        .with_lines(&[3, 4])
        .as_input()
        .request()?;
    for (level, expected) in [
        (Level::High, Value::Active),
        (Level::Low, Value::Inactive),
        (Level::Floating, Value::Inactive),
    ] {
        model.drive(3, level)?;
        let read = request.value(3)?;
        ensure!(read == expected, "{level:?} is read as {read:?}");
    }
    model.drive(4, Level::High)?;
    let mut values = Values::default();
    request.values(&mut values)?;
    let read = (values.get(3), values.get(4));
    ensure!(
        read == (Some(Value::Inactive), Some(Value::Active)),
        "both at once: {read:?}"
    );
    model.drive(4, Level::Floating)?;
    Ok(())
}

/// The pin of an output may have no receiver, as the user LEDs' on a BeagleBone Black.
fn an_output_is_read_as_it_drives(_: &Context) -> Result<()> {
    let (mut model, bank) = modelled_bank()?;
    bank.set_direction(line(21), true)?;
    bank.set(line(21).mask(), 0)?;
    let from = settled(&mut model, &bank)?;
    ensure!(bank.levels()? & line(21).mask() != 0, "it is not high");
    let read: Vec<_> = model.since(from)?.iter().map(|r| r.register()).collect();
    let expected = [Register::Oe, Register::DataIn, Register::DataOut].map(Some);
    ensure!(read == expected, "read: {read:?}");
    bank.set(0, line(21).mask())?;
    bank.set_direction(line(21), false)?;
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

fn edges_are_events(_: &Context) -> Result<()> {
    let (mut model, bank) = modelled_bank()?;
    let chip = chip()?;
    expect_interrupts()?;
    for (edges, expected) in [
        (
            EdgeDetection::BothEdges,
            &[EdgeKind::Rising, EdgeKind::Falling][..],
        ),
        (EdgeDetection::RisingEdge, &[EdgeKind::Rising]),
        (EdgeDetection::FallingEdge, &[EdgeKind::Falling]),
    ] {
        press(&mut model, &bank, 7, Level::Low)?;
        let request = Request::builder()
            .on_chip(&chip)
            .with_line(7)
            .with_edge_detection(edges)
            .request()?;
        for level in [Level::High, Level::Low, Level::High, Level::Low] {
            press(&mut model, &bank, 7, level)?;
            // One interrupt for each: two that come at once are one.
            bank.levels()?;
            let is_told = match level {
                Level::High => edges != EdgeDetection::FallingEdge,
                _ => edges != EdgeDetection::RisingEdge,
            };
            if is_told {
                ensure!(
                    request.wait_edge_event(Duration::from_secs(10))?,
                    "{edges:?}: {level:?} is no event"
                );
                let event = request.read_edge_event()?;
                let kind = match level {
                    Level::High => EdgeKind::Rising,
                    _ => EdgeKind::Falling,
                };
                ensure!(
                    event.offset == 7 && event.kind == kind && expected.contains(&kind),
                    "{level:?}: {event:?}"
                );
            }
        }
        ensure!(!request.has_edge_event()?, "{edges:?}: one too many");
    }
    for register in [Register::RisingDetect, Register::FallingDetect] {
        let value = last_write(&mut model, register)?;
        ensure!(value == Some(0), "{register} was left {value:x?}");
    }
    let interrupts = fs::read_to_string("/proc/interrupts")?;
    ensure!(
        interrupts.lines().all(|line| !line.contains("gpiocdev")),
        "an interrupt stayed requested:\n{interrupts}"
    );
    Ok(())
}

/// A line whose edges were events for somebody else is new to whoever requests it next.
fn nothing_that_was_before_is_an_event(_: &Context) -> Result<()> {
    let (mut model, bank) = modelled_bank()?;
    let chip = chip()?;
    expect_interrupts()?;
    press(&mut model, &bank, 8, Level::Low)?;
    let request = || {
        Request::builder()
            .on_chip(&chip)
            .with_line(8)
            .with_edge_detection(EdgeDetection::BothEdges)
            .request()
    };
    drop(request()?);
    press(&mut model, &bank, 8, Level::High)?;
    bank.levels()?;
    let again = request()?;
    ensure!(
        !again.wait_edge_event(Duration::from_millis(200))?,
        "an edge of before is an event"
    );
    press(&mut model, &bank, 8, Level::Floating)?;
    ensure!(
        again.wait_edge_event(Duration::from_secs(10))?,
        "an edge is none"
    );
    Ok(())
}

/// The file of the module that is a consumer of a level's interrupts.
pub(crate) fn level_module() -> Result<PathBuf> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    // From the repository, where the test harness's guests begin.
    let file = PathBuf::from(format!("build/{}/level/mapwright_level.ko", release.trim()));
    match file.exists() {
        true => Ok(file),
        false => skip("there is no consumer of a level's interrupts: make test builds one"),
    }
}

/// A consumer in the kernel: programs can ask gpiolib for edges only.
fn levels_interrupt_for_as_long_as_they_last(_: &Context) -> Result<()> {
    const NAME: &std::ffi::CStr = c"mapwright_level";
    let (mut model, bank) = modelled_bank()?;
    expect_interrupts()?;
    let file = level_module()?;
    let button = line(11);
    bank.set_direction(button, false)?;
    let parameter = |name: &str| -> Result<i32> {
        let text = fs::read_to_string(format!("/sys/module/mapwright_level/parameters/{name}"))?;
        Ok(text.trim().parse()?)
    };
    let count = || parameter("count");
    for (high, active, idle, register) in [
        (1, Level::High, Level::Low, Register::LevelDetect1),
        (0, Level::Low, Level::High, Register::LevelDetect0),
    ] {
        press(&mut model, &bank, button.number(), idle)?;
        let parameters = CString::new(format!("line={} high={high}", button.number()))?;
        finit_module(&File::open(&file)?, &parameters, ModuleInitFlags::empty())?;
        let counted = (|| {
            thread::sleep(Duration::from_millis(50));
            // A line wakes nobody, and nobody is told that it does.
            let wake = parameter("wake")?;
            ensure!(wake == -(Errno::ENXIO as i32), "enable_irq_wake: {wake}");
            ensure!(count()? == 0, "it interrupts before it is {active:?}");
            let detected = last_write(&mut model, register)?;
            ensure!(detected == Some(button.mask()), "{register}: {detected:x?}");
            press(&mut model, &bank, button.number(), active)?;
            wait_for("three interrupts", || count().is_ok_and(|n| n >= 3))?;
            press(&mut model, &bank, button.number(), idle)?;
            thread::sleep(Duration::from_millis(100));
            let before = count()?;
            thread::sleep(Duration::from_millis(100));
            let after = count()?;
            ensure!(
                after == before,
                "{} more when it is {idle:?}",
                after - before
            );
            Ok(())
        })();
        delete_module(NAME, DeleteModuleFlags::O_NONBLOCK)?;
        counted?;
        let left = last_write(&mut model, register)?;
        ensure!(left == Some(0), "{register} was left {left:x?}");
    }
    press(&mut model, &bank, button.number(), Level::Floating)?;
    Ok(())
}

fn debugfs_witnesses_a_request(_: &Context) -> Result<()> {
    let (_model, _bank) = modelled_bank()?;
    let _request = Request::builder()
        .on_chip(chip()?)
        .with_consumer("witness")
        .with_line(22)
        .as_output(Value::Active)
        .request()?;
    let text = fs::read_to_string("/sys/kernel/debug/gpio")?;
    let line = text
        .lines()
        .find(|line| line.contains("witness"))
        .with_context(|| format!("it is not in debugfs:\n{text}"))?;
    for word in ["USR1", "out", "hi"] {
        ensure!(line.contains(word), "no {word:?} in {line:?}");
    }
    Ok(())
}

fn a_requested_line_is_refused_to_others(_: &Context) -> Result<()> {
    let (mut model, bank) = modelled_bank()?;
    let request = Request::builder()
        .on_chip(chip()?)
        .with_line(21)
        .as_output(Value::Inactive)
        .request()?;
    let led = line(21);
    ensure!(
        bank.info()?.requested == led.mask(),
        "requested: {:x}",
        bank.info()?.requested
    );
    let from = settled(&mut model, &bank)?;
    let refused = [
        ("set", bank.set(led.mask(), 0).map(drop)),
        ("clear with others", bank.set(0, led.mask() | 1).map(drop)),
        ("direction", bank.set_direction(led, false)),
        ("blink", bank.blink(led, 1000)),
        ("wait", bank.wait(led, EDGE_RISING, 1).map(drop)),
        ("watch", bank.watch(0, led.mask() | 1)),
    ];
    for (what, result) in refused {
        let answer = result.map_err(|err| err.errno());
        ensure!(answer == Err(Some(Errno::EBUSY)), "{what}: {answer:?}");
    }
    let writes = model.writes(from)?;
    ensure!(
        !writes.iter().any(|(register, _)| matches!(
            register,
            Register::SetDataOut | Register::ClearDataOut | Register::Oe
        )),
        "a refusal wrote: {writes:x?}"
    );
    drop(request);
    ensure!(bank.info()?.requested == 0, "it stayed requested");
    bank.set_direction(led, true)?;
    bank.set(0, led.mask())?;
    Ok(())
}

fn a_line_in_use_is_refused_to_gpiolib(context: &Context) -> Result<()> {
    let (model, bank) = modelled_bank()?;
    let chip_path = chip()?;
    let request = |offset| {
        Request::builder()
            .on_chip(&chip_path)
            .with_line(offset)
            .as_input()
            .request()
            .map(drop)
            .map_err(|err| errno(&err))
    };
    let blinking = line(22);
    bank.set_direction(blinking, true)?;
    bank.blink(blinking, 100_000)?;
    let result = request(22);
    bank.blink(blinking, 0)?;
    ensure!(
        result == Err(Some(Errno::EBUSY)),
        "one that blinks: {result:?}"
    );
    bank.watch(line(5).mask(), 0)?;
    let result = request(5);
    bank.watch(0, 0)?;
    ensure!(
        result == Err(Some(Errno::EBUSY)),
        "one that is watched: {result:?}"
    );
    for offset in [22, 5] {
        let result = request(offset);
        ensure!(result == Ok(()), "line {offset}, which is free: {result:?}");
    }
    drop((model, bank));
    context.module_named(MODULE)?;
    let leds = led_parameter(line(21).mask())?;
    remove()?;
    insert(context, &leds)?;
    let _as_usual = AsUsual(context);
    let result = request(21);
    ensure!(result == Err(Some(Errno::EBUSY)), "an LED: {result:?}");
    let (_model, bank) = modelled_bank()?;
    ensure!(
        bank.info()?.leds == line(21).mask(),
        "LEDs: {:x}",
        bank.info()?.leds
    );
    let result = bank.set(line(21).mask(), 0).map_err(|err| err.errno());
    ensure!(
        result == Err(Some(Errno::EBUSY)),
        "an LED's line can be set: {result:?}"
    );
    Ok(())
}

fn a_requested_line_holds_the_module(context: &Context) -> Result<()> {
    drop(modelled_bank()?);
    context.module_named(MODULE)?;
    let chip = chip()?;
    let request = Request::builder()
        .on_chip(&chip)
        .with_line(3)
        .as_input()
        .request()?;
    let result = remove().err().map(|err| err.downcast::<Errno>());
    ensure!(
        matches!(result, Some(Ok(Errno::EWOULDBLOCK))),
        "rmmod with a requested line: {result:?}"
    );
    drop(request);
    // The chip alone does not: it answers that the device is gone.
    let open = Chip::from_path(&chip)?;
    remove()?;
    let result = open.line_info(0).map_err(|err| errno(&err)).err();
    ensure!(
        result == Some(Some(Errno::ENODEV)),
        "an open chip that is gone: {result:?}"
    );
    ensure!(!chip.exists(), "{} stayed", chip.display());
    drop(open);
    load(context, "")?;
    wait_for("the device node", || Bank::path(0).exists())
}

fn unbinding_ends_requests(_: &Context) -> Result<()> {
    if Path::new("/sys/kernel/debug/kmemleak").exists() {
        return skip(
            "gpiolib (of 7.2) loses the name of who has requested a line, if the chip goes before him: \
             gpiod_free_commit() does nothing without a chip, which kmemleak would report",
        );
    }
    let (mut model, bank) = modelled_bank()?;
    let chip_path = chip()?;
    let mut builder = Request::builder();
    builder.on_chip(&chip_path).with_line(6).as_input();
    if expect_interrupts().is_ok() {
        builder.with_edge_detection(EdgeDetection::BothEdges);
    }
    let request = builder.request()?;
    let output = Request::builder()
        .on_chip(&chip_path)
        .with_line(10)
        .as_output(Value::Active)
        .request()?;
    drop(bank);
    let device = unbind()?;
    let from = model.count()?;
    let result = request.value(6).map_err(|err| errno(&err)).err();
    ensure!(result == Some(Some(Errno::ENODEV)), "a read: {result:?}");
    let result = output.set_value(10, Value::Inactive);
    let result = result.map_err(|err| errno(&err)).err();
    ensure!(result == Some(Some(Errno::ENODEV)), "a write: {result:?}");
    model.drive(6, Level::High)?;
    drop((request, output));
    expect_untouched(&mut model, from, "its driver had left")?;
    let oe = last_write(&mut model, Register::Oe)?;
    ensure!(oe == Some(u32::MAX), "OE was left {oe:x?}");
    device.bind()?;
    chip().map(drop)
}

fn poll_tells_of_edges(_: &Context) -> Result<()> {
    let (mut model, bank) = modelled_bank()?;
    let (first, second) = (line(14), line(15));
    for line in [first, second] {
        bank.set_direction(line, false)?;
        press(&mut model, &bank, line.number(), Level::Low)?;
    }
    let polled = |bank: &Bank, timeout: u16| -> Result<PollFlags> {
        let mut fds = [PollFd::new(bank.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::from(timeout))?;
        fds[0].revents().context("unknown events")
    };
    ensure!(polled(&bank, 50)?.is_empty(), "nothing is watched yet");
    let from = settled(&mut model, &bank)?;
    bank.watch(first.mask() | second.mask(), second.mask())?;
    wait_for("the interrupt to be enabled", || {
        model
            .since(from)
            .is_ok_and(|records| records.iter().any(armed))
    })?;
    ensure!(polled(&bank, 50)?.is_empty(), "there was no edge yet");
    press(&mut model, &bank, first.number(), Level::High)?;
    let flags = polled(&bank, 10_000)?;
    ensure!(
        flags.contains(PollFlags::POLLIN),
        "a rising edge: {flags:?}"
    );
    let events = bank.events()?;
    ensure!(events == (first.mask(), 0), "{events:x?}");
    ensure!(polled(&bank, 0)?.is_empty(), "it was told already");
    press(&mut model, &bank, first.number(), Level::Low)?;
    ensure!(
        polled(&bank, 50)?.is_empty(),
        "its falling edges are not watched"
    );
    press(&mut model, &bank, second.number(), Level::High)?;
    let flags = polled(&bank, 10_000)?;
    ensure!(
        flags.contains(PollFlags::POLLIN),
        "the other line: {flags:?}"
    );
    ensure!(bank.events()? == (second.mask(), 0), "of the other line");
    press(&mut model, &bank, second.number(), Level::Low)?;
    let flags = polled(&bank, 10_000)?;
    ensure!(
        flags.contains(PollFlags::POLLIN),
        "a falling edge: {flags:?}"
    );
    ensure!(bank.events()? == (0, second.mask()), "a falling edge");
    // Another open file has its own, and a wait does not take them away.
    let other = Bank::open(0)?;
    ensure!(polled(&other, 0)?.is_empty(), "another file is told");
    let waited = other.wait(first, EDGE_RISING | EDGE_FALLING, 20);
    ensure!(
        waited.map_err(|err| err.errno()) == Err(Some(Errno::ETIMEDOUT)),
        "no edge"
    );
    press(&mut model, &bank, first.number(), Level::High)?;
    let flags = polled(&bank, 10_000)?;
    ensure!(
        flags.contains(PollFlags::POLLIN),
        "after a wait of another's: {flags:?}"
    );
    drop(other);
    let device = unbind()?;
    let flags = polled(&bank, 0)?;
    ensure!(flags.contains(PollFlags::POLLHUP), "unbound: {flags:?}");
    drop(bank);
    device.bind()
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

fn each_allocation_of_a_call_fails_in_turn(context: &Context) -> Result<()> {
    let (_model, bank) = modelled_bank()?;
    let led = line(21);
    let errno = |err: mapwright::Error| err.errno().unwrap_or(Errno::UnknownErrno);
    let clean = [Errno::ENOMEM, Errno::EFAULT];
    bank.set_direction(led, true)?;
    let blink = each_failure(
        &clean,
        || bank.blink(led, 10_000).map_err(errno),
        |started| {
            let blinking = bank.info()?.blinking;
            // The reply may be what could not be copied.
            if blinking != 0 {
                bank.blink(led, 0)?;
            }
            ensure!(
                started.is_none() || blinking == led.mask(),
                "does not blink"
            );
            Ok(())
        },
    )?;
    let open = each_failure(&clean, || Bank::open(0).map_err(errno), |_| Ok(()))?;
    let watch = each_failure(
        &clean,
        || bank.watch(1, 2).map_err(errno),
        |_| Ok(bank.watch(0, 0)?),
    )?;
    let read = each_failure(&clean, || bank.levels().map_err(errno), |_| Ok(()))?;
    context.note(format!(
        "blink {blink:?}, open {open:?}, watch {watch:?}, levels {read:?}"
    ));
    Ok(())
}
