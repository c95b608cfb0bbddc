// SPDX-License-Identifier: MIT OR Apache-2.0

//! Everything that is wrong is refused, with the errno that a Unix programmer expects.

use crate::{
    child,
    raw::{self, Map, RW},
    runner::{suite, Context},
};
use anyhow::{ensure, Result};
use mapwright::{
    page_bytes, page_size,
    uapi::{self, Request},
    Backing, Method, Protection, Region, Session, Tables,
};
use nix::{
    errno::Errno,
    sys::mman::{MapFlags, ProtFlags},
};

suite! { "refusals":
    unknown_ioctl_is_enotty,
    struct_below_its_first_version_is_einval,
    struct_of_more_than_a_page_is_e2big,
    longer_struct_with_zeros_is_taken,
    longer_struct_with_anything_else_is_e2big,
    bad_pointer_is_efault,
    create_of_nothing_is_einval,
    create_of_a_silly_size_is_enospc,
    create_with_an_unknown_word_is_einval,
    create_with_flags_is_einval,
    create_that_cannot_answer_makes_nothing,
    destroy_of_nothing_is_enoent,
    destroy_with_flags_is_einval,
    destroy_while_mapped_is_ebusy,
    query_of_nothing_is_enoent,
    pages_needs_cap_sys_admin,
    pages_beyond_the_end_is_einval,
    pages_to_a_bad_array_is_efault,
    pages_stops_at_the_end,
    sync_of_a_wrong_range_is_einval,
    sync_of_nothing_is_enoent,
    mmap_too_long_is_einval,
    mmap_beyond_the_end_is_einval,
    mmap_of_no_region_is_einval,
    mmap_misaligned_is_einval,
    mmap_executable_is_eperm,
    mprotect_executable_is_eacces,
    private_pfn_map_is_einval,
    mremap_growth_is_efault,
}

fn session_and_region() -> Result<(Session, Region)> {
    let session = Session::open()?;
    let region = session.create(Backing::Pages, Method::Remap, 4 * page_size())?;
    Ok((session, region))
}

fn valid_create() -> uapi::Create {
    uapi::Create {
        backing: Backing::Pages.number(),
        method: Method::Remap.number(),
        bytes: page_size(),
        ..uapi::Create::new()
    }
}

const REQUESTS: [(u32, usize); 6] = [
    (uapi::Info::IOCTL, uapi::Info::MIN_SIZE),
    (uapi::Create::IOCTL, uapi::Create::MIN_SIZE),
    (uapi::Destroy::IOCTL, uapi::Destroy::MIN_SIZE),
    (uapi::Query::IOCTL, uapi::Query::MIN_SIZE),
    (uapi::Pages::IOCTL, uapi::Pages::MIN_SIZE),
    (uapi::Sync::IOCTL, uapi::Sync::MIN_SIZE),
];

fn unknown_ioctl_is_enotty(_: &Context) -> Result<()> {
    let session = Session::open()?;
    for number in [
        uapi::Info::IOCTL + 6,
        uapi::Info::IOCTL + 0xff,
        0x5401,
        0xE800,
        u32::MAX,
    ] {
        let result = raw::ioctl_bytes(&session, number, 64, &[]);
        ensure!(
            result.as_ref().err() == Some(&Errno::ENOTTY),
            "{number:#x}: {result:?}"
        );
    }
    Ok(())
}

fn struct_below_its_first_version_is_einval(_: &Context) -> Result<()> {
    let session = Session::open()?;
    for (number, min) in REQUESTS {
        for size in [0, 4, min as u32 - 1] {
            let result = raw::ioctl_bytes(&session, number, size, &[]).err();
            ensure!(
                result == Some(Errno::EINVAL),
                "{number:#x}, size {size}: {result:?}"
            );
        }
    }
    Ok(())
}

