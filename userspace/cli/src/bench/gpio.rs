// SPDX-License-Identifier: MIT OR Apache-2.0

//! `mapwright bench gpio`: what an edge of an output costs, by each way that a program has.

use super::{
    kernel_release,
    meter::{Meter, Unit},
    modules::{StandIn, GPIO},
    undisturbed, Output,
};
use crate::style;
use anyhow::{bail, Context as _, Result};
use gpio_model::{Client, Operation, Register};
use gpiocdev::{
    chip::{chips, Chip},
    line::Value,
};
use mapwright::{
    gpio::{Bank, Line, Registers},
    uapi::gpio::PCI_ID,
};
use serde::Serialize;
use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

/// Edges that are counted together.
const EDGES: u32 = 100;
/// gpiolib has a line for itself, so each way has one.
const PAGE_LINE: &str = "0";
const IOCTL_LINE: &str = "1";
const CDEV_LINE: u32 = 2;
const SYSFS_LINE: u32 = 3;
/// USR0, and its line.
const LED: &str = "/sys/class/leds/mapwright:usr0";
const LED_MASK: u32 = 1 << 21;
const LABEL: &str = "mapwright-gpio0";

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    output: Output,
    /// Runs of each measurement
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u16).range(1..))]
    repeat: u16,
    /// Where mapwright_gpio.ko is, which is inserted again with other parameters
    #[arg(long, env = "MAPWRIGHT_MODULES", value_name = "DIR")]
    modules: PathBuf,
}

/// What an edge costs.
#[derive(Serialize)]
struct Cost {
    way: &'static str,
    what: &'static str,
    /// Of the report's unit, the least of all runs, without the loop.
    per_edge: f64,
    /// Loads and stores of registers, where the bank is a model that tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    accesses: Option<Accesses>,
}

#[derive(Serialize)]
struct Accesses {
    loads: f64,
    stores: f64,
}

#[derive(Serialize)]
struct Report {
    unit: Unit,
    kernel: String,
    edges: u32,
    costs: Vec<Cost>,
}

/// A way to make an output high or low.
struct Way {
    name: &'static str,
    what: &'static str,
    set: Box<dyn FnMut(bool) -> Result<()>>,
}

impl Way {
    fn new(
        name: &'static str,
        what: &'static str,
        set: impl FnMut(bool) -> Result<()> + 'static,
    ) -> Self {
        let set = Box::new(set);
        Self { name, what, set }
    }

    /// As many edges as are counted together, rising and falling in turn.
    fn toggle(&mut self) -> Result<()> {
        (0..EDGES).try_for_each(|edge| (self.set)(edge % 2 == 0))
    }
}

/// What the bank, a PCI function, is called in sysfs.
fn bank_name() -> Result<String> {
    let has = |device: &Path, name: &str, id: u16| {
        fs::read_to_string(device.join(name)).is_ok_and(|text| text.trim() == format!("{id:#06x}"))
    };
    let (vendor, device) = PCI_ID;
    for entry in fs::read_dir("/sys/bus/pci/devices")?.flatten() {
        if has(&entry.path(), "vendor", vendor) && has(&entry.path(), "device", device) {
            return Ok(entry.file_name().to_string_lossy().into_owned());
        }
    }
    bail!("there is no bank on the PCI bus")
}

pub fn run(args: &Args) -> Result<()> {
    let file = args.modules.join("mapwright_gpio.ko");
    let parameters = format!("writable_registers=1 leds={}:{LED_MASK:#x}", bank_name()?);
    let _stand_in = StandIn::insert(&GPIO, &file, &parameters, file.clone())?;
    let meter = Meter::new();
    let mut model = Client::connect().context("asking the model of the bank")?;
    let bank = Bank::open(0)?;
    // Without, it takes longer to repeat.
    let _ = undisturbed::go_first();
    // What the loop itself takes.
    let mut nothing = Way::new("nothing", "", |high| {
        std::hint::black_box(high);
        Ok(())
    });
    let of_loop = least(&meter, &mut nothing, args.repeat)?;
    let mut costs = Vec::new();
    for mut way in ways()? {
        let cost = measure(
            &meter,
            &mut way,
            args.repeat,
            of_loop,
            model.as_mut(),
            &bank,
        );
        costs.push(cost.with_context(|| way.name.to_owned())?);
    }
    let report = Report {
        unit: meter.unit,
        kernel: kernel_release(),
        edges: EDGES,
        costs,
    };
    args.output.give(&report, || report.show())
}

/// All that this kernel has.
fn ways() -> Result<Vec<Way>> {
    let mut ways = vec![page()?, ioctl()?];
    if let Some(chip) = chip()? {
        ways.push(cdev(&chip)?);
        ways.extend(sysfs(&chip)?);
    }
    ways.extend(led()?);
    Ok(ways)
}

/// An open bank whose line is an output.
fn output(line: &str) -> Result<(Bank, Line)> {
    let line: Line = line.parse()?;
    let bank = Bank::open(0)?;
    bank.set_direction(line, true)?;
    Ok((bank, line))
}

fn page() -> Result<Way> {
    let (bank, line) = output(PAGE_LINE)?;
    let registers: Registers = bank.map(true)?;
    let set = Register::SetDataOut.offset() as usize;
    let clear = Register::ClearDataOut.offset() as usize;
    Ok(Way::new(
        "mapped page",
        "a store, no system call",
        move |high| {
            registers.write(if high { set } else { clear }, line.mask());
            Ok(())
        },
    ))
}

fn ioctl() -> Result<Way> {
    let (bank, line) = output(IOCTL_LINE)?;
    Ok(Way::new("ioctl", "/dev/mapwright-gpio0", move |high| {
        let (set, clear) = if high {
            (line.mask(), 0)
        } else {
            (0, line.mask())
        };
        bank.set(set, clear)?;
        Ok(())
    }))
}

