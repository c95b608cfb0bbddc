// SPDX-License-Identifier: GPL-2.0-only

//! Buffers that drivers share: `struct dma_buf`, as a file.
//!
//! [`export()`] makes one of a part of a [`Mappable`], which other drivers then map for their devices and
//! programs into their address spaces. [`Import`](crate::dma::import::Import) attaches a device to one that anybody made.
//!
//! C header: [`include/linux/dma-buf.h`](srctree/include/linux/dma-buf.h)
//!
//! Documentation: [`Documentation/driver-api/dma-buf.rst`](srctree/Documentation/driver-api/dma-buf.rst)

use crate::{
    base::{
        errno,
        gfp::GFP_FOR_CALLER, //
    },
    dma::{
        device::{
            DmaDevice,
            Registered, //
        },
        reach::Reach,
        scatter::ScatterList, //
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
    cmp::max,
    marker::PhantomData,
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
        ArcBorrow,
        Mutex, //
    }, //
};

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
    /// What devices have mapped now.
    #[pin]
    mapped: Mutex<KVec<NonNull<MappedTable>>>,
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

/// A table that a device has mapped. The table is the first field, so that a pointer to it is one to
/// this structure.
#[repr(C)]
struct MappedTable {
    list: ScatterList,
    device: *mut bindings::device,
    direction: bindings::dma_data_direction,
}

/// Makes a file of the pages `pages` of `memory`. It keeps the memory alive.
///
/// `EINVAL` if there are no such pages, `EOPNOTSUPP` if they have no reference count of their own: what
/// others do with them could outlive them.
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
    if !memory.memory().refcounted() {
        return Err(errno::eopnotsupp());
    }
    let device = memory.device().clone();
    device.in_use(|in_use| {
        let exported = Exported::new(memory, pages)?;
        let file = exported.make_file(writable)?;
        // From here on, dropping the file undoes it all.
        let registered = in_use.register(&device, exported.clone())?;
        *exported.registered.lock() = Some(registered);
        Ok(file)
    })?
}

/// Whether this module has made `buffer` with [`export()`]: then no device is attached that does not reach it, nor is
/// it mapped for one.
pub(super) fn is_exported(buffer: &bindings::dma_buf) -> bool {
    // SAFETY: A buffer has operations as long as it exists.
    let theirs = unsafe { (*buffer.ops).detach };
    theirs.is_some_and(|theirs| core::ptr::fn_addr_eq(theirs, detach as DetachFn))
}

/// `detach` of a `dma_buf_ops`.
type DetachFn = unsafe extern "C" fn(*mut bindings::dma_buf, *mut bindings::dma_buf_attachment);

/// There is nothing to do when a device is detached. All buffers of this module have this very function, and no
/// others: it is never inlined, so that there is one of it.
#[inline(never)]
extern "C" fn detach(_: *mut bindings::dma_buf, _: *mut bindings::dma_buf_attachment) {}

/// The `dma_buf_ops` of an exported `Mappable<T>`.
struct Operations<T>(PhantomData<T>);

impl<T: Exportable> Operations<T> {
    const TABLE: &'static bindings::dma_buf_ops = &bindings::dma_buf_ops {
        attach: Some(Self::attach),
        detach: Some(detach),
        map_dma_buf: Some(Self::map),
        unmap_dma_buf: Some(Self::unmap),
        release: Some(Self::release),
        begin_cpu_access: Some(Self::begin_cpu_access),
        end_cpu_access: Some(Self::end_cpu_access),
        mmap: Some(Self::mmap),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// `buffer` must be a buffer that [`export()`] made of a `T`, which is not released during `'a`.
    unsafe fn exported<'a>(buffer: *mut bindings::dma_buf) -> ArcBorrow<'a, Exported<T>> {
        // SAFETY: By the requirement of this function this is a pointer of `Arc::into_raw()`.
        unsafe { ArcBorrow::from_raw((*buffer).priv_.cast::<Exported<T>>()) }
    }

