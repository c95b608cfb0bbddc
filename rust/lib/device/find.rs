// SPDX-License-Identifier: GPL-2.0-only

//! A device by its name, as programs have it.
//!
//! C header: [`include/linux/device/bus.h`](srctree/include/linux/device/bus.h)

use crate::{
    base::gfp,
    ffi, //
};
use core::ptr::NonNull;
use kernel::{
    device::Device,
    prelude::*,
    str::CString,
    sync::aref::ARef, //
};

/// The buses whose devices are found.
const BUSES: [&CStr; 2] = [c"pci", c"platform"];

/// The device of the bus `pci` or `platform` that `name` means: `BUS/NAME`, `/sys/bus/BUS/devices/NAME`, or its path
/// below `/sys/devices`, with no symbolic link in it.
///
/// `ENODEV` if there is none, `EINVAL` if it is no such name, `ENOMEM` without memory to look.
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
/// use mapkit::device::find::find;
///
/// fn is_there() -> bool {
///     find("pci/0000:00:03.0").is_ok()
/// }
/// ```
pub fn find(name: &str) -> Result<ARef<Device>> {
    if let Some(path) = name
        .strip_prefix("/sys")
        .filter(|path| path.starts_with("/devices/"))
    {
        return at(path);
    }
    let (bus, name) = match name.strip_prefix("/sys/bus/") {
        None => name.split_once('/').ok_or(EINVAL)?,
        Some(rest) => rest.split_once("/devices/").ok_or(EINVAL)?,
    };
    let bus = BUSES
        .iter()
        .find(|known| known.to_bytes() == bus.as_bytes());
    of_bus(bus.ok_or(EINVAL)?, name)?.ok_or(ENODEV)
}

/// The device at a path.
fn at(path: &str) -> Result<ARef<Device>> {
    let (_, name) = path.rsplit_once('/').ok_or(EINVAL)?;
    let path = CString::try_from_fmt(fmt!("{}", path))?;
    for bus in BUSES {
        let Some(device) = of_bus(bus, name)? else {
            continue;
        };
        let raw = core::ptr::from_ref::<Device>(&device).cast_mut().cast();
        // SAFETY: A `Device` is a transparent wrapper of a valid `struct device`, and the path is a string.
        match unsafe { ffi::mapkit_device_is_at(raw, path.as_char_ptr(), gfp::FOR_CALLER) } {
            0 => {}
            1 => return Ok(device),
            _ => return Err(ENOMEM),
        }
    }
    Err(ENODEV)
}

/// The device of a bus that has this name there.
fn of_bus(bus: &CStr, name: &str) -> Result<Option<ARef<Device>>> {
    let name = CString::try_from_fmt(fmt!("{}", name))?;
    // SAFETY: Both are strings.
    let raw = unsafe { ffi::mapkit_find_device(bus.as_char_ptr(), name.as_char_ptr()) };
    // SAFETY: It is a device, a reference to which is handed over. A `Device` is a transparent wrapper.
    Ok(NonNull::new(raw).map(|raw| unsafe { ARef::from_raw(raw.cast::<Device>()) }))
}
