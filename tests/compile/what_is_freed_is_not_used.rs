// SPDX-License-Identifier: GPL-2.0-only

//! What is looked at cannot be freed meanwhile.

use kernel::prelude::*;

pub fn use_after_free(object: KBox<u64>) -> u64 {
    let value = &*object;
    drop(object); //~ E0505
    *value
}
