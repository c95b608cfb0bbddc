// SPDX-License-Identifier: GPL-2.0-only

//! The open files of a buffer.

use crate::{
    buffer::Buffer,
    MODULE, //
};
use kernel::{
    iov::{
        IovIterDest,
        IovIterSource, //
    },
    prelude::*,
    sync::Arc,
    uaccess::UserPtr, //
};
use mapkit::{
    base::gfp::GFP_FOR_CALLER,
    device::chardev::{
        may_write,
        CharDevice, //
    },
    map::vma::{
        Mapped,
        NewVma, //
    },
    revoke::space::Space, //
};

/// An open file.
pub(crate) struct File {
    opened: Opened,
    may_write: bool,
}

/// A file that the buffer counts as open.
struct Opened(Arc<Buffer>);

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.closed();
    }
}

impl File {
    fn buffer(&self) -> &Buffer {
        &self.opened.0
    }
}

#[vtable]
impl CharDevice for File {
    type Shared = Buffer;

    const MODULE: &'static ThisModule = MODULE;

    fn open(buffer: &Arc<Buffer>, file: &kernel::fs::File) -> Result<Arc<Self>> {
        buffer.opened()?;
        let opened = Opened(buffer.clone());
        let file = Self {
            opened,
            may_write: may_write(file),
        };
        Ok(Arc::new(file, GFP_FOR_CALLER)?)
    }

    fn space(buffer: &Buffer) -> Option<Arc<Space>> {
        Some(buffer.space().clone())
    }

    fn end(&self) -> Result<u64> {
        Ok(self.buffer().memory()?.bytes())
    }

    fn mmap<'a>(&self, vma: NewVma<'a>) -> Result<Mapped<'a>> {
        self.buffer().memory()?.mmap(vma)
    }

    fn ioctl(&self, cmd: u32, arg: UserPtr) -> Result<u32> {
        self.buffer().memory()?.ioctl(self.may_write, cmd, arg)
    }

    fn read(&self, pos: u64, iov: &mut IovIterDest<'_>) -> Result<usize> {
        self.buffer().memory()?.read(pos, iov)
    }

    fn write(&self, pos: u64, iov: &mut IovIterSource<'_>) -> Result<usize> {
        self.buffer().memory()?.write(pos, iov)
    }
}
