// SPDX-License-Identifier: GPL-2.0-only

//! Buffers that drivers share: `struct dma_buf`, as a file.
//!
//! [`export()`] makes one of a part of a [`Mappable`], which other drivers then map for their devices, into the
//! kernel's address space and into programs. [`Import`](crate::dma::import::Import) attaches a device to one that
//! anybody made.
//!
//! What was exported to be read cannot be mapped writable by programs, whoever maps it for them, nor given to a
//! device that might write, as far as its driver says in which direction it moves data. In the kernel's address space
//! it is not mapped at all: there is no mapping to read only that a driver would know of.
//!
//! C header: [`include/linux/dma-buf.h`](srctree/include/linux/dma-buf.h)
//!
//! Documentation: [`Documentation/driver-api/dma-buf.rst`](srctree/Documentation/driver-api/dma-buf.rst)

mod kernel_map;
mod mapped;
mod operations;

use crate::{
    base::{
        errno,
        gfp::GFP_FOR_CALLER, //
    },
    dma::device::{
        DmaDevice,
        Registered, //
    },
    ffi,
    map::vma::{
        Mapped,
        NewVma, //
    },
    memory::mappable::{
        Mappable,
        MappingEvents, //
    },
    revoke::unbind::Revoke, //
};
use core::{
    ops::Range,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    error::from_err_ptr,
    ffi::{
        c_int,
        c_void, //
    },
    fs::File,
    new_mutex,
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        aref::ARef,
        Arc,
        Mutex, //
    }, //
};

use kernel_map::KernelMap;
use mapped::MappedTable;
use operations::Operations;

pub(super) use operations::is_exported;

/// How programs map a buffer that was exported.
///
/// # Examples
///
/// ```
/// use kernel::{
///     fs::File,
///     prelude::*,
///     sync::{aref::ARef, Arc},
/// };
/// use mapkit::{
///     dma::{
///         device::DmaDevice,
///         export::{export, Exportable},
///     },
///     map::vma::{Mapped, NewVma},
///     memory::mappable::{Mappable, MappingEvents},
/// };
///
/// /// Whose memory it is.
/// struct Owner {
///     module: &'static ThisModule,
///     device: Arc<DmaDevice>,
/// }
///
/// impl MappingEvents for Owner {}
///
/// impl Exportable for Owner {
///     const NAME: &'static CStr = c"example";
///
///     fn module(&self) -> &'static ThisModule {
///         self.module
///     }
///
///     fn device(&self) -> &Arc<DmaDevice> {
///         &self.device
///     }
///
///     fn mmap<'a>(memory: &Arc<Mappable<Self>>, vma: NewVma<'a>) -> Result<Mapped<'a>> {
///         vma.into_mixedmap(memory.clone())?.insert_pages_on_fault()
///     }
/// }
///
/// /// A file of the first page, for a program to give to another driver.
/// fn share(memory: &Arc<Mappable<Owner>>) -> Result<ARef<File>> {
///     export(memory.clone(), 0..1, true)
/// }
/// ```
pub trait Exportable: MappingEvents + Sized {
    /// Whose buffers these are, as `/sys/kernel/debug/dma_buf/bufinfo` has it.
    const NAME: &'static CStr;

    /// The module whose code this is: [`this_module!`](crate::this_module).
    fn module(&self) -> &'static ThisModule;

    /// The device whose driver exports: importers are told when it goes, and nobody maps the buffer anew then.
    fn device(&self) -> &Arc<DmaDevice>;

    /// Maps the memory, from the VMA's offset on.
    fn mmap<'a>(memory: &Arc<Mappable<Self>>, vma: NewVma<'a>) -> Result<Mapped<'a>>;
}

/// What the operations of an exported buffer work on.
#[pin_data]
struct Exported<T: Exportable> {
    memory: Arc<Mappable<T>>,
    pages: Range<usize>,
    writable: bool,
    /// What devices have mapped now.
    #[pin]
    mapped: Mutex<KVec<NonNull<MappedTable>>>,
    /// What drivers have mapped into the kernel's address space now, if that took a mapping.
    #[pin]
    kernel_map: Mutex<Option<KernelMap>>,
    /// The buffer, until it is released. Its lock is taken before that of the buffer.
    #[pin]
    buffer: Mutex<*mut bindings::dma_buf>,
    /// Has it revoked, until it is released.
    #[pin]
    registered: Mutex<Option<Registered>>,
}

