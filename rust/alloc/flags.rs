// SPDX-License-Identifier: GPL-2.0-only

//! The interface's words for flags, as the allocators take them.

use kernel::prelude::*;
use mapkit::source::{
    CacheFlags,
    Gfp, //
};
use mapwright_uapi::alloc as uapi;

/// The GFP flags by their words.
pub(crate) fn gfp(run: &uapi::Run) -> Result<Gfp> {
    let base = match uapi::Gfp::from_number(run.gfp).ok_or(EINVAL)? {
        uapi::Gfp::Kernel => Gfp::KERNEL,
        uapi::Gfp::Atomic => Gfp::ATOMIC,
        uapi::Gfp::Nowait => Gfp::NOWAIT,
        uapi::Gfp::Noio => Gfp::NOIO,
        uapi::Gfp::Nofs => Gfp::NOFS,
        uapi::Gfp::User => Gfp::USER,
        uapi::Gfp::Highuser => Gfp::HIGHUSER,
        uapi::Gfp::Dma => Gfp::DMA,
        uapi::Gfp::Dma32 => Gfp::DMA32,
    };
    let asked = |modifier: &&uapi::Modifier| run.modifiers & modifier.bit() != 0;
    let modifiers = uapi::Modifier::ALL.iter().filter(asked);
    Ok(modifiers.fold(base, |gfp, modifier| {
        gfp | match modifier {
            uapi::Modifier::Zero => Gfp::ZERO,
            uapi::Modifier::Account => Gfp::ACCOUNT,
            uapi::Modifier::Thisnode => Gfp::THISNODE,
            uapi::Modifier::Comp => Gfp::COMP,
            uapi::Modifier::Movable => Gfp::MOVABLE,
            uapi::Modifier::Reclaimable => Gfp::RECLAIMABLE,
            uapi::Modifier::RetryMayfail => Gfp::RETRY_MAYFAIL,
        }
    }))
}

/// The flags of a cache by their words.
pub(crate) fn cache_flags(mask: u32) -> CacheFlags {
    let asked = |flag: &&uapi::CacheFlag| mask & flag.bit() != 0;
    let flags = uapi::CacheFlag::ALL.iter().filter(asked);
    flags.fold(CacheFlags::default(), |flags, flag| {
        flags
            | match flag {
                uapi::CacheFlag::HwcacheAlign => CacheFlags::HWCACHE_ALIGN,
                uapi::CacheFlag::Dma => CacheFlags::DMA,
                uapi::CacheFlag::Dma32 => CacheFlags::DMA32,
                uapi::CacheFlag::ReclaimAccount => CacheFlags::RECLAIM_ACCOUNT,
                uapi::CacheFlag::Account => CacheFlags::ACCOUNT,
                uapi::CacheFlag::NoMerge => CacheFlags::NO_MERGE,
                uapi::CacheFlag::RedZone => CacheFlags::RED_ZONE,
                uapi::CacheFlag::Poison => CacheFlags::POISON,
                uapi::CacheFlag::StoreUser => CacheFlags::STORE_USER,
                uapi::CacheFlag::ConsistencyChecks => CacheFlags::CONSISTENCY_CHECKS,
            }
    })
}
