// SPDX-License-Identifier: GPL-2.0-only

//! How a module names itself: by a constant of its type, or by a static that `module!` makes.

/// The `&'static ThisModule` of the module whose type, which `module!` was given, is the argument.
///
/// To be used where `module!` is.
#[cfg(kernel_has = "this_module_of_type")]
#[macro_export]
macro_rules! this_module {
    ($module:ty) => {
        ::kernel::module::this_module::<$module>()
    };
}

/// The `&'static ThisModule` of the module whose type, which `module!` was given, is the argument.
///
/// To be used where `module!` is.
#[cfg(not(kernel_has = "this_module_of_type"))]
#[macro_export]
macro_rules! this_module {
    ($module:ty) => {
        &THIS_MODULE
    };
}