    /// # Safety
    ///
    /// Called by the DMA-buf core for a device that is being attached to a buffer of `T`.
    unsafe extern "C" fn attach(
        buffer: *mut bindings::dma_buf,
        attachment: *mut bindings::dma_buf_attachment,
    ) -> c_int {
        // SAFETY: By the requirement of this function. Who attaches a device may use it for DMA.
        let (exported, reach) = unsafe { (Self::exported(buffer), Reach::of((*attachment).dev)) };
        match reach.check_list(exported.memory.memory(), &exported.bytes()) {
            Ok(()) => 0,
            Err(err) => err.to_errno(),
        }
    }

    /// # Safety
    ///
    /// Called by the DMA-buf core for a device that is attached to a buffer of `T`.
    unsafe extern "C" fn map(
        attachment: *mut bindings::dma_buf_attachment,
        direction: bindings::dma_data_direction,
    ) -> *mut bindings::sg_table {
        // SAFETY: By the requirement of this function.
        let (exported, device) =
            unsafe { (Self::exported((*attachment).dmabuf), (*attachment).dev) };
        match exported.map(device, direction) {
            Ok(table) => table.as_ptr().cast(),
            Err(err) => err.to_ptr(),
        }
    }

    /// # Safety
    ///
    /// Called by the DMA-buf core once for what `map` returned.
    unsafe extern "C" fn unmap(
        attachment: *mut bindings::dma_buf_attachment,
        table: *mut bindings::sg_table,
        _direction: bindings::dma_data_direction,
    ) {
        // SAFETY: By the requirement of this function.
        let exported = unsafe { Self::exported((*attachment).dmabuf) };
        let table: *mut MappedTable = table.cast();
        exported
            .mapped
            .lock()
            .retain(|mapped| mapped.as_ptr() != table);
        // SAFETY: `map` made it with `KBox::into_raw()`, mapped for this device, and nobody else has it
        // any more.
        unsafe {
            let mut mapped = KBox::from_raw(table);
            let (device, direction) = (mapped.device, mapped.direction);
            mapped.list.unmap(device, direction);
        }
    }

    /// # Safety
    ///
    /// Called by the DMA-buf core once, for the last reference to a buffer of `T`.
    unsafe extern "C" fn release(buffer: *mut bindings::dma_buf) {
        // SAFETY: `make_file` gave it this reference.
        let exported = unsafe { Arc::from_raw((*buffer).priv_.cast::<Exported<T>>()) };
        // Who is revoking it has the lock, and then finds no buffer.
        *exported.buffer.lock() = core::ptr::null_mut();
        let registered = exported.registered.lock().take();
        // With the lock released.
        drop(registered);
    }

    /// # Safety
    ///
    /// Called by the DMA-buf core for a buffer of `T`.
    unsafe extern "C" fn begin_cpu_access(
        buffer: *mut bindings::dma_buf,
        _: bindings::dma_data_direction,
    ) -> c_int {
        // SAFETY: By the requirement of this function.
        unsafe { Self::exported(buffer) }.sync(ffi::mapkit_dma_sync_sgtable_for_cpu);
        0
    }

    /// # Safety
    ///
    /// Called by the DMA-buf core for a buffer of `T`.
    unsafe extern "C" fn end_cpu_access(
        buffer: *mut bindings::dma_buf,
        _: bindings::dma_data_direction,
    ) -> c_int {
        // SAFETY: By the requirement of this function.
        unsafe { Self::exported(buffer) }.sync(ffi::mapkit_dma_sync_sgtable_for_device);
        0
    }