fn struct_of_more_than_a_page_is_e2big(_: &Context) -> Result<()> {
    let session = Session::open()?;
    for (number, _) in REQUESTS {
        for size in [page_size() as u32 + 1, u32::MAX] {
            let result = raw::ioctl_bytes(&session, number, size, &[]).err();
            ensure!(
                result == Some(Errno::E2BIG),
                "{number:#x}, size {size}: {result:?}"
            );
        }
    }
    Ok(())
}

fn longer_struct_with_zeros_is_taken(_: &Context) -> Result<()> {
    let session = Session::open()?;
    for size in [81, 200, page_size() as u32] {
        let info = raw::ioctl_bytes(&session, uapi::Info::IOCTL, size, &[])?;
        ensure!(info[4..8] == uapi::VERSION.to_ne_bytes(), "size {size}");
        ensure!(info[..4] == size.to_ne_bytes(), "size {size} was changed");
    }
    Ok(())
}

fn longer_struct_with_anything_else_is_e2big(_: &Context) -> Result<()> {
    let session = Session::open()?;
    for at in [uapi::Info::MIN_SIZE, 150, 299] {
        let mut rest = vec![0; 296];
        rest[at - 4] = 1;
        let result = raw::ioctl_bytes(&session, uapi::Info::IOCTL, 300, &rest).err();
        ensure!(result == Some(Errno::E2BIG), "byte {at}: {result:?}");
    }
    Ok(())
}

fn bad_pointer_is_efault(_: &Context) -> Result<()> {
    let session = Session::open()?;
    for (number, _) in REQUESTS {
        for address in [0, 64, usize::MAX - 16] {
            let result = raw::ioctl(&session, number, address);
            ensure!(
                result == Err(Errno::EFAULT),
                "{number:#x}, {address:#x}: {result:?}"
            );
        }
    }
    Ok(())
}

fn create_of_nothing_is_einval(_: &Context) -> Result<()> {
    let session = Session::open()?;
    let mut create = uapi::Create {
        bytes: 0,
        ..valid_create()
    };
    ensure!(session.request(&mut create) == Err(Errno::EINVAL));
    Ok(())
}

fn create_of_a_silly_size_is_enospc(_: &Context) -> Result<()> {
    let session = Session::open()?;
    let limit = session.info()?.total_bytes;
    for bytes in [limit + 1, 1 << 50, i64::MAX as u64, u64::MAX - 1, u64::MAX] {
        for (backing, method) in [
            (Backing::Pages, Method::Remap),
            (Backing::Vmalloc, Method::Insert),
        ] {
            let mut create = uapi::Create {
                backing: backing.number(),
                method: method.number(),
                bytes,
                ..valid_create()
            };
            let result = session.request(&mut create);
            ensure!(result == Err(Errno::ENOSPC), "{bytes:#x}: {result:?}");
        }
    }
    // That cost nothing: the session works on.
    session.request(&mut valid_create())?;
    Ok(())
}

fn create_with_an_unknown_word_is_einval(_: &Context) -> Result<()> {
    let session = Session::open()?;
    for number in [100, u32::MAX] {
        let wrong = [
            uapi::Create {
                backing: number,
                ..valid_create()
            },
            uapi::Create {
                method: number,
                ..valid_create()
            },
            uapi::Create {
                caching: number,
                ..valid_create()
            },
        ];
        for mut create in wrong {
            let result = session.request(&mut create);
            ensure!(result == Err(Errno::EINVAL), "{create:?}: {result:?}");
        }
    }
    Ok(())
}

fn create_with_flags_is_einval(_: &Context) -> Result<()> {
    let session = Session::open()?;
    let wrong = [
        uapi::Create {
            flags: 1 << 31,
            ..valid_create()
        },
        uapi::Create {
            flags: uapi::CREATE_CONTIGUOUS << 1,
            ..valid_create()
        },
        uapi::Create {
            reserved: 1,
            ..valid_create()
        },
    ];
    for mut create in wrong {
        ensure!(
            session.request(&mut create) == Err(Errno::EINVAL),
            "{create:?}"
        );
    }
    Ok(())
}

