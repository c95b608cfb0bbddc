// SPDX-License-Identifier: MIT OR Apache-2.0

//! E11: I/O by ports and by memory addresses.

use crate::{
    finding::plural, read, Claim, Document, Finding, Lab, Need, Source, Table, Verdict, Vm,
};
use anyhow::{ensure, Result};

pub const CLAIM: Claim = Claim {
    id: "E11",
    title: "Port I/O and memory-mapped I/O",
    sources: &[
        Document::Reference.section("1.3, What's Inside the Address Space?"),
        Document::Reference.section("1.6, How Physical Addresses Map"),
    ],
    says: "Traditional I/O takes instructions of its own (IN, OUT) and port numbers, such as 0x60 for GPIO; memory-mapped \
           I/O takes addresses and the usual instructions. ARM supports the latter fully, and ports hardly.",
    needs: &[Need::Arch(&["x86_64", "aarch64", "armv7l"])],
    vms: &[Vm::Normal, Vm::Arm, Vm::Arm64],
    prove,
};

/// Where the documents speak of ports.
const SAID_OF_PORTS: &[Source] =
    &[Document::Reference.section("1.3, What's Inside the Address Space?")];
/// What the documents say: the port of a GPIO device.
const SAID_PORT: u64 = 0x60;
/// A port that can be read without an effect: of the timer and the loudspeaker.
const HARMLESS: u16 = 0x61;

/// A line of /proc/ioports or /proc/iomem.
#[derive(Debug, PartialEq, Eq)]
struct Resource {
    depth: usize,
    first: u64,
    last: u64,
    by: String,
}

fn parse(text: &str) -> Vec<Resource> {
    let line = |line: &str| {
        let (range, by) = line.split_once(" : ")?;
        let (first, last) = range.trim().split_once('-')?;
        Some(Resource {
            depth: (range.len() - range.trim_start().len()) / 2,
            first: u64::from_str_radix(first, 16).ok()?,
            last: u64::from_str_radix(last, 16).ok()?,
            by: by.to_owned(),
        })
    };
    text.lines().filter_map(line).collect()
}

fn prove(lab: &Lab) -> Result<Finding> {
    let ports = parse(&read::text("/proc/ioports")?);
    let memory = parse(&read::text("/proc/iomem")?);
    let own = on_no_bus(&ports);
    let is_device = |resource: &&Resource| resource.depth == 0 && !is_memory(resource);
    let devices: Vec<&Resource> = memory.iter().filter(is_device).collect();
    ensure!(
        memory.iter().any(|resource| resource.last > 0),
        "/proc/iomem hides its addresses"
    );
    let read_port = in_instruction()?;
    let mut table = Table::new(
        "Who has requested what",
        [
            "file, and what is counted",
            "lines",
            "counted",
            "the first of them",
        ],
    );
    for (file, lines, own) in [
        ("/proc/ioports: devices on no bus", ports.len(), &own),
        ("/proc/iomem: devices and buses", memory.len(), &devices),
    ] {
        let first = own
            .first()
            .map(|resource| format!("{:#x} {}", resource.first, resource.by));
        let first = first.unwrap_or_else(|| "none".into());
        table.row([file.into(), lines.to_string(), own.len().to_string(), first]);
    }
    let mut windows = Table::new("Windows of a bus in /proc/ioports", ["ports", "of"]);
    for window in ports.iter().filter(|resource| is_window(resource)) {
        windows.row([
            format!("{:#x}-{:#x}", window.first, window.last),
            window.by.clone(),
        ]);
    }
    let finding = Finding::new(format!(
        "{}: {} of devices on no bus in /proc/ioports, {} of devices or buses in /proc/iomem",
        lab.machine.arch,
        plural(own.len(), "line"),
        devices.len()
    ));
    let finding = match read_port {
        Some(value) => of_ports(finding, &ports, &own, value),
        None => finding.statement(
            "ARM supports memory-mapped I/O fully, and ports hardly",
            Verdict::of(own.is_empty()),
            format!(
                "there is no instruction for ports; {} of {} in /proc/ioports are of devices on no bus",
                own.len(),
                plural(ports.len(), "line")
            ),
        )
        .said_in(SAID_OF_PORTS),
    };
    Ok(finding
        .statement(
            "Devices have registers at memory addresses",
            Verdict::of(!devices.is_empty()),
            format!(
                "{} of {} in /proc/iomem are of devices or buses",
                devices.len(),
                plural(memory.len(), "line")
            ),
        )
        .table(table)
        .table(windows)
        .instead(
            "x86 has both, and its older devices have ports. ARM has no instruction for ports. What is in /proc/ioports there \
             is PCI's: its bridge has a range of memory addresses, and inb() is a load from there.",
        ))
}

