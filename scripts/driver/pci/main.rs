// SPDX-License-Identifier: GPL-2.0-only

//! `/dev/example`: the first page of a PCI device's registers, which programs map until the device goes. The device is
//! QEMU's `edu`: for another one, change the ID in the table and the registers.

use kernel::{
    device::Core,
    fs::File,
    io::{register, Io},
    iov::IovIterDest,
    pci,
    prelude::*,
    sync::Arc,
};
use mapkit::{
    base::capability,
    device::{
        chardev::{CharDevice, Registration},
        mmio::Window,
        pci::{device_id, Matched},
    },
    map::{
        register_page::RegisterPage,
        vma::{Mapped, NewVma},
    },
};

kernel::module_pci_driver! {
    type: Example,
    name: "example",
    authors: ["Its author"],
    description: "Registers that programs map",
    license: "GPL",
}

register! {
    /// What the device is.
    IDENTIFICATION(u32) @ 0x00 { 31:0 value; }

    /// Gives back the inverse of what was written.
    LIVENESS(u32) @ 0x04 { 31:0 value; }
}

/// Bytes of registers that the driver itself uses.
const SIZE: usize = 0x08;

/// The driver.
struct Example;

mapkit::pci_device_table!(
    TABLE,
    <Example as pci::Driver>::IdInfo,
    [(device_id(0x1234, 0x11e8), ())]
);

impl pci::Driver for Example {
    type IdInfo = ();
    type Data<'bound> = Pin<KBox<Registration<Opened>>>;

    const ID_TABLE: pci::IdTable<Self::IdInfo> = &TABLE;

    fn probe<'bound>(
        device: &'bound pci::Device<Core<'_>>,
        _info: Matched<'bound, Self::IdInfo>,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        device.enable_device_mem()?;
        let registers = Window::<SIZE>::of_bar(device, 0, c"example")?;
        let io = registers.of(device.as_ref())?;
        io.write_reg(LIVENESS::from_raw(0x1234_5678));
        if io.read(LIVENESS).into_raw() != !0x1234_5678 {
            return Err(EIO);
        }
        let page = RegisterPage::of_bar(device, 0)?;
        let shared = Arc::new(Device { registers, page }, GFP_KERNEL)?;
        KBox::pin_init(Registration::new(c"example", 0o600, shared), GFP_KERNEL)
    }
}

/// What all open files share. It may be there for longer than the device has its driver.
struct Device {
    registers: Window<SIZE>,
    page: Arc<RegisterPage>,
}

/// An open file.
struct Opened(Arc<Device>);

#[vtable]
impl CharDevice for Opened {
    type Shared = Device;

    const MODULE: &'static ThisModule = mapkit::this_module!(DriverModule);

    fn open(device: &Arc<Device>, _: &File) -> Result<Arc<Self>> {
        Ok(Arc::new(Self(device.clone()), GFP_KERNEL)?)
    }

    /// What the device is, as four bytes. `ENODEV` once it has lost its driver.
    fn read(&self, pos: u64, iov: &mut IovIterDest<'_>) -> Result<usize> {
        if pos > 0 {
            return Ok(0);
        }
        let read = self.0.registers.with(|io| io.read(IDENTIFICATION));
        let value = read.ok_or(ENODEV)?.into_raw();
        Ok(iov.copy_to_iter(&value.to_ne_bytes()))
    }

    /// The first page of registers, to read. Once the device has lost its driver, touching it is `SIGBUS`.
    fn mmap<'a>(&self, vma: NewVma<'a>) -> Result<Mapped<'a>> {
        if !capability::is_sys_rawio() {
            return Err(EPERM);
        }
        vma.deny_exec()?;
        vma.into_register_page(self.0.page.clone(), false)
    }
}