fn create_that_cannot_answer_makes_nothing(_: &Context) -> Result<()> {
    let session = Session::open()?;
    let page = Map::anonymous(page_bytes(), RW)?;
    let create = valid_create();
    // SAFETY: The mapping is a page, which a `Create` fits in, and aligned to one.
    unsafe { (page.addr as *mut uapi::Create).write(create) };
    page.protect(ProtFlags::PROT_READ)?;
    let result = raw::ioctl(&session, uapi::Create::IOCTL, page.addr);
    ensure!(result == Err(Errno::EFAULT), "{result:?}");
    ensure!(
        Tables::read()?.regions.is_empty(),
        "a region that nobody knows of"
    );
    Ok(())
}

fn destroy_of_nothing_is_enoent(_: &Context) -> Result<()> {
    let (session, region) = session_and_region()?;
    session.destroy(&region)?;
    for id in [0, region.id, u64::MAX] {
        let mut destroy = uapi::Destroy {
            id,
            ..uapi::Destroy::new()
        };
        ensure!(
            session.request(&mut destroy) == Err(Errno::ENOENT),
            "region {id}"
        );
    }
    Ok(())
}

fn destroy_with_flags_is_einval(_: &Context) -> Result<()> {
    let (session, region) = session_and_region()?;
    let mut destroy = uapi::Destroy {
        id: region.id,
        flags: 1,
        ..uapi::Destroy::new()
    };
    ensure!(session.request(&mut destroy) == Err(Errno::EINVAL));
    Ok(session.destroy(&region)?)
}

fn destroy_while_mapped_is_ebusy(_: &Context) -> Result<()> {
    let (session, region) = session_and_region()?;
    let mapping = session.map(&region, Protection::ReadWrite)?;
    let result = session.destroy(&region).err().and_then(|err| err.errno());
    ensure!(result == Some(Errno::EBUSY), "{result:?}");
    ensure!(mapping.touch() == 0, "the mapping does not work any more");
    drop(mapping);
    Ok(session.destroy(&region)?)
}

fn query_of_nothing_is_enoent(_: &Context) -> Result<()> {
    let session = Session::open()?;
    for (id, offset) in [
        (0, 0),
        (0, 1 << 30),
        (0, u64::MAX),
        (12345, 0),
        (u64::MAX, 0),
    ] {
        let mut query = uapi::Query {
            id,
            offset,
            ..uapi::Query::new()
        };
        ensure!(
            session.request(&mut query) == Err(Errno::ENOENT),
            "{id} {offset:#x}"
        );
    }
    let (session, region) = session_and_region()?;
    let mut flags = uapi::Query {
        id: region.id,
        flags: 1,
        ..uapi::Query::new()
    };
    ensure!(session.request(&mut flags) == Err(Errno::EINVAL));
    Ok(())
}

fn pages_needs_cap_sys_admin(_: &Context) -> Result<()> {
    let (session, region) = session_and_region()?;
    ensure!(session.pages(&region, 0, 4)?.len() == 4);
    child::run(|| {
        child::become_nobody()?;
        let result = session
            .pages(&region, 0, 4)
            .err()
            .and_then(|err| err.errno());
        ensure!(result == Some(Errno::EPERM), "{result:?}");
        // What tells no physical address is still told.
        session.query(&region)?;
        Ok(())
    })
}

fn pages_beyond_the_end_is_einval(_: &Context) -> Result<()> {
    let (session, region) = session_and_region()?;
    let mut array = [uapi::PageInfo::default(); 4];
    for first in [4, 5, u64::MAX] {
        let mut pages = uapi::Pages {
            id: region.id,
            first,
            count: 4,
            array: array.as_mut_ptr() as u64,
            ..uapi::Pages::new()
        };
        ensure!(
            session.request(&mut pages) == Err(Errno::EINVAL),
            "page {first}"
        );
    }
    Ok(())
}

