// SPDX-License-Identifier: GPL-2.0-only
// 7.3: a module is named by the constant of its type; before, by a static that `module!` made.
pub use kernel::module::this_module;
