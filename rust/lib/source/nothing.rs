// SPDX-License-Identifier: GPL-2.0-only

//! No allocator at all: what a loop costs without one.

use super::{
    Source,
    Span, //
};
use core::{
    hint::black_box,
    ptr::NonNull, //
};

/// Gives what needs not be freed.
pub struct Nothing;

// SAFETY: Nobody uses an object of no bytes, so it can be everybody's.
unsafe impl Source for Nothing {
    type Object = NonNull<u8>;

    #[inline]
    fn allocate(&self) -> Option<NonNull<u8>> {
        // Or the loop would be optimized away.
        black_box(Some(NonNull::dangling()))
    }

    #[inline]
    unsafe fn free(&self, object: NonNull<u8>) {
        black_box(object);
    }

    unsafe fn span(&self, object: NonNull<u8>) -> Span {
        Span::nothing(object)
    }
}
