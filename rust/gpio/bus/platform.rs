// SPDX-License-Identifier: GPL-2.0-only

//! The bank as a device-tree node, as an AM335x has it: see `docs/beaglebone.md`.

use crate::{
    bank::{
        Bank,
        Mode, //
    },
    device::Published, //
    registers::block::Block,
};
use kernel::{
    clk::Clk,
    device::Core,
    of,
    platform,
    prelude::*,
    sync::Arc, //
};
use mapkit::{
    device::{
        irq::Request,
        mem_region::MemRegion,
        mmio::Window,
        power::{
            ActiveParent,
            SleepNotifier, //
        }, //
    },
    map::register_page::RegisterPage, //
};

/// What `/proc/iomem` calls it.
const NAME: &CStr = c"mapwright_gpio";

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

/// Registers that nobody accesses any more after this is dropped.
struct Reachable(Arc<Block>);

impl Drop for Reachable {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// A bound device. Fields are dropped in this order: the clock goes when nobody needs it any more.
///
/// The parent, `ti,sysc`, is held in both modes: it would switch the clock off (`hog`, if gpio-omap is
/// unbound) or reset the bank (`bank`).
pub(crate) struct Data {
    published: Published,
    _reachable: Reachable,
    _sleep: Option<Pin<KBox<SleepNotifier<Block>>>>,
    _region: Option<MemRegion>,
    _debounce_clock: Option<RunningClock>,
    _clock: Option<RunningClock>,
    _parent: ActiveParent,
}

mapkit::of_device_table!(
    TABLE,
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
        let parent = ActiveParent::new(device.as_ref())?;
        let clock = match mode {
            // That of the driver which has the lines, and of the parent.
            Mode::Hog => None,
            Mode::Bank => Some(RunningClock::new(Clk::get(device.as_ref(), Some(c"fck"))?)?),
        };
        // It is optional: without it, gpiolib debounces.
        let debounce_clock = match (mode, Clk::get(device.as_ref(), Some(c"dbclk"))) {
            (Mode::Hog, _) => None,
            (Mode::Bank, Ok(clock)) => Some(RunningClock::new(clock)?),
            (Mode::Bank, Err(err)) if err == EPROBE_DEFER => return Err(err),
            (Mode::Bank, Err(_)) => None,
        };
        let region = match mode {
            // That driver has requested it.
            Mode::Hog => None,
            Mode::Bank => Some(MemRegion::of_resource(device, 0, NAME)?),
        };
        let block = Block::new(Window::of_resource(device, 0)?)?;
        let reachable = Reachable(block.clone());
        let sleep = match mode {
            Mode::Hog => Some(KBox::pin_init(
                SleepNotifier::new(block.clone()),
                GFP_KERNEL,
            )?),
            // As of all banks that are ours: see `sleep.rs`.
            Mode::Bank => None,
        };
        let page = RegisterPage::of_resource(device, 0)?;
        let request = match mode {
            Mode::Hog => None,
            Mode::Bank => Some(Request::of_platform(device, 0)?),
        };
        let (has_interrupt, debounces) = (request.is_some(), debounce_clock.is_some());
        let bank = Bank::new(block, mode, has_interrupt, debounces, page);
        let bank = Arc::pin_init(bank, GFP_KERNEL)?;
        Ok(Data {
            published: Published::new(device.as_ref(), bank, request, None)?,
            _reachable: reachable,
            _sleep: sleep,
            _region: region,
            _debounce_clock: debounce_clock,
            _clock: clock,
            _parent: parent,
        })
    }

    fn unbind<'bound>(_device: &'bound platform::Device<Core<'_>>, this: Pin<&Self::Data<'bound>>) {
        this.published.leave();
    }
}
