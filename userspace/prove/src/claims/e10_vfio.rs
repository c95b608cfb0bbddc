// SPDX-License-Identifier: MIT OR Apache-2.0

//! E10: a device whose driver is a program, behind an IOMMU.

use crate::{
    anonymous::Anonymous,
    engine::{hex, pattern},
    finding::not_testable,
    read::log::Log,
    vfio::{find, Bound, Vfio},
    Claim, Document, Finding, Lab, Need, Table, Verdict, Vm,
};
use anyhow::{bail, ensure, Context as _, Result};
use mapwright::{
    page_bytes, page_size, pagemap_pfns, Backing, Mapping, Method, Protection, Region, Session,
};
use nix::errno::Errno;
use std::{path::Path, thread::sleep, time::Duration};

pub const CLAIM: Claim = Claim {
    id: "E10",
    title: "VFIO: a driver in user space",
    sources: &[
        Document::Memory.section("14, Overview"),
        Document::Memory.section("18, Memory-Mapped I/O & DMA"),
        Document::Memory.section("21, Interview Prep, Q15"),
    ],
    says: "With an IOMMU, VFIO gives a program safe, direct DMA without a kernel driver: the device only reaches memory that \
           the program has registered.",
    needs: &[
        Need::Module("mapwright"),
        Need::File("/sys/class/iommu", "an IOMMU"),
    ],
    vms: &[Vm::EduIommu],
    prove,
};

/// QEMU's edu device: docs/specs/edu.rst of QEMU.
const VENDOR: u16 = 0x1234;
const DEVICE: u16 = 0x11e8;
const ALIVE: u64 = 0x04;
const SOURCE: u64 = 0x80;
const TARGET: u64 = 0x88;
const COUNT: u64 = 0x90;
const COMMAND: u64 = 0x98;
const START: u32 = 1;
const TO_MEMORY: u32 = 2;
/// The device's own buffer, as it is addressed by itself.
const BUFFER: u32 = 0x4_0000;
const BUFFER_BYTES: usize = 4096;
/// Bits of an address that it has.
const ADDRESS_BITS: u32 = 28;

/// Bus addresses where the program registers its memory, and a region of a driver's.
const BUS: u64 = 0x10_0000;
const OF_REGION: u64 = 0x20_0000;
/// Pages of that region.
const PAGES: u64 = 4;
/// The memory in which a page is looked for that the device could reach.
const VICTIMS: usize = 64 << 20;
/// Nothing that is registered is from here on.
const BEYOND: u64 = 0x200_0000;

/// Ways in which the driver maps memory.
const PAIRS: [(Backing, Method); 7] = [
    (Backing::Pages, Method::Insert),
    (Backing::Pages, Method::Fault),
    (Backing::Vmalloc, Method::Insert),
    (Backing::Pages, Method::Remap),
    (Backing::Pages, Method::FaultPfn),
    (Backing::Kmalloc, Method::Remap),
    (Backing::Vmalloc, Method::VmallocRemap),
];

fn prove(_: &Lab) -> Result<Finding> {
    let Some(name) = find(VENDOR, DEVICE)? else {
        return not_testable("there is no edu device");
    };
    let nodes = mapwright::dma_devices();
    let bound = Bound::take(&name)?;
    let driver = bound.driver().unwrap_or_default();
    let edu = Edu(Vfio::open(&bound)?);
    ensure!(
        edu.is_alive()?,
        "the device does not answer as an edu device does"
    );
    let moved = moved(&edu)?;
    let stopped = stopped(&edu)?;
    let regions = regions(&edu)?;
    drop(edu);
    drop(bound);
    // Its own driver has it again.
    for node in &nodes {
        wait_for(node)?;
    }
    judge(&name, &driver, moved, &stopped, &regions)
}

/// devtmpfs works in a thread of its own.
fn wait_for(node: &Path) -> Result<()> {
    for _ in 0..500 {
        if node.exists() {
            return Ok(());
        }
        sleep(Duration::from_millis(10));
    }
    bail!("{} is not there again", node.display())
}

/// The device, driven by this program.
struct Edu(Vfio);