    /// # Safety
    ///
    /// Called by the DMA-buf core with a new VMA that is inside a buffer of `T`.
    unsafe extern "C" fn mmap(
        buffer: *mut bindings::dma_buf,
        vma: *mut bindings::vm_area_struct,
    ) -> c_int {
        // SAFETY: By the requirement of this function; the VMA is being set up.
        let mapped = unsafe {
            let exported = Self::exported(buffer);
            // The memory knows its place in the file that it was exported from.
            let first = exported
                .memory
                .base_pgoff()
                .saturating_add(exported.pages.start);
            (*vma).vm_pgoff = first.saturating_add((*vma).vm_pgoff);
            let vma = NewVma::from_raw(vma, None);
            vma.deny_exec()
                .and_then(|()| exported.memory.device().check())
                .and_then(|()| T::mmap(&exported.memory.clone(), vma))
        };
        match mapped {
            Ok(mapped) => {
                mapped.commit();
                0
            }
            Err(err) => err.to_errno(),
        }
    }
}

/// `dma_sync_sgtable_for_cpu()` or its counterpart.
type SyncFn = unsafe extern "C" fn(
    *mut bindings::device,
    *mut bindings::sg_table,
    bindings::dma_data_direction,
);

impl<T: Exportable> Exported<T> {
    fn new(memory: Arc<Mappable<T>>, pages: Range<usize>) -> Result<Arc<Self>> {
        Arc::pin_init(
            try_pin_init!(Exported {
                memory,
                pages,
                mapped <- new_mutex!(KVec::new()),
                buffer <- new_mutex!(core::ptr::null_mut()),
                registered <- new_mutex!(None),
            }? Error),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// Its place in the memory.
    fn bytes(&self) -> Range<usize> {
        // Cannot overflow: so many bytes were allocated.
        self.pages.start.wrapping_mul(PAGE_SIZE)..self.pages.end.wrapping_mul(PAGE_SIZE)
    }

    /// Its buffer, as a file.
    fn make_file(self: &Arc<Self>, writable: bool) -> Result<ARef<File>> {
        let info = bindings::dma_buf_export_info {
            exp_name: T::NAME.as_char_ptr(),
            owner: self.memory.module().as_ptr(),
            ops: Operations::<T>::TABLE,
            // Cannot overflow: so many bytes were allocated.
            size: self.pages.len().wrapping_mul(PAGE_SIZE),
            flags: match writable {
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

    fn map(
        &self,
        device: *mut bindings::device,
        direction: bindings::dma_data_direction,
    ) -> Result<NonNull<MappedTable>> {
        // Who revokes the buffer afterwards waits for its lock, which is held, and then tells the importer.
        self.memory.device().check()?;
        let bytes = self.bytes();
        // SAFETY: The device is attached, so that it may be used for DMA.
        let (reach, max_bytes) =
            unsafe { (Reach::of(device), ffi::mapkit_dma_max_seg_size(device)) };
        reach.check_list(self.memory.memory(), &bytes)?;
        // At least a page, as the list can have no smaller entries.
        let max_bytes = reach.clamp(max(max_bytes as usize, PAGE_SIZE));
        let list = ScatterList::new(self.memory.memory(), bytes, max_bytes)?;
        let mut table = KBox::new(
            MappedTable {
                list,
                device,
                direction,
            },
            GFP_FOR_CALLER,
        )?;
        let mut mapped = self.mapped.lock();
        mapped.reserve(1, GFP_FOR_CALLER)?;
        // SAFETY: The device is attached, so that it may be used for DMA; `unmap` unmaps the list.
        unsafe { table.list.map(device, direction)? };
        let table = NonNull::from(KBox::leak(table));
        // There is room for it.
        let _ = mapped.push_within_capacity(table);
        Ok(table)
    }

    /// Passes the memory on between the CPU and all devices that have it mapped.
    fn sync(&self, sync: SyncFn) {
        for table in self.mapped.lock().iter() {
            // SAFETY: Tables in this list are mapped for the device and direction that they name, and
            // taken off it before they are unmapped, for which this holds the lock.
            unsafe {
                let table = table.as_ref();
                sync(table.device, table.list.as_raw(), table.direction);
            }
        }
    }
}

/// Importers that can let go of a buffer do so. The memory of the others stays until they do, whose pages
/// have a reference count each.
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
