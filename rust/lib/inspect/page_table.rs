// SPDX-License-Identifier: GPL-2.0-only

//! Page tables, read entry by entry while their owner goes on using them.
//!
//! What keeps a table from being freed under the reader:
//!
//! - An [`AddressSpace`] counts as a user of its `mm_struct`, so the top table stays, and so do all
//!   others as far as the end of the process is concerned.
//! - `munmap(2)`, `MADV_DONTNEED` and khugepaged free tables of a process that lives on. Where the
//!   kernel frees them only after an RCU grace period (`MMU_GATHER_RCU_TABLE_FREE`: x86, arm64, ARM with
//!   LPAE), interrupts are off while [`Tables`] exists, which is what `get_user_pages_fast()` relies
//!   on. Elsewhere (ARM without LPAE) the lock of the address space is held for writing: a `munmap(2)`
//!   frees tables with the lock at least held for reading, and nothing else frees any there.
//! - The kernel's own tables are nobody's to lock. They are freed only where a larger entry replaces
//!   them or memory is taken away, after a flush of the TLBs, for which the kernel interrupts each
//!   CPU; one that flushes with a broadcast instruction does not wait for this one.
//!
//! So the last line of defence is the reading itself, which trusts no address: it reads only what
//! the kernel knows as memory, and a fault becomes an error. At worst what is read is no longer a
//! table; the caller reads a path twice and takes what stays the same.
//!
//! C header: [`include/linux/pgtable.h`](srctree/include/linux/pgtable.h)
//!
//! Documentation: [`Documentation/mm/page_tables.rst`](srctree/Documentation/mm/page_tables.rst), [`Documentation/mm/process_addrs.rst`](srctree/Documentation/mm/process_addrs.rst)

use crate::{
    base::capability,
    ffi, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    error::to_result,
    ffi::{
        c_int,
        c_void, //
    },
    mm::MmWithUser,
    prelude::*,
    sync::aref::ARef,
    types::NotThreadSafe, //
};

/// The address space of a process, kept from going away.
///
/// Dropping it may sleep: when the process has ended meanwhile, it frees the memory.
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
/// use mapkit::inspect::page_table::AddressSpace;
///
/// /// The frame that the calling program has at `address`, if it is refcounted.
/// fn frame_at(address: usize) -> Result<usize> {
///     AddressSpace::of_process(0)?.refcounted_pfn(address)
/// }
/// ```
pub struct AddressSpace {
    mm: ARef<MmWithUser>,
}

/// Which of a process's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// Those that the CPU uses while the process is in the kernel.
    Process,
    /// Those for the kernel's own addresses.
    Kernel,
    /// Those that the CPU uses while the process is in user mode, if they are others.
    UserMode,
}

impl AddressSpace {
    /// That of the process with the number `pid`, in the caller's pid namespace; 0 for the caller's
    /// own.
    ///
    /// `EPERM` for that of another process if the caller lacks `CAP_SYS_PTRACE`, `ESRCH` if there is none or it is
    /// exiting, `EINVAL` for a kernel thread.
    pub fn of_process(pid: u32) -> Result<Self> {
        if pid != 0 && !capability::is_sys_ptrace() {
            return Err(EPERM);
        }
        let task = Task::by_number(pid)?;
        if task.is_kernel_thread() {
            return Err(EINVAL);
        }
        // SAFETY: The task is valid, and `get_task_mm()` may be called for any.
        let mm = NonNull::new(unsafe { bindings::get_task_mm(task.0.as_ptr()) }).ok_or(ESRCH)?;
        // SAFETY: `get_task_mm()` has taken a count of `mm_users`, which the `ARef` now owns. An
        // `MmWithUser` has the layout of an `mm_struct`.
        let mm = unsafe { ARef::from_raw(mm.cast::<MmWithUser>()) };
        Ok(Self { mm })
    }

