// SPDX-License-Identifier: GPL-2.0-only

//! The `file_operations` of a character device, in C's words.

use super::{
    may_write,
    seek::seek,
    CharDevice,
    Registration, //
};
use crate::{
    base::gfp::GFP_FOR_CALLER,
    map::vma::NewVma,
    revoke::space::Space, //
};
use core::marker::PhantomData;
use kernel::{
    bindings,
    ffi::{
        c_int,
        c_long,
        c_uint,
        c_ulong, //
    },
    fs::File,
    iov::{
        IovIterDest,
        IovIterSource, //
    },
    prelude::*,
    seq_file::SeqFile,
    sync::{
        poll::PollTable,
        Arc, //
    },
    uaccess::UserPtr, //
};

/// What the private data of an open file points to.
struct Opened<T> {
    file: Arc<T>,
    /// Where its VMAs are found.
    space: Arc<Space>,
}

impl<T: CharDevice> Opened<T> {
    /// # Safety
    ///
    /// `file` must be a file of `inode` that is being opened, to which what is returned belongs then.
    unsafe fn new(
        shared: &Arc<T::Shared>,
        inode: *mut bindings::inode,
        file: *mut bindings::file,
    ) -> Result<KBox<Self>> {
        // SAFETY: The file is valid during this call, and is not in a table of files yet.
        let opened = T::open(shared, unsafe { File::from_raw_file(file) })?;
        let space = match T::space(shared) {
            Some(space) => space,
            None => Space::new()?,
        };
        let opened = KBox::new(
            Self {
                file: opened,
                space,
            },
            GFP_FOR_CALLER,
        )?;
        // SAFETY: By the requirement of this function. Nothing fails any more.
        unsafe { opened.space.adopt(inode, file) };
        Ok(opened)
    }
}

/// The `file_operations` of the files `T`.
pub(super) struct Operations<T>(PhantomData<T>);

