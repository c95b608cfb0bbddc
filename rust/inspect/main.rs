// SPDX-License-Identifier: GPL-2.0-only

//! `/dev/mapwright-inspect`: page tables, page frames and the kernel's address space, as they are.
//!
//! A walk of the page tables: `walk.rs` goes from table to table as the CPU does, `x86.rs`, `arm64.rs` or
//! `arm.rs` knows what the bits of an entry mean, and mapkit's `page_table.rs` reads it while it is in use.
//!
//! It holds nothing and changes nothing, so it has no locks.

use kernel::{
    fs::File,
    prelude::*,
    sync::Arc,
    uaccess::UserPtr, //
};
use mapkit::{
    base::{
        capability,
        lockdown,
        uaccess::UserStruct, //
    },
    device::chardev::{
        CharDevice,
        Registration, //
    }, //
};
use mapwright_uapi::{
    inspect as uapi,
    Request, //
};

#[cfg_attr(CONFIG_X86_64, path = "x86.rs")]
#[cfg_attr(CONFIG_ARM64, path = "arm64.rs")]
#[cfg_attr(CONFIG_ARM, path = "arm.rs")]
mod arch;
mod frame;
mod layout;
mod walk;

module! {
    type: Inspect,
    name: "mapwright_inspect",
    authors: ["The mapwright developers"],
    description: "Page tables, page frames and the kernel's address space, as they are",
    license: "GPL",
}

/// This module, which its files and tables keep loaded.
const MODULE: &ThisModule = mapkit::this_module!(Inspect);

/// The device node belongs to root, and each call asks for `CAP_SYS_ADMIN`.
const MODE: u16 = 0o600;

/// The loaded module.
struct Inspect {
    _registration: Pin<KBox<Registration<Session>>>,
}

impl kernel::Module for Inspect {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let nothing = Arc::new((), GFP_KERNEL)?;
        let registration = Registration::new(c"mapwright-inspect", MODE, nothing);
        Ok(Self {
            _registration: KBox::pin_init(registration, GFP_KERNEL)?,
        })
    }
}

/// An open file, which has no state.
struct Session;

#[vtable]
impl CharDevice for Session {
    type Shared = ();

    const MODULE: &'static ThisModule = MODULE;

    fn open(_shared: &Arc<()>, _file: &File) -> Result<Arc<Self>> {
        Ok(Arc::new(Self, GFP_KERNEL)?)
    }

    fn ioctl(&self, cmd: u32, arg: UserPtr) -> Result<u32> {
        match cmd {
            uapi::IOCTL_WALK => reply(arg, walk::walk),
            uapi::IOCTL_FRAME => reply(arg, frame::describe),
            uapi::IOCTL_LAYOUT => reply(arg, layout::describe),
            _ => Err(ENOTTY),
        }
    }
}

/// Reads the request at `arg`, lets `f` answer it and writes it back.
fn reply<R: Request>(arg: UserPtr, f: impl FnOnce(&mut R) -> Result) -> Result<u32> {
    if !capability::is_sys_admin() {
        return Err(EPERM);
    }
    lockdown::expect_kernel_may_be_seen()?;
    let user = UserStruct::new(arg, R::MIN_SIZE)?;
    let mut request = R::new();
    user.read(&mut request)?;
    f(&mut request)?;
    user.write(&request)?;
    Ok(0)
}
