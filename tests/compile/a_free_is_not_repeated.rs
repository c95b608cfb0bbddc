// SPDX-License-Identifier: GPL-2.0-only

//! Who frees gives the memory away, and cannot free it again.

use mapkit::memory::pages::Pages;

pub fn double_free(pages: Pages) {
    drop(pages);
    drop(pages); //~ E0382
}
