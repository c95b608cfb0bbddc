// SPDX-License-Identifier: MIT OR Apache-2.0

//! The frames of a region, as the module knows them and as the program's page table has them.

use crate::Table;
use anyhow::{Context as _, Result};
use mapwright::{
    inspect::{Inspector, Target},
    Mapping, Region, Session,
};

/// The frames of a region: the kernel's, and what a walk of the program's page table finds.
pub struct Frames(Vec<(u64, Option<u64>)>);

impl Frames {
    /// The frames of all pages of a region, and of its mapping.
    pub fn of(session: &Session, region: &Region, mapping: &Mapping) -> Result<Self> {
        let inspector = Inspector::open()?;
        let page = mapwright::page_size();
        let pfns = session.pages(region, 0, region.bytes / page)?;
        let both = pfns
            .iter()
            .zip(0..)
            .map(|(info, at)| -> Result<(u64, Option<u64>)> {
                let walk = inspector.walk(Target::Myself, mapping.addr() as u64 + at * page)?;
                Ok((info.pfn, walk.pfn().filter(|_| walk.is_present())))
            });
        Ok(Self(both.collect::<Result<_>>()?))
    }

    /// Pages.
    pub fn pages(&self) -> usize {
        self.0.len()
    }

    /// Pages whose frame is the same on both sides.
    pub fn same(&self) -> usize {
        let same = self
            .0
            .iter()
            .filter(|(kernel, mapped)| *mapped == Some(*kernel));
        same.count()
    }

    /// Physically contiguous runs of the kernel's frames.
    pub fn runs(&self) -> usize {
        let breaks = self.0.windows(2).filter(|pair| pair[1].0 != pair[0].0 + 1);
        breaks.count() + usize::from(!self.0.is_empty())
    }

    /// The first pages, as evidence.
    pub fn table(&self, title: &str) -> Result<Table> {
        let mut table = Table::new(
            title,
            [
                "page",
                "frame, the kernel's",
                "frame in the program's page table",
            ],
        );
        for (at, (kernel, mapped)) in self.0.iter().take(8).enumerate() {
            table.row([
                at.to_string(),
                format!("{kernel:#x}"),
                mapped.map_or("none".to_owned(), |mapped| format!("{mapped:#x}")),
            ]);
        }
        self.0.first().context("a region without pages")?;
        Ok(table)
    }
}
