// SPDX-License-Identifier: GPL-2.0-only

//! `irqreturn_t` of `include/linux/irqreturn.h`: a type of its own, or a number.

pub(crate) use kernel::bindings::irqreturn_t;
use kernel::ffi::c_uint;

/// What an interrupt handler answers.
#[cfg(kernel_has = "irqreturn_type")]
pub(crate) const fn from_number(number: c_uint) -> irqreturn_t {
    kernel::bindings::irqreturn(number)
}

/// What an interrupt handler answers.
#[cfg(not(kernel_has = "irqreturn_type"))]
pub(crate) const fn from_number(number: c_uint) -> irqreturn_t {
    number
}
