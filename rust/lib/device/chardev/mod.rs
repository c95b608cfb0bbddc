// SPDX-License-Identifier: GPL-2.0-only

//! A misc character device that may be unloaded only when nobody uses it.
//!
//! The `kernel` crate's `miscdevice` leaves `file_operations.owner` empty before 7.3: its module can be removed
//! while a file is open, and closing that file crashes. Here the owner is set, so an open file
//! holds the module, and so does a mapping, which holds its file.
//!
//! C headers: [`include/linux/miscdevice.h`](srctree/include/linux/miscdevice.h), [`include/linux/fs.h`](srctree/include/linux/fs.h)
//!
//! Documentation: [`Documentation/filesystems/vfs.rst`](srctree/Documentation/filesystems/vfs.rst)

mod operations;
mod seek;

use crate::{
    device::attributes::Attributes,
    map::vma::{
        Mapped,
        NewVma, //
    },
    revoke::space::Space, //
};
use kernel::{
    bindings,
    device::Device,
    error::to_result,
    ffi::c_int,
    fs::{
        file::flags,
        File, //
    },
    iov::{
        IovIterDest,
        IovIterSource, //
    },
    prelude::*,
    seq_file::SeqFile,
    str::CString,
    sync::{
        aref::ARef,
        poll::PollTable,
        Arc, //
    },
    types::Opaque,
    uaccess::UserPtr, //
};

use operations::Operations;

pub use crate::series::module::NoModule;

/// An open file of a character device.
///
/// A method that an implementation does not have is an operation that its files do not have: the kernel refuses
/// it, or does what it does for all files. What can be read or written can also be spliced (`splice(2)`,
/// `sendfile(2)`), and what can be written or mapped be synchronized (`fsync(2)`, `msync(2)`), for which there is
/// nothing to do.
///
/// The methods may run at the same time in several threads. None of them but
/// [`mmap`](Self::mmap) is called with the lock of the caller's address space held.
///
/// # Examples
///
/// A file that reads as what was last written to it, a byte. `LastBytes` is the type that `module!` names:
///
/// ```
/// use kernel::{
///     fs::File,
///     iov::{IovIterDest, IovIterSource},
///     prelude::*,
///     sync::{
///         atomic::{Atomic, Relaxed},
///         Arc,
///     },
/// };
/// use mapkit::device::chardev::{CharDevice, Registration};
///
/// # type LocalModule = mapkit::device::chardev::NoModule;
/// # fn main() {}
/// # // SAFETY: Null stands for what is built in.
/// # static THIS_MODULE: ThisModule = unsafe { ThisModule::from_ptr(core::ptr::null_mut()) };
/// struct LastByte(Atomic<i32>);
///
/// #[vtable]
/// impl CharDevice for LastByte {
///     type Shared = ();
///
/// #   const MODULE: &'static ThisModule = &THIS_MODULE;
/// #   /*
///     const MODULE: &'static ThisModule = mapkit::this_module!(LastBytes);
/// #   */
///
///     fn open(_: &Arc<()>, _: &File) -> Result<Arc<Self>> {
///         Ok(Arc::new(Self(Atomic::new(0)), GFP_KERNEL)?)
///     }
///
///     fn end(&self) -> Result<u64> {
///         Ok(1)
///     }
///
///     fn read(&self, pos: u64, iov: &mut IovIterDest<'_>) -> Result<usize> {
///         match pos {
///             0 => Ok(iov.copy_to_iter(&[self.0.load(Relaxed) as u8])),
///             _ => Ok(0),
///         }
///     }
///
///     fn write(&self, _: u64, iov: &mut IovIterSource<'_>) -> Result<usize> {
///         let mut byte = [0];
///         let taken = iov.copy_from_iter(&mut byte);
///         self.0.store(byte[0].into(), Relaxed);
///         Ok(taken)
///     }
/// }
///
/// /// `/dev/last-byte` exists until this is dropped.
/// fn register() -> Result<Pin<KBox<Registration<LastByte>>>> {
///     let shared = Arc::new((), GFP_KERNEL)?;
///     KBox::pin_init(Registration::new(c"last-byte", 0o600, shared), GFP_KERNEL)
/// }
/// ```
#[vtable]
pub trait CharDevice: Sized + Send + Sync + 'static {
    /// What all open files share.
    type Shared: Send + Sync + 'static;

    /// The module whose code this is: [`this_module!`](crate::this_module).
    const MODULE: &'static ThisModule;

    /// `open(2)`.
    fn open(shared: &Arc<Self::Shared>, file: &File) -> Result<Arc<Self>>;

    /// Where the VMAs of all files are found, of a device whose files have the same memory. Without it, those of each
    /// file are found in a space of its own.
    fn space(_shared: &Self::Shared) -> Option<Arc<Space>> {
        None
    }

    /// `mmap(2)`. Called with the lock of the caller's address space held for writing, so it must
    /// not touch the caller's memory, nor wait for a lock under which somebody does.
    fn mmap<'a>(&self, _vma: NewVma<'a>) -> Result<Mapped<'a>> {
        Err(ENODEV)
    }

    /// Whether an ioctl changes something that others see: memory, a device. Then the file has to be open for
    /// writing, or it fails with `EBADF`, as `write(2)` does.
    fn changes(_cmd: u32) -> bool {
        false
    }

    /// `ioctl(2)`, with its number, and what it returns. `ENOTTY` for a number that is none.
    fn ioctl(&self, _cmd: u32, _arg: UserPtr) -> Result<u32> {
        Err(ENOTTY)
    }

    /// Where the file ends, in bytes: what `SEEK_END` counts from, and where `read` gives 0. Without it, there is no
    /// such place, and `SEEK_END` is `EINVAL`; the position can be anywhere either way.
    fn end(&self) -> Result<u64> {
        Err(EINVAL)
    }

    /// `read(2)` at `pos`: fills `iov` and returns the bytes read, 0 at the end.
    fn read(&self, _pos: u64, _iov: &mut IovIterDest<'_>) -> Result<usize> {
        Err(EINVAL)
    }

    /// `write(2)` at `pos`: takes from `iov` and returns the bytes written. `O_APPEND` means nothing, as for a block
    /// device.
    fn write(&self, _pos: u64, _iov: &mut IovIterSource<'_>) -> Result<usize> {
        Err(EINVAL)
    }

    /// What `/proc/PID/fdinfo/FD` tells beside the usual.
    fn show_fdinfo(&self, _m: &SeqFile) {}

    /// `poll(2)`: the `EPOLL…` bits of what is ready, after registering with `table` what announces a
    /// change. Without it, a file is always ready.
    fn poll(&self, _file: &File, _table: &PollTable<'_>) -> u32 {
        0
    }
}

