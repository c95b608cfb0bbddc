// SPDX-License-Identifier: GPL-2.0-only

//! A page of registers is that of a device which the driver has. It cannot be any physical address.

use kernel::{
    device::{Core, Device},
    page::PAGE_SIZE,
    prelude::*,
};
use mapkit::map::register_page::RegisterPage;

pub fn any_page(device: &Device<Core<'_>>) -> Result {
    let _ = RegisterPage::new(device, 0x100_0000, PAGE_SIZE as _)?; //~ E0624
    Ok(())
}