fn pages_to_a_bad_array_is_efault(_: &Context) -> Result<()> {
    let (session, region) = session_and_region()?;
    for array in [0, 64, u64::MAX - 8] {
        let mut pages = uapi::Pages {
            id: region.id,
            count: 4,
            array,
            ..uapi::Pages::new()
        };
        ensure!(
            session.request(&mut pages) == Err(Errno::EFAULT),
            "{array:#x}"
        );
    }
    Ok(())
}

fn pages_stops_at_the_end(_: &Context) -> Result<()> {
    let (session, region) = session_and_region()?;
    let untouched = uapi::PageInfo {
        pfn: 1,
        dma_addr: 2,
    };
    let mut array = [untouched; 8];
    let mut pages = uapi::Pages {
        id: region.id,
        first: 1,
        count: u64::MAX,
        array: array.as_mut_ptr() as u64,
        ..uapi::Pages::new()
    };
    session.request(&mut pages)?;
    ensure!(pages.count == 3, "{}", pages.count);
    ensure!(array[..3]
        .iter()
        .all(|page| page.dma_addr == uapi::NO_DMA_ADDR));
    ensure!(
        array[3..].iter().all(|page| *page == untouched),
        "wrote beyond what it told"
    );
    Ok(())
}

fn sync_of_a_wrong_range_is_einval(_: &Context) -> Result<()> {
    let (session, region) = session_and_region()?;
    let sync = |flags, first, bytes| {
        let mut sync = uapi::Sync {
            id: region.id,
            flags,
            first,
            bytes,
            ..uapi::Sync::new()
        };
        session.request(&mut sync)
    };
    let all = region.bytes;
    for flags in 1..=3 {
        ensure!(sync(flags, 0, all) == Ok(()) && sync(flags, all - 1, 1) == Ok(()));
    }
    for (flags, first, bytes) in [
        (0, 0, 1),
        (4, 0, 1),
        (1, 0, 0),
        (1, 0, all + 1),
        (1, all, 1),
        (1, 1, u64::MAX),
        (1, u64::MAX, 1),
    ] {
        let result = sync(flags, first, bytes);
        ensure!(
            result == Err(Errno::EINVAL),
            "{flags} {first} {bytes}: {result:?}"
        );
    }
    Ok(())
}

fn sync_of_nothing_is_enoent(_: &Context) -> Result<()> {
    let (session, region) = session_and_region()?;
    session.destroy(&region)?;
    let mut sync = uapi::Sync {
        id: region.id,
        flags: 1,
        bytes: 1,
        ..uapi::Sync::new()
    };
    ensure!(session.request(&mut sync) == Err(Errno::ENOENT));
    Ok(())
}

fn mmap_too_long_is_einval(_: &Context) -> Result<()> {
    let (session, region) = session_and_region()?;
    let all = 4 * page_bytes();
    let refused = |offset, length| Map::shared(&session, offset, length).err();
    ensure!(refused(region.offset, all + page_bytes()) == Some(Errno::EINVAL));
    ensure!(refused(region.offset + page_size(), all) == Some(Errno::EINVAL));
    // A length that is not whole pages is rounded up by the kernel, for any file.
    ensure!(refused(region.offset, all + 1) == Some(Errno::EINVAL));
    let _fits = Map::shared(&session, region.offset, all - 1)?;
    Ok(())
}

fn mmap_beyond_the_end_is_einval(_: &Context) -> Result<()> {
    let (session, region) = session_and_region()?;
    for beyond in [region.bytes, region.bytes + page_size(), 1 << 30] {
        let result = Map::shared(&session, region.offset + beyond, page_bytes()).err();
        ensure!(result == Some(Errno::EINVAL), "{beyond}: {result:?}");
    }
    Ok(())
}

