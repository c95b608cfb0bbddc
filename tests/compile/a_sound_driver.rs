// SPDX-License-Identifier: GPL-2.0-only

//! A whole driver, with each of the ways to fill a VMA.

use kernel::{
    fs::File,
    iov::{IovIterDest, IovIterSource},
    prelude::*,
    sync::Arc,
};
use mapkit::{
    device::chardev::{CharDevice, Registration},
    map::vma::{Mapped, NewVma},
    memory::{mappable::Mappable, pages::Pages},
};

module! {
    type: Driver,
    name: "a_sound_driver",
    authors: ["The mapwright developers"],
    description: "A driver that compiles",
    license: "GPL",
}

struct Driver {
    _registration: Pin<KBox<Registration<Session>>>,
}

impl kernel::Module for Driver {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let shared = Arc::new((), GFP_KERNEL)?;
        Ok(Self {
            _registration: KBox::pin_init(Registration::new(c"driver", 0o600, shared), GFP_KERNEL)?,
        })
    }
}

struct Session {
    buffer: Arc<Mappable<()>>,
}

#[vtable]
impl CharDevice for Session {
    type Shared = ();

    const MODULE: &'static ThisModule = mapkit::this_module!(Driver);

    fn open(_: &Arc<()>, _: &File) -> Result<Arc<Self>> {
        let pages = KBox::new(Pages::new(16)?, GFP_KERNEL)?;
        let buffer = Arc::new(Mappable::new(pages, 0, ()), GFP_KERNEL)?;
        Ok(Arc::new(Self { buffer }, GFP_KERNEL)?)
    }

    fn mmap<'a>(&self, vma: NewVma<'a>) -> Result<Mapped<'a>> {
        vma.deny_exec()?;
        let buffer = self.buffer.clone();
        match (vma.is_copy_on_write(), vma.nr_pages()) {
            (true, 1) => vma.into_mixedmap(buffer)?.vm_insert_pages(),
            (true, 2) => vma.into_mixedmap(buffer)?.remap_vmalloc_range(),
            (true, _) => vma.into_mixedmap(buffer)?.insert_pages_on_fault(),
            (false, 1) => vma.into_pfnmap(buffer)?.remap_pfn_range(),
            (false, 2) => vma.into_pfnmap(buffer)?.dma_mmap(),
            (false, 3) => vma.into_pfnmap(buffer)?.insert_pfns_on_fault(),
            (false, _) => vma.into_pfnmap(buffer)?.insert_huge_pages_on_fault(),
        }
    }

    fn read(&self, pos: u64, iov: &mut IovIterDest<'_>) -> Result<usize> {
        let offset = usize::try_from(pos).map_err(|_| EINVAL)?;
        self.buffer.memory().copy_to_iter(offset, iov)
    }

    fn write(&self, pos: u64, iov: &mut IovIterSource<'_>) -> Result<usize> {
        let offset = usize::try_from(pos).map_err(|_| EINVAL)?;
        self.buffer.memory().copy_from_iter(offset, iov)
    }
}
