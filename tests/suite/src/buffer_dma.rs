// SPDX-License-Identifier: MIT OR Apache-2.0

//! A buffer with a name for a real device: the edu device moves bytes at its `dma_addr`, and it is taken back when the
//! device loses its driver.

use crate::{
    buffer::{available, make, nothing_is_left, open, Available, Made},
    child,
    dma::{device, in_sysfs, name_in_sysfs, unbind, wait_until, Bench, COHERENT},
    dma_caches::{FOR_CPU, FOR_DEVICE},
    raw::{Map, RW},
    runner::{skip, suite, Context},
    tracing::Instance,
};
use anyhow::{bail, ensure, Context as _, Result};
use mapwright::{
    buffer::{NamedBuffer, Spec},
    inspect::{Inspector, MemoryType, Target},
    page_bytes, page_size, uapi,
    uapi::Request as _,
    Backing, Caching, Method, Session,
};
use nix::{
    errno::Errno,
    sys::{mman::MapFlags, signal::Signal},
};
use std::{
    fs::{self, OpenOptions},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::Command,
};

suite! { "dma.buffer":
    is_found_by_each_name,
    the_device_moves_bytes_into_it,
    another_driver_moves_bytes_into_it,
    a_driver_that_gives_it_away_is_ebusy,
    other_memory_is_not_for_a_device,
    pages_are_cached_and_zeroed,
    pages_are_passed_to_and_fro,
    a_reader_passes_nothing_to_the_cpu,
    is_taken_back_when_the_driver_goes,
    is_taken_back_from_those_who_have_not_touched_it,
    is_removed_before_the_driver_goes,
    a_device_without_a_driver_is_enodev,
}

const PAGES: u64 = 6;

fn spec(device: &str) -> Spec {
    Spec {
        bytes: PAGES * page_size(),
        device: Some(device.to_owned()),
        ..Spec::default()
    }
}

/// Of each kind of memory that a device gets.
fn specs(device: &str) -> [Spec; 2] {
    let pages = Spec {
        backing: Some(Backing::Pages),
        ..spec(device)
    };
    [spec(device), pages]
}

/// The device's path in sysfs, and that buffers can be made.
fn begin() -> Result<(Available, PathBuf, String)> {
    let node = device()?;
    let is_there = available()?;
    let path = in_sysfs()?.display().to_string();
    Ok((is_there, node, path))
}

fn dma_addr(buffer: &NamedBuffer) -> Result<u64> {
    let text = buffer.attribute("dma_addr")?;
    let digits = text.strip_prefix("0x").with_context(|| text.clone())?;
    Ok(u64::from_str_radix(digits, 16)?)
}

fn is_found_by_each_name(_: &Context) -> Result<()> {
    let (is_there, _, path) = begin()?;
    let name = name_in_sysfs()?;
    let names = [
        path,
        format!("pci/{name}"),
        format!("/sys/bus/pci/devices/{name}"),
    ];
    for device in names {
        let owned = make("found", &spec(&device))?;
        ensure!(owned.0.setting("backing")? == "coherent");
        ensure!(owned.0.setting("device")? == device);
        dma_addr(&owned.0)?;
        owned.0.remove(false)?;
    }
    nothing_is_left(&is_there)
}

fn the_device_moves_bytes_into_it(context: &Context) -> Result<()> {
    let (is_there, _, path) = begin()?;
    let bench = Bench::open()?;
    if bench.session.dma_info()?.translated == 0 {
        return skip(
            "no IOMMU is between the device and memory, so its driver sends it to no address",
        );
    }
    for spec in specs(&path) {
        let moved = moved_into(&bench, &spec).with_context(|| format!("{:?}", spec.backing))?;
        context.note(format!("bus address {moved:#x}"));
    }
    bench.close()?;
    nothing_is_left(&is_there)
}

