// SPDX-License-Identifier: MIT OR Apache-2.0

//! The GPIO driver, on a modelled bank that tells each access: `vm run --gpio DIR`.
//!
//! The model's record is the judge: which registers were read and written, how wide, in what order.

use crate::{
    child,
    log::Log,
    rights::{expect_refused, GPIO_CHANGES},
    runner::{skip, suite, Context},
};
use anyhow::{anyhow, ensure, Context as _, Result};
use gpio_model::{Client, Level, Operation, Record, Register, Request};
use mapwright::gpio::{Bank, Line, EDGE_FALLING, EDGE_RISING, MODE_BANK};
use mapwright::uapi::{gpio as uapi, Request as _};
use nix::{
    errno::Errno,
    kmod::{delete_module, finit_module, DeleteModuleFlags, ModuleInitFlags},
    sys::{
        signal::Signal,
        wait::{waitpid, WaitStatus},
    },
};
use std::{
    ffi::CString,
    fs::{self, File},
    path::Path,
    process::Command,
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
    let deadline = Instant::now() + Duration::from_secs(10);
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

/// What was written to a register last.
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
        "our claim is not in /proc/iomem"
    );
    let interrupts = fs::read_to_string("/proc/interrupts")?;
    ensure!(
        interrupts.contains("mapwright_gpio"),
        "nor in /proc/interrupts"
    );
    Ok(())
}

fn outputs_take_a_single_store(_: &Context) -> Result<()> {
    let (mut model, bank) = modelled_bank()?;
    let led = line(21);
    bank.set_direction(led, true)?;
    let from = settled(&mut model, &bank)?;
    let high = bank.set(led.mask(), 0)?;
    let low = bank.set(0, led.mask())?;
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
    Ok(())
}

fn inputs_are_read(_: &Context) -> Result<()> {
    let (mut model, bank) = modelled_bank()?;
    let button = line(3);
    bank.set_direction(button, false)?;
    for (level, expected) in [
        (Level::High, true),
        (Level::Low, false),
        (Level::Floating, false),
    ] {
        press(&mut model, &bank, button.number(), level)?;
        let read = bank.levels()? & button.mask() != 0;
        ensure!(read == expected, "{level:?} is read as {read}");
        let text = fs::read_to_string(Bank::path(0))?;
        let levels = u32::from_str_radix(text.trim(), 16)?;
        ensure!(
            (levels & button.mask() != 0) == expected,
            "the file says {text:?}"
        );
    }
    Ok(())
}

fn directions_leave_other_lines(_: &Context) -> Result<()> {
    let (mut model, bank) = modelled_bank()?;
    let (first, second) = (line(4), line(5));
    bank.set_direction(first, true)?;
    let before = bank.info()?.outputs;
    let from = settled(&mut model, &bank)?;
    bank.set_direction(second, true)?;
    bank.set_direction(second, false)?;
    ensure!(
        bank.info()?.outputs == before & !second.mask(),
        "other lines changed"
    );
    let writes = model.writes(from)?;
    let expected = [!(before | second.mask()), !(before & !second.mask())];
    ensure!(
        writes == expected.map(|oe| (Register::Oe, oe)),
        "written: {writes:x?}"
    );
    bank.set_direction(first, false)?;
    Ok(())
}

/// Whether `writes` are `mask` set and cleared in turn, beginning with set.
fn alternate(writes: &[(Register, u32)], mask: u32) -> bool {
    let expected = [Register::SetDataOut, Register::ClearDataOut]
        .into_iter()
        .cycle();
    writes
        .iter()
        .zip(expected)
        .all(|(&write, register)| write == (register, mask))
}

fn the_kernel_blinks(_: &Context) -> Result<()> {
    let (mut model, bank) = modelled_bank()?;
    let led = line(22);
    bank.set_direction(led, true)?;
    let from = settled(&mut model, &bank)?;
    bank.blink(led, 20_000)?;
    ensure!(bank.info()?.blinking == led.mask(), "it does not say so");
    wait_for("20 edges", || {
        model.writes(from).is_ok_and(|writes| writes.len() >= 20)
    })?;
    // The program that asked may go.
    drop(bank);
    let seen = model.count()?;
    wait_for("edges without a program", || {
        model.writes(seen).is_ok_and(|writes| writes.len() >= 4)
    })?;
    let bank = Bank::open(0)?;
    bank.blink(led, 0)?;
    let writes = model.writes(from)?;
    let last = writes.last().map(|(register, _)| *register);
    ensure!(
        last == Some(Register::ClearDataOut),
        "it ends with {last:?}"
    );
    // What ends it may come after a low, so that there are two.
    let toggles = writes.len() - 1;
    ensure!(
        alternate(&writes[..toggles], led.mask()),
        "written: {writes:x?}"
    );
    let quiet = model.count()?;
    thread::sleep(Duration::from_millis(100));
    ensure!(model.count()? == quiet, "it goes on");
    Ok(())
}

