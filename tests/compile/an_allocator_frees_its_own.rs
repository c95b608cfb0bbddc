// SPDX-License-Identifier: GPL-2.0-only

//! The allocator that memory is from is part of its type, and so is how it is freed.

use kernel::prelude::*;

pub fn wrong_free(object: KBox<u64>) -> VBox<u64> {
    object //~ E0308
}
