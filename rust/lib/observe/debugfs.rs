// SPDX-License-Identifier: GPL-2.0-only

//! A debugfs directory of read-only text files.
//!
//! The `kernel` crate's `debugfs` leaves `file_operations.owner` empty: its module can be removed
//! while a file is open, and closing that file crashes. Here the owner is set, so an open file
//! holds the module.
//!
//! C headers: [`include/linux/debugfs.h`](srctree/include/linux/debugfs.h), [`include/linux/seq_file.h`](srctree/include/linux/seq_file.h)
//!
//! Documentation: [`Documentation/filesystems/debugfs.rst`](srctree/Documentation/filesystems/debugfs.rst), [`Documentation/filesystems/seq_file.rst`](srctree/Documentation/filesystems/seq_file.rst)

use crate::observe::histogram::Switch;
use core::{
    marker::PhantomData,
    ptr, //
};
use kernel::{
    bindings,
    ffi::{
        c_int,
        c_void, //
    },
    prelude::*,
    seq_file::SeqFile,
    sync::Arc, //
};

/// Writes the text of a file.
pub type Show<T> = fn(&T, &SeqFile);
/// A table with a line for each of many things, which have numbers from 1 on.
///
/// It is read in parts, and nothing is locked between two of its lines. Who comes or goes meanwhile may be in it
/// or not; of the others, each is in it once.
///
/// # Examples
///
/// ```
/// use kernel::{
///     new_mutex,
///     prelude::*,
///     seq_file::SeqFile,
///     seq_print,
///     sync::Mutex,
/// };
/// use mapkit::observe::debugfs::Lines;
///
/// /// Things with numbers from 1 on, in their order.
/// #[pin_data]
/// struct Things {
///     #[pin]
///     numbers: Mutex<KVec<u64>>,
/// }
///
/// impl Things {
///     /// One entry of `Tables::LISTS`.
///     const LINES: Lines<Self> = Lines {
///         header: |m| seq_print!(m, "number\n"),
///         line: Self::line,
///     };
///
///     fn line(&self, from: u64, m: &SeqFile) -> Option<u64> {
///         let numbers = self.numbers.lock();
///         let number = numbers.iter().copied().find(|number| *number >= from)?;
///         drop(numbers);
///         seq_print!(m, "{}\n", number as u32);
///         Some(number)
///     }
/// }
///
/// fn none() -> impl PinInit<Things> {
///     pin_init!(Things { numbers <- new_mutex!(KVec::new()) })
/// }
/// ```
pub struct Lines<T> {
    /// Writes the header line.
    pub header: fn(&SeqFile),
    /// Writes the line of the first thing whose number is not below the given one, and returns its number.
    pub line: fn(&T, u64, &SeqFile) -> Option<u64>,
}

/// Tells which switch a file is.
pub type WhichSwitch<T> = fn(&T) -> &Switch;

/// What the files of a directory show.
///
/// For an example, see [`Directory`].
pub trait Tables: Sized + Send + Sync + 'static {
    /// The module whose code this is: [`this_module!`](crate::this_module).
    const MODULE: &'static ThisModule;

    /// The files: name and what writes the text.
    const FILES: &'static [(&'static CStr, Show<Self>)];

    /// The files with a line for each of many things: name and what writes them.
    const LISTS: &'static [(&'static CStr, Lines<Self>)] = &[];

    /// Switches beside them, which root may read and write: name and which.
    const SWITCHES: &'static [(&'static CStr, WhichSwitch<Self>)] = &[];
}

/// What a file's inode points to.
struct File<T: 'static> {
    text: Text<T>,
    tables: Arc<T>,
}

/// What writes its text.
enum Text<T: 'static> {
    AtOnce(Show<T>),
    InLines(&'static Lines<T>),
}

/// A directory of the debugfs root, with the files of `T`, removed when dropped.
///
/// It must not be leaked: the module's code would be gone, and the files still there.
///
/// # Invariants
///
/// `dentry` is what `debugfs_create_dir()` returned, or null before [`publish`](Self::publish). The
/// inodes of its files point into `files`, which does not change after that.
///
/// # Examples
///
/// `/sys/kernel/debug/example/answers`, of a module whose `module!` names the type `Example`:
///
/// ```
/// use kernel::{prelude::*, seq_file::SeqFile, seq_print, sync::Arc};
/// use mapkit::observe::debugfs::{Directory, Show, Tables};
///
/// # // SAFETY: Null stands for what is built in.
/// # static THIS_MODULE: ThisModule = unsafe { ThisModule::from_ptr(core::ptr::null_mut()) };
/// struct Answers;
///
/// impl Answers {
///     fn show(&self, m: &SeqFile) {
///         seq_print!(m, "question answer\neverything 42\n");
///     }
/// }
///
/// impl Tables for Answers {
/// #   const MODULE: &'static ThisModule = &THIS_MODULE;
/// #   /*
///     const MODULE: &'static ThisModule = mapkit::this_module!(Example);
/// #   */
///     const FILES: &'static [(&'static CStr, Show<Self>)] = &[(c"answers", Self::show)];
/// }
///
/// /// Appears at the end of the module's initialization, and vanishes when it is dropped.
/// fn directory() -> Result<Directory<Answers>> {
///     let mut directory = Directory::new(Arc::new(Answers, GFP_KERNEL)?)?;
///     directory.publish(c"example");
///     Ok(directory)
/// }
/// ```
pub struct Directory<T: Tables> {
    dentry: *mut bindings::dentry,
    files: KVec<File<T>>,
    tables: Arc<T>,
}

