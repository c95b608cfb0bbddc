// SPDX-License-Identifier: GPL-2.0-only

//! The bank as a PCI function, as VMs have it: see `userspace/gpio-device`.

use crate::{
    bank::{
        Bank,
        Mode, //
    },
    device::Published, //
    registers::block::Block,
};
use kernel::{
    device::Core,
    devres::Devres,
    pci,
    prelude::*,
    sync::Arc, //
};
use mapkit::{
    device::{
        gpio_chip::{
            Names,
            LINES, //
        },
        irq::{
            Request,
            Signal, //
        },
        mmio::Window,
        pci::{
            device_id,
            BusMaster,
            Matched, //
        }, //
    },
    map::register_page::RegisterPage, //
};
use mapwright_uapi::gpio as uapi;

/// What `/proc/iomem` calls it.
const NAME: &CStr = c"mapwright_gpio";

/// The lines' names: the function has no property of them, and is the bank GPIO1 of a BeagleBone Black.
const NAMES: &Names = &{
    let mut names = [None; LINES];
    names[0] = Some(c"P8_25");
    names[1] = Some(c"P8_24");
    names[2] = Some(c"P8_5");
    names[3] = Some(c"P8_6");
    names[4] = Some(c"P8_23");
    names[5] = Some(c"P8_22");
    names[6] = Some(c"P8_3");
    names[7] = Some(c"P8_4");
    names[12] = Some(c"P8_12");
    names[13] = Some(c"P8_11");
    names[14] = Some(c"P8_16");
    names[15] = Some(c"P8_15");
    names[16] = Some(c"P9_15");
    names[17] = Some(c"P9_23");
    names[18] = Some(c"P9_14");
    names[19] = Some(c"P9_16");
    names[21] = Some(c"USR0");
    names[22] = Some(c"USR1");
    names[23] = Some(c"USR2");
    names[24] = Some(c"USR3");
    names[28] = Some(c"P9_12");
    names[29] = Some(c"P8_26");
    names[30] = Some(c"P8_21");
    names[31] = Some(c"P8_20");
    names
};

/// The driver.
pub(crate) struct Driver;

/// A bound device. Fields are dropped in this order.
pub(crate) struct Data {
    published: Published,
    _bus_master: Devres<BusMaster>,
}

mapkit::pci_device_table!(
    TABLE,
    <Driver as pci::Driver>::IdInfo,
    [(device_id(uapi::PCI_ID.0, uapi::PCI_ID.1), ())]
);

impl pci::Driver for Driver {
    type IdInfo = ();
    type Data<'bound> = Data;

    const ID_TABLE: pci::IdTable<Self::IdInfo> = &TABLE;

    fn probe<'bound>(
        device: &'bound pci::Device<Core<'_>>,
        _info: Matched<'bound, Self::IdInfo>,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        device.enable_device_mem()?;
        // An MSI is a write of the device's.
        let bus_master = BusMaster::permit(device)?;
        let block = Block::new(Window::of_bar(device, 0, NAME)?)?;
        let page = RegisterPage::of_bar(device, 0)?;
        // The function has all clocks by itself.
        let bank = Bank::new(block, Mode::Bank, true, true, page);
        let bank = Arc::pin_init(bank, GFP_KERNEL)?;
        let interrupt = Request::of_pci(device, Signal::Message)?;
        Ok(Data {
            published: Published::new(device.as_ref(), bank, Some(interrupt), Some(NAMES))?,
            _bus_master: bus_master,
        })
    }

    fn unbind<'bound>(_device: &'bound pci::Device<Core<'_>>, this: Pin<&Self::Data<'bound>>) {
        this.published.leave();
    }
}
