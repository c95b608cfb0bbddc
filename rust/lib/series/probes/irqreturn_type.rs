// SPDX-License-Identifier: GPL-2.0-only
// 7.3: `enum irqreturn` is a type of its own in Rust; before, a number.
pub const IT: kernel::bindings::irqreturn_t = kernel::bindings::irqreturn(0);