/// Whether a file was opened for writing.
///
/// # Examples
///
/// ```
/// use kernel::{fs::File, prelude::*};
/// use mapkit::device::chardev::may_write;
///
/// /// In `open`: whether what the file makes may be changed by it. `EACCES` if it must be.
/// fn expect_writer(file: &File) -> Result {
///     match may_write(file) {
///         true => Ok(()),
///         false => Err(EACCES),
///     }
/// }
/// ```
pub fn may_write(file: &File) -> bool {
    matches!(
        file.flags() & flags::O_ACCMODE,
        flags::O_WRONLY | flags::O_RDWR
    )
}

/// A character device of the files `T`, registered until dropped.
///
/// It must not be leaked: the module's code would be gone, and the device still there.
///
/// # Invariants
///
/// `misc` is a registered `struct miscdevice` whose operations are those of `T`, and the first field,
/// so that a pointer to it is one to this structure.
///
/// For an example, see [`CharDevice`].
#[repr(C)]
#[pin_data(PinnedDrop)]
pub struct Registration<T: CharDevice> {
    #[pin]
    misc: Opaque<bindings::miscdevice>,
    shared: Arc<T::Shared>,
    /// What `misc` points to.
    _name: Option<CString>,
    _attributes: Option<Attributes<T::Shared>>,
}

// SAFETY: A misc device may be deregistered by any thread.
unsafe impl<T: CharDevice> Send for Registration<T> {}
// SAFETY: It has no methods that take `&self`.
unsafe impl<T: CharDevice> Sync for Registration<T> {}

impl<T: CharDevice> Registration<T> {
    /// Registers the device node `/dev/NAME` with the permission bits `mode`.
    pub fn new(
        name: &'static CStr,
        mode: u16,
        shared: Arc<T::Shared>,
    ) -> impl PinInit<Self, Error> {
        let text = kernel::str::as_char_ptr_in_const_context(name);
        Self::register(None, text, mode, shared, None, None)
    }

    /// The same for a node that is of `device`: `/sys/class/misc/NAME/device` tells which that is.
    pub fn of_device(
        device: &Device,
        name: &'static CStr,
        mode: u16,
        shared: Arc<T::Shared>,
    ) -> impl PinInit<Self, Error> {
        let text = kernel::str::as_char_ptr_in_const_context(name);
        Self::register(Some(device.into()), text, mode, shared, None, None)
    }

    /// The same with a name that is made at run time, and with attributes of the device in sysfs. There must be no
    /// other device node of that name: the kernel warns in its log of who asks for one.
    pub fn with_attributes(
        name: CString,
        mode: u16,
        shared: Arc<T::Shared>,
        attributes: Attributes<T::Shared>,
    ) -> impl PinInit<Self, Error> {
        let text = name.as_char_ptr();
        Self::register(None, text, mode, shared, Some(name), Some(attributes))
    }

    /// `text` must be static, or that of `name`.
    fn register(
        parent: Option<ARef<Device>>,
        text: *const kernel::ffi::c_char,
        mode: u16,
        shared: Arc<T::Shared>,
        name: Option<CString>,
        attributes: Option<Attributes<T::Shared>>,
    ) -> impl PinInit<Self, Error> {
        let groups = attributes
            .as_ref()
            .map_or(core::ptr::null_mut(), Attributes::groups);
        try_pin_init!(Self {
            // Last in time though first in place: files may be opened at once, and need `shared`.
            shared,
            _name: name,
            _attributes: attributes,
            misc <- Opaque::try_ffi_init(move |slot: *mut bindings::miscdevice| {
                // A `Device` is a transparent wrapper of a valid `struct device`, of which the node takes a
                // reference while it is registered.
                let parent = parent.as_deref().map_or(core::ptr::null_mut(), |device: &Device| {
                    core::ptr::from_ref(device).cast_mut().cast()
                });
                let misc = bindings::miscdevice {
                    parent,
                    minor: bindings::MISC_DYNAMIC_MINOR as c_int,
                    name: text,
                    fops: Operations::<T>::TABLE,
                    mode,
                    groups,
                    ..pin_init::zeroed()
                };
                // SAFETY: The initializer may write to the slot.
                unsafe { slot.write(misc) };
                // SAFETY: The slot is initialized and stays in place until `drop` deregisters it.
                // INVARIANT: If this succeeds, it is registered.
                to_result(unsafe { bindings::misc_register(slot) })
            }),
        })
    }
}

#[pinned_drop]
impl<T: CharDevice> PinnedDrop for Registration<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant it is registered.
        unsafe { bindings::misc_deregister(self.misc.get()) };
    }
}
