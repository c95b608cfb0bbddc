// SPDX-License-Identifier: GPL-2.0-only

//! A `kmem_cache` of one's own.

use super::{
    Gfp,
    Source,
    Span, //
};
use crate::{
    base::sysinfo::OnlineNode,
    ffi, //
};
use core::{
    ops::BitOr,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    ffi::{
        c_int,
        c_void, //
    },
    prelude::*, //
};

/// Flags of a cache.
///
/// For an example, see [`Cache`].
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheFlags(bindings::slab_flags_t);

impl CacheFlags {
    /// `SLAB_HWCACHE_ALIGN`.
    pub const HWCACHE_ALIGN: Self = Self(ffi::SLAB_HWCACHE_ALIGN);
    /// `SLAB_CACHE_DMA`.
    pub const DMA: Self = Self(ffi::SLAB_CACHE_DMA);
    /// `SLAB_CACHE_DMA32`.
    pub const DMA32: Self = Self(ffi::SLAB_CACHE_DMA32);
    /// `SLAB_RECLAIM_ACCOUNT`.
    pub const RECLAIM_ACCOUNT: Self = Self(ffi::SLAB_RECLAIM_ACCOUNT);
    /// `SLAB_ACCOUNT`, which is 0 in a kernel without memory cgroups.
    pub const ACCOUNT: Self = Self(ffi::SLAB_ACCOUNT);
    /// `SLAB_NO_MERGE`.
    pub const NO_MERGE: Self = Self(ffi::SLAB_NO_MERGE);
    /// `SLAB_RED_ZONE`.
    pub const RED_ZONE: Self = Self(ffi::SLAB_RED_ZONE);
    /// `SLAB_POISON`.
    pub const POISON: Self = Self(ffi::SLAB_POISON);
    /// `SLAB_STORE_USER`.
    pub const STORE_USER: Self = Self(ffi::SLAB_STORE_USER);
    /// `SLAB_CONSISTENCY_CHECKS`.
    pub const CONSISTENCY_CHECKS: Self = Self(ffi::SLAB_CONSISTENCY_CHECKS);
}

impl BitOr for CacheFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What a cache is to be like.
///
/// For an example, see [`Cache`].
#[derive(Clone, Copy)]
pub struct CacheOptions {
    /// Bytes of an object, up to `KMALLOC_MAX_CACHE_SIZE`.
    pub bytes: usize,
    /// What an object's address is a multiple of: a power of two up to a page, or 0 for what is usual.
    pub align: u32,
    /// Its flags.
    pub flags: CacheFlags,
}

/// A cache.
///
/// # Invariants
///
/// `cache` is a cache of objects of `bytes` bytes, and owned.
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
/// use mapkit::source::{pairs, Cache, CacheFlags, CacheOptions, Gfp, Unwatched};
///
/// /// Objects of a cache of their own, which `/proc/slabinfo` has under this name.
/// fn exercise() -> Result<usize> {
///     let options = CacheOptions {
///         bytes: 200,
///         align: 64,
///         flags: CacheFlags::NO_MERGE | CacheFlags::ACCOUNT,
///     };
///     let cache = Cache::new(c"example", options, Gfp::KERNEL)?;
///     Ok(pairs(&cache, 100, &mut Unwatched))
/// }
/// ```
pub struct Cache {
    cache: NonNull<bindings::kmem_cache>,
    bytes: usize,
    gfp: bindings::gfp_t,
}

// SAFETY: A cache is not tied to a thread.
unsafe impl Send for Cache {}
// SAFETY: Any number of threads may allocate from a cache at the same time.
unsafe impl Sync for Cache {}

