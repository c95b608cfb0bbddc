// SPDX-License-Identifier: GPL-2.0-only

//! Parameters of a module: numbers, as the `kernel` crate has them, and words, which it lacks.
//!
//! C header: [`include/linux/moduleparam.h`](srctree/include/linux/moduleparam.h)

use crate::ffi;
use core::{
    borrow::Borrow,
    ptr, //
};
use kernel::{
    bindings,
    ffi::c_char,
    prelude::*, //
};

/// The number that a module was given for a parameter, or that the parameter has by default: of what the
/// parameter's `value()` returns, which is a number or a reference to one.
///
/// # Examples
///
/// ```
/// use mapkit::base::param;
///
/// // In a module with the parameter `limit`: `param::number(module_parameters::limit.value())`.
/// assert_eq!(param::number::<u32>(&7), 7);
/// ```
#[inline]
pub fn number<T: Copy>(value: impl Borrow<T>) -> T {
    *value.borrow()
}

/// The word that a module was given for its parameter `name`, or that it has by default.
///
/// The parameter is declared in C, with `module_param(name, charp, 0444)`. `None` if there is no such one,
/// if it may be written to after the module was loaded, or if its value is not text.
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
/// use mapkit::base::param;
///
/// fn is_loud(module: &'static ThisModule) -> Result<bool> {
///     match param::word(module, c"volume") {
///         Some("loud") => Ok(true),
///         Some("quiet") | None => Ok(false),
///         Some(_) => Err(EINVAL),
///     }
/// }
/// ```
pub fn word(module: &'static ThisModule, name: &CStr) -> Option<&'static str> {
    let module = module.as_ptr();
    if module.is_null() {
        return None;
    }
    // SAFETY: `ThisModule` stands for a module that is loaded.
    let (first, count) = unsafe { ((*module).kp, (*module).num_kp as usize) };
    if first.is_null() {
        return None;
    }
    // SAFETY: A module that is loaded has so many parameters there, which do not change.
    let parameters = unsafe { core::slice::from_raw_parts(first, count) };
    let parameter = parameters.iter().find(|parameter| {
        // SAFETY: The name of a parameter is a string.
        name == unsafe { CStr::from_char_ptr(parameter.name) }
    })?;
    let is_word = ptr::eq(parameter.ops, &raw const bindings::param_ops_charp);
    if !is_word || parameter.perm & ffi::S_IWUGO != 0 {
        return None;
    }
    // SAFETY: Parameters with these operations are pointers to a string, or null.
    let value: *const c_char = unsafe { *parameter.__bindgen_anon_1.arg.cast::<*const c_char>() };
    if value.is_null() {
        return None;
    }
    // SAFETY: It is a string. Nobody may change it, so it lives as long as the module.
    unsafe { CStr::from_char_ptr(value) }.to_str().ok()
}
