// SPDX-License-Identifier: GPL-2.0-only

//! A subsystem of configfs: things that a program makes with `mkdir(2)` and sets up by attributes.
//!
//! The `kernel` crate's `configfs` has no way to refuse the removal of an item that is in use (`configfs_depend_item()`),
//! and that of 7.2 takes a subsystem for one of its own groups. Who uses this one links `configfs.o` into the module.
//!
//! C header: [`include/linux/configfs.h`](srctree/include/linux/configfs.h)
//!
//! Documentation: [`Documentation/filesystems/configfs.rst`](srctree/Documentation/filesystems/configfs.rst)

use crate::{
    base::{
        errno::to_result,
        page_text::{
            self,
            PageText, //
        }, //
    },
    ffi, //
};
use core::{
    marker::PhantomData,
    ptr, //
};
use kernel::{
    error::from_err_ptr,
    ffi::{
        c_char,
        c_uint,
        c_void, //
    },
    prelude::*,
    sync::Arc, //
};

/// Attributes that an item has at most.
const MAX_ATTRIBUTES: usize = ffi::MAPKIT_CONFIG_ATTRIBUTES as usize;

/// What a program makes with `mkdir(2)`.
///
/// The functions may run at the same time in several threads.
///
/// # Examples
///
/// ```
/// use kernel::{fmt, prelude::*, sync::{atomic::{Atomic, Relaxed}, Arc}};
/// use mapkit::{
///     base::page_text::{self, PageText},
///     device::configfs::{Item, ItemAttribute, Keeper},
/// };
///
/// /// A number.
/// struct Number(Atomic<i32>);
///
/// impl Item for Number {
///     type Shared = ();
///
///     const ATTRIBUTES: &'static [ItemAttribute<Self>] = &[ItemAttribute {
///         name: c"is_zero",
///         show: |number, text| {
///             use fmt::Write as _;
///             text.write_str(if number.0.load(Relaxed) == 0 { "1\n" } else { "0\n" })?;
///             Ok(())
///         },
///         store: |number, text| {
///             number.0.store(if text == "1" { 0 } else { 1 }, Relaxed);
///             Ok(())
///         },
///     }];
///
///     fn make(_: &Arc<()>, _name: &str, _keeper: Keeper<Self>) -> Result<KBox<Self>> {
///         Ok(KBox::new(Self(Atomic::new(0)), GFP_KERNEL)?)
///     }
/// }
/// ```
pub trait Item: Sized + Send + Sync + 'static {
    /// What all items share.
    type Shared: Send + Sync + 'static;

    /// What each has: eight at most.
    const ATTRIBUTES: &'static [ItemAttribute<Self>];

    /// `mkdir(2)`. The [`Keeper`] is that of the new item.
    fn make(shared: &Arc<Self::Shared>, name: &str, keeper: Keeper<Self>) -> Result<KBox<Self>>;
}

/// An attribute of an item, which everybody may read and root write.
///
/// For an example, see [`Item`].
pub struct ItemAttribute<T> {
    /// Its name.
    pub name: &'static CStr,
    /// Writes its text.
    pub show: fn(&T, &mut PageText<'_>) -> Result,
    /// Takes a text, without white space around it.
    pub store: fn(&T, &str) -> Result,
}

/// Keeps an item from being removed.
///
/// # Invariants
///
/// `item` is valid as long as the item's data is, which this is a part of.
///
/// For an example, see [`Item`].
pub struct Keeper<T> {
    item: *mut ffi::mapkit_config_item,
    _of: PhantomData<T>,
}

// SAFETY: The functions that get it may be called by any thread.
unsafe impl<T> Send for Keeper<T> {}
// SAFETY: As above.
unsafe impl<T> Sync for Keeper<T> {}

impl<T: Item> Keeper<T> {
    /// Has `rmdir(2)` fail with `EBUSY` until [`let_go`](Self::let_go). To be called while an attribute is stored.
    pub fn keep(&self) -> Result {
        // SAFETY: By the type invariant.
        to_result(unsafe { ffi::mapkit_config_keep(self.item) })
    }