/// Has the device move bytes into a buffer, which it finds at the address that is returned.
fn moved_into(bench: &Bench, spec: &Spec) -> Result<u64> {
    let owned = make("moved", spec)?;
    let address = dma_addr(&owned.0)?;
    let source = bench.create(COHERENT, page_size())?;
    let contents: Vec<u8> = (0..100).map(|i| i * 2 + 1).collect();
    bench.session.write_at(&source, 0, &contents)?;
    let file = open(&owned.0)?;
    let map = Map::shared(&file, 0, PAGES as usize * page_bytes())?;
    for within in [0, 3 * page_size() + 10, PAGES * page_size() - 100] {
        owned.0.set_attribute("sync_for_device", "1")?;
        let mut transfer = uapi::Transfer {
            flags: uapi::TRANSFER_RAW_TARGET,
            source: source.id,
            target_offset: address + within,
            bytes: 100,
            ..uapi::Transfer::new()
        };
        bench.session.request(&mut transfer)?;
        owned.0.set_attribute("sync_for_cpu", "1")?;
        let moved: Vec<u8> = (0..100).map(|i| map.load(within as usize + i)).collect();
        ensure!(moved == contents, "at {within:#x}");
    }
    drop((map, file));
    owned.0.remove(false)?;
    bench.session.destroy(&source)?;
    Ok(address)
}

/// The device with a driver that leaves it to programs: this one drives it. Given back when dropped.
struct Stub {
    name: String,
}

/// Of UIO: the device stays in the kernel's hands.
const UIO: &str = "uio_pci_generic";
/// Which says that it gives the device to others, with an IOMMU domain of theirs.
const PCI_STUB: &str = "pci-stub";

const PROBE: &str = "/sys/bus/pci/drivers_probe";

impl Stub {
    fn take(driver: &str) -> Result<Self> {
        let modprobe = Command::new("modprobe").arg(driver).output();
        if !Path::new("/sys/bus/pci/drivers").join(driver).exists() {
            return skip(format!("this kernel has no {driver}: {modprobe:?}"));
        }
        let stub = Self {
            name: name_in_sysfs()?,
        };
        fs::write(stub.file("driver_override"), driver)?;
        fs::write(stub.file("driver/unbind"), &stub.name)?;
        fs::write(PROBE, &stub.name)?;
        let bound = fs::read_link(stub.file("driver"))?;
        ensure!(bound.ends_with(driver), "{}", bound.display());
        Ok(stub)
    }

    fn file(&self, file: &str) -> PathBuf {
        Path::new("/sys/bus/pci/devices")
            .join(&self.name)
            .join(file)
    }

    /// Lets the device use the bus; its registers.
    fn enable(&self) -> Result<Map> {
        const COMMAND: u64 = 4;
        const MEMORY_AND_MASTER: u16 = 6;
        let writable = || OpenOptions::new().read(true).write(true).clone();
        let config = writable().open(self.file("config"))?;
        let mut command = [0; 2];
        config.read_exact_at(&mut command, COMMAND)?;
        let command = u16::from_le_bytes(command) | MEMORY_AND_MASTER;
        config.write_all_at(&command.to_le_bytes(), COMMAND)?;
        let registers = writable().open(self.file("resource0"))?;
        Ok(Map::new(
            &registers,
            0,
            page_bytes(),
            RW,
            MapFlags::MAP_SHARED,
        )?)
    }

    fn is_master(&self) -> Result<bool> {
        let config = fs::read(self.file("config"))?;
        Ok(config.get(4).context("no command register")? & 4 != 0)
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        let _ = fs::write(self.file("driver/unbind"), &self.name);
        let _ = fs::write(self.file("driver_override"), "\n");
        let _ = fs::write(PROBE, &self.name);
    }
}

/// Where the device has its own buffer.
const OWN: u32 = 0x40000;

/// Has the device copy bytes from `source` to `target`, one of which is its own buffer.
fn copy(registers: &Map, source: u32, target: u32, bytes: u32) -> Result<()> {
    const SOURCE: usize = 0x80;
    const TARGET: usize = 0x88;
    const COUNT: usize = 0x90;
    const COMMAND: usize = 0x98;
    const START: u32 = 1;
    const TO_MEMORY: u32 = 2;
    let command = START | if source == OWN { TO_MEMORY } else { 0 };
    for (register, value) in [
        (SOURCE, source),
        (TARGET, target),
        (COUNT, bytes),
        (COMMAND, command),
    ] {
        registers.store_u32(register, value);
    }
    wait_until("the device is done", || {
        Ok(registers.load_u32(COMMAND) & START == 0)
    })
}

