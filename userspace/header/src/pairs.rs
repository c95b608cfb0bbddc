// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which backings can be mapped how, in words.

use mapwright_uapi::{methods_of, Backing, Method};

/// A line for each backing.
pub fn lines() -> impl Iterator<Item = String> {
    Backing::ALL.iter().map(|backing| {
        let methods = methods_of(*backing);
        let can = |method: &&Method| methods & method.bit() != 0;
        let names: Vec<&str> = Method::ALL
            .iter()
            .filter(can)
            .map(|method| method.name())
            .collect();
        format!("{}: {}", backing.name(), names.join(", "))
    })
}
