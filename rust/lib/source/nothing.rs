// SPDX-License-Identifier: GPL-2.0-only

//! No allocator at all: what a loop costs without one.

use super::{
    Source,
    Span, //
};
use core::{
    arch::asm,
    ptr::NonNull, //
};

/// Gives what needs not be freed.
///
/// # Examples
///
/// ```
/// use mapkit::source::{pairs, Nothing, Unwatched};
///
/// /// What is to be subtracted from what another source takes.
/// fn loop_alone() -> usize {
///     pairs(&Nothing, 1000, &mut Unwatched)
/// }
/// ```
pub struct Nothing;

// SAFETY: Nobody uses an object of no bytes, so it can be everybody's.
unsafe impl Source for Nothing {
    type Object = NonNull<u8>;

    #[inline]
    fn allocate(&self) -> Option<NonNull<u8>> {
        NonNull::new(hidden(NonNull::dangling().as_ptr()))
    }

    #[inline]
    unsafe fn free(&self, object: NonNull<u8>) {
        hidden(object.as_ptr());
    }

    unsafe fn span(&self, object: NonNull<u8>) -> Span<'_> {
        Span::nothing(object)
    }
}

/// A pointer that the compiler knows nothing about, or the loop would be optimized away. Unlike
/// `black_box()` it costs nothing.
#[inline]
#[expect(
    clippy::pointers_in_nomem_asm_block,
    reason = "nothing is read or written through it"
)]
fn hidden(mut pointer: *mut u8) -> *mut u8 {
    // SAFETY: No instruction at all.
    unsafe { asm!("/* {} */", inout(reg) pointer, options(nomem, nostack, preserves_flags)) };
    pointer
}