fn another_driver_moves_bytes_into_it(context: &Context) -> Result<()> {
    let (is_there, node, path) = begin()?;
    if Bench::open()?.session.dma_info()?.translated != 0 {
        return skip("behind an IOMMU, UIO has addresses that are too long for the device");
    }
    let stub = Stub::take(UIO)?;
    let result = (|| {
        let [_, spec] = specs(&path);
        let pages = make("uio-pages", &spec)?;
        let (bus, physical) = (dma_addr(&pages.0)?, pages.0.attribute("phys_addr")?);
        ensure!(physical == format!("{bus:#x}"), "{physical}, not {bus:#x}");
        pages.0.remove(false)?;
        let owned = make("uio", &specs(&path)[0])?;
        let address = u32::try_from(dma_addr(&owned.0)?)?;
        if address >= 1 << 28 {
            return skip(
                "the memory is beyond the device's 28 address bits, of which UIO knows nothing",
            );
        }
        context.note(format!("bus address {address:#x}"));
        ensure!(owned.0.attribute("phys_addr")? == owned.0.attribute("dma_addr")?);
        let file = open(&owned.0)?;
        let map = Map::shared(&file, 0, PAGES as usize * page_bytes())?;
        for i in 0..64 {
            map.store(i, i as u8 + 1);
        }
        let registers = stub.enable()?;
        let target = 4 * page_bytes() + 20;
        copy(&registers, address, OWN, 64)?;
        copy(&registers, OWN, address + target as u32, 64)?;
        for i in 0..64 {
            ensure!(map.load(target + i) == i as u8 + 1, "byte {i}");
        }
        // It loses this driver, and then may not use the bus: it could be writing.
        ensure!(stub.is_master()?);
        fs::write(stub.file("driver/unbind"), &stub.name)?;
        ensure!(
            !stub.is_master()?,
            "it may still write to memory that is free"
        );
        ensure!(is_bus_error(&map)?);
        Ok(())
    })();
    drop(stub);
    wait_until("the device node appears", || Ok(node.exists()))?;
    result?;
    nothing_is_left(&is_there)
}

fn a_driver_that_gives_it_away_is_ebusy(_: &Context) -> Result<()> {
    let (is_there, node, path) = begin()?;
    let stub = Stub::take(PCI_STUB)?;
    let owned = Made(NamedBuffer::new("given"));
    let errno = owned
        .0
        .create(&spec(&path))
        .err()
        .and_then(|err| err.errno());
    drop(stub);
    wait_until("the device node appears", || Ok(node.exists()))?;
    ensure!(errno == Some(Errno::EBUSY), "{errno:?}");
    nothing_is_left(&is_there)
}

fn other_memory_is_not_for_a_device(_: &Context) -> Result<()> {
    let (is_there, _, path) = begin()?;
    let of = |backing, method, caching| Spec {
        backing: Some(backing),
        method,
        caching,
        ..spec(&path)
    };
    for spec in [
        of(Backing::Vmalloc, None, None),
        of(Backing::Folio, None, None),
        of(Backing::Kmalloc, None, None),
        of(Backing::Pages, Some(Method::Remap), None),
        of(Backing::Pages, Some(Method::Huge), None),
        of(
            Backing::Pages,
            Some(Method::FaultPfn),
            Some(Caching::WriteCombine),
        ),
    ] {
        let result = NamedBuffer::new("other").create(&spec);
        let errno = result.err().and_then(|err| err.errno());
        ensure!(errno == Some(Errno::EINVAL), "{spec:?}: {errno:?}");
    }
    nothing_is_left(&is_there)
}

