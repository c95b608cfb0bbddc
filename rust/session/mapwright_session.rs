// SPDX-License-Identifier: GPL-2.0-only

//! Open files with regions of memory: what `/dev/mapwright` and the devices of the other modules that
//! offer regions have in common.
//!
//! A module makes a [`Device`] and publishes it with its [`Driver`], which says what is special about
//! it. Like mapkit, this is an rlib linked into each module that uses it.
//!
//! How `mmap(2)` gets to `remap_pfn_range()`: `session.rs` finds the region, `method/remap.rs` says
//! how it is mapped, and mapkit's chapter `map` calls the kernel.
//!
//! Locks, in the order they are taken: the address space of the caller (by the kernel, around
//! `mmap`), a session's `regions`, the device's `live`. No user memory is touched under the
//! latter two, nothing is allocated, and no more than some MiB are mapped or copied.

mod backing;
mod default_region;
mod device;
mod file;
pub mod ioctl;
mod limits;
mod method;
mod recipe;
mod region;
mod regions;
mod session;
mod settings;
mod shared;
mod stats;

pub use device::Device;
pub use file::{
    Driver,
    File,
    Published, //
};
pub use limits::Reserved;
pub use region::Region;
pub use session::Session;
pub use settings::{
    DefaultRegion,
    NoDefault,
    Settings, //
};
pub use shared::SharedRegion;

#[allow(dead_code, reason = "`#[vtable]` of some kernels does not ask for it")]
type LocalModule = mapkit::device::chardev::NoModule;
