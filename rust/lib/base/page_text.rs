// SPDX-License-Identifier: GPL-2.0-only

//! The text of an attribute, in sysfs or configfs: at most a page.

use core::slice;
use kernel::{
    ffi::c_char,
    fmt,
    page::PAGE_SIZE,
    prelude::*,
    str::{
        parse_int::ParseInt,
        BStr, //
    }, //
};

/// A page that a text is written to.
///
/// # Examples
///
/// ```
/// use kernel::{fmt, prelude::*};
/// use mapkit::base::page_text::PageText;
///
/// fn show(text: &mut PageText<'_>) -> fmt::Result {
///     use fmt::Write as _;
///     text.write_str("wb\n")
/// }
/// ```
pub struct PageText<'a> {
    page: &'a mut [u8],
    used: usize,
}

impl<'a> PageText<'a> {
    /// # Safety
    ///
    /// `page` must be a page that nobody else uses for `'a`, and initialized.
    unsafe fn from_raw(page: *mut c_char) -> Self {
        Self {
            // SAFETY: By the requirement of this function.
            page: unsafe { slice::from_raw_parts_mut(page.cast::<u8>(), PAGE_SIZE) },
            used: 0,
        }
    }

    /// Has `f` write the text: its length, or a negative error number, as C has it.
    ///
    /// # Safety
    ///
    /// `page` must be a page that nobody else uses meanwhile, and initialized.
    pub(crate) unsafe fn written(
        page: *mut c_char,
        f: impl FnOnce(&mut PageText<'_>) -> Result,
    ) -> isize {
        // SAFETY: By the requirement of this function.
        let mut text = unsafe { PageText::from_raw(page) };
        match f(&mut text) {
            Ok(()) => text.used as isize,
            Err(err) => err.to_errno() as isize,
        }
    }
}

impl fmt::Write for PageText<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.used.checked_add(text.len()).ok_or(fmt::Error)?;
        let room = self.page.get_mut(self.used..end).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.used = end;
        Ok(())
    }
}

/// Has `f` take a text that was written to an attribute, without white space around it: the bytes taken, or a negative
/// error number, as C has it. `EINVAL` if it is not text.
///
/// # Safety
///
/// `text` must be valid for reading `bytes` bytes.
pub(crate) unsafe fn taken(
    text: *const c_char,
    bytes: usize,
    f: impl FnOnce(&str) -> Result,
) -> isize {
    // SAFETY: By the requirement of this function.
    let text = unsafe { slice::from_raw_parts(text.cast::<u8>(), bytes) };
    let taken = core::str::from_utf8(text)
        .map_err(|_| EINVAL)
        .and_then(|text| f(text.trim()));
    match taken {
        Ok(()) => bytes as isize,
        Err(err) => err.to_errno() as isize,
    }
}

/// The number that a text is, as programs write it: decimal, or with `0x` before it. `EINVAL` if it is none.
///
/// # Examples
///
/// ```
/// use mapkit::base::page_text::number;
///
/// assert_eq!(number("0x10"), Ok(16));
/// assert!(number("ten").is_err());
/// ```
pub fn number(text: &str) -> Result<u64> {
    u64::from_str(BStr::from_bytes(text.as_bytes()))
}

/// The bytes that a size is, with K, M or G (powers of 1024) after its number or without. `EINVAL` if it is none.
///
/// # Examples
///
/// ```
/// use mapkit::base::page_text::size;
///
/// assert_eq!(size("16M"), Ok(16 << 20));
/// assert_eq!(size("4096"), Ok(4096));
/// assert!(size("M").is_err());
/// ```
pub fn size(text: &str) -> Result<u64> {
    let suffixes = [
        ("K", 10),
        ("k", 10),
        ("M", 20),
        ("m", 20),
        ("G", 30),
        ("g", 30),
    ];
    for (suffix, shift) in suffixes {
        if let Some(count) = text.strip_suffix(suffix) {
            return number(count)?.checked_mul(1 << shift).ok_or(EINVAL);
        }
    }
    number(text)
}