// SAFETY: A debugfs directory may be removed by any thread.
unsafe impl<T: Tables> Send for Directory<T> {}
// SAFETY: It has no methods that take `&self`.
unsafe impl<T: Tables> Sync for Directory<T> {}

impl<T: Tables> Directory<T> {
    /// Allocates all that is needed, and creates nothing yet.
    pub fn new(tables: Arc<T>) -> Result<Self> {
        let at_once = T::FILES.iter().map(|(_, show)| Text::AtOnce(*show));
        let in_lines = T::LISTS.iter().map(|(_, lines)| Text::InLines(lines));
        let mut files = KVec::new();
        for text in Iterator::chain(at_once, in_lines) {
            let tables = tables.clone();
            files.push(File { text, tables }, GFP_KERNEL)?;
        }
        // INVARIANT: No inode exists yet.
        Ok(Self {
            dentry: ptr::null_mut(),
            files,
            tables,
        })
    }

    /// Creates the directory `name` and its files, readable by root.
    ///
    /// This cannot fail, so it may be the last step of a module's initialization, when it is too
    /// late to give up: a file that is open already would outlive a module that fails to load. As
    /// the debugfs documentation asks, a kernel that refuses only lacks the files.
    pub fn publish(&mut self, name: &CStr) {
        if !self.dentry.is_null() {
            return;
        }
        // SAFETY: The name is a valid string, which is copied; no parent means the root.
        self.dentry = unsafe { bindings::debugfs_create_dir(name.as_char_ptr(), ptr::null_mut()) };
        let names = T::FILES.iter().map(|(name, _)| *name);
        let names = Iterator::chain(names, T::LISTS.iter().map(|(name, _)| *name));
        for (name, file) in names.zip(&self.files) {
            let operations = match file.text {
                Text::AtOnce(_) => Operations::<T>::TABLE,
                Text::InLines(_) => Operations::<T>::LISTS,
            };
            // SAFETY: The name is a valid string, which is copied, and the parent what
            // `debugfs_create_dir()` returned (which may be an error, which is passed on). `file`
            // stays in place until `drop` has removed the inode, and the operations are static.
            unsafe {
                bindings::debugfs_create_file_full(
                    name.as_char_ptr(),
                    0o400,
                    self.dentry,
                    ptr::from_ref(file).cast_mut().cast::<c_void>(),
                    ptr::null(),
                    operations,
                )
            };
        }
        for (name, switch) in T::SWITCHES {
            // SAFETY: As above. The switch is part of `tables`, which is dropped after the inode was
            // removed, and may be written at any time. The operations are the kernel's own.
            unsafe {
                bindings::debugfs_create_bool(
                    name.as_char_ptr(),
                    0o600,
                    self.dentry,
                    switch(&self.tables).as_ptr(),
                )
            };
        }
    }
}

impl<T: Tables> Drop for Directory<T> {
    fn drop(&mut self) {
        // Waits for readers; the files give `EIO` from now on. Only then `files` is dropped.
        //
        // SAFETY: By the type invariant, and null and errors are allowed.
        unsafe { bindings::debugfs_remove(self.dentry) };
    }
}

/// The `file_operations` of the files of `T`.
struct Operations<T>(PhantomData<T>);

