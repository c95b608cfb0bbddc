// SPDX-License-Identifier: MIT OR Apache-2.0

//! Structures of an ioctl: sizes, flags and pointers that are refused.

use crate::{
    raw::{self},
    runner::Context,
};
use anyhow::{ensure, Result};
use mapwright::{
    page_size,
    uapi::{self, Request as _},
    Session,
};
use nix::errno::Errno;

const REQUESTS: [(u32, usize); 6] = [
    (uapi::Info::IOCTL, uapi::Info::MIN_SIZE),
    (uapi::Create::IOCTL, uapi::Create::MIN_SIZE),
    (uapi::Destroy::IOCTL, uapi::Destroy::MIN_SIZE),
    (uapi::Query::IOCTL, uapi::Query::MIN_SIZE),
    (uapi::Pages::IOCTL, uapi::Pages::MIN_SIZE),
    (uapi::Sync::IOCTL, uapi::Sync::MIN_SIZE),
];

pub(super) fn unknown_ioctl_is_enotty(_: &Context) -> Result<()> {
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

pub(super) fn struct_below_its_first_version_is_einval(_: &Context) -> Result<()> {
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

pub(super) fn struct_of_more_than_a_page_is_e2big(_: &Context) -> Result<()> {
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

pub(super) fn longer_struct_with_zeros_is_taken(_: &Context) -> Result<()> {
    let session = Session::open()?;
    for size in [81, 200, page_size() as u32] {
        let info = raw::ioctl_bytes(&session, uapi::Info::IOCTL, size, &[])?;
        ensure!(info[4..8] == uapi::VERSION.to_ne_bytes(), "size {size}");
        ensure!(info[..4] == size.to_ne_bytes(), "size {size} was changed");
    }
    Ok(())
}

pub(super) fn longer_struct_with_anything_else_is_e2big(_: &Context) -> Result<()> {
    let session = Session::open()?;
    for at in [uapi::Info::MIN_SIZE, 150, 299] {
        let mut rest = vec![0; 296];
        rest[at - 4] = 1;
        let result = raw::ioctl_bytes(&session, uapi::Info::IOCTL, 300, &rest).err();
        ensure!(result == Some(Errno::E2BIG), "byte {at}: {result:?}");
    }
    Ok(())
}

pub(super) fn bad_pointer_is_efault(_: &Context) -> Result<()> {
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
