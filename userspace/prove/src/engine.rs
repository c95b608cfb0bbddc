// SPDX-License-Identifier: MIT OR Apache-2.0

//! A device that does DMA, for the claims of part E.

use crate::{Need, Table};
use anyhow::{ensure, Context as _, Result};
use mapwright::{
    dma_devices, page_size, Backing, DmaInfo, Endpoint, MapCall, Method, Region, Session, Transfer,
};

/// What an experiment with the device needs.
pub const NEEDS: &[Need] = &[
    Need::Module("mapwright_dma"),
    Need::File("/dev/mapwright-dma0", "QEMU's edu device"),
];

/// The device.
pub struct Engine {
    pub session: Session,
    pub info: DmaInfo,
}

impl Engine {
    /// The first there is.
    pub fn open() -> Result<Self> {
        let path = dma_devices().into_iter().next().context("no device")?;
        let session = Session::open_at(path)?;
        let info = session.dma_info().context("asking for the device")?;
        Ok(Self { session, info })
    }

    /// Whether an IOMMU translates its addresses.
    pub fn is_translated(&self) -> bool {
        self.info.translated == 1
    }

    /// What is between it and memory, in words.
    pub fn path(&self) -> &'static str {
        match self.is_translated() {
            true => "an IOMMU that translates",
            false => "no IOMMU that translates",
        }
    }

    /// A coherent region.
    pub fn coherent(&self, bytes: u64) -> Result<Region> {
        Ok(self.session.create(Backing::Coherent, Method::Dma, bytes)?)
    }

    /// Scattered pages.
    pub fn vmalloc(&self, bytes: u64) -> Result<Region> {
        Ok(self
            .session
            .create(Backing::Vmalloc, Method::Insert, bytes)?)
    }

    /// Contiguous pages.
    pub fn pages(&self, bytes: u64) -> Result<Region> {
        Ok(self.session.create(Backing::Pages, Method::Remap, bytes)?)
    }

    /// Has the device copy `bytes` bytes from the start of one region to that of another.
    pub fn copy(&self, from: &Region, to: &Region, bytes: u64, map_call: MapCall) -> Result<()> {
        let transfer = Transfer {
            source: Endpoint::Region(*from, 0),
            target: Endpoint::Region(*to, 0),
            bytes,
            map_call,
        };
        let done = self.session.transfer(&transfer);
        done.with_context(|| format!("a transfer of {bytes} bytes"))
    }

    /// The first `bytes` bytes of a region, as the kernel sees them.
    pub fn contents(&self, region: &Region, bytes: usize) -> Result<Vec<u8>> {
        let mut contents = vec![0; bytes];
        self.session.read_at(region, 0, &mut contents)?;
        Ok(contents)
    }

    /// The physical address of a page of a region, and its bus address if it has one all its life.
    pub fn addresses(&self, region: &Region, page: u64) -> Result<(u64, Option<u64>)> {
        let pages = self.session.pages(region, page, 1)?;
        let info = pages.first().context("a region without pages")?;
        let bus = (info.dma_addr != mapwright::uapi::NO_DMA_ADDR).then_some(info.dma_addr);
        Ok((info.pfn * page_size(), bus))
    }
}

/// Bytes that no page is full of by chance.
pub fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| (i * 31 + i / 251 + 7) as u8).collect()
}

/// A table of addresses.
pub fn address_table(title: &str) -> Table {
    Table::new(
        title,
        [
            "buffer",
            "virtual (the program's)",
            "physical",
            "bus (the device's)",
        ],
    )
}

/// An address, as all write it.
pub fn hex(address: u64) -> String {
    format!("{address:#x}")
}

/// Fails if the device did not copy what it was to.
pub fn ensure_same(want: &[u8], got: &[u8], what: &str) -> Result<()> {
    let differs = want.iter().zip(got).position(|(a, b)| a != b);
    ensure!(
        differs.is_none() && want.len() == got.len(),
        "{what}: byte {differs:?} is wrong"
    );
    Ok(())
}