    fn as_ptr(&self) -> *mut bindings::mm_struct {
        self.mm.as_raw()
    }

    /// Lets `f` read the tables that the CPU would use for the address `addr`, which are not freed meanwhile.
    /// `f` must be quick: interrupts may be off.
    ///
    /// `EOPNOTSUPP` if there is no such view, or if entries hold no physical addresses; `EINTR` if the
    /// caller was killed while it waited for a lock.
    pub fn with_tables<T>(
        &self,
        view: View,
        addr: u64,
        f: impl FnOnce(&Tables<'_>) -> Result<T>,
    ) -> Result<T> {
        // SAFETY: May be called at any time.
        if !unsafe { ffi::mapkit_tables_are_physical() } {
            return Err(crate::base::errno::eopnotsupp());
        }
        let mm = self.as_ptr();
        // SAFETY: `mm` is valid, and so is its top table while its `mm_users` is not zero.
        let root = unsafe {
            match view {
                View::Process => ffi::mapkit_top_table(mm, addr),
                View::Kernel => ffi::mapkit_kernel_table(mm),
                View::UserMode => ffi::mapkit_user_mode_table(mm, addr),
            }
        };
        if root == 0 {
            return Err(crate::base::errno::eopnotsupp());
        }
        let guard = Guard::new(self)?;
        let tables = Tables {
            root,
            _guard: &guard,
        };
        f(&tables)
    }

    /// The page frame that `get_user_pages()` finds at `addr`, without faulting it in. It may be
    /// another as soon as this returns.
    ///
    /// `EFAULT` if there is none that is refcounted, `EINTR` if the caller was killed.
    pub fn refcounted_pfn(&self, addr: usize) -> Result<usize> {
        // SAFETY: `mm` is valid and its `mm_users` not zero; no lock of it is held here.
        let pfn = unsafe { ffi::mapkit_refcounted_pfn(self.as_ptr(), addr) };
        usize::try_from(pfn).map_err(|_| Error::from_errno(pfn as c_int))
    }
}

/// A task.
///
/// # Invariants
///
/// A valid `task_struct`, of which a count is owned.
struct Task(NonNull<bindings::task_struct>);

impl Task {
    /// The task with a number, in the caller's pid namespace; 0 for the caller. `ESRCH` if there is none.
    fn by_number(pid: u32) -> Result<Self> {
        let task = match pid {
            0 => {
                // SAFETY: The calling task is valid.
                unsafe {
                    let current = bindings::get_current();
                    bindings::get_task_struct(current);
                    current
                }
            }
            _ => {
                let number = c_int::try_from(pid).map_err(|_| ESRCH)?;
                // SAFETY: Each takes and gives counts of its own; all of them take null.
                unsafe {
                    let pid = bindings::find_get_pid(number);
                    let task = bindings::get_pid_task(pid, bindings::pid_type_PIDTYPE_PID);
                    bindings::put_pid(pid);
                    task
                }
            }
        };
        // INVARIANT: Both ways a count was taken.
        NonNull::new(task).map(Self).ok_or(ESRCH)
    }

    fn is_kernel_thread(&self) -> bool {
        // SAFETY: By the type invariant. The flag does not change during a task's life, the word does
        // and is read as a whole.
        let flags = unsafe { (&raw const (*self.0.as_ptr()).flags).read_volatile() };
        flags & bindings::PF_KTHREAD != 0
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::put_task_struct(self.0.as_ptr()) };
    }
}

/// What keeps the tables of an address space from being freed. See the module's documentation.
#[cfg(CONFIG_MMU_GATHER_RCU_TABLE_FREE)]
struct Guard<'a> {
    flags: kernel::ffi::c_ulong,
    _space: PhantomData<&'a AddressSpace>,
    _not_send: NotThreadSafe,
}

