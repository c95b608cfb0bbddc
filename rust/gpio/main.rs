// SPDX-License-Identifier: GPL-2.0-only

//! GPIO of TI's AM335x, the BeagleBone Black's processor, by `ioremap`, `readl` and `writel`.
//!
//! The registers and their bits are in `registers/`, what a bank does in `bank/`, and how it is
//! found in `bus/pci.rs` and `bus/platform.rs`. What becomes of edges, outputs and registers while the system sleeps is
//! in `sleep.rs`.

mod bank;
mod blink;
mod bus;
mod chip;
mod debounce;
mod device;
mod edges;
mod file;
mod interrupt;
mod leds;
mod registers;
mod sleep;
mod tables;
mod watch;

use kernel::{
    driver,
    prelude::*,
    InPlaceModule, //
};

module! {
    type: Gpio,
    name: "mapwright_gpio",
    authors: ["The mapwright developers"],
    description: "GPIO of the AM335x: outputs, inputs, edges, blinking, and its registers in a program",
    license: "GPL",
    params: {
        writable_registers: u8 {
            default: 0,
            description: "Whether programs may map the registers writable (with CAP_SYS_RAWIO)",
        },
    },
}

/// This module, which its files and tables keep loaded.
const MODULE: &ThisModule = mapkit::this_module!(Gpio);

/// The loaded module: a driver for each bus.
#[pin_data]
struct Gpio {
    #[cfg(CONFIG_PCI)]
    #[pin]
    pci: driver::Registration<kernel::pci::Adapter<bus::pci::Driver>>,
    #[cfg(CONFIG_OF)]
    #[pin]
    platform: driver::Registration<kernel::platform::Adapter<bus::platform::Driver>>,
}

impl InPlaceModule for Gpio {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        let name = <Self as kernel::ModuleMetadata>::NAME;
        try_pin_init!(Self {
            _: {
                leds::check_parameter()?;
            },
            #[cfg(CONFIG_PCI)]
            pci <- driver::Registration::new(name, module),
            #[cfg(CONFIG_OF)]
            platform <- driver::Registration::new(name, module),
            _: {
                leds::tell_of_strangers();
            },
        })
    }
}
