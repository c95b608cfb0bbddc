// SPDX-License-Identifier: GPL-2.0-only

//! What a file has mapped for the device, and what it has imported.

use crate::mapping::{
    Mapping,
    Part,
    Used, //
};
use core::ops::Range;
use kernel::{
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    }, //
};
use mapkit::{
    base::gfp::GFP_FOR_CALLER,
    dma::{
        import::Import,
        streaming::cache_lines, //
    }, //
};
use mapwright_uapi as uapi;

/// A part of a region that a transfer uses, and that the program has not mapped itself.
pub(crate) struct Reserved<'a> {
    mappings: &'a Mutex<Mappings>,
    part: Part,
}

impl<'a> Reserved<'a> {
    /// Reserves the bytes `range` of a region. `EBUSY` if some of them are mapped.
    pub(crate) fn new(
        mappings: &'a Mutex<Mappings>,
        region: u64,
        range: Range<usize>,
        direction: u32,
    ) -> Result<Self> {
        let mut all = mappings.lock();
        all.check_free(region, &range, direction)?;
        let part = Part {
            region,
            range,
            direction,
        };
        all.reserved.push(part.clone(), GFP_FOR_CALLER)?;
        Ok(Self { mappings, part })
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        let mut all = self.mappings.lock();
        if let Some(at) = all.reserved.iter().position(|part| *part == self.part) {
            // It is there.
            let _ = all.reserved.remove(at);
        }
    }
}

/// What a file has mapped for the device, and the buffers that it has imported.
pub(crate) struct Mappings {
    mappings: KVec<Arc<Mapping>>,
    /// What the transfer that is being made uses beside them.
    reserved: KVec<Part>,
    imports: KVec<(u64, Arc<Import>)>,
}

impl Mappings {
    /// None.
    pub(crate) fn new() -> Self {
        Self {
            mappings: KVec::new(),
            reserved: KVec::new(),
            imports: KVec::new(),
        }
    }

    /// `EBUSY` if some of these bytes are mapped, or a transfer uses them, `ENOSPC` if there is no room for
    /// one more mapping.
    pub(crate) fn check_room(&self, region: u64, range: &Range<usize>, direction: u32) -> Result {
        self.check_free(region, range, direction)?;
        if self
            .reserved
            .iter()
            .any(|part| part.overlaps(region, range))
        {
            return Err(EBUSY);
        }
        match self.mappings.len() < uapi::MAX_MAPPINGS as usize {
            true => Ok(()),
            false => Err(ENOSPC),
        }
    }

    /// `EBUSY` if some of these bytes are mapped, but for what the transfer itself uses: it may read what
    /// it writes to. Two mappings that the device writes to may not even share a cache line, as the CPU
    /// invalidates whole ones.
    fn check_free(&self, region: u64, range: &Range<usize>, direction: u32) -> Result {
        let lines = cache_lines(range);
        let mut all = Iterator::chain(self.parts(), self.reserved.iter());
        let shares_line = all.any(|part| {
            let both_write = direction & part.direction & uapi::DMA_FROM_DEVICE != 0;
            both_write && part.overlaps(region, &lines)
        });
        match shares_line || self.parts().any(|part| part.overlaps(region, range)) {
            true => Err(EBUSY),
            false => Ok(()),
        }
    }

    /// What the mappings are of.
    fn parts(&self) -> impl Iterator<Item = &Part> {
        self.mappings.iter().map(|mapping| &mapping.part)
    }

    /// Adds a mapping.
    pub(crate) fn add(&mut self, mapping: Arc<Mapping>) -> Result {
        Ok(self.mappings.push(mapping, GFP_FOR_CALLER)?)
    }

    /// Adds an imported buffer; `ENOSPC` if there is no room.
    pub(crate) fn add_import(&mut self, id: u64, import: Arc<Import>) -> Result {
        if self.imports.len() >= uapi::MAX_MAPPINGS as usize {
            return Err(ENOSPC);
        }
        Ok(self.imports.push((id, import), GFP_FOR_CALLER)?)
    }

    /// The imported buffer `id`, if there is one.
    pub(crate) fn import(&self, id: u64) -> Option<Arc<Import>> {
        let mut of_id = self.imports.iter().filter(|(number, _)| *number == id);
        of_id.next().map(|(_, import)| import.clone())
    }

    /// Has a transfer in `direction` use the mapping of the bytes `range`. `None` if none of them is mapped, `EBUSY`
    /// as of [`Mapping::use_for`].
    pub(crate) fn find(
        &self,
        region: u64,
        range: &Range<usize>,
        direction: u32,
    ) -> Result<Option<Used>> {
        let mut overlapping = self
            .mappings
            .iter()
            .filter(|mapping| mapping.part.overlaps(region, range));
        let mapping = overlapping.next();
        mapping
            .map(|mapping| mapping.use_for(range, direction))
            .transpose()
    }

    /// Passes the mappings that have some of the bytes `bytes` of a region from one side to the other. `EBUSY` if a
    /// transfer uses one of them: then none is.
    pub(crate) fn sync(&self, region: u64, bytes: &Range<u64>, flags: u32) -> Result {
        // As a region they fit.
        let bytes = bytes.start as usize..bytes.end as usize;
        let meant = |mapping: &&Arc<Mapping>| mapping.part.overlaps(region, &bytes);
        // Nobody begins to use one meanwhile, as `find` wants `self`, which is locked.
        if self
            .mappings
            .iter()
            .filter(meant)
            .any(|mapping| mapping.is_used())
        {
            return Err(EBUSY);
        }
        self.mappings
            .iter()
            .filter(meant)
            .for_each(|mapping| mapping.sync(flags));
        Ok(())
    }

    /// Takes out the mapping or imported buffer `id`, to be dropped with no lock held.
    pub(crate) fn take(&mut self, id: u64) -> Result<Taken> {
        if let Some(at) = self.mappings.iter().position(|mapping| mapping.id == id) {
            if self
                .mappings
                .get(at)
                .is_some_and(|mapping| mapping.is_used())
            {
                return Err(EBUSY);
            }
            let mapping = self.mappings.remove(at).map_err(|_| ENOENT)?;
            return Ok(Taken::Mapping { _mapping: mapping });
        }
        let at = self.imports.iter().position(|(number, _)| *number == id);
        let (_, import) = self.imports.remove(at.ok_or(ENOENT)?).map_err(|_| ENOENT)?;
        Ok(Taken::Import { _import: import })
    }
}

/// What was taken out.
pub(crate) enum Taken {
    Mapping { _mapping: Arc<Mapping> },
    Import { _import: Arc<Import> },
}
