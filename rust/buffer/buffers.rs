// SPDX-License-Identifier: GPL-2.0-only

//! All buffers: their names, and how one becomes a device node.

use crate::{
    attributes,
    buffer::Buffer,
    file::File,
    spec::{
        self,
        Spec, //
    },
    MODULE, //
};
use kernel::{
    new_mutex,
    prelude::*,
    str::CString,
    sync::{
        Arc,
        Mutex, //
    }, //
};
use mapkit::{
    device::{
        attributes::Attributes,
        chardev::Registration, //
    },
    dma::device::DmaDevice,
    observe::debugfs::{
        self,
        Lines,
        Show,
        WhichSwitch, //
    }, //
};
use mapwright_session::{
    Device,
    SharedRegion, //
};

/// The device nodes belong to root, who may give them away.
const MODE: u16 = 0o600;

/// What all buffers share.
#[pin_data]
pub(crate) struct Buffers {
    device: Arc<Device>,
    /// Mode of the attributes that are addresses.
    address_mode: u16,
    /// Names that are taken.
    #[pin]
    names: Mutex<KVec<CString>>,
}

impl Buffers {
    pub(crate) fn new(device: Arc<Device>, address_mode: u16) -> Result<Arc<Self>> {
        // sysfs warns of a mode with other bits, and of one that lets others write.
        if address_mode & !0o444 != 0 {
            return Err(EINVAL);
        }
        Arc::pin_init(
            pin_init!(Self {
                device,
                address_mode,
                names <- new_mutex!(KVec::new()),
            }),
            GFP_KERNEL,
        )
    }

    /// Whose regions the buffers' are.
    pub(crate) fn device(&self) -> &Arc<Device> {
        &self.device
    }
}

/// A name that is taken until this is dropped.
struct Name {
    buffers: Arc<Buffers>,
    node: CString,
}

impl Name {
    /// The device node's name, of the buffer `name`. `EINVAL` if that is none, `EEXIST` if it is taken.
    fn take(buffers: &Arc<Buffers>, name: &str) -> Result<Self> {
        spec::check_name(name)?;
        let node = CString::try_from_fmt(fmt!("mapwright-{}", name))?;
        let entry = CString::try_from(&*node)?;
        let mut names = buffers.names.lock();
        if names.iter().any(|taken| **taken == *node) {
            return Err(EEXIST);
        }
        names.push(entry, GFP_KERNEL)?;
        drop(names);
        Ok(Self {
            buffers: buffers.clone(),
            node,
        })
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let mut names = self.buffers.names.lock();
        names.retain(|taken| **taken != *self.node);
    }
}

/// A buffer that has all that it takes, and that no program can open yet.
pub(crate) struct Prepared {
    buffer: Arc<Buffer>,
    attributes: Attributes<Buffer>,
    node: CString,
    name: Name,
}

impl Prepared {
    /// Makes the buffer `name`. Coherent memory is for `dma`.
    ///
    /// `EINVAL` if it is no name, `EEXIST` if there is such a buffer, and as [`SharedRegion::new`].
    pub(crate) fn new(
        buffers: &Arc<Buffers>,
        name: &str,
        spec: &Spec,
        dma: Arc<DmaDevice>,
    ) -> Result<Self> {
        Self::of(buffers, name, dma, |dma| {
            SharedRegion::new(&buffers.device, dma, spec.made_of, spec.bytes)
        })
    }

    /// Makes the buffer `name` of what `allocate` allocates for `dma`. `EINVAL` if it is no name, `EEXIST` if there is such
    /// a buffer.
    pub(crate) fn of(
        buffers: &Arc<Buffers>,
        name: &str,
        dma: Arc<DmaDevice>,
        allocate: impl FnOnce(&Arc<DmaDevice>) -> Result<SharedRegion>,
    ) -> Result<Self> {
        let name = Name::take(buffers, name)?;
        let memory = allocate(&dma)?;
        let mode = buffers.address_mode;
        let buffer = Buffer::new(memory, dma, mode & 0o044 != 0)?;
        let attributes = Attributes::new(buffer.clone(), attributes::ALL, |attribute| {
            match attributes::is_address(attribute) {
                true => mode,
                false => attribute.mode,
            }
        })?;
        Ok(Self {
            buffer,
            attributes,
            node: CString::try_from(&*name.node)?,
            name,
        })
    }

    /// Makes its device node, which may be opened before this returns.
    pub(crate) fn publish(self) -> Result<Published> {
        let Self {
            buffer,
            attributes,
            node,
            name,
        } = self;
        let registration =
            Registration::<File>::with_attributes(node, MODE, buffer.clone(), attributes);
        Ok(Published {
            _registration: KBox::pin_init(registration, GFP_KERNEL)?,
            buffer,
            _name: name,
        })
    }
}

/// A buffer that programs can open, until this is dropped: then it is taken away from those who have. Fields are
/// dropped in this order.
pub(crate) struct Published {
    _registration: Pin<KBox<Registration<File>>>,
    buffer: Arc<Buffer>,
    _name: Name,
}

impl Published {
    /// Whether its device has lost its driver, so that nobody can use it.
    pub(crate) fn is_gone(&self) -> bool {
        self.buffer.dma().check().is_err()
    }

    /// Lets nobody open it any more; `EBUSY` if somebody has, or has it mapped.
    pub(crate) fn retire(&self) -> Result {
        self.buffer.retire()
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        self.buffer.revoke();
    }
}

impl debugfs::Tables for Buffers {
    const MODULE: &'static ThisModule = MODULE;
    const FILES: &'static [(&'static CStr, Show<Self>)] = &[
        (c"stats", |buffers, m| buffers.device.show_stats(m)),
        (c"latency", |buffers, m| buffers.device.show_latency(m)),
    ];
    const LISTS: &'static [(&'static CStr, Lines<Self>)] = &[(
        c"regions",
        Lines {
            header: Device::show_regions_header,
            line: |buffers, from, m| buffers.device.show_region(from, m),
        },
    )];
    const SWITCHES: &'static [(&'static CStr, WhichSwitch<Self>)] =
        &[(c"timing", |buffers| buffers.device.clock())];
}
