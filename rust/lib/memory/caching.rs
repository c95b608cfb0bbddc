// SPDX-License-Identifier: GPL-2.0-only

//! Memory types.
//!
//! C header: [`include/linux/pgtable.h`](srctree/include/linux/pgtable.h)
//!
//! Documentation: [`Documentation/arch/x86/pat.rst`](srctree/Documentation/arch/x86/pat.rst)

/// A memory type.
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
/// use mapkit::memory::{backing::Backing, caching::Caching, pages::Pages, recached::Recached};
///
/// /// Memory of a type that a program has chosen. Write-back is what memory is.
/// fn allocate(caching: Caching) -> Result<KBox<dyn Backing>> {
///     let pages = Pages::new(16)?;
///     Ok(match caching {
///         Caching::WriteBack => KBox::new(pages, GFP_KERNEL)?,
///         other => KBox::new(Recached::new(pages, other)?, GFP_KERNEL)?,
///     })
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caching {
    /// Ordinary memory.
    WriteBack,
    /// Stores are collected and written out in any order, loads are not cached.
    WriteCombine,
    /// Every access goes to memory, in order.
    Uncached,
}