impl<T: CharDevice> Operations<T> {
    pub(super) const TABLE: &'static bindings::file_operations = &bindings::file_operations {
        owner: T::MODULE.as_ptr(),
        // Without it, 32-bit kernels refuse to map what is beyond 4 GiB. `transfer` is fine with it.
        fop_flags: bindings::FOP_UNSIGNED_OFFSET,
        open: Some(Self::open),
        release: Some(Self::release),
        llseek: Some(Self::llseek),
        read_iter: if T::HAS_READ {
            Some(Self::read_iter)
        } else {
            None
        },
        write_iter: if T::HAS_WRITE {
            Some(Self::write_iter)
        } else {
            None
        },
        // By way of pages of the pipe, from and to which `read` and `write` copy.
        splice_read: if T::HAS_READ {
            Some(bindings::copy_splice_read)
        } else {
            None
        },
        splice_write: if T::HAS_WRITE {
            Some(bindings::iter_file_splice_write)
        } else {
            None
        },
        mmap: if T::HAS_MMAP { Some(Self::mmap) } else { None },
        // What is written is in memory, or in the device: there is nothing to wait for.
        fsync: if T::HAS_WRITE || T::HAS_MMAP {
            Some(bindings::noop_fsync)
        } else {
            None
        },
        // Large mappings at addresses that huge pages fit.
        #[cfg(all(CONFIG_TRANSPARENT_HUGEPAGE, CONFIG_HAVE_ARCH_TRANSPARENT_HUGEPAGE_PUD))]
        get_unmapped_area: Some(crate::map::gigabyte::get_unmapped_area),
        #[cfg(all(
            CONFIG_TRANSPARENT_HUGEPAGE,
            not(CONFIG_HAVE_ARCH_TRANSPARENT_HUGEPAGE_PUD)
        ))]
        get_unmapped_area: Some(bindings::thp_get_unmapped_area),
        unlocked_ioctl: if T::HAS_IOCTL {
            Some(Self::ioctl)
        } else {
            None
        },
        // Structures have the same layout for 32-bit callers; only the pointer needs care.
        compat_ioctl: if T::HAS_IOCTL {
            bindings::compat_ptr_ioctl
        } else {
            None
        },
        show_fdinfo: if T::HAS_SHOW_FDINFO {
            Some(Self::show_fdinfo)
        } else {
            None
        },
        poll: if T::HAS_POLL { Some(Self::poll) } else { None },
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// `file` must be an open file of these operations, which is not released during `'a`.
    unsafe fn opened<'a>(file: *mut bindings::file) -> &'a T {
        // SAFETY: By the requirement of this function.
        unsafe { &Self::whole(file).file }
    }

    /// # Safety
    ///
    /// As of [`opened`](Self::opened).
    unsafe fn whole<'a>(file: *mut bindings::file) -> &'a Opened<T> {
        // SAFETY: `open` stored a pointer of `KBox::into_raw()`, which `release` drops.
        unsafe { &*(*file).private_data.cast::<Opened<T>>() }
    }

    /// # Safety
    ///
    /// The VFS calls this for a new file of a misc device that was registered by `Registration<T>`.
    unsafe extern "C" fn open(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: The pointers are valid and for a file being opened.
        let ret = unsafe { bindings::generic_file_open(inode, file) };
        if ret != 0 {
            return ret;
        }
        // SAFETY: `misc_open()` set the private data to the registered `miscdevice`, which is the
        // first field of a `Registration<T>`, and keeps it from being deregistered during this
        // call. Only the field `shared` is borrowed, which nobody changes.
        let shared = unsafe { &(*(*file).private_data.cast::<Registration<T>>()).shared };
        // SAFETY: The file is being opened, and not shared yet.
        match unsafe { Opened::<T>::new(shared, inode, file) } {
            Ok(opened) => {
                // SAFETY: As above.
                unsafe { (*file).private_data = KBox::into_raw(opened).cast() };
                0
            }
            Err(err) => err.to_errno(),
        }
    }

    /// # Safety
    ///
    /// The VFS calls this once, for the last reference to a file that `open` saw.
    unsafe extern "C" fn release(_inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: `open` stored a pointer of `KBox::into_raw()`, and nobody uses the file any more.
        drop(unsafe { KBox::from_raw((*file).private_data.cast::<Opened<T>>()) });
        0
    }

    /// # Safety
    ///
    /// The VFS calls this for an open file of these operations.
    unsafe extern "C" fn llseek(
        file: *mut bindings::file,
        offset: bindings::loff_t,
        whence: c_int,
    ) -> bindings::loff_t {
        // SAFETY: By the requirement of this function; the file stays open during this call.
        let sought = unsafe { seek(file, offset, whence, || Self::opened(file).end()) };
        sought.unwrap_or_else(|err| err.to_errno().into())
    }

    /// # Safety
    ///
    /// The VFS calls this with a valid iterator for an open file of these operations.
    unsafe extern "C" fn read_iter(
        kiocb: *mut bindings::kiocb,
        iter: *mut bindings::iov_iter,
    ) -> isize {
        // SAFETY: By the requirement of this function.
        unsafe {
            Self::transfer(kiocb, |opened, pos| {
                opened.read(pos, IovIterDest::from_raw(iter))
            })
        }
    }

    /// # Safety
    ///
    /// The VFS calls this with a valid iterator for an open file of these operations.
    unsafe extern "C" fn write_iter(
        kiocb: *mut bindings::kiocb,
        iter: *mut bindings::iov_iter,
    ) -> isize {
        // SAFETY: By the requirement of this function.
        unsafe {
            Self::transfer(kiocb, |opened, pos| {
                opened.write(pos, IovIterSource::from_raw(iter))
            })
        }
    }

    /// Calls `f` with the file and its position, which is then moved on by what `f` returns.
    ///
    /// # Safety
    ///
    /// `kiocb` must be valid and of an open file of these operations.
    unsafe fn transfer(
        kiocb: *mut bindings::kiocb,
        f: impl FnOnce(&T, u64) -> Result<usize>,
    ) -> isize {
        // SAFETY: By the requirement of this function; nobody else uses the `kiocb`.
        let (file, pos) = unsafe { ((*kiocb).ki_filp, &mut (*kiocb).ki_pos) };
        let Ok(start) = u64::try_from(*pos) else {
            return EINVAL.to_errno() as isize;
        };
        // SAFETY: By the requirement of this function; the file stays open during this call.
        match f(unsafe { Self::opened(file) }, start) {
            Ok(bytes) => {
                *pos = pos.saturating_add(bytes as i64);
                bytes as isize
            }
            Err(err) => err.to_errno() as isize,
        }
    }

    /// # Safety
    ///
    /// The VFS calls this with a new VMA for an open file of these operations.
    unsafe extern "C" fn mmap(
        file: *mut bindings::file,
        vma: *mut bindings::vm_area_struct,
    ) -> c_int {
        // SAFETY: By the requirement of this function; the file stays open during this call.
        let opened = unsafe { Self::whole(file) };
        // SAFETY: By the requirement of this function, and it is used in no other way here.
        let vma = unsafe { NewVma::from_raw(vma, Some(&opened.space)) };
        match opened.file.mmap(vma) {
            Ok(mapped) => {
                mapped.commit();
                0
            }
            Err(err) => err.to_errno(),
        }
    }

    /// # Safety
    ///
    /// The VFS calls this for an open file of these operations.
    unsafe extern "C" fn ioctl(file: *mut bindings::file, cmd: c_uint, arg: c_ulong) -> c_long {
        // SAFETY: By the requirement of this function; the file stays open during this call.
        let opened = unsafe { Self::opened(file) };
        // SAFETY: As above. No `fdget_pos()` call of this thread is under way.
        if T::changes(cmd) && !may_write(unsafe { File::from_raw_file(file) }) {
            return EBADF.to_errno() as c_long;
        }
        match opened.ioctl(cmd, UserPtr::from_addr(arg)) {
            // Fits: a result of `ioctl(2)` is a positive `int`.
            Ok(ret) => (ret & c_int::MAX as u32) as c_long,
            Err(err) => err.to_errno() as c_long,
        }
    }

    /// # Safety
    ///
    /// The VFS calls this for an open file of these operations, with a valid `seq_file`.
    unsafe extern "C" fn show_fdinfo(m: *mut bindings::seq_file, file: *mut bindings::file) {
        // SAFETY: By the requirement of this function; the file stays open during this call.
        let opened = unsafe { Self::opened(file) };
        // SAFETY: By the requirement of this function.
        opened.show_fdinfo(unsafe { SeqFile::from_raw(m) });
    }

    /// # Safety
    ///
    /// The VFS calls this for an open file of these operations, with a table that is null or valid.
    unsafe extern "C" fn poll(
        file: *mut bindings::file,
        table: *mut bindings::poll_table_struct,
    ) -> bindings::__poll_t {
        // SAFETY: By the requirement of this function; the file stays open during this call.
        let opened = unsafe { Self::opened(file) };
        // SAFETY: By the requirement of this function. No `fdget_pos()` call of this thread is under way.
        let (file, table) = unsafe { (File::from_raw_file(file), PollTable::from_raw(table)) };
        opened.poll(file, &table)
    }
}