fn edges_are_waited_for(_: &Context) -> Result<()> {
    let (mut model, bank) = modelled_bank()?;
    let button = line(7);
    bank.set_direction(button, false)?;
    press(&mut model, &bank, button.number(), Level::Low)?;
    let none = bank
        .wait(button, EDGE_RISING, 50)
        .map_err(|err| err.errno());
    ensure!(
        none == Err(Some(Errno::ETIMEDOUT)),
        "without an edge: {none:?}"
    );
    for (edges, level, high) in [
        (EDGE_RISING, Level::High, true),
        (EDGE_FALLING, Level::Low, false),
        (EDGE_RISING | EDGE_FALLING, Level::High, true),
        (EDGE_RISING | EDGE_FALLING, Level::Low, false),
    ] {
        let from = settled(&mut model, &bank)?;
        let seen = thread::scope(|scope| {
            let waiter = scope.spawn(|| bank.wait(button, edges, 10_000));
            wait_for("the interrupt to be enabled", || {
                model
                    .since(from)
                    .is_ok_and(|records| records.iter().any(armed))
            })?;
            press(&mut model, &bank, button.number(), level)?;
            waiter
                .join()
                .map_err(|_| anyhow!("panicked"))?
                .map_err(anyhow::Error::from)
        })?;
        ensure!(seen == (1, high), "edges {edges}: {seen:?}");
    }
    // Nobody waits: nothing is detected any more.
    for register in [Register::RisingDetect, Register::FallingDetect] {
        let value = last_write(&mut model, register)?;
        ensure!(value == Some(0), "{register} was left {value:x?}");
    }
    Ok(())
}

fn refusals_have_their_errno(_: &Context) -> Result<()> {
    let (mut model, bank) = modelled_bank()?;
    let (input, output) = (line(8), line(23));
    bank.set_direction(input, false)?;
    bank.set_direction(output, true)?;
    bank.blink(output, 10_000)?;
    let blink = |line, period, reserved| {
        let mut blink = uapi::Blink {
            line,
            period,
            reserved,
            ..uapi::Blink::new()
        };
        bank.request(&mut blink).err()
    };
    let set = |set, clear| {
        let mut outputs = uapi::Outputs {
            set,
            clear,
            ..uapi::Outputs::new()
        };
        bank.request(&mut outputs).err()
    };
    let wait = |line, edges| {
        let mut wait = uapi::Wait {
            line,
            edges,
            timeout: 1,
            ..uapi::Wait::new()
        };
        bank.request(&mut wait).err()
    };
    let direct = |line, output| {
        let mut direction = uapi::Direction {
            line,
            output,
            ..uapi::Direction::new()
        };
        bank.request(&mut direction).err()
    };
    let from = settled(&mut model, &bank)?;
    let result = [
        ("a line beyond the bank", blink(32, 1000, 0), Errno::EINVAL),
        ("a line far beyond", blink(u32::MAX, 1000, 0), Errno::EINVAL),
        ("too short a period", blink(24, 99, 0), Errno::EINVAL),
        (
            "too long a period",
            blink(24, 100_000_001, 0),
            Errno::EINVAL,
        ),
        ("a reserved field", blink(24, 1000, 1), Errno::EINVAL),
        (
            "blinking an input",
            blink(input.number(), 1000, 0),
            Errno::EPERM,
        ),
        (
            "blinking twice",
            blink(output.number(), 1000, 0),
            Errno::EBUSY,
        ),
        (
            "stopping what does not blink",
            blink(24, 0, 0),
            Errno::ENOENT,
        ),
        ("setting what blinks", set(output.mask(), 0), Errno::EBUSY),
        ("setting an input", set(input.mask(), 0), Errno::EPERM),
        ("setting and clearing", set(1, 1), Errno::EINVAL),
        ("waiting on no line", wait(32, EDGE_RISING), Errno::EINVAL),
        ("waiting for no edge", wait(1, 0), Errno::EINVAL),
        ("waiting for another edge", wait(1, 4), Errno::EINVAL),
        ("a direction of no line", direct(32, 1), Errno::EINVAL),
        ("a third direction", direct(1, 2), Errno::EINVAL),
        (
            "the direction of what blinks",
            direct(output.number(), 0),
            Errno::EBUSY,
        ),
    ];
    // The line that blinks does, all the time.
    let writes = model.writes(from)?;
    bank.blink(output, 0)?;
    for (what, result, expected) in result {
        ensure!(
            result == Some(expected),
            "{what}: {result:?} instead of {expected}"
        );
    }
    let others = writes.iter().find(|(_, value)| *value != output.mask());
    ensure!(others.is_none(), "a refusal wrote {others:x?}");
    Ok(())
}

