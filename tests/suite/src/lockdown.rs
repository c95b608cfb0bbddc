// SPDX-License-Identifier: MIT OR Apache-2.0

//! With lockdown, the modules keep from root what `/dev/mem` and `/proc/kcore` keep. It cannot be undone, and no module can
//! be inserted after it: these tests have a machine of their own.

use crate::{
    gpio,
    raw::{Map, RW},
    runner::{skip, suite, Context},
};
use anyhow::{ensure, Result};
use mapwright::{
    alloc::{AllocDevice, Allocator, Plan},
    gpio::Bank,
    inspect::Target,
    page_bytes, page_size, Backing, Inspector, Method, Protection, Session,
};
use nix::{
    errno::Errno,
    mount::{mount, MsFlags},
    sys::mman::{MapFlags, ProtFlags},
};
use std::{fs, path::Path};

suite! { "lockdown":
    integrity_keeps_registers,
    confidentiality_keeps_frames,
}

const FILE: &str = "/sys/kernel/security/lockdown";

/// Locks the kernel down.
fn raise(level: &str) -> Result<()> {
    if !Path::new(FILE).exists() {
        let (none, flags) = (None::<&str>, MsFlags::empty());
        let _ = mount(
            Some("securityfs"),
            "/sys/kernel/security",
            Some("securityfs"),
            flags,
            none,
        );
    }
    if !Path::new(FILE).exists() {
        return skip("this kernel has no lockdown");
    }
    fs::write(FILE, level)?;
    Ok(())
}

fn errno_of<T>(result: mapwright::Result<T>) -> Option<Errno> {
    result.err().and_then(|err| err.errno())
}

fn integrity_keeps_registers(context: &Context) -> Result<()> {
    if !Bank::path(0).exists() {
        return skip("there is no GPIO bank: boot with --gpio DIR");
    }
    context.module_named("mapwright_gpio")?;
    gpio::remove()?;
    gpio::insert(context, "writable_registers=1")?;
    let bank = Bank::open(0)?;
    drop(bank.map(true)?);
    raise("integrity")?;
    let result = errno_of(bank.map(true));
    ensure!(result == Some(Errno::EPERM), "{result:?}");
    // To look is allowed, as long as it stays so.
    let page = Map::new(
        &bank,
        0,
        page_bytes(),
        ProtFlags::PROT_READ,
        MapFlags::MAP_SHARED,
    )?;
    let result = page.protect(RW);
    ensure!(result == Err(Errno::EACCES), "{result:?}");
    Ok(())
}

fn confidentiality_keeps_frames(_: &Context) -> Result<()> {
    let session = Session::open()?;
    let region = session.create(Backing::Coherent, Method::Dma, page_size())?;
    let (inspector, allocators) = (Inspector::open()?, AllocDevice::open()?);
    let plan = Plan::new(Allocator::Kmalloc, 64);
    let address = std::ptr::from_ref(&region) as u64;

    let pages = session.pages(&region, 0, 1)?;
    ensure!(session.query(&region)?.dma_addr.is_some());
    inspector.walk(Target::Myself, address)?;
    allocators.record(&plan, 1)?;
    raise("confidentiality")?;
    for (what, result) in [
        ("PAGES", errno_of(session.pages(&region, 0, 1))),
        ("WALK", errno_of(inspector.walk(Target::Myself, address))),
        ("WALK", errno_of(inspector.walk(Target::Kernel, address))),
        ("FRAME", errno_of(inspector.frame(pages[0].pfn))),
        ("LAYOUT", errno_of(inspector.layout())),
        ("RUN", errno_of(allocators.record(&plan, 1))),
    ] {
        ensure!(result == Some(Errno::EPERM), "{what}: {result:?}");
    }
    ensure!(session.query(&region)?.dma_addr.is_none());

    // All else works.
    allocators.run(&plan)?;
    session.map(&region, Protection::ReadWrite)?;
    session.write_at(&region, 0, b"locked down")?;
    Ok(())
}
