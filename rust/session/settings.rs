// SPDX-License-Identifier: GPL-2.0-only

//! What the administrator chooses: limits, and the region that a program gets without asking.

use kernel::fmt;
use mapwright_uapi::{
    reason_against,
    reason_against_caching,
    Architecture,
    Backing,
    Caching,
    Method, //
};

/// How a device is set up.
pub struct Settings {
    /// MiB that all regions may hold together; 0 for half of the memory that the kernel has addresses for.
    pub total_limit_mib: u32,
    /// MiB of coherent memory that all regions may hold together; 0 for half of the area for contiguous
    /// memory (CMA), or for as much as all without one.
    pub coherent_limit_mib: u32,
    /// Regions that there may be in all.
    pub total_regions: u32,
    /// MiB that the regions of one session may hold together; 0 for as much as all.
    pub session_limit_mib: u32,
    /// Regions that one session may hold.
    pub session_regions: u32,
    /// KiB that a page fault of a lazy mapping maps at most.
    pub fault_around_kib: u32,
    /// Whether who may open the device may have write-combining and uncached memory without `CAP_SYS_ADMIN`, too.
    pub caching_for_all: bool,
    /// Whether latencies are measured.
    pub timing: bool,
    /// What a program gets without asking.
    pub default_region: DefaultRegion,
}

/// What default regions are made of: a combination that is sound.
#[derive(Clone, Copy)]
pub struct DefaultRegion {
    pub(crate) backing: Backing,
    pub(crate) method: Method,
    /// Unless the file was opened with `O_SYNC`, which means uncached.
    pub(crate) caching: Caching,
}

impl DefaultRegion {
    /// The combination with these names, or why there is none.
    pub fn from_names<'a>(
        backing: &'a str,
        method: &'a str,
        caching: &'a str,
    ) -> core::result::Result<Self, NoDefault<'a>> {
        let unknown = |name, names| NoDefault::Unknown { name, names };
        let backing = Backing::from_name(backing).ok_or(unknown(backing, Backing::NAMES))?;
        let method = Method::from_name(method).ok_or(unknown(method, Method::NAMES))?;
        let caching = Caching::from_name(caching).ok_or(unknown(caching, Caching::NAMES))?;
        let unsound = |asked, reason| NoDefault::Unsound {
            backing,
            asked,
            reason,
        };
        if let Some(reason) = reason_against(backing, method) {
            return Err(unsound(method.name(), reason));
        }
        if let Some(reason) = reason_against_caching(Architecture::HERE, backing, method, caching) {
            return Err(unsound(caching.name(), reason));
        }
        Ok(Self {
            backing,
            method,
            caching,
        })
    }
}

impl DefaultRegion {
    /// Whether a device with a driver gets such memory: of the DMA API, and mapped so that it can be taken back.
    pub fn is_for_devices(&self) -> bool {
        match (self.backing, self.method) {
            (Backing::Coherent, _) => true,
            (Backing::Pages, Method::FaultPfn) => self.caching == Caching::WriteBack,
            _ => false,
        }
    }

    /// Where its memory comes from.
    pub fn backing(&self) -> Backing {
        self.backing
    }

    /// How it is mapped.
    pub fn method(&self) -> Method {
        self.method
    }

    /// Its memory type.
    pub fn caching(&self) -> Caching {
        self.caching
    }
}

/// Why there is no such default region, as a sentence.
pub enum NoDefault<'a> {
    /// There is no such word.
    Unknown {
        /// It.
        name: &'a str,
        /// Those that there are.
        names: &'static [&'static str],
    },
    /// The words do not go together.
    Unsound {
        /// The backing asked for.
        backing: Backing,
        /// What it cannot have.
        asked: &'static str,
        /// Why not.
        reason: &'static str,
    },
}

impl fmt::Display for NoDefault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { name, names } => {
                f.write_str("a region cannot be ")?;
                f.write_str(name)?;
                f.write_str(", only one of")?;
                for name in *names {
                    f.write_str(" ")?;
                    f.write_str(name)?;
                }
                Ok(())
            }
            Self::Unsound {
                backing,
                asked,
                reason,
            } => {
                for part in ["a region cannot be ", backing.name(), " and ", asked, ": "] {
                    f.write_str(part)?;
                }
                f.write_str(reason)
            }
        }
    }
}
