// SPDX-License-Identifier: GPL-2.0-only

//! Attributes of a device in sysfs: small files of text, which show something or take it.
//!
//! C header: [`include/linux/sysfs.h`](srctree/include/linux/sysfs.h)
//!
//! Documentation: [`Documentation/filesystems/sysfs.rst`](srctree/Documentation/filesystems/sysfs.rst)

use crate::{
    base::page_text::{
        self,
        PageText, //
    },
    ffi, //
};
use core::ptr;
use kernel::{
    bindings,
    error::from_err_ptr,
    ffi::{
        c_char,
        c_uint,
        c_void, //
    },
    prelude::*,
    sync::Arc, //
};

/// An attribute of a device that has an `S`.
///
/// For an example, see [`Attributes`].
pub struct Attribute<S> {
    /// Its name.
    pub name: &'static CStr,
    /// Its permission bits.
    pub mode: u16,
    /// Writes its text. Without it, it cannot be read: `EIO`.
    pub show: Option<fn(&S, &mut PageText<'_>) -> Result>,
    /// Takes a text, without white space around it. Without it, it cannot be written: `EIO`.
    pub store: Option<fn(&S, &str) -> Result>,
}

/// The attributes of a device, which is registered with them and outlived by them.
///
/// # Invariants
///
/// `raw` is what `mapkit_attributes_new()` returned for `shown`.
///
/// # Examples
///
/// ```
/// use kernel::{fmt, prelude::*, sync::Arc};
/// use mapkit::{
///     base::page_text::PageText,
///     device::attributes::{Attribute, Attributes},
/// };
///
/// struct Buffer {
///     is_open: bool,
/// }
///
/// fn show(buffer: &Buffer, text: &mut PageText<'_>) -> Result {
///     use fmt::Write as _;
///     text.write_str(if buffer.is_open { "open\n" } else { "closed\n" })?;
///     Ok(())
/// }
///
/// const STATE: Attribute<Buffer> = Attribute {
///     name: c"state",
///     mode: 0o444,
///     show: Some(show),
///     store: None,
/// };
///
/// fn attributes(buffer: Arc<Buffer>) -> Result<Attributes<Buffer>> {
///     Attributes::new(buffer, &[STATE], |attribute| attribute.mode)
/// }
/// ```
pub struct Attributes<S: 'static> {
    raw: *mut ffi::mapkit_attributes,
    _shown: KBox<Shown<S>>,
}

/// What the attributes' functions get.
struct Shown<S: 'static> {
    shared: Arc<S>,
    list: &'static [Attribute<S>],
}

// SAFETY: They may be freed by any thread, and what they show is shared by all.
unsafe impl<S: Send + Sync + 'static> Send for Attributes<S> {}
// SAFETY: Its methods only read what never changes.
unsafe impl<S: Send + Sync + 'static> Sync for Attributes<S> {}

impl<S: Send + Sync + 'static> Attributes<S> {
    /// Those of `list`, with the permission bits that `mode` says.
    pub fn new(
        shared: Arc<S>,
        list: &'static [Attribute<S>],
        mode: impl Fn(&Attribute<S>) -> u16,
    ) -> Result<Self> {
        let mut entries = KVec::with_capacity(list.len(), GFP_KERNEL)?;
        for attribute in list {
            let entry = ffi::mapkit_attribute {
                name: attribute.name.as_char_ptr(),
                mode: mode(attribute),
            };
            entries.push(entry, GFP_KERNEL)?;
        }
        let shown = KBox::new(Shown { shared, list }, GFP_KERNEL)?;
        let data = ptr::from_ref::<Shown<S>>(&shown).cast_mut().cast();
        // SAFETY: There are so many entries, whose names are static. The functions take a pointer to such a
        // structure, which stays in place until `drop` has freed the attributes.
        let raw = unsafe {
            ffi::mapkit_attributes_new(
                entries.as_ptr(),
                entries.len() as c_uint,
                Some(show::<S>),
                Some(store::<S>),
                data,
            )
        };
        // INVARIANT: Of this structure.
        Ok(Self {
            raw: from_err_ptr(raw)?,
            _shown: shown,
        })
    }
}

impl<S: 'static> Attributes<S> {
    /// The groups to register a device with.
    pub(crate) fn groups(&self) -> *mut *const bindings::attribute_group {
        // SAFETY: By the type invariant.
        unsafe { ffi::mapkit_attributes_groups(self.raw) }
    }
}

impl<S: 'static> Drop for Attributes<S> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant. The device that was registered with them is gone.
        unsafe { ffi::mapkit_attributes_free(self.raw) };
    }
}

/// # Safety
///
/// `data` must point to a `Shown<S>`, and `page` to an initialized page, which nobody else uses meanwhile.
unsafe extern "C" fn show<S: 'static>(
    data: *mut c_void,
    index: c_uint,
    page: *mut c_char,
) -> isize {
    // SAFETY: By the requirement of this function.
    let shown = unsafe { &*data.cast::<Shown<S>>() };
    let attribute = shown.list.get(index as usize);
    // SAFETY: By the requirement of this function.
    unsafe {
        PageText::written(page, |text| {
            let show = attribute.and_then(|attribute| attribute.show).ok_or(EIO)?;
            show(&shown.shared, text)
        })
    }
}

/// # Safety
///
/// `data` must point to a `Shown<S>`, and `text` to so many bytes.
unsafe extern "C" fn store<S: 'static>(
    data: *mut c_void,
    index: c_uint,
    text: *const c_char,
    bytes: usize,
) -> isize {
    // SAFETY: By the requirement of this function.
    let shown = unsafe { &*data.cast::<Shown<S>>() };
    let attribute = shown.list.get(index as usize);
    // SAFETY: By the requirement of this function.
    unsafe {
        page_text::taken(text, bytes, |text| {
            let store = attribute.and_then(|attribute| attribute.store).ok_or(EIO)?;
            store(&shown.shared, text)
        })
    }
}