    /// Undoes one call of [`keep`](Self::keep) that succeeded.
    pub fn let_go(&self) {
        // SAFETY: By the type invariant.
        unsafe { ffi::mapkit_config_let_go(self.item) };
    }
}

/// A subsystem, below `/sys/kernel/config`, registered until dropped.
///
/// It must not be leaked: the module's code would be gone, and the directory still there.
///
/// # Invariants
///
/// `raw` is what `mapkit_config_register()` returned for `setup`.
///
/// For its items, see [`Item`].
pub struct Subsystem<T: Item> {
    raw: *mut ffi::mapkit_config,
    _setup: KBox<Setup<T>>,
}

/// What the subsystem's functions get.
struct Setup<T: Item> {
    operations: ffi::mapkit_config_operations,
    /// What `operations` points to.
    _attributes: KVec<ffi::mapkit_attribute>,
    shared: Arc<T::Shared>,
    _items: PhantomData<T>,
}

// SAFETY: A subsystem may be unregistered by any thread.
unsafe impl<T: Item> Send for Subsystem<T> {}
// SAFETY: It has no methods that take `&self`.
unsafe impl<T: Item> Sync for Subsystem<T> {}

impl<T: Item> Subsystem<T> {
    /// Registers `name`, for a module.
    pub fn new(
        module: &'static ThisModule,
        name: &'static CStr,
        shared: Arc<T::Shared>,
    ) -> Result<Self> {
        const { assert!(T::ATTRIBUTES.len() <= MAX_ATTRIBUTES) };
        let mut attributes = KVec::with_capacity(T::ATTRIBUTES.len(), GFP_KERNEL)?;
        for attribute in T::ATTRIBUTES {
            let entry = ffi::mapkit_attribute {
                name: attribute.name.as_char_ptr(),
                mode: 0o644,
            };
            attributes.push(entry, GFP_KERNEL)?;
        }
        let setup = KBox::new(
            Setup {
                operations: ffi::mapkit_config_operations {
                    attributes: attributes.as_ptr(),
                    count: attributes.len() as c_uint,
                    make: Some(make::<T>),
                    release: Some(release::<T>),
                    show: Some(show::<T>),
                    store: Some(store::<T>),
                },
                _attributes: attributes,
                shared,
                _items: PhantomData::<T>,
            },
            GFP_KERNEL,
        )?;
        let data = ptr::from_ref::<Setup<T>>(&setup).cast_mut().cast();
        // SAFETY: The name is static. The operations, and what they get, stay in place until `drop` has
        // unregistered the subsystem.
        let raw = unsafe {
            ffi::mapkit_config_register(
                module.as_ptr(),
                name.as_char_ptr(),
                &setup.operations,
                data,
            )
        };
        // INVARIANT: Of this structure.
        Ok(Self {
            raw: from_err_ptr(raw)?,
            _setup: setup,
        })
    }
}

impl<T: Item> Drop for Subsystem<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant. Each item holds the module.
        unsafe { ffi::mapkit_config_unregister(self.raw) };
    }
}

/// # Safety
///
/// `data` must point to a `Setup<T>`, `name` be a string, and `item` be valid until what is returned is released.
unsafe extern "C" fn make<T: Item>(
    data: *mut c_void,
    name: *const c_char,
    item: *mut ffi::mapkit_config_item,
) -> *mut c_void {
    // SAFETY: By the requirement of this function.
    let (setup, name) = unsafe { (&*data.cast::<Setup<T>>(), CStr::from_char_ptr(name)) };
    // INVARIANT: By the requirement of this function.
    let keeper = Keeper {
        item,
        _of: PhantomData,
    };
    let item = name
        .to_str()
        .map_err(|_| EINVAL)
        .and_then(|name| T::make(&setup.shared, name, keeper));
    match item {
        Ok(item) => KBox::into_raw(item).cast(),
        Err(err) => err.to_ptr(),
    }
}

/// # Safety
///
/// `item` must be what `make` returned, and not be used any more.
unsafe extern "C" fn release<T: Item>(item: *mut c_void) {
    // SAFETY: By the requirement of this function.
    drop(unsafe { KBox::from_raw(item.cast::<T>()) });
}

/// # Safety
///
/// `item` must be what `make` returned, and `page` an initialized page, which nobody else uses meanwhile.
unsafe extern "C" fn show<T: Item>(item: *mut c_void, index: c_uint, page: *mut c_char) -> isize {
    // SAFETY: By the requirement of this function.
    let item = unsafe { &*item.cast::<T>() };
    let attribute = T::ATTRIBUTES.get(index as usize);
    // SAFETY: By the requirement of this function.
    unsafe { PageText::written(page, |text| (attribute.ok_or(EIO)?.show)(item, text)) }
}

/// # Safety
///
/// `item` must be what `make` returned, and `text` point to so many bytes.
unsafe extern "C" fn store<T: Item>(
    item: *mut c_void,
    index: c_uint,
    text: *const c_char,
    bytes: usize,
) -> isize {
    // SAFETY: By the requirement of this function.
    let item = unsafe { &*item.cast::<T>() };
    let attribute = T::ATTRIBUTES.get(index as usize);
    // SAFETY: By the requirement of this function.
    unsafe {
        page_text::taken(text, bytes, |text| {
            (attribute.ok_or(EIO)?.store)(item, text)
        })
    }
}
