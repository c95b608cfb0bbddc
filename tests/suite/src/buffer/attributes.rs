// SPDX-License-Identifier: MIT OR Apache-2.0

//! The attributes in sysfs, which are those of u-dma-buf.

use super::{errno, io_errno, make, making::with_parameters, of_pages, open};
use crate::{child, module::wait_for, runner::Context};
use anyhow::{bail, ensure, Context as _, Result};
use mapwright::{
    buffer::{NamedBuffer, Spec},
    page_size, uapi,
    uapi::Request as _,
    Backing, Region, Session,
};
use nix::{errno::Errno, libc};
use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt as _,
};

pub(super) fn has_the_attributes_of_u_dma_buf(_: &Context) -> Result<()> {
    let owned = make("attributes", &of_pages(16))?;
    let buffer = &owned.0;
    let bytes = 16 * page_size();
    let expect = |attribute: &str, text: &str| -> Result<()> {
        let attribute_text = buffer.attribute(attribute)?;
        ensure!(
            attribute_text == text,
            "{attribute} is {attribute_text}, not {text}"
        );
        Ok(())
    };
    expect("size", &bytes.to_string())?;
    expect("sync_mode", "1")?;
    expect("sync_offset", "0x0")?;
    expect("sync_size", &bytes.to_string())?;
    expect("sync_direction", "0")?;
    expect("sync_owner", "0")?;
    let address = buffer.attribute("phys_addr")?;
    let address = u64::from_str_radix(address.strip_prefix("0x").context(address.clone())?, 16)?;
    let session = Session::from(open(buffer)?);
    let region = Region {
        id: 0,
        offset: 0,
        bytes,
    };
    let first = session.pages(&region, 0, 1)?;
    ensure!(first[0].pfn * page_size() == address);
    ensure!(
        errno(buffer.attribute("dma_addr")) == Some(Errno::EOPNOTSUPP),
        "for no device"
    );

    for (attribute, text) in [
        ("sync_mode", "2"),
        ("sync_offset", "4096"),
        ("sync_size", "0x100"),
        ("sync_direction", "1\n"),
        ("sync_for_device", "1"),
    ] {
        buffer.set_attribute(attribute, text)?;
    }
    expect("sync_mode", "2")?;
    expect("sync_offset", "0x1000")?;
    expect("sync_size", "256")?;
    expect("sync_direction", "1")?;
    expect("sync_owner", "1")?;
    // Offset, size, direction and 1 in one number, which changes no attribute.
    buffer.set_attribute(
        "sync_for_cpu",
        &format!("0x{:08X}{:08X}", 0x2000, 0x1000 | (2 << 2) | 1),
    )?;
    expect("sync_offset", "0x1000")?;
    expect("sync_size", "256")?;
    expect("sync_owner", "0")?;
    for (attribute, text) in [
        ("sync_mode", "8".to_owned()),
        ("sync_direction", "3".to_owned()),
        ("sync_offset", (bytes + 1).to_string()),
        ("sync_size", bytes.to_string()),
        ("sync_for_cpu", "yes".to_owned()),
        ("sync_for_cpu", format!("0x{:08X}{:08X}", bytes, 0x1001)),
        (
            "sync_for_device",
            format!("0x{:08X}{:08X}", 0, 0x1000 | (3 << 2) | 1),
        ),
    ] {
        let written = buffer.set_attribute(attribute, &text);
        ensure!(
            errno(written) == Some(Errno::EINVAL),
            "{attribute} took {text}"
        );
    }
    // One that is in several pieces has no address of all of it.
    let scattered = make(
        "scattered",
        &Spec {
            backing: Some(Backing::Vmalloc),
            ..of_pages(64)
        },
    )?;
    let session = Session::from(open(&scattered.0)?);
    let mut query = uapi::Query::new();
    session.request(&mut query)?;
    let expected = (query.runs > 1).then_some(Errno::EOPNOTSUPP);
    ensure!(
        errno(scattered.0.attribute("phys_addr")) == expected,
        "{} runs",
        query.runs
    );
    Ok(())
}

