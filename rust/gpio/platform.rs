// SPDX-License-Identifier: GPL-2.0-only

//! The bank as a device-tree node, as an AM335x has it: see `docs/beaglebone.md`.

use crate::{
    bank::{
        Bank,
        Mode, //
    },
    block::{
        Block,
        Window, //
    },
    device::Published,
    registers::SIZE, //
};
use kernel::{
    clk::Clk,
    device::Core,
    of,
    platform,
    prelude::*,
    sync::Arc, //
};
use mapkit::register_page::RegisterPage;

/// The driver.
pub(crate) struct Driver;

/// A clock that runs. Without the interface clock, an access to the registers is an external abort.
struct RunningClock(Clk);

impl RunningClock {
    fn new(clock: Clk) -> Result<Self> {
        clock.prepare_enable()?;
        Ok(Self(clock))
    }
}

impl Drop for RunningClock {
    fn drop(&mut self) {
        self.0.disable_unprepare();
    }
}

/// A bound device. The clock goes last.
pub(crate) struct Data {
    published: Published,
    _clock: Option<RunningClock>,
}

kernel::of_device_table!(
    TABLE,
    MODULE_TABLE,
    <Driver as platform::Driver>::IdInfo,
    [
        (of::DeviceId::new(c"mapwright,am335x-gpio-hog"), Mode::Hog),
        (of::DeviceId::new(c"mapwright,am335x-gpio-bank"), Mode::Bank)
    ]
);

impl platform::Driver for Driver {
    type IdInfo = Mode;
    type Data<'bound> = Data;

    const OF_ID_TABLE: Option<of::IdTable<Self::IdInfo>> = Some(&TABLE);

    fn probe<'bound>(
        device: &'bound platform::Device<Core<'_>>,
        mode: Option<&'bound Self::IdInfo>,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        let mode = *mode.ok_or(ENODEV)?;
        let clock = match mode {
            // That of the driver which has the lines.
            Mode::Hog => None,
            Mode::Bank => Some(RunningClock::new(Clk::get(device.as_ref(), Some(c"fck"))?)?),
        };
        let request = device.io_request_by_index(0).ok_or(ENXIO)?;
        // Not exclusively: in the mode "hog" the region is another driver's, and in the mode "bank" the
        // resource of a device-tree node would be released twice when the driver is unbound.
        let registers = request.iomap_sized::<SIZE>()?.into_devres()?;
        let block = Arc::new(Block::new(Window::Platform(registers))?, GFP_KERNEL)?;
        let page = Arc::pin_init(RegisterPage::of_resource(device, 0)?, GFP_KERNEL)?;
        let request = match mode {
            Mode::Hog => None,
            Mode::Bank => Some(device.irq_by_index(0)?),
        };
        let bank = Bank::new(block, mode, request.is_some(), page);
        let bank = Arc::pin_init(bank, GFP_KERNEL)?;
        let leds = *crate::module_parameters::leds.value();
        Ok(Data {
            published: Published::new(device.as_ref(), bank, request, leds, None)?,
            _clock: clock,
        })
    }

    fn unbind<'bound>(_device: &'bound platform::Device<Core<'_>>, this: Pin<&Self::Data<'bound>>) {
        this.published.leave();
    }
}