fn a_reading_descriptor_drives_nothing(_: &Context) -> Result<()> {
    let (_, bank) = modelled_bank()?;
    expect_refused(&Bank::path(0), GPIO_CHANGES)?;
    // It may look.
    bank.levels()?;
    Ok(())
}

fn two_programs_at_once(_: &Context) -> Result<()> {
    let (mut model, _bank) = modelled_bank()?;
    let lines = [line(12), line(13)];
    let from = model.count()?;
    let children = lines.map(|line| {
        child::spawn(move || {
            let bank = Bank::open(0)?;
            bank.set_direction(line, true)?;
            for _ in 0..100 {
                bank.set(line.mask(), 0)?;
                bank.set(0, line.mask())?;
            }
            bank.set_direction(line, false)?;
            Ok(())
        })
    });
    for child in children {
        let ended = waitpid(child?, None)?;
        ensure!(
            matches!(ended, WaitStatus::Exited(_, 0)),
            "a program: {ended:?}"
        );
    }
    let writes = model.writes(from)?;
    for line in lines {
        let own: Vec<_> = writes
            .iter()
            .copied()
            .filter(|(register, value)| *register != Register::Oe && value & line.mask() != 0)
            .collect();
        ensure!(own.len() == 200, "line {line}: {} stores", own.len());
        ensure!(
            alternate(&own, line.mask()),
            "line {line}: stores are mixed up"
        );
    }
    let oe = writes
        .iter()
        .rev()
        .find(|(register, _)| *register == Register::Oe);
    let both = lines[0].mask() | lines[1].mask();
    ensure!(
        oe.is_some_and(|(_, oe)| oe & both == both),
        "a direction was lost: {oe:x?}"
    );
    Ok(())
}

fn debugfs_shows_each_register_once(_: &Context) -> Result<()> {
    let (mut model, bank) = modelled_bank()?;
    bank.set_direction(line(21), true)?;
    let from = settled(&mut model, &bank)?;
    let text = fs::read_to_string(DEBUGFS)?;
    let shown: Vec<Vec<&str>> = text
        .lines()
        .skip(1)
        .map(|l| l.split(' ').collect())
        .collect();
    ensure!(
        shown.len() == Register::ALL.len(),
        "{} registers:\n{text}",
        shown.len()
    );
    for (register, words) in Register::ALL.iter().zip(&shown) {
        let offset = format!("{:#05x}", register.offset());
        ensure!(
            words[..2] == [offset.as_str(), register.name()],
            "{register}: {words:?}"
        );
    }
    let oe = shown
        .iter()
        .find(|words| words[1] == "OE")
        .context("no OE")?;
    ensure!(
        !oe[3].split([',', '=']).any(|line| line == "21"),
        "line 21 is an output: {oe:?}"
    );
    let read: Vec<_> = model.since(from)?.iter().map(|r| r.offset).collect();
    let expected: Vec<_> = [0]
        .into_iter()
        .chain(Register::ALL.iter().map(|r| r.offset()))
        .collect();
    ensure!(read == expected, "read: {read:x?}");
    Ok(())
}

