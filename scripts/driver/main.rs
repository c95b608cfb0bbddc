// SPDX-License-Identifier: GPL-2.0-only

//! `/dev/example`: each file that is opened has a buffer, whose pages a program gets when it touches them.

use kernel::{fs::File, prelude::*, sync::Arc};
use mapkit::{
    device::chardev::{CharDevice, Registration},
    map::vma::{Mapped, NewVma},
    memory::{mappable::Mappable, vmalloc::Vmalloc},
};

module! {
    type: Example,
    name: "example",
    authors: ["Its author"],
    description: "A buffer that programs map",
    license: "GPL",
}

/// The loaded module. The device is there until this is dropped.
struct Example {
    _registration: Pin<KBox<Registration<Buffer>>>,
}

impl kernel::Module for Example {
    fn init(_: &'static ThisModule) -> Result<Self> {
        let registration = Registration::new(c"example", 0o600, Arc::new((), GFP_KERNEL)?);
        Ok(Self {
            _registration: KBox::pin_init(registration, GFP_KERNEL)?,
        })
    }
}

/// Pages of a buffer.
const PAGES: usize = 16;

/// An open file.
struct Buffer(Arc<Mappable<()>>);

#[vtable]
impl CharDevice for Buffer {
    type Shared = ();

    const MODULE: &'static ThisModule = mapkit::this_module!(Example);

    fn open(_: &Arc<()>, _: &File) -> Result<Arc<Self>> {
        let memory = KBox::new(Vmalloc::new(PAGES)?, GFP_KERNEL)?;
        let buffer = Arc::new(Mappable::new(memory, 0, ()), GFP_KERNEL)?;
        Ok(Arc::new(Self(buffer), GFP_KERNEL)?)
    }

    fn mmap<'a>(&self, vma: NewVma<'a>) -> Result<Mapped<'a>> {
        vma.deny_exec()?;
        vma.into_mixedmap(self.0.clone())?.insert_pages_on_fault()
    }
}
