// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is measured: each sound pair of the module's table, the C reference, and what the kernel itself
//! has to offer.

use super::{area::Area, kernel::KernelMemory, memory::Memory};
use anyhow::Result;
use mapwright::{
    reason_against, uapi, uapi::Request as _, Backing, Caching, Error, Method, Region, Session,
};
use nix::errno::Errno;
use serde::Serialize;
use std::rc::Rc;

/// The device node of the C reference.
pub const REFERENCE: &str = "/dev/mapwright_reference";

/// The C reference's flag for a page at a time, see `tests/reference/mapwright_reference.c`.
const TWIN_SINGLY: u32 = 1;

/// The C reference's flag for one run of pages.
const TWIN_CONTIGUOUS: u32 = 2;

/// The least that an entry for a gigabyte maps.
const GIB: u64 = 1 << 30;

/// Whose code is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Owner {
    /// `mapwright.ko`.
    Mapwright,
    /// `mapwright_reference.ko`.
    Reference,
    /// Memory that the kernel has for all programs.
    Kernel,
}

/// How it differs from the usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Variant {
    Usual,
    /// Whole gigabytes of one run, each mapped by one entry.
    Contiguous,
    /// A page at a time: no batches, no fault-around.
    Singly,
    /// With the module's clock on.
    Timed,
    /// The former, a page at a time.
    TimedSingly,
    /// The module without its counters.
    Uncounted,
    /// The former, a page at a time.
    UncountedSingly,
    /// Mapped where no huge page fits.
    Misaligned,
}

impl Variant {
    fn suffix(self) -> &'static str {
        match self {
            Self::Usual => "",
            Self::Contiguous => ", contiguous",
            Self::Singly => ", a page at a time",
            Self::Timed => ", timed",
            Self::TimedSingly => ", a page at a time, timed",
            Self::Uncounted => ", uncounted",
            Self::UncountedSingly => ", a page at a time, uncounted",
            Self::Misaligned => ", misaligned",
        }
    }
}

/// Something to measure.
#[derive(Clone)]
pub struct Subject {
    pub owner: Owner,
    pub variant: Variant,
    source: Source,
}

#[derive(Clone)]
enum Source {
    Device(Rc<Session>, Backing, Method),
    Kernel(KernelMemory),
}

impl Subject {
    /// A pair of the module.
    pub fn ours(session: &Rc<Session>, backing: Backing, method: Method, variant: Variant) -> Self {
        Self {
            owner: Owner::Mapwright,
            variant,
            source: Source::Device(session.clone(), backing, method),
        }
    }

    /// Each sound pair of the module, and of folios in a page cache those that are mapped page by page.
    pub fn pairs(session: &Rc<Session>) -> Vec<Self> {
        let pairs = Backing::ALL
            .iter()
            .flat_map(|backing| Method::ALL.iter().map(move |method| (*backing, *method)));
        pairs
            .filter(|(backing, method)| reason_against(*backing, *method).is_none())
            .flat_map(|(backing, method)| {
                let ours = |variant| Self::ours(session, backing, method, variant);
                let misaligned = (method == Method::PageCache).then_some(Variant::Misaligned);
                [Some(Variant::Usual), misaligned]
                    .into_iter()
                    .flatten()
                    .map(ours)
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    /// The C reference's six paths, one of them for gigabytes, two of them a page at a time and one misaligned.
    pub fn references(reference: &Rc<Session>) -> Vec<Self> {
        let reference = |backing, method, variant| Self {
            owner: Owner::Reference,
            variant,
            source: Source::Device(reference.clone(), backing, method),
        };
        vec![
            reference(Backing::Pages, Method::Remap, Variant::Usual),
            reference(Backing::Vmalloc, Method::Insert, Variant::Usual),
            reference(Backing::Pages, Method::Fault, Variant::Usual),
            reference(Backing::Pages, Method::Huge, Variant::Usual),
            reference(Backing::Folio, Method::HugeFolio, Variant::Usual),
            reference(Backing::Folio, Method::PageCache, Variant::Usual),
            reference(Backing::Folio, Method::PageCache, Variant::Misaligned),
            reference(Backing::Pages, Method::Huge, Variant::Contiguous),
            reference(Backing::Vmalloc, Method::Insert, Variant::Singly),
            reference(Backing::Pages, Method::Fault, Variant::Singly),
        ]
    }

    /// Memory that the kernel has for programs.
    pub fn kernel(memory: KernelMemory) -> Self {
        Self {
            owner: Owner::Kernel,
            variant: Variant::Usual,
            source: Source::Kernel(memory),
        }
    }

    /// Its pair, if it has one.
    pub fn pair(&self) -> Option<(Backing, Method)> {
        match &self.source {
            Source::Device(_, backing, method) => Some((*backing, *method)),
            Source::Kernel(_) => None,
        }
    }

    /// What people call it, without its owner.
    pub fn name(&self) -> String {
        match &self.source {
            Source::Device(_, backing, method) => {
                format!(
                    "{} + {}{}",
                    backing.name(),
                    method.name(),
                    self.variant.suffix()
                )
            }
            Source::Kernel(memory) => memory.name().into(),
        }
    }

    /// Whether it comes in such an amount.
    pub fn fits(&self, bytes: u64) -> bool {
        match &self.source {
            Source::Device(..) => self.variant != Variant::Contiguous || bytes % GIB == 0,
            Source::Kernel(memory) => memory.fits(bytes),
        }
    }

    /// Makes the memory, or `None` if there is no such amount of it.
    pub fn create(&self, bytes: u64) -> Result<Option<Memory>> {
        match &self.source {
            Source::Device(session, backing, method) => {
                match self.create_region(session, *backing, *method, bytes) {
                    Ok(region) => Ok(Some(Memory::Region(region))),
                    Err(Errno::ENOMEM | Errno::ENOSPC) => Ok(None),
                    Err(errno) => Err(Error::System {
                        what: "CREATE",
                        errno,
                    }
                    .into()),
                }
            }
            Source::Kernel(memory) => memory.create(bytes),
        }
    }

    fn create_region(
        &self,
        session: &Session,
        backing: Backing,
        method: Method,
        bytes: u64,
    ) -> std::result::Result<Region, Errno> {
        let flags = match (self.owner, self.variant) {
            (Owner::Reference, Variant::Singly) => TWIN_SINGLY,
            (Owner::Reference, Variant::Contiguous) => TWIN_CONTIGUOUS,
            (_, Variant::Contiguous) => uapi::CREATE_CONTIGUOUS,
            _ => 0,
        };
        session.create_as(uapi::Create {
            flags,
            backing: backing.number(),
            method: method.number(),
            caching: Caching::WriteBack.number(),
            bytes,
            ..uapi::Create::new()
        })
    }

    /// Maps all of it.
    pub fn map(&self, memory: &Memory) -> Result<Area> {
        match (memory, &self.source) {
            (Memory::Region(region), Source::Device(session, ..)) => {
                let (file, bytes) = (&**session, usize::try_from(region.bytes)?);
                match self.variant {
                    Variant::Misaligned => Area::misaligned(file, region.offset, bytes),
                    _ => Area::shared(file, region.offset, bytes),
                }
            }
            (memory, Source::Kernel(kernel)) => kernel.map(memory),
            (_, Source::Device(..)) => unreachable!("devices make regions"),
        }
    }

    /// Frees it.
    pub fn destroy(&self, memory: Memory) -> Result<()> {
        if let (Memory::Region(region), Source::Device(session, ..)) = (&memory, &self.source) {
            session.destroy(region)?;
        }
        drop(memory);
        Ok(())
    }
}