fn the_page_of_registers_is_read_only(_: &Context) -> Result<()> {
    let (_model, bank) = modelled_bank()?;
    let refused = bank.map(true).map_err(|err| err.errno()).err();
    ensure!(
        refused == Some(Some(Errno::EACCES)),
        "writable: {refused:?}"
    );
    let registers = bank.map(false)?;
    let revision = registers.read(0);
    ensure!(
        revision == REVISION,
        "REVISION is {revision:#x} in the page"
    );
    child::run(move || {
        child::become_nobody()?;
        let refused = bank.map(false).map_err(|err| err.errno()).err();
        ensure!(
            refused == Some(Some(Errno::EPERM)),
            "without a capability: {refused:?}"
        );
        Ok(())
    })
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

fn a_store_to_the_page_is_an_edge(context: &Context) -> Result<()> {
    const EDGES: u32 = 100;
    drop(modelled_bank()?);
    context.module_named(MODULE)?;
    remove()?;
    insert(context, "writable_registers=1")?;
    let _as_usual = AsUsual(context);
    let (mut model, bank) = modelled_bank()?;
    let led = line(21);
    bank.set_direction(led, true)?;
    let registers = bank.map(true)?;
    let from = settled(&mut model, &bank)?;
    for edge in 0..EDGES {
        let register = [Register::SetDataOut, Register::ClearDataOut][edge as usize % 2];
        registers.write(register.offset() as usize, led.mask());
    }
    // Stores are posted: a load comes after them.
    registers.read(Register::DataIn.offset() as usize);
    let records = model.since(from)?;
    ensure!(
        records.len() == EDGES as usize + 1,
        "{} accesses",
        records.len()
    );
    ensure!(alternate(&model.writes(from)?, led.mask()), "not in order");
    Ok(())
}

fn lines_are_leds_with_triggers(context: &Context) -> Result<()> {
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
fn leds_of_no_bank_are_refused(context: &Context) -> Result<()> {
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

fn the_page_goes_with_the_driver(_: &Context) -> Result<()> {
    let (mut model, bank) = modelled_bank()?;
    let registers = bank.map(false)?;
    ensure!(registers.read(0) == REVISION, "not mapped");
    let device = unbind()?;
    let from = model.count()?;
    let signal = child::killed_by(|| {
        registers.read(0);
        Ok(())
    })?;
    ensure!(
        signal == Some(Signal::SIGBUS),
        "a load is answered by {signal:?}"
    );
    drop(registers);
    expect_untouched(&mut model, from, "its driver had left")?;
    drop(bank);
    device.bind()
}

fn unbinding_ends_what_waits(_: &Context) -> Result<()> {
    let (mut model, bank) = modelled_bank()?;
    let from = settled(&mut model, &bank)?;
    let (device, ended) = thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            bank.wait(line(9), EDGE_RISING, 0)
                .map_err(|err| err.errno())
        });
        wait_for("the interrupt to be enabled", || {
            model
                .since(from)
                .is_ok_and(|records| records.iter().any(armed))
        })?;
        let device = unbind()?;
        let ended = waiter.join().map_err(|_| anyhow!("panicked"))?;
        anyhow::Ok((device, ended))
    })?;
    ensure!(
        ended == Err(Some(Errno::ENODEV)),
        "the waiting call: {ended:?}"
    );
    let result = bank.info().map_err(|err| err.errno()).err();
    ensure!(
        result == Some(Some(Errno::ENODEV)),
        "a file that stayed open: {result:?}"
    );
    ensure!(!Bank::path(0).exists(), "the node stayed");
    drop(bank);
    device.bind()?;
    let info = Bank::open(0)?.info()?;
    ensure!(info.revision == REVISION, "bound again: {info:?}");
    Ok(())
}

fn removed_while_blinking(context: &Context) -> Result<()> {
    let (mut model, bank) = modelled_bank()?;
    context.module_named(MODULE)?;
    let led = line(24);
    bank.set_direction(led, true)?;
    bank.blink(led, 1_000)?;
    drop(bank);
    let from = model.count()?;
    wait_for("edges", || {
        model.writes(from).is_ok_and(|writes| writes.len() >= 10)
    })?;
    remove()?;
    let writes = model.writes(from)?;
    let quiet = model.count()?;
    thread::sleep(Duration::from_millis(50));
    expect_untouched(&mut model, quiet, "its driver had left")?;
    ensure!(model.levels()? & led.mask() == 0, "the line is still high");
    let restored = writes
        .iter()
        .rev()
        .find(|(register, _)| *register == Register::Oe);
    ensure!(
        restored == Some(&(Register::Oe, u32::MAX)),
        "OE was left {restored:x?}"
    );
    insert(context, "")
}