impl Edu {
    fn is_alive(&self) -> Result<bool> {
        self.0.write(ALIVE, 0x1234_5678)?;
        Ok(self.0.read(ALIVE)? == !0x1234_5678)
    }

    /// Has it copy from a bus address to its buffer.
    fn load(&self, bus: u64, bytes: usize) -> Result<()> {
        self.transfer(u32::try_from(bus)?, BUFFER, bytes, START)
    }

    /// Has it copy its buffer to a bus address.
    fn store(&self, bus: u64, bytes: usize) -> Result<()> {
        self.transfer(BUFFER, u32::try_from(bus)?, bytes, START | TO_MEMORY)
    }

    fn transfer(&self, source: u32, target: u32, bytes: usize, command: u32) -> Result<()> {
        self.0.write(SOURCE, source)?;
        self.0.write(TARGET, target)?;
        self.0.write(COUNT, u32::try_from(bytes)?)?;
        self.0.write(COMMAND, command)?;
        for _ in 0..1000 {
            if self.0.read(COMMAND)? & START == 0 {
                return Ok(());
            }
            sleep(Duration::from_millis(10));
        }
        bail!("the device does not end a transfer of {bytes} bytes")
    }
}

fn bytes() -> usize {
    BUFFER_BYTES.min(page_bytes())
}

/// What the program finds in its memory.
fn contents(memory: &Anonymous, from: usize) -> Result<Vec<u8>> {
    (from..from + bytes())
        .map(|within| memory.load(within))
        .collect()
}

/// Moves bytes from one page of registered memory to another, through the device. Returns whether they came.
fn moved(edu: &Edu) -> Result<bool> {
    let memory = Anonymous::small(2 * page_bytes())?;
    let sent = pattern(bytes());
    for (within, byte) in sent.iter().enumerate() {
        memory.store(within, *byte)?;
    }
    memory.touch(page_bytes()..memory.len())?;
    // SAFETY: The memory is only looked at by volatile loads of single bytes.
    let registered = unsafe { edu.0.map(memory.addr(), memory.len(), BUS) };
    registered.context("registering anonymous memory")?;
    edu.load(BUS, bytes())?;
    edu.store(BUS + page_size(), bytes())?;
    let came = contents(&memory, page_bytes())? == sent;
    edu.0.unmap(memory.len(), BUS).context("unregistering it")?;
    Ok(came)
}

/// What happened when the device was aimed at memory that is not registered.
struct Stopped {
    bus: u64,
    unchanged: bool,
    report: Option<String>,
}

fn stopped(edu: &Edu) -> Result<Stopped> {
    let memory = Anonymous::small(VICTIMS)?;
    memory.touch(0..memory.len())?;
    let pfns = pagemap_pfns(memory.addr(), VICTIMS / page_bytes())?;
    let reach = BEYOND..1 << ADDRESS_BITS;
    let within_reach =
        |pfn: &Option<u64>| pfn.is_some_and(|pfn| reach.contains(&(pfn * page_size())));
    let Some(number) = pfns.iter().position(within_reach) else {
        return not_testable("no free memory is below what the device can address");
    };
    let bus = pfns[number].unwrap_or_default() * page_size();
    let before = contents(&memory, number * page_bytes())?;
    let mut log = Log::from_now()?;
    edu.store(bus, bytes())?;
    // The IOMMU reports by an interrupt of its own.
    sleep(Duration::from_millis(200));
    let is_fault = |line: &String| line.contains("fault addr") || line.contains("F_TRANSLATION");
    Ok(Stopped {
        bus,
        unchanged: contents(&memory, number * page_bytes())? == before,
        report: log.read()?.into_iter().find(is_fault),
    })
}

/// A region that the module maps into this program, and what came of registering it.
struct Registered {
    pair: (Backing, Method),
    result: Result<(), Errno>,
    /// Whether the kernel found there what the device stored.
    matches: Option<bool>,
}

