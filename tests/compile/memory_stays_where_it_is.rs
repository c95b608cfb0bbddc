// SPDX-License-Identifier: GPL-2.0-only

//! What can be mapped cannot be taken out, changed or freed by who shares it.

use kernel::{prelude::*, sync::Arc};
use mapkit::memory::{
    mappable::{Mappable, MappingEvents},
    pages::Pages,
};

pub fn take<T: MappingEvents>(buffer: Mappable<T>) {
    drop(buffer.backing); //~ E0616
}

pub fn change<T: MappingEvents>(buffer: &mut Mappable<T>) -> Result {
    buffer.backing = KBox::new(Pages::new(1)?, GFP_KERNEL)?; //~ E0616
    Ok(())
}

pub fn outlive<T: MappingEvents>(
    buffer: Arc<Mappable<T>>,
) -> &'static dyn mapkit::memory::backing::Backing {
    buffer.memory() //~ E0515
}