fn inserted_and_removed_twice(context: &Context) -> Result<()> {
    let (_model, bank) = modelled_bank()?;
    context.module_named(MODULE)?;
    let in_use = remove().err().map(|err| err.downcast::<Errno>());
    ensure!(
        matches!(in_use, Some(Ok(Errno::EWOULDBLOCK))),
        "with an open file: {in_use:?}"
    );
    drop(bank);
    let leds = led_parameter(0x01e0_0000)?;
    let modes = ["", &leds, "writable_registers=1"];
    for parameters in modes.iter().chain(&modes) {
        remove()?;
        ensure!(!Path::new(DEBUGFS).exists(), "{DEBUGFS} stayed");
        let iomem = fs::read_to_string("/proc/iomem")?;
        ensure!(
            !iomem.contains("mapwright_gpio"),
            "the claim in /proc/iomem stayed"
        );
        insert(context, parameters)?;
        Bank::open(0)?.info()?;
    }
    remove()?;
    insert(context, "")
}

/// What the command says to those who ask for what there is not.
fn mistakes_are_told_why(_: &Context) -> Result<()> {
    let (_model, bank) = modelled_bank()?;
    let (input, output) = (line(8), line(23));
    bank.set_direction(input, false)?;
    bank.set_direction(output, true)?;
    bank.blink(output, 100_000)?;
    let result = [
        (
            &["set", "32"][..],
            "there is no line \"32\": lines are numbers from 0 to 31",
        ),
        (&["blink", "USR9"], "there is no line \"USR9\""),
        (
            &["blink", "USR0", "--hz", "0"],
            "a line can blink 0.01 to 10000 times",
        ),
        (
            &["blink", "USR0", "--hz", "20000"],
            "a line can blink 0.01 to 10000 times",
        ),
        (&["--bank", "9", "read", "1"], "there is no bank 9"),
        (&["set", "8"], "line 8 is an input: make it an output first"),
        (
            &["set", "23"],
            "line 23 (USR2) is in use: stop it if it blinks",
        ),
        (&["blink", "23"], "line 23 (USR2) is in use"),
        (&["stop", "24"], "line 24 (USR3) does not blink"),
        (
            &["wait", "8", "--timeout", "0.01"],
            "line 8 had no such edge in that time",
        ),
    ];
    for (arguments, expected) in result {
        let output = Command::new("/proc/self/exe")
            .arg("gpio")
            .args(arguments)
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        // Wrapped where it is long.
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        ensure!(
            !output.status.success() && said.contains(expected),
            "{arguments:?}: {}: {said}",
            output.status
        );
    }
    bank.blink(output, 0)?;
    Ok(())
}

/// What the command says; fails unless it succeeds.
fn said_of(arguments: &[&str]) -> Result<String> {
    let output = Command::new("/proc/self/exe")
        .arg("gpio")
        .args(arguments)
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{arguments:?}: {said}");
    Ok(String::from_utf8(output.stdout)?)
}

/// The bank is GPIO1, whose line 28 is the pin 12 of the header P9.
fn lines_go_by_the_boards_names(_: &Context) -> Result<()> {
    let (mut model, bank) = modelled_bank()?;
    let pin = line(28);
    for name in ["P9_12", "p9_12", "GPIO1_28", "28"] {
        said_of(&["output", name])?;
        ensure!(bank.info()?.outputs & pin.mask() != 0, "output {name}");
        said_of(&["set", name, "USR0"])
            .err()
            .map_or(Ok(()), |err| {
                // Line 21 is an input.
                ensure!(format!("{err:#}").contains("is an input"), "{err:#}");
                Ok(())
            })?;
        said_of(&["set", name])?;
        ensure!(bank.levels()? & pin.mask() != 0, "set {name}");
        ensure!(said_of(&["read", name])?.trim() == "1", "read {name}");
        said_of(&["clear", name, name])?;
        ensure!(said_of(&["read", name])?.trim() == "0", "read {name}");
        let answer = said_of(&["blink", name, "--hz", "50", "--for", "0.1"])?;
        ensure!(answer.contains("line 28"), "{answer}");
        said_of(&["input", name])?;
        ensure!(bank.info()?.outputs & pin.mask() == 0, "input {name}");
    }
    let answer = said_of(&["info"])?;
    ensure!(answer.contains("28 P9_12"), "{answer}");
    let rows: serde_json::Value = serde_json::from_str(&said_of(&["info", "--json"])?)?;
    ensure!(rows[28]["name"] == "P9_12", "{}", rows[28]);
    said_of(&["--bank", "0", "read", "P9_12"])?;
    let wait = ["wait", "P9_12", "--timeout", "0.05"];
    let result = said_of(&wait);
    let said = format!("{:#}", result.err().context("there was an edge")?);
    ensure!(said.contains("line 28 (P9_12) had no such edge"), "{said}");
    // Of another bank, which is another driver's.
    if fs::metadata(Bank::path(1)).is_err() {
        let result = said_of(&["read", "P8_7"]);
        let said = format!("{:#}", result.err().context("it was read")?);
        ensure!(said.contains("is of GPIO2"), "{said}");
    }
    settled(&mut model, &bank)?;
    Ok(())
}

