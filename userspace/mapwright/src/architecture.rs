// SPDX-License-Identifier: MIT OR Apache-2.0

//! The kernel's architecture, which need not be this program's.

use mapwright_uapi::{self as uapi, Architecture, Backing, Caching, Method};

/// What the kernel is for.
pub fn architecture() -> Architecture {
    let is_arm64 = || nix::sys::utsname::uname().is_ok_and(|name| name.machine() == "aarch64");
    match Architecture::HERE {
        // A 32-bit program may be on a 64-bit kernel.
        Architecture::Other if is_arm64() => Architecture::Arm64,
        here => here,
    }
}

/// Why `backing` cannot have the memory type `caching` on this machine when it is mapped with `method`, in a
/// sentence, or `None` if it can.
pub fn reason_against_caching(
    backing: Backing,
    method: Method,
    caching: Caching,
) -> Option<&'static str> {
    uapi::reason_against_caching(architecture(), backing, method, caching)
}