impl Cache {
    /// Creates a cache with a name that no other has, or one that shares the slabs of a cache like it.
    ///
    /// `EINVAL` for a size or alignment that is none, `ENOMEM` if there is no memory for it, which the
    /// kernel logs.
    pub fn new(name: &CStr, options: CacheOptions, gfp: Gfp) -> Result<Self> {
        let CacheOptions {
            bytes,
            align,
            flags,
        } = options;
        if bytes == 0 || bytes > bindings::KMALLOC_MAX_CACHE_SIZE as usize {
            return Err(EINVAL);
        }
        if align != 0 && (!align.is_power_of_two() || align as usize > kernel::page::PAGE_SIZE) {
            return Err(EINVAL);
        }
        let mut args = bindings::kmem_cache_args {
            align,
            ..Default::default()
        };
        // SAFETY: The name is copied, the size and the flags are such as caches have, and there is no
        // constructor. The function may sleep, as may its callers.
        let cache = unsafe {
            bindings::__kmem_cache_create_args(name.as_char_ptr(), bytes as u32, &mut args, flags.0)
        };
        // The zone is the cache's.
        let gfp = gfp.for_vmalloc() | gfp.for_objects() & ffi::__GFP_THISNODE;
        // INVARIANT: It was just created.
        Ok(Self {
            cache: NonNull::new(cache).ok_or(ENOMEM)?,
            bytes,
            gfp,
        })
    }
}

// SAFETY: What `kmem_cache_alloc()` gives is the caller's until `kmem_cache_free()`, and as long as the
// cache's objects.
unsafe impl Source for Cache {
    type Object = NonNull<u8>;

    #[inline]
    fn allocate(&self) -> Option<NonNull<u8>> {
        // SAFETY: By the type invariant; these flags are fine, and callers may sleep.
        let object = unsafe { bindings::kmem_cache_alloc_noprof(self.cache.as_ptr(), self.gfp) };
        NonNull::new(object.cast())
    }

    #[inline]
    unsafe fn free(&self, object: NonNull<u8>) {
        // SAFETY: By the type invariant and the requirement of this function.
        unsafe { bindings::kmem_cache_free(self.cache.as_ptr(), object.as_ptr().cast::<c_void>()) };
    }

    unsafe fn span(&self, object: NonNull<u8>) -> Span<'_> {
        // SAFETY: By the requirement of this function.
        let actual = unsafe { bindings::ksize(object.as_ptr().cast::<c_void>()) };
        // SAFETY: As above.
        unsafe { Span::of(object, self.bytes, actual) }
    }
}

/// A cache whose objects are allocated on a node.
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
/// use mapkit::{
///     base::sysinfo::OnlineNode,
///     source::{Cache, CacheOnNode},
/// };
///
/// fn on_first_node(cache: Cache) -> Result<CacheOnNode> {
///     Ok(CacheOnNode::new(cache, OnlineNode::new(0).ok_or(ENODEV)?))
/// }
/// ```
pub struct CacheOnNode {
    cache: Cache,
    node: c_int,
}

impl CacheOnNode {
    /// From `node` if it has any.
    pub fn new(cache: Cache, node: OnlineNode) -> Self {
        let node = node.number();
        Self { cache, node }
    }
}

// SAFETY: As of `Cache`.
unsafe impl Source for CacheOnNode {
    type Object = NonNull<u8>;

    #[inline]
    fn allocate(&self) -> Option<NonNull<u8>> {
        let (cache, gfp) = (self.cache.cache.as_ptr(), self.cache.gfp);
        // SAFETY: As in `Cache`, and the node exists.
        let object = unsafe { bindings::kmem_cache_alloc_node_noprof(cache, gfp, self.node) };
        NonNull::new(object.cast())
    }

    #[inline]
    unsafe fn free(&self, object: NonNull<u8>) {
        // SAFETY: By the requirement of this function.
        unsafe { self.cache.free(object) };
    }

    unsafe fn span(&self, object: NonNull<u8>) -> Span<'_> {
        // SAFETY: By the requirement of this function.
        unsafe { self.cache.span(object) }
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        // SAFETY: By the type invariant it is owned. Whoever has an object of it has the cache, too, so
        // that all are free by now.
        unsafe { bindings::kmem_cache_destroy(self.cache.as_ptr()) };
    }
}
