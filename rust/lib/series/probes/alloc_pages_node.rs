// SPDX-License-Identifier: GPL-2.0-only
// 7.3: `alloc_pages_node_noprof()` is exported; before, `__alloc_pages_noprof()`, which it called inline.
pub use kernel::bindings::alloc_pages_node_noprof;
