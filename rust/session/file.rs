// SPDX-License-Identifier: GPL-2.0-only

//! The open files of a device, and what a module adds to them.

use crate::{
    device::Device,
    ioctl,
    region::live::Live,
    session::Session, //
};
use core::ops::Range;
use kernel::{
    bindings,
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
use mapkit::{
    base::gfp::GFP_FOR_CALLER,
    device::chardev::{
        CharDevice,
        Registration, //
    },
    map::vma::{
        Mapped,
        NewVma, //
    },
    observe::debugfs::{
        Directory,
        Lines,
        Show,
        Tables,
        WhichSwitch, //
    }, //
};

/// What a module adds to the files of a device.
pub trait Driver: Sized + Send + Sync + 'static {
    /// The module whose code this is: [`this_module!`](mapkit::this_module).
    const MODULE: &'static ThisModule;

    /// What an open file has beside its session. It is dropped before the session is.
    type PerFile: Send + Sync;

    /// A file is opened.
    fn open(&self) -> Result<Self::PerFile>;

    /// Whether an ioctl of the module's changes something that others see, see [`CharDevice::changes`].
    fn changes(_cmd: u32) -> bool {
        false
    }

    /// An ioctl that sessions do not know: `ENOTTY` if the module does not know it either.
    fn ioctl(file: &File<Self>, cmd: u32, arg: UserPtr) -> Result<u32>;

    /// Passes the bytes `_bytes` of a region from one side to the other, as far as `SYNC` does not do it anyway.
    fn sync(_file: &File<Self>, _region: u64, _bytes: Range<u64>, _flags: u32) -> Result {
        Ok(())
    }

    /// `poll(2)`, see [`CharDevice::poll`]. Without it, a file is always ready.
    fn poll(_file: &File<Self>, _opened: &kernel::fs::File, _table: &PollTable<'_>) -> u32 {
        bindings::POLLIN | bindings::POLLRDNORM | bindings::POLLOUT | bindings::POLLWRNORM
    }

    /// More lines of the table `stats`.
    fn show_stats(&self, _m: &SeqFile) {}
}

/// A device with its driver, which its files and tables share.
pub struct Host<D> {
    device: Arc<Device>,
    driver: D,
}

/// An open file.
#[pin_data]
pub struct File<D: Driver> {
    host: Arc<Host<D>>,
    per_file: D::PerFile,
    #[pin]
    session: Session,
}

impl<D: Driver> File<D> {
    /// Its regions.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// What the driver has for it.
    pub fn per_file(&self) -> &D::PerFile {
        &self.per_file
    }

    /// `ENODEV` if the device is gone: nothing can be asked of its files any more.
    fn check(&self) -> Result {
        self.host.device.stats.note(self.host.device.dma().check())
    }

    /// The driver.
    pub fn driver(&self) -> &D {
        &self.host.driver
    }
}

#[vtable]
impl<D: Driver> CharDevice for File<D> {
    type Shared = Host<D>;

    const MODULE: &'static ThisModule = D::MODULE;

    fn open(host: &Arc<Host<D>>, file: &kernel::fs::File) -> Result<Arc<Self>> {
        let opened = || {
            let per_file = host.driver.open()?;
            let session = Session::new(host.device.clone(), file)?;
            let host = host.clone();
            Arc::pin_init(
                try_pin_init!(Self { host, per_file, session <- session }? Error),
                GFP_FOR_CALLER,
            )
        };
        host.device.stats.note(opened())
    }

    fn mmap<'a>(&self, vma: NewVma<'a>) -> Result<Mapped<'a>> {
        self.check()?;
        self.session.mmap(vma)
    }

    fn changes(cmd: u32) -> bool {
        D::changes(cmd)
    }

    fn ioctl(&self, cmd: u32, arg: UserPtr) -> Result<u32> {
        let sync = |region, bytes, flags| D::sync(self, region, bytes, flags);
        let done =
            self.check()
                .and_then(|()| match ioctl::dispatch(&self.session, cmd, arg, &sync) {
                    Err(err) if err == ENOTTY => D::ioctl(self, cmd, arg),
                    done => done,
                });
        self.host.device.stats.note(done)
    }

    fn end(&self) -> Result<u64> {
        self.check()?;
        Ok(self.session.end())
    }

    fn read(&self, pos: u64, iov: &mut IovIterDest<'_>) -> Result<usize> {
        self.check()?;
        self.session.read(pos, iov)
    }

    fn write(&self, pos: u64, iov: &mut IovIterSource<'_>) -> Result<usize> {
        self.check()?;
        self.session.write(pos, iov)
    }

    fn show_fdinfo(&self, m: &SeqFile) {
        self.session.show_fdinfo(m);
    }

    fn poll(&self, opened: &kernel::fs::File, table: &PollTable<'_>) -> u32 {
        D::poll(self, opened, table)
    }
}

impl<D: Driver> Tables for Host<D> {
    const MODULE: &'static ThisModule = D::MODULE;
    const FILES: &'static [(&'static CStr, Show<Self>)] = &[
        (c"stats", |host, m| {
            host.device.show_stats(m);
            host.driver.show_stats(m);
        }),
        (c"latency", |host, m| host.device.show_latency(m)),
    ];
    const LISTS: &'static [(&'static CStr, Lines<Self>)] = &[(
        c"regions",
        Lines {
            header: Live::show_header,
            line: |host, from, m| host.device.show_region(from, m),
        },
    )];
    const SWITCHES: &'static [(&'static CStr, WhichSwitch<Self>)] =
        &[(c"timing", |host| host.device.clock())];
}

/// A device that programs can open, with its tables in debugfs. Fields are dropped in this order.
pub struct Published<D: Driver> {
    _tables: Directory<Host<D>>,
    _registration: Pin<KBox<Registration<File<D>>>>,
}

impl<D: Driver> Published<D> {
    /// Makes the device node `/dev/NAME` with the permission bits `mode` and the debugfs directory
    /// of the same name. Files may be opened before this returns.
    pub fn new(name: &'static CStr, mode: u16, device: Arc<Device>, driver: D) -> Result<Self> {
        let host = Arc::new(Host { device, driver }, GFP_KERNEL)?;
        let mut tables = Directory::new(host.clone())?;
        let registration = KBox::pin_init(Registration::new(name, mode, host), GFP_KERNEL)?;
        tables.publish(name);
        Ok(Self {
            _tables: tables,
            _registration: registration,
        })
    }
}
