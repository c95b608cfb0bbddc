// SPDX-License-Identifier: MIT OR Apache-2.0

//! What can go wrong, each with what to do about it.

use crate::reason_against_caching;
use mapwright_uapi::{reason_against, Backing, Caching, Method};
use nix::errno::Errno;

/// A result of this library.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The device node is missing.
    #[error("{path} does not exist: load the module first (`sudo make load`)")]
    NotLoaded {
        /// The node looked for.
        path: String,
    },

    /// The caller may not use the device.
    #[error("no permission to open {path}: run as root, or give yourself the node (see docs/install.md)")]
    NoPermission {
        /// The node that could not be opened.
        path: String,
    },

    /// The backing cannot be mapped that way.
    #[error("{} cannot be mapped with {what}: {reason}", .backing.name())]
    Unsupported {
        /// The backing asked for.
        backing: Backing,
        /// The name of the method or of the memory type asked for.
        what: &'static str,
        /// Why not.
        reason: &'static str,
    },

    /// A limit of the module is reached.
    #[error("{what} needs more than the module's limits allow: load it with a larger total_limit_mib or session_limit_mib")]
    OverLimit {
        /// What was tried.
        what: &'static str,
    },

    /// Buffers cannot be made.
    #[error("{path} does not exist: load mapwright_buffer, and mount configfs (`mount -t configfs none /sys/kernel/config`)")]
    NoConfigfs {
        /// The directory looked for.
        path: &'static str,
    },

    /// There is no physically contiguous run as long as that.
    #[error("no {bytes} bytes of {} memory are free in one physically contiguous run (ENOMEM): {advice}", .backing.name())]
    NoRun {
        /// The backing asked for.
        backing: Backing,
        /// The bytes asked for.
        bytes: u64,
        /// What to do.
        advice: &'static str,
    },

    /// The region is mapped.
    #[error("region {id} is still mapped: unmap it first")]
    StillMapped {
        /// The region's number.
        id: u64,
    },

    /// The module's tables cannot be read.
    #[error("cannot read {path} ({source}): it needs root and a mounted debugfs (`mount -t debugfs none /sys/kernel/debug`)")]
    NoTables {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },

    /// A file of `/proc` or the module's tables was not understood.
    #[error("{what} is not as expected: {detail}")]
    Unexpected {
        /// What was read.
        what: String,
        /// What is wrong with it.
        detail: String,
    },

    /// The process does not exist, or is ending.
    #[error("there is no process {pid}, or it is ending")]
    NoProcess {
        /// The number of the process.
        pid: u32,
    },

    /// Page tables cannot be walked for this address.
    #[error("no page table can map the address {address:#x}, or the process is a kernel thread, which has none of its own")]
    NotTranslated {
        /// The address.
        address: u64,
    },

    /// User mode has no page tables of its own.
    #[error("user mode has no page tables of its own here: the kernel does not hide itself (boot with pti=on)")]
    NotIsolated,

    /// The kernel has no memory there.
    #[error("no memory has the page frame number {pfn:#x}")]
    NoFrame {
        /// The number asked for.
        pfn: u64,
    },

    /// So long a run is the administrator's.
    #[error("a run of {bytes} bytes takes CAP_SYS_ADMIN, as the kernel moves what others have for it: ask for less, or do without the wish for one run")]
    RunNotAllowed {
        /// What was asked for.
        bytes: u64,
    },

    /// The memory type is the administrator's.
    #[error("{caching} memory takes CAP_SYS_ADMIN, as it costs all of the machine: ask the administrator to load the module with caching_for_all=1")]
    CachingNotAllowed {
        /// What was asked for.
        caching: &'static str,
    },

    /// The plan cannot be run as it is.
    #[error("such a plan cannot be run: {reason}")]
    PlanRefused {
        /// Why not.
        reason: &'static str,
    },

    /// The plan could need more than the module may use.
    #[error("the plan could need {needed} bytes, and of the module's budget of {budget} bytes {used} are used: allocate less, or load mapwright_alloc with a larger budget_mib")]
    OverBudget {
        /// Bytes that it could need.
        needed: u64,
        /// Bytes that are used.
        used: u64,
        /// Bytes that may be used.
        budget: u64,
    },

    /// A signal came.
    #[error("a signal ended the plan: everything it had allocated was freed")]
    Interrupted,

    /// No such CPU.
    #[error("CPU {cpu} does not exist, is offline, or is not for this process: see /sys/devices/system/cpu/online")]
    NoCpu {
        /// The number of the CPU.
        cpu: u32,
    },

    /// Any other failure of a system call.
    #[error("{what} failed: {errno}")]
    System {
        /// What was tried.
        what: &'static str,
        /// The error number.
        errno: Errno,
    },
}

impl Error {
    /// What cannot be of a combination that the module refused, and why.
    pub(crate) fn unsupported(backing: Backing, method: Method, caching: Caching) -> Self {
        let of_method = reason_against(backing, method).map(|reason| (method.name(), reason));
        let of_caching = || {
            reason_against_caching(backing, method, caching).map(|reason| (caching.name(), reason))
        };
        let refused = (
            caching.name(),
            "the loaded module cannot do that on this machine",
        );
        let (what, reason) = of_method.or_else(of_caching).unwrap_or(refused);
        Self::Unsupported {
            backing,
            what,
            reason,
        }
    }

    /// What a region's missing memory means.
    pub(crate) fn no_memory(backing: Backing, contiguous: bool, bytes: u64) -> Self {
        let advice = match backing {
            Backing::Coherent => {
                "more than the page allocator's largest block comes from the area for contiguous memory only, so boot the \
                 kernel with cma=128M, or with cma=64M@0-256M for a device that reaches the first 256 MiB"
            }
            Backing::Kmalloc => {
                "kmalloc() gives no more than the page allocator's largest block; pages and vmalloc memory may be in pieces"
            }
            Backing::Pages | Backing::Folio if contiguous => {
                "ask for less, or for coherent memory on a kernel booted with cma=128M, or do without the wish for one run"
            }
            _ => {
                return Self::System {
                    what: "CREATE",
                    errno: Errno::ENOMEM,
                }
            }
        };
        Self::NoRun {
            backing,
            bytes,
            advice,
        }
    }

    /// The error number behind it, if there is one.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::NotLoaded { .. } | Self::NoConfigfs { .. } => Some(Errno::ENOENT),
            Self::NoPermission { .. } => Some(Errno::EACCES),
            Self::Unsupported { .. } => Some(Errno::EOPNOTSUPP),
            Self::OverLimit { .. } => Some(Errno::ENOSPC),
            Self::StillMapped { .. } => Some(Errno::EBUSY),
            Self::NoRun { .. } => Some(Errno::ENOMEM),
            Self::NoProcess { .. } => Some(Errno::ESRCH),
            Self::NotTranslated { .. } => Some(Errno::EINVAL),
            Self::NotIsolated => Some(Errno::EOPNOTSUPP),
            Self::CachingNotAllowed { .. } | Self::RunNotAllowed { .. } => Some(Errno::EPERM),
            Self::NoFrame { .. } => Some(Errno::ENXIO),
            Self::PlanRefused { .. } | Self::NoCpu { .. } => Some(Errno::EINVAL),
            Self::OverBudget { .. } => Some(Errno::ENOSPC),
            Self::Interrupted => Some(Errno::EINTR),
            Self::System { errno, .. } => Some(*errno),
            Self::NoTables { source, .. } => source.raw_os_error().map(Errno::from_raw),
            Self::Unexpected { .. } => None,
        }
    }
}