/// Linux gates the clock of a bank that idles for 12 s; ours is held.
fn blinks_beyond_the_idle_delay(context: &Context) -> Result<()> {
    const SECONDS: u64 = 20;
    const PERIOD: u32 = 500_000;
    let (mut model, bank) = modelled_bank()?;
    let led = line(21);
    bank.set_direction(led, true)?;
    let from = settled(&mut model, &bank)?;
    bank.blink(led, PERIOD)?;
    drop(bank);
    thread::sleep(Duration::from_secs(SECONDS));
    let bank = Bank::open(0)?;
    bank.blink(led, 0)?;
    settled(&mut model, &bank)?;
    let records = model.since(from)?;
    let edges: Vec<_> = records
        .iter()
        .filter(|r| r.operation == Operation::Write)
        .filter_map(|r| Some((r.register()?, r.value)))
        .collect();
    // An emulated machine may be late, but not by half.
    let expected = SECONDS as usize * 1_000_000 / (PERIOD as usize / 2);
    ensure!(
        (expected / 2..=expected + 3).contains(&edges.len()),
        "{} edges instead of {expected}",
        edges.len()
    );
    ensure!(
        alternate(&edges[..edges.len() - 1], led.mask()),
        "written: {edges:x?}"
    );
    ensure!(
        records.iter().all(Record::is_proper),
        "an access without a clock"
    );
    context.note(format!("{} edges in {SECONDS} s", edges.len()));
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

/// The module is removed after it.
fn the_device_vanishes(context: &Context) -> Result<()> {
    let (mut model, bank) = modelled_bank()?;
    let led = line(21);
    bank.set_direction(led, true)?;
    bank.blink(led, 10_000)?;
    model.ask(&Request::Vanish)?;
    let result = bank.info().map_err(|err| err.errno()).err();
    ensure!(result == Some(Some(Errno::ENODEV)), "{result:?}");
    let text = fs::read_to_string(DEBUGFS)?;
    ensure!(text.contains("the device is gone"), "debugfs says {text:?}");
    let quiet = model.count()?;
    thread::sleep(Duration::from_millis(50));
    let more = model.count()?;
    ensure!(
        more == quiet,
        "{} accesses after the loss was noticed",
        more - quiet
    );
    drop(bank);
    let _device = unbind()?;
    ensure!(!Bank::path(0).exists(), "the node stayed");
    expect_untouched(&mut model, quiet, "it was lost")?;
    context.module_named(MODULE)?;
    remove()
}

/// The last: nothing is there after it. The model ends, and with it QEMU's connection.
fn the_model_is_killed(context: &Context) -> Result<()> {
    let Some(mut model) = Client::connect()? else {
        return skip("this machine has no modelled GPIO bank: boot it with --gpio DIR");
    };
    if model.others(0).is_ok() {
        return skip("the model is a part of this machine, and cannot be killed without it");
    }
    model.ask(&Request::Return)?;
    insert(context, "")?;
    let bank = Bank::open(0)?;
    let led = line(21);
    bank.set_direction(led, true)?;
    let from = settled(&mut model, &bank)?;
    // QEMU (11.1) aborts if it sends something between the model's end and noticing that: so that is in
    // the middle between two edges.
    bank.blink(led, 4_000_000)?;
    wait_for("the line to rise", || {
        model.writes(from).is_ok_and(|writes| !writes.is_empty())
    })?;
    model.kill()?;
    thread::sleep(Duration::from_secs(1));
    let result = bank.info().map_err(|err| err.errno()).err();
    ensure!(result == Some(Some(Errno::ENODEV)), "{result:?}");
    let text = fs::read_to_string(DEBUGFS)?;
    ensure!(text.contains("the device is gone"), "debugfs says {text:?}");
    drop(bank);
    let _device = unbind()?;
    ensure!(!Bank::path(0).exists(), "the node stayed");
    remove()
}