/// Whatever the device sees of the caches, and whatever was there before.
fn pages_are_cached_and_zeroed(_: &Context) -> Result<()> {
    let (is_there, _, path) = begin()?;
    let [_, spec] = specs(&path);
    let inspector = Inspector::open()?;
    for round in 0..4 {
        let owned = make("cached", &spec)?;
        ensure!(owned.0.setting("method")? == "fault-pfn");
        let file = open(&owned.0)?;
        let map = Map::shared(&file, 0, PAGES as usize * page_bytes())?;
        for at in (0..map.length).step_by(64) {
            ensure!(map.load(at) == 0, "round {round}: byte {at}");
            map.store(at, 0xa5);
        }
        for page in 0..PAGES as usize {
            let address = (map.addr + page * page_bytes()) as u64;
            let memory_type = inspector.walk(Target::Myself, address)?.memory_type;
            ensure!(
                memory_type == Some(MemoryType::WriteBack),
                "{memory_type:?}"
            );
        }
        let mut byte = [0];
        file.read_at(&mut byte, page_size() + 64)?;
        ensure!(byte == [0xa5]);
        drop((map, file));
        owned.0.remove(false)?;
    }
    nothing_is_left(&is_there)
}

/// The attributes have the caches written back, if the device does not see what is in them.
fn pages_are_passed_to_and_fro(context: &Context) -> Result<()> {
    let (is_there, _, path) = begin()?;
    let [_, spec] = specs(&path);
    let Some(trace) = Instance::of_functions(&format!("{FOR_DEVICE} {FOR_CPU}"))? else {
        return skip(
            "this kernel has no functions for it, or does not trace them: all devices are coherent",
        );
    };
    let owned = make("passed", &spec)?;
    let is_coherent = owned.0.attribute("dma_coherent")? == "1";
    let one_page = format!("0x{:08X}{:08X}", page_size(), page_size() | 1);
    for (attribute, function, text) in [
        ("sync_for_device", FOR_DEVICE, "1"),
        ("sync_for_cpu", FOR_CPU, "1"),
        ("sync_for_device", FOR_DEVICE, &one_page),
        ("sync_for_cpu", FOR_CPU, &one_page),
    ] {
        let before = trace.calls_of(function)?;
        owned.0.set_attribute(attribute, text)?;
        let calls = trace.calls_of(function)? - before;
        context.note(format!("{attribute}, {text}: {calls} calls"));
        ensure!((calls == 0) == is_coherent, "{attribute}: {calls} calls");
    }
    // What is in sysfs is root's. Whoever has the buffer open has this.
    let session = Session::from(open(&owned.0)?);
    for (flags, function) in [
        (uapi::SYNC_FOR_DEVICE, FOR_DEVICE),
        (uapi::SYNC_FOR_CPU, FOR_CPU),
    ] {
        let before = trace.calls_of(function)?;
        session.request(&mut uapi::Sync {
            flags,
            bytes: page_size(),
            ..uapi::Sync::new()
        })?;
        let calls = trace.calls_of(function)? - before;
        ensure!((calls == 0) == is_coherent, "SYNC {flags}: {calls} calls");
    }
    drop((trace, session));
    owned.0.remove(false)?;
    nothing_is_left(&is_there)
}

/// For the CPU, what a cache has is dropped: a reader could undo what others have stored.
fn a_reader_passes_nothing_to_the_cpu(_: &Context) -> Result<()> {
    let (is_there, _, path) = begin()?;
    for (spec, for_cpu) in specs(&path).iter().zip([Ok(()), Err(Errno::EBADF)]) {
        let owned = make("reader", spec)?;
        let reader = Session::from(fs::File::open(owned.0.node())?);
        for (flags, expected) in [
            (uapi::SYNC_FOR_DEVICE, Ok(())),
            (uapi::SYNC_FOR_CPU, for_cpu),
        ] {
            let synced = reader.request(&mut uapi::Sync {
                flags,
                bytes: page_size(),
                ..uapi::Sync::new()
            });
            ensure!(synced == expected, "SYNC {flags}: {synced:?}");
        }
        drop(reader);
        owned.0.remove(false)?;
    }
    nothing_is_left(&is_there)
}

