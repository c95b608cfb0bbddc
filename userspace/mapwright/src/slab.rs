// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which slab cache a page frame belongs to.
//!
//! `struct slab` is private to the kernel's allocator: no function that a module can call tells the
//! cache of a page, and its fields are in no header. So a debugger's way is taken: the kernel's type information
//! says where the fields are, and `/proc/kcore` what is in them.

use crate::{btf::Btf, inspect::Inspector, kcore::Kcore, Error, Result};
use procfs::PhysicalPageFlags;

/// Bytes of a name that are read at a time: no more than are left of its page.
const PIECE: u64 = 16;
/// Bytes of the longest name.
const MAX_NAME: usize = 128;

/// Tells the slab caches of page frames.
pub struct SlabCaches {
    kcore: Kcore,
    /// Where a slab has the address of its cache, and a cache that of its name.
    cache_of_slab: u64,
    name_of_cache: u64,
}

impl SlabCaches {
    /// Reads where the fields are. Fails on a kernel without type information (`CONFIG_DEBUG_INFO_BTF`) or
    /// `/proc/kcore`, and without `CAP_SYS_RAWIO`.
    pub fn new() -> Result<Self> {
        let btf = Btf::read()?;
        Ok(Self {
            kcore: Kcore::open()?,
            cache_of_slab: btf.structure("slab")?.byte_of("slab_cache")?,
            name_of_cache: btf.structure("kmem_cache")?.byte_of("name")?,
        })
    }

    /// The name of the cache that the page frame `pfn` is a slab of; `None` if it is none, or is no slab any
    /// more when its cache has been found.
    pub fn name(&self, inspector: &Inspector, pfn: u64) -> Result<Option<String>> {
        let slab = |pfn| -> Result<Option<u64>> {
            let frame = inspector.frame(pfn)?;
            let is_slab = frame.page_flags.contains(PhysicalPageFlags::SLAB);
            Ok(is_slab.then_some(frame.head))
        };
        let Some(head) = slab(pfn)? else {
            return Ok(None);
        };
        let address = inspector.frame(head)?.struct_page + self.cache_of_slab;
        let cache = self.pointer(address)?;
        let name = self.text(self.pointer(cache + self.name_of_cache)?)?;
        // Nothing was held. If it is still a slab of the same cache, that was so all the time, or again.
        let is_same = slab(pfn)? == Some(head) && self.pointer(address)? == cache;
        Ok(is_same.then_some(name))
    }

    fn pointer(&self, address: u64) -> Result<u64> {
        let mut bytes = [0; 8];
        self.kcore.read(address, &mut bytes)?;
        Ok(u64::from_ne_bytes(bytes))
    }

    /// The text at an address, up to a zero.
    fn text(&self, mut address: u64) -> Result<String> {
        let mut text = Vec::new();
        while text.len() < MAX_NAME {
            let mut piece = [0; PIECE as usize];
            let length = PIECE - address % PIECE;
            let piece = &mut piece[..length as usize];
            self.kcore.read(address, piece)?;
            let end = piece.iter().position(|byte| *byte == 0);
            text.extend_from_slice(&piece[..end.unwrap_or(piece.len())]);
            if end.is_some() {
                break;
            }
            address += length;
        }
        match String::from_utf8(text) {
            Ok(name)
                if !name.is_empty() && name.chars().all(|c| c.is_ascii_graphic() || c == ' ') =>
            {
                Ok(name)
            }
            _ => Err(Error::Unexpected {
                what: "the name of a slab cache".to_owned(),
                detail: format!("no text is at {address:#x}"),
            }),
        }
    }
}
