// SPDX-License-Identifier: GPL-2.0-only

//! Buffers that drivers share: `struct dma_buf`, as a file.
//!
//! [`export()`] makes one of a part of a [`Mappable`], which other drivers then map for their devices and
//! programs into their address spaces. [`Import`] attaches a device to one that anybody made.

use crate::{
    backing::{
        Mappable,
        MappingEvents, //
    },
    dma::{
        Direction,
        DmaDevice,
        Segment, //
    },
    ffi,
    reach::Reach,
    scatter::{
        ScatterList,
        Segments, //
    },
    series::dma_direction,
    vma::{
        Mapped,
        NewVma, //
    }, //
};
use core::{
    cmp::{
        max,
        min, //
    },
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
pub trait Exportable: MappingEvents + Sized {
    /// Whose buffers these are, as `/sys/kernel/debug/dma_buf/bufinfo` has it.
    const NAME: &'static CStr;

    /// The module whose code this is: [`this_module!`](crate::this_module).
    fn module(&self) -> &'static ThisModule;

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
pub fn export<T: Exportable>(
    memory: Arc<Mappable<T>>,
    pages: Range<usize>,
    writable: bool,
) -> Result<ARef<File>> {
    if pages.is_empty() || pages.end > memory.nr_pages() {
        return Err(EINVAL);
    }
    if !memory.memory().refcounted() {
        return Err(crate::errno::eopnotsupp());
    }
    let bytes = pages.len().checked_mul(PAGE_SIZE).ok_or(EINVAL)?;
    let owner = memory.module().as_ptr();
    let exported = Arc::pin_init(
        try_pin_init!(Exported {
            memory,
            pages,
            mapped <- new_mutex!(KVec::new()),
        }? Error),
        GFP_KERNEL_ACCOUNT,
    )?;
    let info = bindings::dma_buf_export_info {
        exp_name: T::NAME.as_char_ptr(),
        owner,
        ops: Operations::<T>::TABLE,
        size: bytes,
        flags: match writable {
            true => bindings::O_RDWR as c_int,
            false => bindings::O_RDONLY as c_int,
        },
        resv: core::ptr::null_mut(),
        priv_: Arc::into_raw(exported).cast_mut().cast::<c_void>(),
    };
    // SAFETY: `info` is valid, the operations are those for its private data, and the name is static.
    let exporting = from_err_ptr(unsafe { bindings::dma_buf_export(&info) });
    let buffer = exporting.inspect_err(|_| {
        // SAFETY: It was made above, and nobody took it.
        drop(unsafe { Arc::from_raw(info.priv_.cast::<Exported<T>>()) });
    })?;
    // SAFETY: The buffer was just made with a file, of which it has the only reference, which is
    // handed over. A `File` is a transparent wrapper.
    unsafe {
        let file = NonNull::new((*buffer).file).ok_or(ENOMEM)?;
        Ok(ARef::from_raw(file.cast::<File>()))
    }
}

/// The `dma_buf_ops` of an exported `Mappable<T>`.
struct Operations<T>(PhantomData<T>);

impl<T: Exportable> Operations<T> {
    const TABLE: &'static bindings::dma_buf_ops = &bindings::dma_buf_ops {
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
        // SAFETY: `export` gave it this reference.
        drop(unsafe { Arc::from_raw((*buffer).priv_.cast::<Exported<T>>()) });
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
            let vma = NewVma::from_raw(vma);
            vma.deny_exec()
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
    fn map(
        &self,
        device: *mut bindings::device,
        direction: bindings::dma_data_direction,
    ) -> Result<NonNull<MappedTable>> {
        let bytes =
            self.pages.start.wrapping_mul(PAGE_SIZE)..self.pages.end.wrapping_mul(PAGE_SIZE);
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
            GFP_KERNEL,
        )?;
        let mut mapped = self.mapped.lock();
        mapped.reserve(1, GFP_KERNEL)?;
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

/// A buffer that somebody exported, with a device attached to it.
///
/// # Invariants
///
/// `attachment` was made by `dma_buf_attach()` for `buffer`, of which a reference is held, and `device`.
pub struct Import {
    buffer: NonNull<bindings::dma_buf>,
    attachment: NonNull<bindings::dma_buf_attachment>,
    device: Arc<DmaDevice>,
}

// SAFETY: An attachment is not tied to a thread.
unsafe impl Send for Import {}
// SAFETY: Mapping takes the buffer's own lock.
unsafe impl Sync for Import {}

impl Import {
    /// Attaches `device` to the buffer of the calling program's file descriptor `fd`.
    ///
    /// `EBADF` if there is none, `EINVAL` if it is no buffer; what its exporter says.
    pub fn new(fd: c_int, device: &Arc<DmaDevice>) -> Result<Self> {
        // SAFETY: Any number may be asked for.
        let buffer = from_err_ptr(unsafe { bindings::dma_buf_get(fd) })?;
        // SAFETY: The buffer is valid, as is the device, which may be used for DMA.
        let attaching = from_err_ptr(unsafe { bindings::dma_buf_attach(buffer, device.as_raw()) });
        let attachment = attaching.inspect_err(|_| {
            // SAFETY: The reference that `dma_buf_get()` gave.
            unsafe { bindings::dma_buf_put(buffer) };
        })?;
        // INVARIANT: It was just attached.
        Ok(Self {
            buffer: NonNull::new(buffer).ok_or(EINVAL)?,
            attachment: NonNull::new(attachment).ok_or(EINVAL)?,
            device: device.clone(),
        })
    }

    /// Size in bytes.
    pub fn len(&self) -> usize {
        // SAFETY: By the type invariant; the size never changes.
        unsafe { (*self.buffer.as_ptr()).size }
    }

    /// Whether it is empty, which it never is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether its file was opened for writing.
    pub fn is_writable(&self) -> bool {
        // SAFETY: By the type invariant.
        let file = unsafe { File::from_raw_file((*self.buffer.as_ptr()).file) };
        file.flags() & bindings::O_ACCMODE != bindings::O_RDONLY
    }

    /// Maps it for the device, which moves data in direction `D` and may move any part of it.
    pub fn map<D: Direction>(self: &Arc<Self>) -> Result<MappedImport<D>> {
        // SAFETY: By the type invariant.
        let table = from_err_ptr(unsafe {
            bindings::dma_buf_map_attachment_unlocked(
                self.attachment.as_ptr(),
                MappedImport::<D>::DIRECTION,
            )
        })?;
        // INVARIANT: It was just mapped.
        let mapped = MappedImport {
            import: self.clone(),
            table: NonNull::new(table).ok_or(ENOMEM)?,
            _direction: PhantomData,
        };
        mapped.sync(ffi::mapkit_dma_sync_single_for_device);
        Ok(mapped)
    }
}

impl Drop for Import {
    fn drop(&mut self) {
        // SAFETY: By the type invariant; nothing is mapped any more, as that holds a reference.
        unsafe {
            bindings::dma_buf_detach(self.buffer.as_ptr(), self.attachment.as_ptr());
            bindings::dma_buf_put(self.buffer.as_ptr());
        }
    }
}

/// An imported buffer that the device has now. It is unmapped when dropped.
///
/// # Invariants
///
/// `table` was made by `dma_buf_map_attachment_unlocked()` for the import and `DIRECTION`, and is owned.
#[must_use = "it is unmapped when dropped"]
pub struct MappedImport<D: Direction> {
    import: Arc<Import>,
    table: NonNull<bindings::sg_table>,
    _direction: PhantomData<fn(D)>,
}

// SAFETY: A mapping is not tied to a thread.
unsafe impl<D: Direction> Send for MappedImport<D> {}
// SAFETY: The table does not change.
unsafe impl<D: Direction> Sync for MappedImport<D> {}

/// `dma_sync_single_for_cpu()` or its counterpart.
type SyncSingleFn = unsafe extern "C" fn(
    *mut bindings::device,
    bindings::dma_addr_t,
    usize,
    bindings::dma_data_direction,
);

impl<D: Direction> MappedImport<D> {
    /// What the exporter is told. What a device writes to is read, too, where it is copied: what the
    /// device does not write stays as it is.
    const DIRECTION: bindings::dma_data_direction = match D::RAW {
        dma_direction::TO_DEVICE => D::RAW,
        _ => dma_direction::BOTH_WAYS,
    };

    /// Passes all of it to one side. Some exporters (udmabuf, for one) leave that to others when they map
    /// and unmap a buffer, so that what is in a bounce buffer would be lost.
    fn sync(&self, sync: SyncSingleFn) {
        let device = self.import.device.as_raw();
        // SAFETY: By the type invariant.
        for segment in unsafe { Segments::new(self.table.as_ptr()) } {
            let (mut bus, mut left) = (segment.bus, segment.bytes);
            // Page by page: what an IOMMU has put together is contiguous for the device only.
            while left > 0 {
                let within = (bus as usize) & (PAGE_SIZE - 1);
                let bytes = min(left, PAGE_SIZE - within);
                // The cast is to the type of the DMA API's own addresses.
                // SAFETY: By the type invariant this is mapped for the device in this direction.
                unsafe { sync(device, bus as bindings::dma_addr_t, bytes, Self::DIRECTION) };
                bus = bus.wrapping_add(bytes as u64);
                left = left.wrapping_sub(bytes);
            }
        }
    }

    /// Where the device finds byte `offset`, and how many bytes follow there.
    pub fn segment_at(&self, offset: usize) -> Option<Segment> {
        // SAFETY: By the type invariant.
        unsafe { Segments::new(self.table.as_ptr()) }.at(offset)
    }
}

impl<D: Direction> Drop for MappedImport<D> {
    fn drop(&mut self) {
        self.sync(ffi::mapkit_dma_sync_single_for_cpu);
        // SAFETY: By the type invariant; it is used no more.
        unsafe {
            bindings::dma_buf_unmap_attachment_unlocked(
                self.import.attachment.as_ptr(),
                self.table.as_ptr(),
                Self::DIRECTION,
            );
        }
    }
}
