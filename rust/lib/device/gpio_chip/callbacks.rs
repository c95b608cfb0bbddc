// SPDX-License-Identifier: GPL-2.0-only

//! The C functions by which gpiolib calls the lines of a chip.

use crate::{
    device::gpio_chip::lines::{
        Detect,
        Lines, //
    },
    ffi::mapkit_gpio_operations as Operations, //
};
use core::marker::PhantomData;
use kernel::{
    error::Error,
    ffi::{
        c_int,
        c_uint,
        c_void, //
    },
    prelude::*, //
};

/// The callbacks of the lines `T`.
pub(super) struct Callbacks<T>(PhantomData<T>);

fn status(result: Result) -> c_int {
    result.map_or_else(Error::to_errno, |()| 0)
}

/// gpiolib calls each of these with the data of a registered chip of the lines `T`, and does so no more
/// when it is unregistered: that is what `lines` asks for.
impl<T: Lines> Callbacks<T> {
    pub(super) const WITHOUT_INTERRUPTS: &'static Operations = &Operations {
        request: Some(Self::request),
        free: Some(Self::free),
        is_input: Some(Self::is_input),
        make_input: Some(Self::make_input),
        make_output: Some(Self::make_output),
        levels: Some(Self::levels),
        set: Some(Self::set),
        debounce: Some(Self::debounce),
        begin_interrupts: Some(Self::begin_interrupts),
        end_interrupts: Some(Self::end_interrupts),
        detect: None,
        mask: Some(Self::mask),
        unmask: Some(Self::unmask),
    };

    pub(super) const WITH_INTERRUPTS: &'static Operations = &Operations {
        detect: Some(Self::detect),
        ..*Self::WITHOUT_INTERRUPTS
    };

    /// # Safety
    ///
    /// `data` must point to a `T` that lives during `'a`.
    unsafe fn lines<'a>(data: *mut c_void) -> &'a T {
        // SAFETY: By the requirement of this function.
        unsafe { &*data.cast::<T>() }
    }

    /// # Safety
    ///
    /// As for [`lines`](Self::lines), for the call.
    unsafe extern "C" fn request(data: *mut c_void, line: c_uint) -> c_int {
        // SAFETY: By the requirement of this function.
        status(unsafe { Self::lines(data) }.request(line))
    }

    /// # Safety
    ///
    /// As for [`lines`](Self::lines), for the call.
    unsafe extern "C" fn free(data: *mut c_void, line: c_uint) {
        // SAFETY: By the requirement of this function.
        unsafe { Self::lines(data) }.free(line);
    }

    /// # Safety
    ///
    /// As for [`lines`](Self::lines), for the call.
    unsafe extern "C" fn is_input(data: *mut c_void, line: c_uint) -> c_int {
        // SAFETY: By the requirement of this function.
        let is_input = unsafe { Self::lines(data) }.is_input(line);
        is_input.map_or_else(Error::to_errno, c_int::from)
    }

    /// # Safety
    ///
    /// As for [`lines`](Self::lines), for the call.
    unsafe extern "C" fn make_input(data: *mut c_void, line: c_uint) -> c_int {
        // SAFETY: By the requirement of this function.
        status(unsafe { Self::lines(data) }.make_input(line))
    }

    /// # Safety
    ///
    /// As for [`lines`](Self::lines), for the call.
    unsafe extern "C" fn make_output(data: *mut c_void, line: c_uint, high: bool) -> c_int {
        // SAFETY: By the requirement of this function.
        status(unsafe { Self::lines(data) }.make_output(line, high))
    }

    /// # Safety
    ///
    /// As for [`lines`](Self::lines), for the call; `levels` must be valid to write to.
    unsafe extern "C" fn levels(data: *mut c_void, mask: u32, levels: *mut u32) -> c_int {
        // SAFETY: By the requirement of this function.
        match unsafe { Self::lines(data) }.levels(mask) {
            Ok(high) => {
                // SAFETY: By the requirement of this function.
                unsafe { levels.write(high) };
                0
            }
            Err(err) => err.to_errno(),
        }
    }

    /// # Safety
    ///
    /// As for [`lines`](Self::lines), for the call.
    unsafe extern "C" fn set(data: *mut c_void, set: u32, clear: u32) -> c_int {
        // SAFETY: By the requirement of this function.
        status(unsafe { Self::lines(data) }.set(set, clear))
    }

    /// # Safety
    ///
    /// As for [`lines`](Self::lines), for the call.
    unsafe extern "C" fn debounce(data: *mut c_void, line: c_uint, microseconds: u32) -> c_int {
        // SAFETY: By the requirement of this function.
        status(unsafe { Self::lines(data) }.debounce(line, microseconds))
    }

    /// # Safety
    ///
    /// As for [`lines`](Self::lines), for the call.
    unsafe extern "C" fn begin_interrupts(data: *mut c_void, line: c_uint) -> c_int {
        // SAFETY: By the requirement of this function.
        status(unsafe { Self::lines(data) }.begin_interrupts(line))
    }

    /// # Safety
    ///
    /// As for [`lines`](Self::lines), for the call.
    unsafe extern "C" fn end_interrupts(data: *mut c_void, line: c_uint) {
        // SAFETY: By the requirement of this function.
        unsafe { Self::lines(data) }.end_interrupts(line);
    }

    /// # Safety
    ///
    /// As for [`lines`](Self::lines), for the call.
    unsafe extern "C" fn detect(data: *mut c_void, line: c_uint, kind: c_uint) -> c_int {
        // SAFETY: By the requirement of this function.
        let lines = unsafe { Self::lines(data) };
        status(Detect::from_raw(kind).and_then(|detect| lines.detect(line, detect)))
    }

    /// # Safety
    ///
    /// As for [`lines`](Self::lines), for the call.
    unsafe extern "C" fn mask(data: *mut c_void, line: c_uint) {
        // SAFETY: By the requirement of this function.
        unsafe { Self::lines(data) }.mask(line);
    }

    /// # Safety
    ///
    /// As for [`lines`](Self::lines), for the call.
    unsafe extern "C" fn unmask(data: *mut c_void, line: c_uint) {
        // SAFETY: By the requirement of this function.
        unsafe { Self::lines(data) }.unmask(line);
    }
}
