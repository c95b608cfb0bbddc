// SPDX-License-Identifier: GPL-2.0-only

//! How a module names itself: by a constant of its type, or by a static that `module!` makes.

use kernel::{
    prelude::*,
    ModuleMetadata, //
};

/// The `LocalModule` of a crate that is no module: a library, of which `#[vtable]` wants one at its root.
pub struct NoModule;

impl ModuleMetadata for NoModule {
    const NAME: &'static CStr = c"none";

    #[cfg(kernel_has = "this_module_of_type")]
    const THIS_MODULE: ThisModule = {
        // SAFETY: Null stands for what is built in.
        unsafe { ThisModule::from_ptr(core::ptr::null_mut()) }
    };
}

/// The `&'static ThisModule` of a module: `THIS_MODULE` in C. The argument is the type that `module!` names.
///
/// It must be used in the file that has `module!`. Other files of the module use a constant of that file.
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
///
/// # fn main() {}
/// module! {
///     type: Example,
///     name: "example",
///     authors: ["Its author"],
///     description: "Does nothing",
///     license: "GPL",
/// }
///
/// /// What other files of this module use as `crate::MODULE`.
/// pub(crate) const MODULE: &ThisModule = mapkit::this_module!(Example);
///
/// struct Example;
///
/// impl kernel::Module for Example {
///     fn init(_: &'static ThisModule) -> Result<Self> {
///         Ok(Self)
///     }
/// }
/// ```
#[cfg(kernel_has = "this_module_of_type")]
#[macro_export]
macro_rules! this_module {
    ($module:ty) => {
        ::kernel::module::this_module::<$module>()
    };
}

/// The `&'static ThisModule` of a module: `THIS_MODULE` in C. The argument is the type that `module!` names.
///
/// It must be used in the file that has `module!`. Other files of the module use a constant of that file.
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
///
/// # fn main() {}
/// module! {
///     type: Example,
///     name: "example",
///     authors: ["Its author"],
///     description: "Does nothing",
///     license: "GPL",
/// }
///
/// /// What other files of this module use as `crate::MODULE`.
/// pub(crate) const MODULE: &ThisModule = mapkit::this_module!(Example);
///
/// struct Example;
///
/// impl kernel::Module for Example {
///     fn init(_: &'static ThisModule) -> Result<Self> {
///         Ok(Self)
///     }
/// }
/// ```
#[cfg(not(kernel_has = "this_module_of_type"))]
#[macro_export]
macro_rules! this_module {
    ($module:ty) => {
        &THIS_MODULE
    };
}
