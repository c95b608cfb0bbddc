// SPDX-License-Identifier: GPL-2.0-only

//! Structures of system calls that grow over the years.
//!
//! The rules of `copy_struct_from_user()` in `include/linux/uaccess.h`: programs and kernels that
//! know different versions of a structure understand each other.
//!
//! C header: [`include/linux/uaccess.h`](srctree/include/linux/uaccess.h)
//!
//! Documentation: [`Documentation/process/adding-syscalls.rst`](srctree/Documentation/process/adding-syscalls.rst)

use core::cmp::min;
use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    uaccess::{
        UserPtr,
        UserSlice, //
    }, //
};

/// A structure at an address of the calling program, which begins with its size as a `u32`.
///
/// # Examples
///
/// ```
/// use kernel::{prelude::*, uaccess::UserPtr};
/// use mapkit::base::uaccess::UserStruct;
///
/// /// The first version of this structure was as long as it is now.
/// const MIN_SIZE: usize = 8;
///
/// /// Tells the number of CPUs in the second field of `struct { __u32 size, cpus; }`.
/// fn tell_cpus(arg: UserPtr, cpus: u32) -> Result {
///     let user = UserStruct::new(arg, MIN_SIZE)?;
///     let mut request = [0u32; 2];
///     user.read(&mut request)?;
///     request[1] = cpus;
///     user.write(&request)
/// }
/// ```
pub struct UserStruct {
    addr: UserPtr,
    /// Bytes that the program gave as its size.
    size: usize,
}

impl UserStruct {
    /// Reads the size at `addr`.
    ///
    /// `EFAULT` if that cannot be read, `EINVAL` if it is less than `min_size`, `E2BIG` if it is
    /// more than a page.
    pub fn new(addr: UserPtr, min_size: usize) -> Result<Self> {
        let size = UserSlice::new(addr, size_of::<u32>())
            .reader()
            .read::<u32>()? as usize;
        if size < min_size {
            return Err(EINVAL);
        }
        if size > PAGE_SIZE {
            return Err(E2BIG);
        }
        Ok(Self { addr, size })
    }

    /// Fills `value` with the program's structure, and with zeros what the program does not know.
    ///
    /// `E2BIG` if the program's structure is longer and what is beyond `value` is not zero,
    /// `EFAULT` if it cannot be read.
    pub fn read(&self, value: &mut (impl zerocopy::FromBytes + zerocopy::IntoBytes)) -> Result {
        let bytes = value.as_mut_bytes();
        bytes.fill(0);
        let mut reader = UserSlice::new(self.addr, self.size).reader();
        let known = min(bytes.len(), self.size);
        reader.read_slice(bytes.get_mut(..known).ok_or(EINVAL)?)?;

        let mut rest = [0u8; 64];
        while !reader.is_empty() {
            let n = min(reader.len(), rest.len());
            let part = rest.get_mut(..n).ok_or(EINVAL)?;
            reader.read_slice(part)?;
            if part.iter().any(|byte| *byte != 0) {
                return Err(E2BIG);
            }
        }
        Ok(())
    }

    /// Writes `value` to the program's structure, as much of it as the program knows.
    ///
    /// `EFAULT` if it cannot be written.
    pub fn write(&self, value: &(impl zerocopy::IntoBytes + zerocopy::Immutable)) -> Result {
        let bytes = value.as_bytes();
        let known = bytes.get(..min(bytes.len(), self.size)).ok_or(EINVAL)?;
        UserSlice::new(self.addr, known.len())
            .writer()
            .write_slice(known)
    }
}

/// An array of `T` at an address of the calling program, written from its start on.
///
/// # Examples
///
/// ```
/// use kernel::{prelude::*, uaccess::UserPtr};
/// use mapkit::{base::uaccess::UserArray, memory::backing::Backing};
///
/// /// Tells the first frame of each run, to an array that is as long as there are runs.
/// fn tell(memory: &dyn Backing, array: UserPtr) -> Result {
///     let mut array = UserArray::new(array);
///     for run in memory.runs(0, memory.nr_pages()) {
///         array.push(&[run.pfn as u64])?;
///     }
///     Ok(())
/// }
/// ```
pub struct UserArray {
    addr: UserPtr,
}

impl UserArray {
    /// The array at `addr`.
    pub fn new(addr: UserPtr) -> Self {
        Self { addr }
    }

    /// Writes the next elements. `EFAULT` if they cannot be written.
    pub fn push<T: zerocopy::IntoBytes + zerocopy::Immutable>(&mut self, values: &[T]) -> Result {
        let bytes = values.as_bytes();
        UserSlice::new(self.addr, bytes.len())
            .writer()
            .write_slice(bytes)?;
        self.addr = self.addr.wrapping_byte_add(bytes.len());
        Ok(())
    }
}
