// SPDX-License-Identifier: GPL-2.0-only

//! The kernel's allocators as things of one kind: they give objects and take them back.
//!
//! A [`Source`] is an allocator with a size and flags. [`pairs`] and [`Slots`] are the loops that
//! exercise one. They own what they allocate, so that nothing is leaked on any way out, and are compiled
//! for each source, so that they cost no more than the same loops in C. What happens in them is
//! [watched](Watch) from outside.
//!
//! C headers: [`include/linux/slab.h`](srctree/include/linux/slab.h), [`include/linux/gfp.h`](srctree/include/linux/gfp.h), [`include/linux/vmalloc.h`](srctree/include/linux/vmalloc.h), [`include/linux/percpu.h`](srctree/include/linux/percpu.h)
//!
//! Documentation: [`Documentation/core-api/memory-allocation.rst`](srctree/Documentation/core-api/memory-allocation.rst)

mod cache;
mod coherent;
mod gfp;
mod kmalloc;
mod nothing;
mod pages;
mod percpu;
mod span;
mod vmalloc;

pub use cache::{
    Cache,
    CacheFlags,
    CacheOnNode,
    CacheOptions, //
};
pub use coherent::CoherentSource;
pub use gfp::Gfp;
pub use kmalloc::{
    Kmalloc,
    KmallocOnNode,
    Krealloc,
    Kvmalloc, //
};
pub use nothing::Nothing;
pub use pages::{
    PageBlocks,
    PageBlocksOnNode,
    SplitBlocks, //
};
pub use percpu::PerCpu;
pub use span::{
    PageSeen,
    Span,
    Zone, //
};
pub use vmalloc::{
    Vmalloc,
    VmallocOnNode, //
};

use crate::base::gfp::GFP_FOR_CALLER;
use core::ops::Range;
use kernel::{
    bindings,
    prelude::*, //
};

/// The largest `kmalloc()` that comes from a slab.
pub const KMALLOC_MAX_CACHE_BYTES: usize = bindings::KMALLOC_MAX_CACHE_SIZE as usize;
/// The largest `kmalloc()`.
pub const KMALLOC_MAX_BYTES: usize = bindings::KMALLOC_MAX_SIZE as usize;

/// An allocator, with a size and flags.
///
/// # Safety
///
/// An object that [`allocate`](Self::allocate) gives is the caller's alone until it is given to
/// [`free`](Self::free), which any thread may do, and is what [`span`](Self::span) says.
pub unsafe trait Source: Send + Sync + 'static {
    /// What it gives.
    type Object: Copy;

    /// Gives an object, or `None`.
    fn allocate(&self) -> Option<Self::Object>;

    /// The same for one who looks at it: what became of an object that was there before.
    fn allocate_looking(&self) -> Option<(Self::Object, Change)> {
        Some((self.allocate()?, Change::default()))
    }

    /// Takes an object back.
    ///
    /// # Safety
    ///
    /// It must be from this source, not have been taken back yet, and be used no more.
    unsafe fn free(&self, object: Self::Object);

    /// Takes back a null pointer, if its function can: then this does nothing.
    fn free_null(&self) {}

    /// What an object is.
    ///
    /// # Safety
    ///
    /// It must be from this source, and not be taken back as long as what is returned is used.
    unsafe fn span(&self, object: Self::Object) -> Span<'_>;
}

/// What became of an object that was there before.
#[derive(Clone, Copy, Default)]
pub struct Change {
    /// The new object has another address.
    pub moved: bool,
    /// The new object begins with the bytes of the former.
    pub kept: bool,
}

/// An object that was just allocated, to look at.
///
/// For an example, see [`Watch`].
pub struct Fresh<'a, S: Source> {
    source: &'a S,
    object: S::Object,
    /// What became of an object that was there before.
    pub change: Change,
}

impl<S: Source> Fresh<'_, S> {
    /// What it is.
    pub fn span(&self) -> Span<'_> {
        // SAFETY: It was allocated from this source, and is not freed before this is gone, which is borrowed.
        unsafe { self.source.span(self.object) }
    }

    /// Its bytes, as far as they were asked for, if the kernel has an address for them.
    pub fn bytes(&mut self) -> Option<&mut [u8]> {
        let (addr, len) = self.span().asked()?;
        // SAFETY: By the promise of `Source` the object is ours alone and as long as this, and nobody
        // else has a reference: `self` is borrowed. It comes from C, which may have written anything.
        Some(unsafe { core::slice::from_raw_parts_mut(addr.as_ptr(), len) })
    }
}

/// What is done around the operations of a loop.
///
/// # Examples
///
/// ```
/// use mapkit::source::{Fresh, Source, Watch};
///
/// /// Sums up what objects take of memory.
/// struct Bytes(usize);
///
/// impl Watch for Bytes {
///     const LOOKS: bool = true;
///
///     fn allocated<S: Source>(&mut self, object: Fresh<'_, S>) {
///         self.0 = self.0.saturating_add(object.span().actual_bytes());
///     }
/// }
/// ```
pub trait Watch {
    /// Whether [`allocated`](Self::allocated) is to be called.
    const LOOKS: bool = false;

    /// Calls `allocate`.
    fn allocating<T>(&mut self, allocate: impl FnOnce() -> Option<T>) -> Option<T> {
        allocate()
    }