fn mmap_of_no_region_is_einval(_: &Context) -> Result<()> {
    let session = Session::open()?;
    for offset in [uapi::FIRST_OFFSET, 1 << 40, (i64::MAX as u64) & !0xffff] {
        let result = Map::shared(&session, offset, page_bytes()).err();
        // The kernel itself refuses what would end beyond all offsets.
        ensure!(
            result == Some(Errno::EINVAL) || result == Some(Errno::EOVERFLOW),
            "{offset:#x}: {result:?}"
        );
    }
    // Offsets that are negative for others.
    for offset in [1 << 63, u64::MAX - 0xffff, u64::MAX - (page_size() - 1)] {
        let result = raw::mmap_errno(&session, offset, page_bytes());
        ensure!(
            result == Some(Errno::EINVAL) || result == Some(Errno::EOVERFLOW),
            "{offset:#x}: {result:?}"
        );
    }
    let before = uapi::FIRST_OFFSET - page_size();
    ensure!(Map::shared(&session, before, 2 * page_bytes()).err() == Some(Errno::EINVAL));
    // The lock of the address space is held: a larger default region would keep other threads waiting.
    let most = uapi::DEFAULT_MMAP_BYTES as usize;
    let result = Map::shared(&session, 0, most + page_bytes()).err();
    ensure!(result == Some(Errno::EINVAL), "{result:?}");
    let largest = Map::shared(&session, 0, most)?;
    largest.store(most - 1, 1);
    Ok(())
}

fn mmap_misaligned_is_einval(_: &Context) -> Result<()> {
    let (session, region) = session_and_region()?;
    for shift in [1, 512, page_size() - 1] {
        let result = Map::shared(&session, region.offset + shift, page_bytes()).err();
        ensure!(result == Some(Errno::EINVAL), "{shift}: {result:?}");
    }
    Ok(())
}

fn mmap_executable_is_eperm(_: &Context) -> Result<()> {
    for (backing, method) in [
        (Backing::Pages, Method::Remap),
        (Backing::Vmalloc, Method::Insert),
    ] {
        let session = Session::open()?;
        let region = session.create(backing, method, page_size())?;
        let prot = RW | ProtFlags::PROT_EXEC;
        let result = Map::new(
            &session,
            region.offset,
            page_bytes(),
            prot,
            MapFlags::MAP_SHARED,
        )
        .err();
        ensure!(result == Some(Errno::EPERM), "{result:?}");
    }
    Ok(())
}

fn mprotect_executable_is_eacces(_: &Context) -> Result<()> {
    for (backing, method) in [
        (Backing::Pages, Method::Remap),
        (Backing::Vmalloc, Method::Insert),
    ] {
        let session = Session::open()?;
        let region = session.create(backing, method, page_size())?;
        let map = Map::shared(&session, region.offset, page_bytes())?;
        let result = map.protect(ProtFlags::PROT_READ | ProtFlags::PROT_EXEC);
        ensure!(result == Err(Errno::EACCES), "{result:?}");
    }
    Ok(())
}

fn private_pfn_map_is_einval(_: &Context) -> Result<()> {
    let (session, region) = session_and_region()?;
    for prot in [ProtFlags::PROT_READ, RW] {
        let length = 4 * page_bytes();
        let result = Map::new(&session, region.offset, length, prot, MapFlags::MAP_PRIVATE).err();
        ensure!(result == Some(Errno::EINVAL), "{result:?}");
    }
    Ok(())
}

fn mremap_growth_is_efault(_: &Context) -> Result<()> {
    for (backing, method) in [
        (Backing::Pages, Method::Remap),
        (Backing::Vmalloc, Method::Insert),
    ] {
        let session = Session::open()?;
        let region = session.create(backing, method, 2 * page_size())?;
        let mut map = Map::shared(&session, region.offset, page_bytes())?;
        ensure!(map.remap(2 * page_bytes()) == Err(Errno::EFAULT));
        ensure!(map.load(0) == 0);
    }
    Ok(())
}