#[cfg(CONFIG_MMU_GATHER_RCU_TABLE_FREE)]
impl<'a> Guard<'a> {
    fn new(_space: &'a AddressSpace) -> Result<Self> {
        Ok(Self {
            // SAFETY: May be called at any time; `drop` undoes it, on this CPU, as nothing sleeps.
            flags: unsafe { ffi::mapkit_local_irq_save() },
            _space: PhantomData,
            _not_send: NotThreadSafe,
        })
    }
}

#[cfg(CONFIG_MMU_GATHER_RCU_TABLE_FREE)]
impl Drop for Guard<'_> {
    fn drop(&mut self) {
        // SAFETY: The flags are those of `new`.
        unsafe { ffi::mapkit_local_irq_restore(self.flags) };
    }
}

/// What keeps the tables of an address space from being freed. See the module's documentation.
#[cfg(not(CONFIG_MMU_GATHER_RCU_TABLE_FREE))]
struct Guard<'a> {
    space: &'a AddressSpace,
    _not_send: NotThreadSafe,
    _phantom: PhantomData<()>,
}

#[cfg(not(CONFIG_MMU_GATHER_RCU_TABLE_FREE))]
impl<'a> Guard<'a> {
    fn new(space: &'a AddressSpace) -> Result<Self> {
        // SAFETY: The `mm_struct` is valid, and no lock of it is held by this task.
        to_result(unsafe { ffi::mapkit_mmap_write_lock_killable(space.as_ptr()) })?;
        Ok(Self {
            space,
            _not_send: NotThreadSafe,
            _phantom: PhantomData,
        })
    }
}

#[cfg(not(CONFIG_MMU_GATHER_RCU_TABLE_FREE))]
impl Drop for Guard<'_> {
    fn drop(&mut self) {
        // SAFETY: `new` has taken the lock, in this task.
        unsafe { ffi::mapkit_mmap_write_unlock(self.space.as_ptr()) };
    }
}

/// The tables of an address space, while they are kept from being freed.
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
/// use mapkit::inspect::page_table::{AddressSpace, View};
///
/// /// The first entry of the top table of the calling program, whose entries have 8 bytes.
/// fn first_entry() -> Result<u64> {
///     let space = AddressSpace::of_process(0)?;
///     space.with_tables(View::Process, 0, |tables| tables.read(tables.root(), 0, 8))
/// }
/// ```
pub struct Tables<'a> {
    root: u64,
    _guard: &'a Guard<'a>,
}

impl Tables<'_> {
    /// Physical address of the top table.
    pub fn root(&self) -> u64 {
        self.root
    }

    /// Reads the entry `index` of the table at the physical address `table`, whose entries have
    /// `size` bytes: 4 or 8.
    ///
    /// Any address is safe. `ENXIO` if no memory is there, `EFAULT` if it cannot be read, `EINVAL` for
    /// another size.
    pub fn read(&self, table: u64, index: u32, size: u32) -> Result<u64> {
        let at = u64::from(index).wrapping_mul(u64::from(size));
        let phys = table.checked_add(at).ok_or(ENXIO)?;
        match size {
            4 => read_memory::<u32>(phys).map(u64::from),
            8 => read_memory::<u64>(phys),
            _ => Err(EINVAL),
        }
    }
}

/// Reads a number from memory. `ENXIO` if no memory is there, `EFAULT` if it cannot be read.
fn read_memory<T: Default + zerocopy::FromBytes>(phys: u64) -> Result<T> {
    let mut value = T::default();
    let to = (&raw mut value).cast::<c_void>();
    // SAFETY: `to` has room for a `T`, which may have any bytes. The function checks that `phys` is
    // memory, and reads it with faults caught.
    to_result(unsafe { ffi::mapkit_read_memory(phys, to, size_of::<T>()) })?;
    Ok(value)
}

/// The register that holds where this CPU's own top table is: CR3, TTBR0.
pub fn table_register() -> u64 {
    // SAFETY: May be called at any time.
    unsafe { ffi::mapkit_table_register() }
}
