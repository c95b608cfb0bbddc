// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is refused, each with its errno.

use crate::{
    child,
    raw::{self, Map},
    runner::Context,
};
use anyhow::{ensure, Result};
use mapwright::{
    inspect::Inspector,
    page_bytes, page_size,
    uapi::{inspect as uapi, Request},
};
use nix::{errno::Errno, libc, sys::wait::waitpid};
use std::{
    fs,
    io::Read as _,
    os::fd::AsFd as _,
    time::{Duration, Instant},
};

/// The error number of an ioctl of the inspector.
fn refused<R: Request>(inspector: &Inspector, mut request: R) -> Option<Errno> {
    inspector.request(&mut request).err()
}

pub(super) fn it_needs_cap_sys_admin(_: &Context) -> Result<()> {
    let inspector = Inspector::open()?;
    child::run(|| {
        child::become_nobody()?;
        ensure!(refused(&inspector, uapi::Walk::new()) == Some(Errno::EPERM));
        ensure!(refused(&inspector, uapi::Frame::new()) == Some(Errno::EPERM));
        ensure!(refused(&inspector, uapi::Layout::new()) == Some(Errno::EPERM));
        let opened = Inspector::open();
        let errno = opened.as_ref().err().and_then(mapwright::Error::errno);
        ensure!(errno == Some(Errno::EACCES), "{opened:?}");
        Ok(())
    })
}

fn of_process(pid: u32) -> uapi::Walk {
    uapi::Walk {
        pid,
        ..uapi::Walk::new()
    }
}

pub(super) fn no_such_process_is_esrch(_: &Context) -> Result<()> {
    let inspector = Inspector::open()?;
    for pid in [u32::MAX, i32::MAX as u32, 1 << 31, 4_194_303] {
        let errno = refused(&inspector, of_process(pid));
        ensure!(errno == Some(Errno::ESRCH), "{pid}: {errno:?}");
    }
    Ok(())
}

pub(super) fn a_process_that_ended_is_esrch(_: &Context) -> Result<()> {
    let inspector = Inspector::open()?;
    let child = child::spawn(|| Ok(()))?;
    let ended = || -> Result<bool> {
        let stat = fs::read_to_string(format!("/proc/{child}/stat"))?;
        Ok(stat.contains(") Z "))
    };
    let deadline = Instant::now() + Duration::from_secs(10);
    while !ended()? {
        ensure!(Instant::now() < deadline, "the child does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
    // It has a number still, but no memory.
    let errno = refused(&inspector, of_process(child.as_raw() as u32));
    waitpid(child, None)?;
    ensure!(errno == Some(Errno::ESRCH), "{errno:?}");
    Ok(())
}

pub(super) fn a_kernel_thread_is_einval(_: &Context) -> Result<()> {
    let inspector = Inspector::open()?;
    // kthreadd.
    let errno = refused(&inspector, of_process(2));
    ensure!(errno == Some(Errno::EINVAL), "{errno:?}");
    Ok(())
}

pub(super) fn unknown_flags_are_einval(_: &Context) -> Result<()> {
    let inspector = Inspector::open()?;
    let kernel = uapi::WALK_KERNEL;
    for flags in [
        1 << 4,
        1 << 31,
        kernel | uapi::WALK_COUNTED,
        kernel | uapi::WALK_USER_MODE,
        uapi::WALK_PROBE,
    ] {
        let errno = refused(
            &inspector,
            uapi::Walk {
                flags,
                ..uapi::Walk::new()
            },
        );
        ensure!(errno == Some(Errno::EINVAL), "{flags:#x}: {errno:?}");
    }
    let of_kernel = uapi::Walk {
        flags: kernel,
        ..of_process(1)
    };
    ensure!(refused(&inspector, of_kernel) == Some(Errno::EINVAL));
    let frame = uapi::Frame {
        flags: 1,
        ..uapi::Frame::new()
    };
    ensure!(refused(&inspector, frame) == Some(Errno::EINVAL));
    let layout = uapi::Layout {
        flags: 1,
        ..uapi::Layout::new()
    };
    ensure!(refused(&inspector, layout) == Some(Errno::EINVAL));
    Ok(())
}

pub(super) fn a_wrong_size_is_refused(_: &Context) -> Result<()> {
    let inspector = Inspector::open()?;
    // The frame that is asked for is number 0, where not every machine has memory.
    let frame_0 = inspector.frame(0).err().and_then(|err| err.errno());
    for (number, size) in [
        (uapi::IOCTL_WALK, uapi::Walk::MIN_SIZE as u32),
        (uapi::IOCTL_FRAME, uapi::Frame::MIN_SIZE as u32),
        (uapi::IOCTL_LAYOUT, uapi::Layout::MIN_SIZE as u32),
    ] {
        for (size, expected) in [
            (0, Some(Errno::EINVAL)),
            (size - 1, Some(Errno::EINVAL)),
            (size, None),
            (size + 100, None),
            (page_size() as u32 + 1, Some(Errno::E2BIG)),
        ] {
            let expected = expected.or(frame_0.filter(|_| number == uapi::IOCTL_FRAME));
            let result = raw::ioctl_bytes(&inspector, number, size, &[]).err();
            ensure!(result == expected, "{number:#x}, size {size}: {result:?}");
        }
        let beyond = vec![1u8; size as usize + 4];
        let result = raw::ioctl_bytes(&inspector, number, size + 8, &beyond).err();
        ensure!(result == Some(Errno::E2BIG), "{number:#x}: {result:?}");
    }
    Ok(())
}

pub(super) fn unknown_ioctl_is_enotty(_: &Context) -> Result<()> {
    let inspector = Inspector::open()?;
    for number in [
        0,
        uapi::IOCTL_WALK - 1,
        uapi::IOCTL_LAYOUT + 1,
        mapwright::uapi::IOCTL_INFO,
    ] {
        let result = raw::ioctl(&inspector, number, 0);
        ensure!(result == Err(Errno::ENOTTY), "{number:#x}: {result:?}");
    }
    Ok(())
}

pub(super) fn a_bad_pointer_is_efault(_: &Context) -> Result<()> {
    let inspector = Inspector::open()?;
    for address in [0, 64, usize::MAX - 64, 1 << (usize::BITS - 2)] {
        let result = raw::ioctl(&inspector, uapi::IOCTL_WALK, address);
        ensure!(result == Err(Errno::EFAULT), "{address:#x}: {result:?}");
    }
    Ok(())
}

pub(super) fn it_has_no_memory_to_map_or_read(_: &Context) -> Result<()> {
    let inspector = Inspector::open()?;
    let mapped = Map::shared(&inspector, 0, page_bytes()).err();
    ensure!(mapped == Some(Errno::ENODEV), "mmap: {mapped:?}");
    let mut file = fs::File::from(inspector.as_fd().try_clone_to_owned()?);
    let read = file.read(&mut [0; 8]);
    ensure!(
        read.as_ref()
            .is_err_and(|err| err.raw_os_error() == Some(libc::EINVAL)),
        "{read:?}"
    );
    Ok(())
}