/// Takes this capability away from the calling process.
fn drop_sys_admin() -> Result<()> {
    const CAP_SYS_ADMIN: u32 = 21;
    // The version with sets of two words each: effective, permitted, inheritable; and this process.
    let header = [0x2008_0522u32, 0];
    let mut sets = [0u32; 6];
    // SAFETY: These are the structures of this version.
    let got = unsafe { libc::syscall(libc::SYS_capget, header.as_ptr(), sets.as_mut_ptr()) };
    Errno::result(got)?;
    sets[0] &= !(1 << CAP_SYS_ADMIN);
    // SAFETY: As above.
    let set = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) };
    Errno::result(set)?;
    Ok(())
}

pub(super) fn addresses_are_hidden(_: &Context) -> Result<()> {
    let owned = make("hidden", &of_pages(1))?;
    for attribute in ["phys_addr", "dma_addr"] {
        let mode = fs::metadata(owned.0.sysfs().join(attribute))?
            .permissions()
            .mode();
        ensure!(mode & 0o777 == 0o400, "{attribute}: {mode:o}");
    }
    child::run(|| {
        drop_sys_admin()?;
        ensure!(errno(owned.0.attribute("phys_addr")) == Some(Errno::EPERM));
        ensure!(errno(owned.0.attribute("dma_addr")) == Some(Errno::EPERM));
        owned.0.attribute("size")?;
        Ok(())
    })?;
    child::run(|| {
        child::become_nobody()?;
        ensure!(errno(owned.0.attribute("phys_addr")) == Some(Errno::EACCES));
        owned.0.attribute("size")?;
        ensure!(io_errno(File::open(owned.0.node())) == Some(Errno::EACCES));
        Ok(())
    })
}

pub(super) fn addresses_are_for_all_by_parameter(context: &Context) -> Result<()> {
    with_parameters(context, c"address_mode=0444 buffers=open:64K", || {
        let buffer = NamedBuffer::new("open");
        wait_for("the device node", || buffer.node().exists())?;
        child::run(|| {
            child::become_nobody()?;
            let address = buffer.attribute("phys_addr")?;
            ensure!(address.starts_with("0x") && address != "0x0", "{address}");
            Ok(())
        })
    })
}

/// What programs for u-dma-buf do, with another path.
const PROGRAM: &str = r#"
import os, mmap

class Buffer:
    def __init__(self, name):
        self.dev = "/dev/" + name
        self.sys = "/sys/class/misc/" + name
        self.size = self.read("size")
        self.phys_addr = int(open(self.sys + "/phys_addr").read(), 16)
    def read(self, attribute):
        return int(open(self.sys + "/" + attribute).read(), 0)
    def write(self, attribute, value):
        with open(self.sys + "/" + attribute, "w") as f:
            f.write(str(value))
    def set_sync_area(self, direction, offset, size):
        self.write("sync_direction", direction)
        self.write("sync_offset", offset)
        self.write("sync_size", size)

b = Buffer("mapwright-python")
b.set_sync_area(1, 4096, 8192)
with open(b.dev, "r+b") as f:
    f.seek(0, 2)
    assert f.tell() == b.size, f.tell()
    try:
        import numpy as np
        area = np.memmap(b.dev, dtype=np.uint8, mode="r+", shape=(b.size,))
        area[4096] = 17
    except ImportError:
        area = mmap.mmap(f.fileno(), b.size)
        area[4096] = 17
    b.write("sync_for_device", 1)
    assert b.read("sync_owner") == 1
    area.flush()
    os.fsync(f.fileno())
    b.write("sync_for_cpu", 1)
    assert b.read("sync_owner") == 0
    f.seek(4096)
    assert f.read(1) == b"\x11"
assert b.read("sync_size") == 8192 and b.read("sync_offset") == 4096
print("ok", b.size, b.phys_addr > 0)
"#;

pub(super) fn python_as_for_u_dma_buf(_: &Context) -> Result<()> {
    let mut python = crate::examples::python3()?;
    let owned = make("python", &of_pages(16))?;
    let output = python.args(["-c", PROGRAM]).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let expected = format!("ok {} True", 16 * page_size());
    if text.trim() != expected {
        bail!("{text}{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(owned.0.remove(false)?)
}

/// The examples of the book, with the buffer that they name.
pub(super) fn example_c(_: &Context) -> Result<()> {
    let owned = make("example", &of_pages(16))?;
    crate::examples::run_c("buffer", "done")?;
    Ok(owned.0.remove(false)?)
}

pub(super) fn example_python(_: &Context) -> Result<()> {
    let owned = make("example", &of_pages(16))?;
    crate::examples::run_python("buffer", "done")?;
    Ok(owned.0.remove(false)?)
}
