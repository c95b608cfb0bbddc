// SPDX-License-Identifier: GPL-2.0-only

//! `/dev/mapwright-dmaN`: memory that a real engine reads and writes, QEMU's `edu` PCI device.
//!
//! How a transfer gets to the device: `files.rs` has the ioctl, `transfer.rs` maps the memory and cuts
//! it into pieces, `engine.rs` moves a piece and waits for the interrupt.
//!
//! A device may lose its driver at any time (`unbind` in sysfs, a surprise removal). Transfers end then
//! with `ENODEV` after the piece that is being moved, and so does every later call. What programs hold of
//! the device is taken from them meanwhile: `coherent` regions, mappings, imported buffers. What else they have
//! mapped stays mapped.
//!
//! Locks, in the order they are taken: those of the session, none of which is held during a transfer;
//! the right to use the engine, [`engine::Turn`]; the `state` of [`turns::Turns`].

use kernel::{
    device::Core,
    dma::DmaMask,
    pci,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    }, //
};
use mapkit::{
    base::param,
    device::{
        irq::{
            Registration,
            Request,
            Signal, //
        },
        mmio::Window,
        pci::{
            device_id,
            BusMaster,
            Matched, //
        },
        power::SleepNotifier, //
    },
    dma::device::DmaDevice, //
};
use mapwright_session::{
    DefaultRegion,
    Device,
    Published,
    Settings, //
};
use mapwright_uapi as uapi;

mod channel;
mod engine;
mod files;
mod mapping;
mod mappings;
mod measure;
mod queue;
mod registers;
mod stats;
mod transfer;
mod turns;
mod workers;

use engine::Engine;
use files::Files;

module! {
    type: MapwrightDma,
    name: "mapwright_dma",
    authors: ["The mapwright developers"],
    description: "Memory for DMA, and QEMU's edu device that moves it",
    license: "GPL",
    params: {
        total_limit_mib: u32 {
            default: 0,
            description: "MiB that all regions of a device may hold together (0: half of the memory)",
        },
        session_limit_mib: u32 {
            default: 0,
            description: "MiB that the regions of one open file may hold (0: as total_limit_mib)",
        },
        session_regions: u32 {
            default: 1024,
            description: "Regions that one open file may hold",
        },
        address_bits: u32 {
            default: 28,
            description: "Bits of the addresses that the device can reach, up to 32 (edu's dma_mask)",
        },
        msi: u8 {
            default: 1,
            description: "Whether message-signalled interrupts are used where there are any",
        },
    },
}

/// This module, which its files and tables keep loaded.
const MODULE: &ThisModule = mapkit::this_module!(MapwrightDma);

/// The loaded module: the registration of the driver.
#[pin_data]
struct MapwrightDma {
    #[pin]
    _driver: kernel::driver::Registration<pci::Adapter<EduDriver>>,
}

impl kernel::InPlaceModule for MapwrightDma {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            _driver <- kernel::driver::Registration::new(c"mapwright_dma", module),
        })
    }
}

/// The device nodes belong to root, who may give them away.
const MODE: u16 = 0o600;

/// What the device nodes are called: as many devices can be driven.
const NAMES: [&CStr; 8] = [
    c"mapwright-dma0",
    c"mapwright-dma1",
    c"mapwright-dma2",
    c"mapwright-dma3",
    c"mapwright-dma4",
    c"mapwright-dma5",
    c"mapwright-dma6",
    c"mapwright-dma7",
];

/// A bit for each of the names that is in use.
static NAMES_IN_USE: Atomic<i32> = Atomic::new(0);

/// A name that is in use until this is dropped.
struct Name {
    name: &'static CStr,
    bit: i32,
}

impl Name {
    /// The first that is free. `ENOSPC` if none is.
    fn take() -> Result<Self> {
        for (i, name) in NAMES.into_iter().enumerate() {
            let bit = 1i32.wrapping_shl(i as u32);
            let used = NAMES_IN_USE.load(Relaxed);
            if used & bit == 0 && NAMES_IN_USE.cmpxchg(used, used | bit, Relaxed).is_ok() {
                return Ok(Self { name, bit });
            }
        }
        Err(ENOSPC)
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let mut used = NAMES_IN_USE.load(Relaxed);
        while let Err(now) = NAMES_IN_USE.cmpxchg(used, used & !self.bit, Relaxed) {
            used = now;
        }
    }
}

