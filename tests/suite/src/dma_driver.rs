// SPDX-License-Identifier: MIT OR Apache-2.0

//! The driver of `/dev/mapwright-dma0` and its PCI device: interrupts that come by a wire, or not at all,
//! and fewer address bits.

use crate::{
    dma::{
        bounce_buffers, device, from_to, in_sysfs, interrupts, nothing_is_left, round_trips,
        tables, unbind, wait_until, Bench, BUFFER, COHERENT, DRIVER, PAGES, VMALLOC,
    },
    module::remove_named,
    runner::{skip, suite, Context},
    walk::memory_ranges,
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{page_size, Direction, Endpoint, Interrupt, MapCall, Session};
use nix::{
    errno::Errno,
    kmod::{finit_module, ModuleInitFlags},
};
use std::{
    ffi::CString,
    fs::{self, File, OpenOptions},
    os::unix::fs::FileExt as _,
    path::Path,
};

suite! { "dma.driver":
    interrupts_by_wire,
    an_interrupt_that_is_lost,
    a_device_that_may_not_use_the_bus,
    fewer_address_bits,
}

/// Runs `f` with the driver inserted with `parameters`.
fn with_parameters(
    context: &Context,
    parameters: &str,
    f: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let path = device()?;
    // The device of some machines has more than it usually has.
    let usual = format!(
        "address_bits={}",
        Session::open_at(&path)?.dma_info()?.address_bits
    );
    let file = File::open(context.module_named(DRIVER)?)?;
    let insert = |parameters: &str| -> Result<()> {
        let parameters = CString::new(parameters)?;
        finit_module(&file, &parameters, ModuleInitFlags::empty())?;
        wait_until("the device node appears", || Ok(path.exists()))
    };
    let remove = || remove_named(&CString::new(DRIVER)?).context("removing the driver");
    remove()?;
    let parameters = match parameters.contains("address_bits") {
        true => parameters.to_owned(),
        false => format!("{usual} {parameters}"),
    };
    let result = insert(&parameters).and_then(|()| {
        let result = f(&path);
        remove()?;
        result
    });
    // Whatever happened, the other tests have a driver.
    insert(&usual)?;
    result
}

fn interrupt() -> Result<Interrupt> {
    let info = Session::open_at(device()?)?.dma_info()?;
    Interrupt::from_number(info.interrupt).context("an unknown kind of interrupt")
}

/// As a fall-back where there are no messages, or as the parameter says.
fn interrupts_by_wire(context: &Context) -> Result<()> {
    let parameters = fs::read_to_string("/proc/cmdline")?;
    let without = parameters
        .split_whitespace()
        .any(|word| word == "pci=nomsi");
    let usual = interrupt()?;
    ensure!(
        (usual == Interrupt::Intx) == without,
        "{usual:?} by default"
    );
    with_parameters(context, "msi=0", |path| {
        ensure!(interrupt()? == Interrupt::Intx, "messages all the same");
        let before = interrupts()?;
        round_trips(COHERENT, MapCall::Scatter, &[1, 9000])?;
        round_trips(PAGES, MapCall::Single, &[BUFFER + 1])?;
        let tables = tables(path)?;
        let (pieces, counted) = (
            tables.counter("pieces_started"),
            tables.counter("interrupts"),
        );
        let by_kernel = interrupts()? - before;
        ensure!(
            pieces == counted && pieces <= by_kernel,
            "{pieces} pieces, {counted} interrupts by the driver's count, {by_kernel} by the kernel's"
        );
        context.note(format!("{counted} interrupts by wire, {pieces} pieces"));
        nothing_is_left(path)
    })
}

/// A device's configuration space, which has who may do what.
struct Configuration(File);

impl Configuration {
    fn open() -> Result<Self> {
        let file = in_sysfs()?.join("config");
        Ok(Self(OpenOptions::new().read(true).write(true).open(file)?))
    }

    fn word(&self, at: u64) -> Result<u16> {
        let mut bytes = [0; 2];
        self.0.read_exact_at(&mut bytes, at)?;
        Ok(u16::from_le_bytes(bytes))
    }

    fn change(&self, at: u64, clear: u16, set: u16) -> Result<()> {
        let word = self.word(at)? & !clear | set;
        Ok(self.0.write_all_at(&word.to_le_bytes(), at)?)
    }

    /// Where the capability for messages has its control word.
    fn messages(&self) -> Result<u64> {
        let mut at = u64::from(self.word(CAPABILITIES)? & 0xfc);
        while at != 0 {
            let header = self.word(at)?;
            if header & 0xff == MSI {
                return Ok(at + 2);
            }
            at = u64::from((header >> 8) & 0xfc);
        }
        skip("the device has no messages")
    }

    fn is_master(&self) -> Result<bool> {
        Ok(self.word(COMMAND)? & MASTER != 0)
    }
}

/// PCI's command register.
const COMMAND: u64 = 0x04;
/// Its bit for the use of the bus.
const MASTER: u16 = 1 << 2;
/// Its bit against interrupts by wire.
const NO_WIRE: u16 = 1 << 10;
/// Where the list of capabilities begins.
const CAPABILITIES: u64 = 0x34;
/// The capability for messages.
const MSI: u16 = 0x05;
/// The bit of its control word that has them sent.
const SENT: u16 = 1;

/// Nobody hears the device any more: it is given up, and kept from memory before that is given back.
/// With a new driver it works again.
fn lost(silence: impl FnOnce(&Configuration) -> Result<()>) -> Result<()> {
    let bench = Bench::open()?;
    let session = &bench.session;
    let (coherent, lists) = (
        bench.create(COHERENT, page_size())?,
        bench.create(VMALLOC, page_size())?,
    );
    let mapping = session.dma_map(
        &lists,
        (0, page_size()),
        MapCall::Scatter,
        Direction::ToDevice,
    )?;
    let configuration = Configuration::open()?;
    ensure!(configuration.is_master()?);
    silence(&configuration)?;
    let transfer = from_to(
        Endpoint::Region(lists, 0),
        Endpoint::Region(coherent, 0),
        BUFFER,
    );
    let errno = session.transfer(&transfer);
    ensure!(errno == Err(Errno::EIO), "{errno:?}");
    ensure!(
        !configuration.is_master()?,
        "the device may still use the bus"
    );
    ensure!(tables(&bench.path)?.counter("timeouts") == 1);
    // For everybody, until a driver is bound again.
    let errno = session.transfer(&transfer);
    ensure!(errno == Err(Errno::EIO), "{errno:?}");
    ensure!(session.dma_info() == Err(Errno::EIO));
    let errno = session.queue(&transfer, 1, None);
    ensure!(errno == Err(Errno::EIO), "{errno:?}");
    let opened = Session::open_at(&bench.path);
    let errno = opened.err().and_then(|err| err.errno());
    ensure!(errno == Some(Errno::EIO), "{errno:?}");
    session.dma_unmap(mapping.id)?;
    let Bench { session, path } = bench;
    drop(session);
    unbind(&path)?()?;
    nothing_is_left(&path)?;
    round_trips(COHERENT, MapCall::Scatter, &[BUFFER + 1])?;
    round_trips(PAGES, MapCall::Single, &[BUFFER + 1])?;
    let tables = tables(&path)?;
    ensure!(tables.counter("pieces_started") == tables.counter("interrupts"));
    nothing_is_left(&path)
}

/// The device does its work, but its interrupt goes nowhere.
fn an_interrupt_that_is_lost(_: &Context) -> Result<()> {
    let by_wire = interrupt()? == Interrupt::Intx;
    lost(|configuration| match by_wire {
        true => configuration.change(COMMAND, 0, NO_WIRE),
        false => configuration.change(configuration.messages()?, SENT, 0),
    })
}

/// The device neither reaches memory nor says so. (By wire, it does say that it is done.)
fn a_device_that_may_not_use_the_bus(_: &Context) -> Result<()> {
    if interrupt()? == Interrupt::Intx {
        return skip("an interrupt by wire does not take the bus");
    }
    lost(|configuration| {
        configuration.change(COMMAND, MASTER, 0)?;
        // What the driver does to it is to be seen.
        ensure!(!configuration.is_master()?);
        Ok(())
    })
}

fn fewer_address_bits(context: &Context) -> Result<()> {
    const REACH: u64 = 1 << 24;
    let translated = Session::open_at(device()?)?.dma_info()?.translated == 1;
    if !translated && memory_ranges()?.iter().all(|(first, _)| *first >= REACH) {
        return skip("no memory of this machine is that low");
    }
    with_parameters(context, "address_bits=24", |path| {
        let bench = Bench::open()?;
        let session = &bench.session;
        let info = session.dma_info()?;
        ensure!(info.address_bits == 24, "{info:?}");
        let coherent = bench.create(COHERENT, 64 << 10)?;
        let bus = session.query(&coherent)?.dma_addr.context("root is told")?;
        ensure!(bus + coherent.bytes <= REACH, "{bus:#x} is beyond 24 bits");
        let pages = bench.create(PAGES, page_size())?;
        let physical = session.pages(&pages, 0, 1)?[0].pfn * page_size();
        ensure!(physical >= REACH, "{physical:#x} is no test of it");
        let moved = session.transfer(&from_to(
            Endpoint::Region(pages, 0),
            Endpoint::Region(coherent, 0),
            5,
        ));
        let all = [MapCall::Single, MapCall::Page, MapCall::Scatter];
        let mapped =
            all.map(|map_call| session.dma_map(&pages, (0, 5), map_call, Direction::ToDevice));
        if info.translated == 1 {
            ensure!(moved == Ok(()), "{moved:?}");
            let bus = mapped[0]?.bus.context("root is told")?;
            ensure!(bus < REACH, "{bus:#x} is beyond 24 bits");
        } else {
            // No bounce buffer is that low either.
            let slots = bounce_buffers("io_tlb_nslabs")?;
            context.note(format!("{slots} slots of bounce buffers, out of reach"));
            ensure!(moved == Err(Errno::EADDRNOTAVAIL), "{moved:?}");
            for errno in mapped {
                ensure!(errno == Err(Errno::EADDRNOTAVAIL), "{errno:?}");
            }
        }
        session.transfer(&from_to(
            Endpoint::Region(coherent, 0),
            Endpoint::Region(coherent, 10),
            5,
        ))?;
        bench.close()?;
        nothing_is_left(path)
    })
}