// SAFETY: The tables that `mapped` points to are not tied to a thread, and used under its lock.
unsafe impl<T: Exportable> Send for Exported<T> {}
// SAFETY: As above.
unsafe impl<T: Exportable> Sync for Exported<T> {}

/// Makes a file of the pages `pages` of `memory`. It keeps the memory alive. Whether it is to be `writable`, or only
/// read.
///
/// `EINVAL` if there are no such pages. `EOPNOTSUPP` if the memory can be
/// [taken back](crate::memory::backing::Backing::revocable), as nobody waits for those who have it then, or if no
/// device may have it, as the direct map has it with
/// [another memory type](crate::memory::backing::Backing::is_aliased).
///
/// For an example, see [`Exportable`].
pub fn export<T: Exportable>(
    memory: Arc<Mappable<T>>,
    pages: Range<usize>,
    writable: bool,
) -> Result<ARef<File>> {
    if pages.is_empty() || pages.end > memory.nr_pages() {
        return Err(EINVAL);
    }
    // The buffer keeps all other memory: importers have a reference to the buffer, and none to its pages.
    if memory.memory().revocable().is_some() || memory.memory().is_aliased() {
        return Err(errno::eopnotsupp());
    }
    let device = memory.device().clone();
    device.in_use(|in_use| {
        let exported = Exported::new(memory, pages, writable)?;
        let file = exported.make_file()?;
        // From here on, dropping the file undoes it all.
        let registered = in_use.register(&device, exported.clone())?;
        *exported.registered.lock() = Some(registered);
        Ok(file)
    })?
}

impl<T: Exportable> Exported<T> {
    fn new(memory: Arc<Mappable<T>>, pages: Range<usize>, writable: bool) -> Result<Arc<Self>> {
        Arc::pin_init(
            try_pin_init!(Exported {
                memory,
                pages,
                writable,
                mapped <- new_mutex!(KVec::new()),
                kernel_map <- new_mutex!(None),
                buffer <- new_mutex!(core::ptr::null_mut()),
                registered <- new_mutex!(None),
            }? Error),
            GFP_FOR_CALLER,
        )
    }

    /// Its place in the memory.
    fn bytes(&self) -> Range<usize> {
        // Cannot overflow: so many bytes were allocated.
        self.pages.start.wrapping_mul(PAGE_SIZE)..self.pages.end.wrapping_mul(PAGE_SIZE)
    }

    /// Its buffer, as a file.
    fn make_file(self: &Arc<Self>) -> Result<ARef<File>> {
        let info = bindings::dma_buf_export_info {
            exp_name: T::NAME.as_char_ptr(),
            owner: self.memory.module().as_ptr(),
            ops: match self.writable {
                true => Operations::<T>::WRITABLE,
                false => Operations::<T>::READ_ONLY,
            },
            // Cannot overflow: so many bytes were allocated.
            size: self.pages.len().wrapping_mul(PAGE_SIZE),
            flags: match self.writable {
                true => bindings::O_RDWR as c_int,
                false => bindings::O_RDONLY as c_int,
            },
            resv: core::ptr::null_mut(),
            priv_: Arc::into_raw(self.clone()).cast_mut().cast::<c_void>(),
        };
        // SAFETY: `info` is valid, the operations are those for its private data, and the name is static.
        let exporting = from_err_ptr(unsafe { bindings::dma_buf_export(&info) });
        let buffer = exporting.inspect_err(|_| {
            // SAFETY: It was made above, and nobody took it.
            drop(unsafe { Arc::from_raw(info.priv_.cast::<Self>()) });
        })?;
        *self.buffer.lock() = buffer;
        // SAFETY: The buffer was just made with a file, of which it has the only reference, which is
        // handed over. A `File` is a transparent wrapper.
        unsafe {
            let file = NonNull::new((*buffer).file).ok_or(ENOMEM)?;
            Ok(ARef::from_raw(file.cast::<File>()))
        }
    }
}

/// Importers that can let go of a buffer do so. The memory of the others stays until they do, as they have a reference
/// to the buffer.
impl<T: Exportable> Revoke for Exported<T> {
    fn revoke(&self) {
        let buffer = self.buffer.lock();
        if !buffer.is_null() {
            // SAFETY: It is not released as long as the lock is held, and nobody who waits for this lock has
            // that of the buffer.
            unsafe { ffi::mapkit_dma_buf_invalidate(*buffer) };
        }
    }
}