/// The bank's chip of gpiolib.
fn chip() -> Result<Option<PathBuf>> {
    for path in chips().unwrap_or_default() {
        if Chip::from_path(&path)?.info()?.label == LABEL {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

fn cdev(chip: &Path) -> Result<Way> {
    let request = gpiocdev::Request::builder()
        .on_chip(chip)
        .with_line(CDEV_LINE)
        .as_output(Value::Inactive)
        .request()?;
    Ok(Way::new(
        "gpiolib",
        "/dev/gpiochipN, as libgpiod",
        move |high| Ok(request.set_value(CDEV_LINE, high.into())?),
    ))
}

/// Writes 1 and 0 to a file of sysfs that is kept open.
fn written(name: &'static str, what: &'static str, file: File) -> Way {
    Way::new(name, what, move |high| {
        let text: &[u8] = if high { b"1" } else { b"0" };
        Ok(file.write_all_at(text, 0)?)
    })
}

fn opened(path: &Path) -> Result<File> {
    let file = OpenOptions::new().write(true).open(path);
    file.with_context(|| format!("opening {}", path.display()))
}

/// A line as `/sys/class/gpio` has it, until this is dropped.
struct Exported(u32);

impl Drop for Exported {
    fn drop(&mut self) {
        // The kernel does so, too, when the chip goes.
        let _ = fs::write("/sys/class/gpio/unexport", self.0.to_string());
    }
}

/// The interface before libgpiod's, which numbers the lines of all chips. Nothing where the kernel has
/// it no more.
fn sysfs(chip: &Path) -> Result<Option<Way>> {
    let Ok(entries) = fs::read_dir("/sys/class/gpio") else {
        return Ok(None);
    };
    let read = |path: PathBuf| fs::read_to_string(path).unwrap_or_default();
    let base = entries.flatten().find_map(|entry| {
        let is_ours = read(entry.path().join("label")).trim() == LABEL;
        let base = read(entry.path().join("base")).trim().parse::<u32>().ok()?;
        is_ours.then_some(base)
    });
    let Some(base) = base else {
        return Ok(None);
    };
    let number = base + SYSFS_LINE;
    fs::write("/sys/class/gpio/export", number.to_string())
        .with_context(|| format!("exporting line {SYSFS_LINE} of {}", chip.display()))?;
    let exported = Exported(number);
    let line = PathBuf::from(format!("/sys/class/gpio/gpio{number}"));
    fs::write(line.join("direction"), "low").context("making it an output")?;
    let mut way = written(
        "sysfs",
        "/sys/class/gpio/gpioN/value",
        opened(&line.join("value"))?,
    );
    let Way { name, what, .. } = way;
    Ok(Some(Way::new(name, what, move |high| {
        let _exported = &exported;
        (way.set)(high)
    })))
}

fn led() -> Result<Option<Way>> {
    let brightness = Path::new(LED).join("brightness");
    if !brightness.exists() {
        return Ok(None);
    }
    Ok(Some(written(
        "LED class",
        "/sys/class/leds/NAME/brightness",
        opened(&brightness)?,
    )))
}

/// The least that the edges cost together.
fn least(meter: &Meter, way: &mut Way, runs: u16) -> Result<u64> {
    way.toggle()?;
    let mut least = u64::MAX;
    for run in 0..runs {
        undisturbed::let_others_work(run.into());
        let (done, cost) = meter.count(|| way.toggle());
        done?;
        least = least.min(cost);
    }
    Ok(least)
}

fn measure(
    meter: &Meter,
    way: &mut Way,
    runs: u16,
    of_loop: u64,
    model: Option<&mut Client>,
    bank: &Bank,
) -> Result<Cost> {
    let cost = least(meter, way, runs)?.saturating_sub(of_loop);
    Ok(Cost {
        way: way.name,
        what: way.what,
        per_edge: cost as f64 / f64::from(EDGES),
        accesses: model.map(|model| accesses(way, model, bank)).transpose()?,
    })
}

/// What the model has recorded of some edges.
fn accesses(way: &mut Way, model: &mut Client, bank: &Bank) -> Result<Accesses> {
    // Stores are posted: they have arrived when a load after them is answered.
    bank.levels()?;
    let from = model.count()?;
    way.toggle()?;
    let deadline = Instant::now() + Duration::from_secs(10);
    let edge = |r: &gpio_model::Record| {
        matches!(
            r.register(),
            Some(Register::SetDataOut | Register::ClearDataOut)
        )
    };
    loop {
        let records = model.since(from)?;
        let arrived = records.iter().filter(|r| edge(r)).count();
        if arrived >= EDGES as usize || Instant::now() > deadline {
            let stores = records
                .iter()
                .filter(|r| r.operation == Operation::Write)
                .count();
            let per_edge = |n: usize| n as f64 / f64::from(EDGES);
            return Ok(Accesses {
                loads: per_edge(records.len() - stores),
                stores: per_edge(stores),
            });
        }
        sleep(Duration::from_millis(10));
    }
}

impl Report {
    fn show(&self) {
        let unit = self.unit.to_string();
        let header = ["way", "by", unit.as_str(), "loads", "stores"];
        let mut table = style::table(header, 2);
        for cost in &self.costs {
            let access = |of: fn(&Accesses) -> f64| {
                cost.accesses
                    .as_ref()
                    .map_or_else(String::new, |accesses| format!("{:.2}", of(accesses)))
            };
            table.add_row([
                cost.way.to_owned(),
                cost.what.to_owned(),
                format!("{:.1}", cost.per_edge),
                access(|a| a.loads),
                access(|a| a.stores),
            ]);
        }
        anstream::println!("An edge of an output:\n{table}");
    }
}