struct EduDriver;

/// What has the engine called for the device's interrupts.
type Handler = Registration<Arc<Engine>>;

/// A device with its driver. Fields are dropped in this order.
struct Edu {
    /// Nobody can open it any more.
    _published: Published<Files>,
    _name: Name,
    _sleep: Pin<KBox<SleepNotifier<Engine>>>,
    _handler: Handler,
}

/// The vendor that QEMU uses for devices of its own.
const QEMU_ID: u16 = 0x1234;
/// The one that it calls `edu`.
const EDU_ID: u16 = 0x11e8;

mapkit::pci_device_table!(
    PCI_TABLE,
    <EduDriver as pci::Driver>::IdInfo,
    [(device_id(QEMU_ID, EDU_ID), ())]
);

impl pci::Driver for EduDriver {
    type IdInfo = ();
    type Data<'bound> = Edu;

    const ID_TABLE: pci::IdTable<Self::IdInfo> = &PCI_TABLE;

    fn probe<'bound>(
        device: &'bound pci::Device<Core<'_>>,
        _info: Matched<'bound, Self::IdInfo>,
    ) -> impl PinInit<Edu, Error> + 'bound {
        Edu::new(device)
    }
}

impl Edu {
    fn new(device: &pci::Device<Core<'_>>) -> Result<Self> {
        let address_bits = param::number(module_parameters::address_bits.value());
        if !(1..=32).contains(&address_bits) {
            dev_err!(device, "address_bits must be from 1 to 32\n");
            return Err(EINVAL);
        }
        device.enable_device_mem()?;
        let registers = Window::of_bar(device, 0, c"mapwright_dma")?;
        Engine::settle(&registers, device.as_ref())?;
        let engine = Engine::new(registers, BusMaster::permit(device)?)?;
        let stopped = engine.clone();
        let mask = DmaMask::try_new(address_bits)?;
        let dma = DmaDevice::of(device, mask, move || stopped.close(ENODEV))?;
        let (interrupt, handler) = request_interrupt(device, &engine)?;
        engine.test(device.as_ref()).inspect_err(|_| {
            dev_err!(device, "the device does not work: is it QEMU's edu?\n");
        })?;

        let sleep = KBox::pin_init(SleepNotifier::new(engine.clone()), GFP_KERNEL)?;
        let settings = Settings {
            total_limit_mib: param::number(module_parameters::total_limit_mib.value()),
            session_limit_mib: param::number(module_parameters::session_limit_mib.value()),
            coherent_limit_mib: 0,
            total_regions: 65536,
            session_regions: param::number(module_parameters::session_regions.value()),
            fault_around_kib: 64,
            caching_for_all: false,
            timing: true,
            default_region: DefaultRegion::from_names("coherent", "dma", "wb")
                .map_err(|_| EINVAL)?,
        };
        let memory = Device::new(MODULE, &settings, dma)?;
        let name = Name::take()?;
        let files = Files {
            engine: engine.clone(),
            device: memory.clone(),
            address_bits,
            interrupt,
        };
        Ok(Self {
            _published: Published::new(name.name, MODE, memory, files)?,
            _name: name,
            _sleep: sleep,
            _handler: handler,
        })
    }
}

/// Has the engine called for the device's interrupts: messages, or else the wire.
fn request_interrupt(
    device: &pci::Device<Core<'_>>,
    engine: &Arc<Engine>,
) -> Result<(uapi::Interrupt, Handler)> {
    let messages = match param::number(module_parameters::msi.value()) {
        0u8 => Err(ENODEV),
        _ => Request::of_pci(device, Signal::Message),
    };
    let (interrupt, request) = match messages {
        Ok(request) => (uapi::Interrupt::Msi, request),
        Err(_) => (
            uapi::Interrupt::Intx,
            Request::of_pci(device, Signal::Wire)?,
        ),
    };
    let handler = Registration::new(request, c"mapwright_dma", engine.clone())?;
    Ok((interrupt, handler))
}
