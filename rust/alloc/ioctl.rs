// SPDX-License-Identifier: GPL-2.0-only

//! The ioctls: a function each.

use crate::{
    device::Device,
    holding::Holdings,
    plan, //
};
use kernel::{
    prelude::*,
    sync::Arc,
    uaccess::UserPtr, //
};
use mapkit::base::{
    capability,
    lockdown,
    uaccess::{
        UserArray,
        UserStruct, //
    }, //
};
use mapwright_uapi::{
    alloc as uapi,
    Request, //
};

/// Does what `cmd` asks for, in a file whose plans hold on to `held`. `ENOTTY` for a number that is not of this
/// interface.
pub(crate) fn dispatch(
    device: &Arc<Device>,
    held: &Holdings,
    cmd: u32,
    arg: UserPtr,
) -> Result<u32> {
    match cmd {
        uapi::IOCTL_INFO => info(device, arg),
        uapi::IOCTL_RUN => device.totals.note(run(device, held, arg)),
        uapi::IOCTL_RELEASE => release(held, arg),
        _ => Err(ENOTTY),
    }
}

fn read<R: Request>(arg: UserPtr) -> Result<(UserStruct, R)> {
    let user = UserStruct::new(arg, R::MIN_SIZE)?;
    let mut request = R::new();
    user.read(&mut request)?;
    Ok((user, request))
}

fn info(device: &Device, arg: UserPtr) -> Result<u32> {
    let (user, info) = read::<uapi::Info>(arg)?;
    user.write(&device.info(info.size))?;
    Ok(0)
}

fn run(device: &Arc<Device>, held: &Holdings, arg: UserPtr) -> Result<u32> {
    let (user, mut run) = read::<uapi::Run>(arg)?;
    if run.nr_records > 0 && !capability::is_sys_admin() {
        return Err(EPERM);
    }
    if run.nr_records > 0 {
        lockdown::expect_kernel_may_be_seen()?;
    }
    let records_at = usize::try_from(run.records).map_err(|_| EFAULT)?;
    let outcome = plan::run(device, &mut run)?;
    UserArray::new(UserPtr::from_addr(records_at)).push(&outcome.records)?;
    // A program that cannot be told of what is held does not get it.
    user.write(&run)?;
    if let Some(holding) = outcome.holding {
        held.hold(holding)?;
    }
    Ok(0)
}

fn release(held: &Holdings, arg: UserPtr) -> Result<u32> {
    let (user, mut release) = read::<uapi::Release>(arg)?;
    if release.flags != 0 {
        return Err(EINVAL);
    }
    release.freed = held.release() as u64;
    user.write(&release)?;
    Ok(0)
}