fn is_bus_error(map: &Map) -> Result<bool> {
    let signal = child::killed_by(|| {
        std::hint::black_box(map.load(0));
        Ok(())
    })?;
    Ok(signal == Some(Signal::SIGBUS))
}

/// Makes a buffer for the device, has two files map it, and takes the driver away.
fn taken_back(touched: bool) -> Result<()> {
    let (is_there, node, path) = begin()?;
    for spec in specs(&path) {
        spec_is_taken_back(&spec, &node, touched).with_context(|| format!("{:?}", spec.backing))?;
    }
    nothing_is_left(&is_there)
}

fn spec_is_taken_back(spec: &Spec, node: &Path, touched: bool) -> Result<()> {
    let owned = make("back", spec)?;
    let buffer = &owned.0;
    let (one, other) = (open(buffer)?, open(buffer)?);
    let (first, second) = (
        Map::shared(&one, 0, page_bytes())?,
        Map::shared(&other, 0, page_bytes())?,
    );
    if touched {
        first.store(0, 3);
        ensure!(second.load(0) == 3);
    }
    let bind = unbind(node)?;
    ensure!(
        is_bus_error(&first)? && is_bus_error(&second)?,
        "still mapped"
    );
    ensure!(Map::shared(&one, 0, page_bytes()).err() == Some(Errno::ENODEV));
    let mut contents = [0];
    let read = one
        .read_at(&mut contents, 0)
        .err()
        .and_then(|err| err.raw_os_error());
    ensure!(read == Some(Errno::ENODEV as i32), "{read:?}");
    let asked = Session::from(other).request(&mut uapi::Query::new());
    ensure!(asked == Err(Errno::ENODEV), "{asked:?}");
    match open(buffer) {
        Ok(_) => bail!("it can be opened"),
        Err(err) => {
            let errno = err
                .downcast_ref::<std::io::Error>()
                .and_then(std::io::Error::raw_os_error);
            ensure!(errno == Some(Errno::ENODEV as i32), "{err:#}");
        }
    }
    ensure!(buffer.setting("enabled")? == "gone");
    let errno = buffer
        .attribute("dma_addr")
        .err()
        .and_then(|err| err.errno());
    ensure!(errno == Some(Errno::ENODEV), "{errno:?}");
    let passed = buffer.set_attribute("sync_for_cpu", "1");
    let errno = passed.err().and_then(|err| err.errno());
    ensure!(errno == Some(Errno::ENODEV), "{errno:?}");
    bind()?;
    ensure!(
        buffer.setting("enabled")? == "gone",
        "it does not come back"
    );
    // Whoever has it open has nothing any more.
    buffer.remove(false)?;
    drop((one, first, second));
    let owned = make("back", spec)?;
    dma_addr(&owned.0)?;
    owned.0.remove(false)?;
    Ok(())
}

fn is_taken_back_when_the_driver_goes(_: &Context) -> Result<()> {
    taken_back(true)
}

fn is_taken_back_from_those_who_have_not_touched_it(_: &Context) -> Result<()> {
    taken_back(false)
}

fn is_removed_before_the_driver_goes(_: &Context) -> Result<()> {
    let (is_there, node, path) = begin()?;
    let owned = make("before", &spec(&path))?;
    let file = open(&owned.0)?;
    let map = Map::shared(&file, 0, page_bytes())?;
    map.store(0, 1);
    owned.0.remove(true)?;
    ensure!(is_bus_error(&map)?);
    // The device goes on.
    drop((map, file));
    crate::dma::round_trips(COHERENT, mapwright::MapCall::Scatter, &[100])?;
    unbind(&node)?()?;
    nothing_is_left(&is_there)
}

fn a_device_without_a_driver_is_enodev(_: &Context) -> Result<()> {
    let (is_there, node, path) = begin()?;
    let bind = unbind(&node)?;
    let owned = Made(NamedBuffer::new("nobody"));
    let errno = owned
        .0
        .create(&spec(&path))
        .err()
        .and_then(|err| err.errno());
    bind()?;
    ensure!(errno == Some(Errno::ENODEV), "{errno:?}");
    nothing_is_left(&is_there)
}