fn regions(edu: &Edu) -> Result<Vec<Registered>> {
    let session = Session::open()?;
    let one = |(backing, method)| -> Result<Registered> {
        let region = session.create(backing, method, PAGES * page_size())?;
        let mapping = session.map(&region, Protection::ReadWrite)?;
        mapping.touch();
        // SAFETY: A mapping of a region is never referred to: others may always store there.
        let result = unsafe { edu.0.map(mapping.addr(), mapping.len(), OF_REGION) };
        let matches = match result {
            Ok(()) => Some(stored(edu, &session, &region, &mapping)?),
            Err(_) => None,
        };
        Ok(Registered {
            pair: (backing, method),
            result,
            matches,
        })
    };
    PAIRS.into_iter().map(one).collect()
}

/// Has the device store to a registered region, and takes that from it again.
fn stored(edu: &Edu, session: &Session, region: &Region, mapping: &Mapping) -> Result<bool> {
    edu.store(OF_REGION, bytes())?;
    let unmapped = edu.0.unmap(mapping.len(), OF_REGION);
    unmapped.context("unregistering a region")?;
    let mut contents = vec![0; bytes()];
    session.read_at(region, 0, &mut contents)?;
    // What `moved` has left in the device's buffer.
    Ok(contents == pattern(bytes()))
}

fn judge(
    name: &str,
    driver: &str,
    moved: bool,
    stopped: &Stopped,
    regions: &[Registered],
) -> Result<Finding> {
    let registered = regions.iter().filter(|one| one.result.is_ok()).count();
    let right = regions.iter().all(|one| one.matches != Some(false));
    Ok(Finding::new(format!(
        "the program moved {} bytes, {} where it had registered nothing; {registered} of {} kinds of a driver's mappings \
         can be registered",
        if moved { bytes() } else { 0 },
        if stopped.unchanged { "none" } else { "others" },
        regions.len()
    ))
    .statement(
        "A program drives a device, and moves bytes through memory that it has registered",
        Verdict::of(moved),
        format!("{} bytes went from one page to another through {name}", bytes()),
    )
    .statement(
        "It needs no driver in the kernel",
        Verdict::of(moved && driver == "vfio-pci"),
        format!("none that knows the device: it is bound to {driver}, and all registers were set by this program"),
    )
    .statement(
        "The device does not reach memory that is not registered",
        Verdict::of(stopped.unchanged && stopped.report.is_some()),
        match &stopped.report {
            Some(line) => format!("told to write to {}: the page is as before; {line}", hex(stopped.bus)),
            None => "the log has no line of an IOMMU's fault".to_owned(),
        },
    )
    .said_in(&[
        Document::Memory.section("18, Memory-Mapped I/O & DMA"),
        Document::Memory.section("21, Interview Prep, Q15"),
    ])
    .statement(
        "Memory that a driver has mapped into the program can be registered, too",
        match right && registered > 0 {
            true => Verdict::Confirmed.if_else(registered == regions.len(), Verdict::Config),
            false => Verdict::Refuted,
        },
        format!(
            "{registered} of {} kinds of mappings, {}",
            regions.len(),
            match right {
                true => "and the kernel found there what the device stored",
                false => "but the kernel found something else there",
            }
        ),
    )
    .asked_here()
    .table(table(regions))
    .instead(
        "VFIO pins the pages of what is registered, as get_user_pages() gives them. A mapping made of pages (vm_insert_page(), \
         a fault handler that returns pages) has them; one made of frame numbers (remap_pfn_range()) has none that could be \
         pinned, and VFIO takes it only if it is not memory but a device's registers.",
    ))
}

fn table(regions: &[Registered]) -> Table {
    let mut table = Table::new(
        "Regions of the module mapped into this program, and registered: VFIO_IOMMU_MAP_DMA",
        [
            "memory",
            "mapped by",
            "registered",
            "the kernel sees what the device stored",
        ],
    );
    for one in regions {
        let (backing, method) = one.pair;
        table.row([
            backing.name().to_owned(),
            method.name().to_owned(),
            match one.result {
                Ok(()) => "yes".to_owned(),
                Err(errno) => format!("no ({errno:?})"),
            },
            match one.matches {
                Some(true) => "yes",
                Some(false) => "no",
                None => "–",
            }
            .to_owned(),
        ]);
    }
    table
}
