// SPDX-License-Identifier: MIT OR Apache-2.0

//! The page cache as it is in the kernel's memory: a page's address_space, and the XArray there.

use anyhow::{ensure, Context as _, Result};
use mapwright::{
    btf::{Btf, Struct},
    kcore::Kcore,
};

/// The kernel's memory, and where in its structures the fields are.
pub struct KernelMemory {
    kcore: Kcore,
    folio: Struct,
    address_space: Struct,
    xarray: Struct,
    node: Struct,
}

impl KernelMemory {
    /// Opens it.
    pub fn open() -> Result<Self> {
        let types = Btf::read()?;
        Ok(Self {
            kcore: Kcore::open()?,
            folio: types.structure("folio")?,
            address_space: types.structure("address_space")?,
            xarray: types.structure("xarray")?,
            node: types.structure("xa_node")?,
        })
    }

    fn word(&self, address: u64) -> Result<u64> {
        let mut bytes = [0; 8];
        self.kcore.read(address, &mut bytes)?;
        Ok(u64::from_ne_bytes(bytes))
    }

    fn byte(&self, address: u64) -> Result<u8> {
        let mut byte = [0];
        self.kcore.read(address, &mut byte)?;
        Ok(byte[0])
    }

    /// The address_space that a folio is in, and its index there.
    pub fn place_of(&self, folio: u64) -> Result<(u64, u64)> {
        let mapping = self.word(folio + self.folio.byte_of("mapping")?)?;
        // The lowest bits say that it is none.
        ensure!(
            mapping != 0 && mapping & 3 == 0,
            "a page of a file is in no address_space: {mapping:#x}"
        );
        Ok((mapping, self.word(folio + self.folio.byte_of("index")?)?))
    }

    /// What the XArray of an address_space has for an index, and through how many nodes the way goes.
    pub fn look_up(&self, mapping: u64, index: u64) -> Result<(u64, usize)> {
        let array = mapping + self.address_space.byte_of("i_pages")?;
        let mut entry = self.word(array + self.xarray.byte_of("xa_head")?)?;
        let slots = self.node.byte_of("slots")?;
        let count = (self
            .node
            .byte_of("tags")
            .or_else(|_| self.node.byte_of("marks"))?
            - slots)
            / 8;
        let mut nodes = 0;
        while let Some(node) = node_of(entry) {
            let shift = self.byte(node + self.node.byte_of("shift")?)?;
            let slot = index
                .checked_shr(shift.into())
                .context("a node's shift is too large")?
                % count.max(1);
            entry = self.word(node + slots + slot * 8)?;
            nodes += 1;
            ensure!(nodes < 16, "an XArray has no end");
        }
        Ok((entry, nodes))
    }
}

/// The node that an entry of an XArray points to, if it does: `xa_is_node()` of `include/linux/xarray.h`.
fn node_of(entry: u64) -> Option<u64> {
    (entry & 3 == 2 && entry > 4096).then(|| entry - 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_a_node_or_a_page() {
        assert_eq!(node_of(0xffff_8880_0123_4002), Some(0xffff_8880_0123_4000));
        assert_eq!(node_of(0xffff_ea00_0000_1040), None);
        // A value, a sibling, nothing.
        assert!([0x11, 6, 0]
            .into_iter()
            .all(|entry| node_of(entry).is_none()));
    }
}