/// What x86 shows of ports.
fn of_ports(finding: Finding, ports: &[Resource], own: &[&Resource], value: u8) -> Finding {
    let at_port = |resource: &&Resource| resource.first <= SAID_PORT && SAID_PORT <= resource.last;
    let inner = ports
        .iter()
        .filter(at_port)
        .min_by_key(|resource| resource.last - resource.first);
    let finding = finding.statement(
        "Ports have numbers, and are read with an instruction of their own",
        Verdict::of(!own.is_empty()),
        format!(
            "IN from port {HARMLESS:#x} gave {value:#x}; {} of {} in /proc/ioports are of devices on no bus",
            own.len(),
            plural(ports.len(), "line")
        ),
    )
    .said_in(SAID_OF_PORTS);
    match inner {
        Some(resource) => finding.statement(
            "Port 0x60 is a GPIO device's",
            Verdict::of(resource.by.to_lowercase().contains("gpio")),
            format!("it is requested by “{}”", resource.by),
        ),
        None => finding.statement(
            "Port 0x60 is a GPIO device's",
            Verdict::NotTestableHere,
            "nobody has requested it on this machine",
        ),
    }
    .said_in(SAID_OF_PORTS)
}

/// Those that are neither a window of a bus, nor of a device on it. The oldest devices of a PC are inside a window, too, but
/// have always had their ports.
fn on_no_bus(ports: &[Resource]) -> Vec<&Resource> {
    let mut inside = None;
    let mut own = Vec::new();
    for resource in ports {
        inside = inside.filter(|depth| resource.depth > *depth);
        if is_function(resource) {
            inside = inside.or(Some(resource.depth));
        }
        if inside.is_none() && !is_window(resource) {
            own.push(resource);
        }
    }
    own
}

/// Whether a line is of a device on a PCI bus: `0000:00:1f.2`.
fn is_function(resource: &Resource) -> bool {
    resource.by.starts_with("0000:")
}

/// Whether a line is what a bus hands on: `PCI Bus 0000:00`, `pcie@10000000 I/O`.
fn is_window(resource: &Resource) -> bool {
    let by = resource.by.to_lowercase();
    by.contains("pci") && !by.starts_with("pci conf")
}

fn is_memory(resource: &Resource) -> bool {
    resource.by.starts_with("System RAM") || resource.by.to_lowercase().starts_with("reserved")
}

/// What a harmless port says, in a process that the kernel allows to use ports.
#[cfg(target_arch = "x86_64")]
fn in_instruction() -> Result<Option<u8>> {
    use anyhow::Context as _;
    use nix::{errno::Errno, libc};
    // SAFETY: It only allows this thread to use the port.
    let allowed = |on: i32| Errno::result(unsafe { libc::ioperm(HARMLESS.into(), 1, on) });
    match allowed(1) {
        Err(Errno::ENOSYS) => {
            return crate::not_testable(
                "this kernel lets no program use ports (CONFIG_X86_IOPORT_IOPERM)",
            )
        }
        result => result.context("ioperm()")?,
    };
    let value: u8;
    // SAFETY: The port was just allowed, and nothing happens when it is read.
    unsafe {
        std::arch::asm!("in al, dx", out("al") value, in("dx") HARMLESS, options(nomem, nostack))
    };
    allowed(0).context("ioperm()")?;
    Ok(Some(value))
}

/// There is no such instruction.
#[cfg(not(target_arch = "x86_64"))]
fn in_instruction() -> Result<Option<u8>> {
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_nested() {
        let ranges =
            parse("0000-0cf7 : PCI Bus 0000:00\n  0060-0060 : keyboard\n0cf8-0cff : PCI conf1\n");
        let of = |at: usize| (ranges[at].depth, ranges[at].first, ranges[at].last);
        assert_eq!((of(0), of(1)), ((0, 0, 0xcf7), (1, 0x60, 0x60)));
        assert!(is_window(&ranges[0]) && !is_window(&ranges[1]) && !is_window(&ranges[2]));
    }
}
