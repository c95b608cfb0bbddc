// SPDX-License-Identifier: GPL-2.0-only

//! The ioctls: a function each.

use crate::{
    file::OpenFile,
    plan, //
};
use kernel::{
    prelude::*,
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

/// Does what `cmd` asks for. `ENOTTY` for a number that is not of this interface.
pub(crate) fn dispatch(file: &OpenFile, cmd: u32, arg: UserPtr) -> Result<u32> {
    match cmd {
        uapi::IOCTL_INFO => info(file, arg),
        uapi::IOCTL_RUN => file.device.totals.note(run(file, arg)),
        uapi::IOCTL_RELEASE => release(file, arg),
        _ => Err(ENOTTY),
    }
}

fn read<R: Request>(arg: UserPtr) -> Result<(UserStruct, R)> {
    let user = UserStruct::new(arg, R::MIN_SIZE)?;
    let mut request = R::new();
    user.read(&mut request)?;
    Ok((user, request))
}

fn info(file: &OpenFile, arg: UserPtr) -> Result<u32> {
    let (user, info) = read::<uapi::Info>(arg)?;
    user.write(&file.device.info(info.size))?;
    Ok(0)
}

fn run(file: &OpenFile, arg: UserPtr) -> Result<u32> {
    let (user, mut run) = read::<uapi::Run>(arg)?;
    if run.nr_records > 0 && !capability::is_sys_admin() {
        return Err(EPERM);
    }
    if run.nr_records > 0 {
        lockdown::expect_kernel_may_be_seen()?;
    }
    let records_at = usize::try_from(run.records).map_err(|_| EFAULT)?;
    let outcome = plan::run(&file.device, &mut run)?;
    UserArray::new(UserPtr::from_addr(records_at)).push(&outcome.records)?;
    // A program that cannot be told of what is held does not get it.
    user.write(&run)?;
    if let Some(holding) = outcome.holding {
        file.hold(holding)?;
    }
    Ok(0)
}

fn release(file: &OpenFile, arg: UserPtr) -> Result<u32> {
    let (user, mut release) = read::<uapi::Release>(arg)?;
    if release.flags != 0 {
        return Err(EINVAL);
    }
    release.freed = file.release() as u64;
    user.write(&release)?;
    Ok(0)
}
