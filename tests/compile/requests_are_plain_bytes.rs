// SPDX-License-Identifier: GPL-2.0-only

//! What is copied from and to a program has no padding that would tell it of the kernel's stack, no
//! references, and no values that it must not choose.

use kernel::prelude::*;
use mapkit::base::uaccess::{UserArray, UserStruct};

#[repr(C)]
pub struct Padded {
    pub small: u8,
    pub large: u64,
}

pub fn padding(user: &UserStruct, request: &Padded) -> Result {
    user.write(request) //~ E0277
}

pub fn reference(user: &UserStruct, request: &mut &'static u32) -> Result {
    user.read(request) //~ E0277
}

pub fn choice(user: &UserStruct, request: &mut bool) -> Result {
    user.read(request) //~ E0277
}

pub fn pointers(array: &mut UserArray, of_kernel: &[*const u8]) -> Result {
    array.push(of_kernel) //~ E0277
}