impl<T: Tables> Operations<T> {
    const TABLE: &'static bindings::file_operations = &bindings::file_operations {
        owner: T::MODULE.as_ptr(),
        open: Some(Self::open),
        read: Some(bindings::seq_read),
        llseek: Some(bindings::seq_lseek),
        release: Some(bindings::single_release),
        ..pin_init::zeroed()
    };

    const LISTS: &'static bindings::file_operations = &bindings::file_operations {
        open: Some(Self::open_list),
        release: Some(bindings::seq_release_private),
        ..*Self::TABLE
    };

    const LINES: &'static bindings::seq_operations = &bindings::seq_operations {
        start: Some(Self::start),
        stop: Some(Self::stop),
        next: Some(Self::next),
        show: Some(Self::show_line),
    };

    /// # Safety
    ///
    /// The VFS calls this for a new file of an inode that `Directory::publish` made.
    unsafe extern "C" fn open(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: The inode is valid and its private data was set when it was made.
        let data = unsafe { (*inode).i_private };
        // SAFETY: The file is being opened; `show` knows what `data` is.
        unsafe { bindings::single_open(file, Some(Self::show), data) }
    }

    /// # Safety
    ///
    /// `m` must be a `seq_file` that `open` made, and its inode must not be removed during the call.
    unsafe extern "C" fn show(m: *mut bindings::seq_file, _: *mut c_void) -> c_int {
        // SAFETY: `open` handed the inode's private data on, a pointer to a `File<T>`. debugfs
        // waits for the reads that are under way before it removes an inode, and only then is the
        // `File<T>` dropped.
        let file = unsafe { &*(*m).private.cast::<File<T>>() };
        if let Text::AtOnce(show) = file.text {
            // SAFETY: By the requirement of this function.
            show(&file.tables, unsafe { SeqFile::from_raw(m) });
        }
        0
    }

    /// # Safety
    ///
    /// As of `open`.
    unsafe extern "C" fn open_list(
        inode: *mut bindings::inode,
        file: *mut bindings::file,
    ) -> c_int {
        let size = size_of::<Place<T>>() as c_int;
        // SAFETY: The file is being opened, and the operations are static.
        let place = unsafe { bindings::__seq_open_private(file, Self::LINES, size) };
        if place.is_null() {
            return ENOMEM.to_errno();
        }
        // SAFETY: The inode is valid and its private data, a pointer to a `File<T>`, was set when it was made.
        let file = unsafe { (*inode).i_private }.cast::<File<T>>();
        let (from, written) = (0, None);
        // SAFETY: There is room for this, which nobody else has, and which is freed as bytes.
        unsafe {
            place.cast::<Place<T>>().write(Place {
                file,
                from,
                written,
            })
        };
        0
    }

    /// # Safety
    ///
    /// `m` must be a `seq_file` that `open_list` made and that is locked, and its inode must not be removed during
    /// `'a`.
    unsafe fn place<'a>(m: *mut bindings::seq_file) -> &'a mut Place<T> {
        // SAFETY: By the requirement of this function; whoever locked it is the only one that uses it.
        unsafe { &mut *(*m).private.cast::<Place<T>>() }
    }

    /// Reading begins or goes on at `pos`: 0 is the header, others are the number that the next line has at
    /// least.
    ///
    /// # Safety
    ///
    /// `m` must be a `seq_file` that `open_list` made and that is locked, and its inode must not be removed during
    /// the call.
    unsafe extern "C" fn start(m: *mut bindings::seq_file, pos: *mut i64) -> *mut c_void {
        // SAFETY: By the requirement of this function; the position is valid.
        let (place, pos) = unsafe { (Self::place(m), *pos) };
        place.from = pos.unsigned_abs();
        place.written = None;
        // Anything that is neither null nor an error: that there is no more line, `show_line` finds out.
        ptr::from_mut(place).cast()
    }

    /// # Safety
    ///
    /// None: nothing is held.
    unsafe extern "C" fn stop(_: *mut bindings::seq_file, _: *mut c_void) {}

    /// # Safety
    ///
    /// As of `start`.
    unsafe extern "C" fn next(
        m: *mut bindings::seq_file,
        _: *mut c_void,
        pos: *mut i64,
    ) -> *mut c_void {
        // SAFETY: By the requirement of this function.
        let place = unsafe { Self::place(m) };
        let written = place.written.take();
        place.from = written.unwrap_or(place.from).saturating_add(1);
        // SAFETY: By the requirement of this function, the position is valid.
        unsafe { *pos = i64::try_from(place.from).unwrap_or(i64::MAX) };
        match written {
            Some(_) => ptr::from_mut(place).cast(),
            None => ptr::null_mut(),
        }
    }

    /// # Safety
    ///
    /// As of `start`.
    unsafe extern "C" fn show_line(m: *mut bindings::seq_file, _: *mut c_void) -> c_int {
        // SAFETY: By the requirement of this function.
        let (place, seq) = unsafe { (Self::place(m), SeqFile::from_raw(m)) };
        // SAFETY: `open_list` put it there. debugfs waits for the reads that are under way before it removes an
        // inode, and only then is the `File<T>` dropped.
        let file = unsafe { &*place.file };
        if let Text::InLines(lines) = &file.text {
            place.written = match place.from {
                0 => {
                    (lines.header)(seq);
                    Some(0)
                }
                from => (lines.line)(&file.tables, from, seq),
            };
        }
        0
    }
}

/// How far a list has been read.
struct Place<T: 'static> {
    file: *const File<T>,
    /// The number that the next line has at least; 0 for the header.
    from: u64,
    /// The number of the line that was just written; 0 for the header. None if there was no more.
    written: Option<u64>,
}
