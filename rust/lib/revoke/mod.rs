// SPDX-License-Identifier: GPL-2.0-only

//! What programs hold of a device is taken back when the device loses its driver.
//!
//! A driver that is unbound waits for no program. What a program holds is taken from it instead, by
//! [`Revoke::revoke`](unbind::Revoke::revoke), which [`at_unbind`](unbind::at_unbind) has called whatever the driver
//! does: before the driver's own `unbind`, and so before the bus lets go of the device and before another driver or
//! another IOMMU domain may have it. After that the program finds `ENODEV`, and `SIGBUS` where it has something
//! mapped.
//!
//! [`RegisterPage`](crate::map::register_page::RegisterPage) and [`DmaDevice`](crate::dma::device::DmaDevice) register
//! themselves, so that a driver that uses them cannot forget it. The latter revokes all that was allocated and
//! mapped for it. [`Revocable`](revocable::Revocable) is memory that can be taken back while programs have it
//! mapped.

pub mod revocable;
pub mod space;
pub mod unbind;