    /// An object was allocated.
    fn allocated<S: Source>(&mut self, _: Fresh<'_, S>) {}

    /// Calls `free`.
    fn freeing(&mut self, free: impl FnOnce()) {
        free()
    }
}

/// Watches nothing.
///
/// For an example, see [`pairs`].
pub struct Unwatched;

impl Watch for Unwatched {}

#[inline(always)]
fn allocate<S: Source, W: Watch>(source: &S, watch: &mut W) -> Option<S::Object> {
    if !W::LOOKS {
        return watch.allocating(|| source.allocate());
    }
    let (object, change) = watch.allocating(|| source.allocate_looking())?;
    watch.allocated(Fresh {
        source,
        object,
        change,
    });
    Some(object)
}

/// Allocates and frees an object `turns` times. Returns how often there was one.
///
/// # Examples
///
/// ```
/// use mapkit::source::{pairs, Gfp, Kmalloc, Unwatched};
///
/// /// Allocates and frees a thousand objects of 64 bytes, one after the other. All of them if memory is to be had.
/// fn exercise() -> usize {
///     pairs(&Kmalloc::new(64, Gfp::KERNEL), 1000, &mut Unwatched)
/// }
/// ```
#[inline(never)]
pub fn pairs<S: Source, W: Watch>(source: &S, turns: usize, watch: &mut W) -> usize {
    let mut given = 0usize;
    for _ in 0..turns {
        if let Some(object) = allocate(source, watch) {
            // SAFETY: It is from this source, and nobody else has it.
            watch.freeing(|| unsafe { source.free(object) });
            given = given.wrapping_add(1);
        }
    }
    given
}

/// Places for objects of a source.
///
/// # Invariants
///
/// Each object is from `source`, and owned.
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
/// use mapkit::source::{Gfp, Slots, Unwatched, Vmalloc};
///
/// /// Eight objects at the same time. They are freed at the end, whatever happens.
/// fn together() -> Result<usize> {
///     let mut slots = Slots::new(Vmalloc::new(5000, Gfp::KERNEL | Gfp::ZERO), 8)?;
///     Ok(slots.fill(0..8, &mut Unwatched))
/// }
/// ```
pub struct Slots<S: Source> {
    source: S,
    objects: KVVec<Option<S::Object>>,
}

// SAFETY: Any thread may free the objects, and nobody else has them.
unsafe impl<S: Source> Send for Slots<S> {}

/// What became of a place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Toggled {
    /// An object was allocated there.
    Allocated = 0,
    /// The object there was freed.
    Freed = 1,
    /// No object was to be had.
    Failed = 2,
}

impl<S: Source> Slots<S> {
    /// `len` empty places. `ENOMEM` if there is no memory for them.
    pub fn new(source: S, len: usize) -> Result<Self> {
        let mut objects = KVVec::with_capacity(len, GFP_FOR_CALLER)?;
        for _ in 0..len {
            objects.push(None, GFP_FOR_CALLER)?;
        }
        // INVARIANT: There is no object.
        Ok(Self { source, objects })
    }

    /// Bytes of a place.
    pub const fn bytes_of_one() -> usize {
        size_of::<Option<S::Object>>()
    }

    /// The source.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// Allocates an object for each empty place of `range`. Returns how many there are now that were not
    /// there before.
    #[inline(never)]
    pub fn fill<W: Watch>(&mut self, range: Range<usize>, watch: &mut W) -> usize {
        let Some(places) = self.objects.get_mut(range) else {
            return 0;
        };
        let mut given = 0usize;
        for place in places.iter_mut() {
            if place.is_none() {
                // INVARIANT: From this source, and nobody else has it.
                *place = allocate(&self.source, watch);
                given = given.wrapping_add(usize::from(place.is_some()));
            }
        }
        given
    }

    /// Frees the objects of `range`. Returns how many.
    #[inline(never)]
    pub fn drain<W: Watch>(&mut self, range: Range<usize>, watch: &mut W) -> usize {
        let Some(places) = self.objects.get_mut(range) else {
            return 0;
        };
        let mut freed = 0usize;
        for place in places.iter_mut() {
            if let Some(object) = place.take() {
                // SAFETY: By the type invariant, and it is in no place any more.
                watch.freeing(|| unsafe { self.source.free(object) });
                freed = freed.wrapping_add(1);
            }
        }
        freed
    }

    /// Frees the object of a place, or allocates one if there is none.
    #[inline]
    pub fn toggle<W: Watch>(&mut self, place: usize, watch: &mut W) -> Toggled {
        let Some(place) = self.objects.get_mut(place) else {
            return Toggled::Failed;
        };
        if let Some(object) = place.take() {
            // SAFETY: By the type invariant, and it is in no place any more.
            watch.freeing(|| unsafe { self.source.free(object) });
            return Toggled::Freed;
        }
        // INVARIANT: From this source, and nobody else has it.
        *place = allocate(&self.source, watch);
        match place {
            Some(_) => Toggled::Allocated,
            None => Toggled::Failed,
        }
    }

    /// Places.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether there is no place.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Objects.
    pub fn held(&self) -> usize {
        self.objects.iter().filter(|place| place.is_some()).count()
    }
}

impl<S: Source> Drop for Slots<S> {
    fn drop(&mut self) {
        // In parts, as there may be many.
        let mut start = 0usize;
        while start < self.len() {
            let end = start.wrapping_add(4096).min(self.len());
            self.drain(start..end, &mut Unwatched);
            crate::base::task::let_others_run();
            start = end;
        }
    }
}
