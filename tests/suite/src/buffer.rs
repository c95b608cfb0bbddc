// SPDX-License-Identifier: MIT OR Apache-2.0

//! Buffers with names: `/dev/mapwright-NAME`, made by the module's parameter and in configfs.

use crate::{
    cells::Cell,
    child,
    module::{remove_named, wait_for},
    raw::Map,
    runner::{skip, Case, Context, Suite},
};
use anyhow::{bail, ensure, Context as _, Result};
use mapwright::{
    buffer::{NamedBuffer, Spec, CONFIG},
    page_bytes, page_size, uapi,
    uapi::Request as _,
    Backing, Method, Region, Session, Tables,
};
use nix::{
    errno::Errno,
    kmod::{finit_module, ModuleInitFlags},
    libc,
    mount::{mount, umount, MsFlags},
    sys::{
        mman::{MapFlags, ProtFlags},
        signal::{kill, Signal},
        stat::{mknod, Mode, SFlag},
        wait::waitpid,
    },
    unistd::{fsync, lseek, pipe, read, write, Whence},
};
use std::{
    ffi::{CStr, CString},
    fs::{self, File, OpenOptions},
    os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _},
    path::Path,
};

pub const SUITE: Suite = Suite {
    name: "buffer",
    cases,
};

/// A test, by its name.
type Test = (&'static str, fn(&Context) -> Result<()>);

const TESTS: &[Test] = &[
    ("a_parameter_makes_buffers", a_parameter_makes_buffers),
    ("a_wrong_parameter_is_einval", a_wrong_parameter_is_einval),
    ("two_programs_share_it", two_programs_share_it),
    ("outlives_a_killed_program", outlives_a_killed_program),
    ("seeks_to_its_end", seeks_to_its_end),
    ("reads_and_writes_to_its_end", reads_and_writes_to_its_end),
    ("maps_at_any_page", maps_at_any_page),
    ("fsync_succeeds", fsync_succeeds),
    ("is_queried_and_exported", is_queried_and_exported),
    ("makes_no_regions", makes_no_regions),
    ("a_reader_cannot_write", a_reader_cannot_write),
    ("holds_the_module", holds_the_module),
    (
        "has_the_attributes_of_u_dma_buf",
        has_the_attributes_of_u_dma_buf,
    ),
    ("addresses_are_hidden", addresses_are_hidden),
    (
        "addresses_are_for_all_by_parameter",
        addresses_are_for_all_by_parameter,
    ),
    ("names_are_checked", names_are_checked),
    ("words_are_checked", words_are_checked),
    ("settings_stay_while_enabled", settings_stay_while_enabled),
    ("stays_while_it_is_used", stays_while_it_is_used),
    ("is_revoked_from_a_container", is_revoked_from_a_container),
    ("a_forked_mapping_is_revoked", a_forked_mapping_is_revoked),
    ("no_device_is_enodev", no_device_is_enodev),
    ("limits_are_kept", limits_are_kept),
    ("large_in_one_piece", large_in_one_piece),
    ("python_as_for_u_dma_buf", python_as_for_u_dma_buf),
    ("the_command", the_command),
];

fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = TESTS
        .iter()
        .map(|(name, test)| {
            let test = *test;
            Case::new(*name, move |context: &Context| {
                let is_there = available()?;
                test(context)?;
                nothing_is_left(&is_there)
            })
        })
        .collect();
    cases.extend(Cell::all().filter(Cell::is_sound).map(|cell| {
        Case::new(
            format!("is_shared_and_revoked__{}", cell.name()),
            move |_| {
                let is_there = available()?;
                is_shared_and_revoked(cell)?;
                nothing_is_left(&is_there)
            },
        )
    }));
    cases
}

pub const MODULE: &CStr = c"mapwright_buffer";
pub const DEBUGFS: &str = "/sys/kernel/debug/mapwright_buffer";

/// That the module is loaded, and buffers can be made.
pub struct Available;

/// Mounts configfs where it is not, or skips the test.
pub fn available() -> Result<Available> {
    if !Path::new("/sys/module/mapwright_buffer").exists() {
        return skip("mapwright_buffer is not loaded");
    }
    if !Path::new("/sys/kernel/config").exists() {
        return skip("this kernel has no configfs");
    }
    if !Path::new(CONFIG).exists() {
        let none: Option<&str> = None;
        let flags = MsFlags::empty();
        mount(
            Some("none"),
            "/sys/kernel/config",
            Some("configfs"),
            flags,
            none,
        )?;
    }
    Ok(Available)
}

/// Fails if a buffer, its memory or a mapping outlived a test.
pub fn nothing_is_left(_: &Available) -> Result<()> {
    let names: Vec<_> = fs::read_dir(CONFIG)?.collect();
    ensure!(names.is_empty(), "left behind: {names:?}");
    let tables = Tables::read_from(Path::new(DEBUGFS))?;
    ensure!(tables.regions.is_empty(), "{:?}", tables.regions);
    for (begun, ended) in [
        ("regions_created", "regions_freed"),
        ("pages_allocated", "pages_freed"),
        ("vmas_opened", "vmas_closed"),
    ] {
        let (begun_count, ended_count) = (tables.counter(begun), tables.counter(ended));
        ensure!(
            begun_count == ended_count,
            "{begun} {begun_count}, {ended} {ended_count}"
        );
    }
    Ok(())
}

/// A buffer that is removed when dropped, whoever has it.
pub struct Made(pub NamedBuffer);

impl Drop for Made {
    fn drop(&mut self) {
        if self.0.config().exists() {
            let _ = self.0.remove(true);
        }
    }
}

/// Makes a buffer, whose node is there.
pub fn make(name: &str, spec: &Spec) -> Result<Made> {
    let made = Made(NamedBuffer::new(name));
    made.0.create(spec)?;
    wait_for("the device node", || made.0.node().exists())?;
    Ok(made)
}

pub fn of_pages(pages: u64) -> Spec {
    Spec {
        bytes: pages * page_size(),
        ..Spec::default()
    }
}

pub fn open(buffer: &NamedBuffer) -> Result<File> {
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .open(buffer.node());
    opened.with_context(|| format!("opening {}", buffer.node().display()))
}

pub fn errno<T>(result: mapwright::Result<T>) -> Option<Errno> {
    result.err().and_then(|err| err.errno())
}

pub fn io_errno<T>(result: std::io::Result<T>) -> Option<Errno> {
    let err = result.err()?;
    err.raw_os_error().map(Errno::from_raw)
}

/// Runs `f` with the module inserted with `parameters`.
pub fn with_parameters(
    context: &Context,
    parameters: &CStr,
    f: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let file = context.module_named("mapwright_buffer")?;
    let insert = |parameters| -> Result<()> {
        Ok(finit_module(
            &File::open(&file)?,
            parameters,
            ModuleInitFlags::empty(),
        )?)
    };
    remove_named(MODULE).context("removing the module")?;
    let result = insert(parameters).and_then(|()| {
        let result = f();
        remove_named(MODULE).context("removing the module")?;
        result
    });
    // Whatever happened, the other tests have a module.
    insert(c"")?;
    result
}

fn a_parameter_makes_buffers(context: &Context) -> Result<()> {
    with_parameters(
        context,
        c"buffers=quick:64K,second.one:1M:vmalloc:fault",
        || {
            let quick = NamedBuffer::new("quick");
            let second = NamedBuffer::new("second.one");
            for (buffer, bytes) in [(&quick, 64 << 10), (&second, 1 << 20)] {
                wait_for("the device node", || buffer.node().exists())?;
                let file = open(buffer)?;
                let map = Map::shared(&file, 0, bytes)?;
                map.store(bytes - 1, 7);
                let mut seen = [0];
                file.read_exact_at(&mut seen, bytes as u64 - 1)?;
                ensure!(seen == [7] && map.load(0) == 0);
                ensure!(buffer.attribute("size")? == bytes.to_string());
            }
            let all = NamedBuffer::all()?;
            ensure!(all == [quick, second], "{all:?}");
            Ok(())
        },
    )
}

fn a_wrong_parameter_is_einval(context: &Context) -> Result<()> {
    let file = context.module_named("mapwright_buffer")?;
    remove_named(MODULE)?;
    let wrong = [
        "buffers=noname",
        "buffers=:64K",
        "buffers=a/b:64K",
        "buffers=dma0:64K",
        "buffers=zero:0",
        "buffers=much:64X",
        "buffers=word:64K:granite",
        "buffers=pair:64K:vmalloc:remap",
        "buffers=more:64K:pages:remap:wb:more",
        "address_mode=0777",
    ];
    let mut failures = Vec::new();
    for parameters in wrong {
        let text = CString::new(parameters)?;
        let inserted = finit_module(&File::open(&file)?, &text, ModuleInitFlags::empty());
        if inserted.is_ok() {
            remove_named(MODULE)?;
        }
        if inserted != Err(Errno::EINVAL) {
            failures.push(format!("{parameters}: {inserted:?}"));
        }
    }
    let twice = c"buffers=twice:64K,twice:64K";
    let inserted = finit_module(&File::open(&file)?, twice, ModuleInitFlags::empty());
    // What a module says so is told as EBUSY, as it could be loaded already.
    if !matches!(inserted, Err(Errno::EEXIST | Errno::EBUSY)) {
        failures.push(format!("the same name twice: {inserted:?}"));
    }
    finit_module(&File::open(&file)?, c"", ModuleInitFlags::empty())?;
    ensure!(failures.is_empty(), "{}", failures.join("; "));
    Ok(())
}

fn two_programs_share_it(_: &Context) -> Result<()> {
    let made = make("shared", &of_pages(4))?;
    let (node, beyond) = (made.0.node(), page_bytes() + 5);
    child::run(|| {
        let file = OpenOptions::new().read(true).write(true).open(&node)?;
        Map::shared(&file, 0, 4 * page_bytes())?.store(beyond, 42);
        Ok(())
    })?;
    child::run(|| {
        let file = File::open(&node)?;
        let map = Map::new(
            &file,
            0,
            4 * page_bytes(),
            ProtFlags::PROT_READ,
            MapFlags::MAP_SHARED,
        )?;
        ensure!(map.load(beyond) == 42, "the other program's byte is gone");
        Ok(())
    })?;
    made.0.remove(false)?;
    Ok(())
}

fn outlives_a_killed_program(_: &Context) -> Result<()> {
    let made = make("killed", &of_pages(2))?;
    let (ready, tell) = pipe()?;
    let child = child::spawn(|| {
        let file = open(&made.0)?;
        let map = Map::shared(&file, 0, page_bytes())?;
        map.store(0, 9);
        write(&tell, &[1])?;
        loop {
            std::thread::park();
        }
    })?;
    read(&ready, &mut [0])?;
    ensure!(errno(made.0.remove(false)) == Some(Errno::EBUSY));
    kill(child, Signal::SIGKILL)?;
    waitpid(child, None)?;
    let file = open(&made.0)?;
    let mut seen = [0];
    file.read_exact_at(&mut seen, 0)?;
    ensure!(seen == [9]);
    drop(file);
    Ok(made.0.remove(false)?)
}

fn seeks_to_its_end(_: &Context) -> Result<()> {
    // Sizes are rounded up to pages.
    let made = make(
        "end",
        &Spec {
            bytes: 3 * page_size() - 1,
            ..Spec::default()
        },
    )?;
    let file = open(&made.0)?;
    ensure!(lseek(&file, 0, Whence::SeekEnd)? as u64 == 3 * page_size());
    ensure!(lseek(&file, -5, Whence::SeekCur)? as u64 == 3 * page_size() - 5);
    ensure!(lseek(&file, 7, Whence::SeekSet)? == 7);
    ensure!(lseek(&file, -1, Whence::SeekSet) == Err(Errno::EINVAL));
    ensure!(made.0.attribute("size")? == (3 * page_size()).to_string());
    Ok(())
}

fn reads_and_writes_to_its_end(_: &Context) -> Result<()> {
    let made = make("bytes", &of_pages(2))?;
    let file = open(&made.0)?;
    let end = 2 * page_size();
    ensure!(file.write_at(b"abc", end - 2)? == 2);
    ensure!(io_errno(file.write_at(b"c", end)) == Some(Errno::ENOSPC));
    ensure!(io_errno(file.write_at(b"c", end + 9)) == Some(Errno::ENOSPC));
    let mut seen = [0; 8];
    ensure!(file.read_at(&mut seen, end - 2)? == 2 && seen.starts_with(b"ab\0"));
    ensure!(file.read_at(&mut seen, end)? == 0 && file.read_at(&mut seen, end + 9)? == 0);
    ensure!(std::io::copy(&mut &file, &mut std::io::sink())? == end);
    Ok(())
}

fn maps_at_any_page(_: &Context) -> Result<()> {
    let made = make("pages", &of_pages(5))?;
    let file = open(&made.0)?;
    for page in 0..5u64 {
        file.write_all_at(&[page as u8 + 1], page * page_size())?;
    }
    for page in 0..5u64 {
        let map = Map::shared(
            &file,
            page * page_size(),
            (5 - page as usize) * page_bytes(),
        )?;
        ensure!(map.load(0) == page as u8 + 1, "at page {page}");
    }
    for (page, pages) in [(0, 6), (4, 2), (5, 1)] {
        let map = Map::shared(&file, page * page_size(), pages * page_bytes());
        ensure!(
            map.err() == Some(Errno::EINVAL),
            "{pages} pages from {page} on"
        );
    }
    let executable = ProtFlags::PROT_READ | ProtFlags::PROT_EXEC;
    let map = Map::new(&file, 0, page_bytes(), executable, MapFlags::MAP_SHARED);
    ensure!(map.err() == Some(Errno::EPERM));
    Ok(())
}

fn fsync_succeeds(_: &Context) -> Result<()> {
    let made = make("fsync", &of_pages(1))?;
    let file = open(&made.0)?;
    fsync(&file)?;
    let map = Map::shared(&file, 0, page_bytes())?;
    // SAFETY: Of what is mapped.
    let flushed = unsafe { libc::msync(map.addr as *mut _, map.length, libc::MS_SYNC) };
    Errno::result(flushed)?;
    Ok(())
}

fn is_queried_and_exported(_: &Context) -> Result<()> {
    let made = make("export", &of_pages(3))?;
    let session = Session::from(open(&made.0)?);
    let mut query = uapi::Query::new();
    session.request(&mut query)?;
    ensure!((query.offset, query.bytes) == (0, 3 * page_size()));
    ensure!(query.backing == Backing::Pages.number() && query.dma_addr == uapi::NO_DMA_ADDR);
    let region = Region {
        id: query.id,
        offset: 0,
        bytes: query.bytes,
    };
    let pages = session.pages(&region, 0, 3)?;
    ensure!(pages.len() == 3 && pages.iter().all(|page| page.pfn != 0));
    session.sync(&region, 0, query.bytes, mapwright::Side::Cpu)?;
    let info = session.info()?;
    ensure!(info.default_backing == query.backing && info.default_method == query.method);

    // The number 0 is the buffer, too.
    for id in [region.id, 0] {
        let region = Region { id, ..region };
        let exported = session.export(&region, (page_size(), page_size()), true)?;
        let map = Map::shared(&exported, 0, page_bytes())?;
        map.store(3, 11);
        let mut seen = [0];
        session.read_at(&region, page_size() + 3, &mut seen)?;
        ensure!(seen == [11]);
        session.write_at(&region, page_size() + 3, &[0])?;
    }
    let other = Region {
        id: region.id + 1,
        ..region
    };
    ensure!(errno(session.query(&other)) == Some(Errno::ENOENT));
    // What was exported keeps the memory.
    let exported = session.export(&region, (0, page_size()), true)?;
    let map = Map::shared(&exported, 0, page_bytes())?;
    drop(session);
    ensure!(
        errno(made.0.remove(false)) == Some(Errno::EBUSY),
        "it is mapped by way of the DMA-buf"
    );
    drop(map);
    made.0.remove(false)?;
    let map = Map::shared(&exported, 0, page_bytes())?;
    map.store(0, 1);
    ensure!(map.load(0) == 1);
    Ok(())
}

fn makes_no_regions(_: &Context) -> Result<()> {
    let made = make("one", &of_pages(1))?;
    let session = Session::from(open(&made.0)?);
    let created = session.create(Backing::Pages, Method::Remap, page_size());
    ensure!(errno(created) == Some(Errno::ENOTTY));
    let region = Region {
        id: 0,
        offset: 0,
        bytes: page_size(),
    };
    ensure!(errno(session.destroy(&region)) == Some(Errno::ENOTTY));
    Ok(())
}

fn a_reader_cannot_write(_: &Context) -> Result<()> {
    let made = make("reader", &of_pages(1))?;
    let file = File::open(made.0.node())?;
    ensure!(Map::shared(&file, 0, page_bytes()).err() == Some(Errno::EACCES));
    ensure!(io_errno(file.write_at(b"x", 0)) == Some(Errno::EBADF));
    let session = Session::from(file);
    let region = Region {
        id: 0,
        offset: 0,
        bytes: page_size(),
    };
    let exported = session.export(&region, (0, page_size()), true);
    ensure!(exported.err() == Some(Errno::EBADF));
    let exported = session.export(&region, (0, page_size()), false)?;
    ensure!(Map::shared(&exported, 0, page_bytes()).is_err());
    Ok(())
}

fn holds_the_module(context: &Context) -> Result<()> {
    with_parameters(context, c"buffers=held:64K", || {
        let held = NamedBuffer::new("held");
        wait_for("the device node", || held.node().exists())?;
        let file = open(&held)?;
        let busy = |what: &str| -> Result<()> {
            let removed = remove_named(MODULE);
            ensure!(removed == Err(Errno::EAGAIN), "{what}: {removed:?}");
            Ok(())
        };
        busy("a file is open")?;
        let map = Map::shared(&file, 0, page_bytes())?;
        drop(file);
        busy("it is mapped")?;
        drop(map);
        fs::create_dir(Path::new(CONFIG).join("unused"))?;
        let directory = busy("a directory is there");
        fs::remove_dir(Path::new(CONFIG).join("unused"))?;
        directory
    })
}

fn has_the_attributes_of_u_dma_buf(_: &Context) -> Result<()> {
    let made = make("attributes", &of_pages(16))?;
    let buffer = &made.0;
    let bytes = 16 * page_size();
    let expect = |attribute: &str, text: &str| -> Result<()> {
        let told = buffer.attribute(attribute)?;
        ensure!(told == text, "{attribute} is {told}, not {text}");
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

fn addresses_are_hidden(_: &Context) -> Result<()> {
    let made = make("hidden", &of_pages(1))?;
    for attribute in ["phys_addr", "dma_addr"] {
        let mode = fs::metadata(made.0.sysfs().join(attribute))?
            .permissions()
            .mode();
        ensure!(mode & 0o777 == 0o400, "{attribute}: {mode:o}");
    }
    child::run(|| {
        drop_sys_admin()?;
        ensure!(errno(made.0.attribute("phys_addr")) == Some(Errno::EPERM));
        ensure!(errno(made.0.attribute("dma_addr")) == Some(Errno::EPERM));
        made.0.attribute("size")?;
        Ok(())
    })?;
    child::run(|| {
        child::become_nobody()?;
        ensure!(errno(made.0.attribute("phys_addr")) == Some(Errno::EACCES));
        made.0.attribute("size")?;
        ensure!(io_errno(File::open(made.0.node())) == Some(Errno::EACCES));
        Ok(())
    })
}

fn addresses_are_for_all_by_parameter(context: &Context) -> Result<()> {
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

fn names_are_checked(_: &Context) -> Result<()> {
    let mut failures = Vec::new();
    let long = "x".repeat(65);
    for name in [
        "dma0", "gpio", "gpio12", "alloc", "inspect", "a b", "ä", "a:b", &long,
    ] {
        let made = fs::create_dir(Path::new(CONFIG).join(name));
        if made.is_ok() {
            fs::remove_dir(Path::new(CONFIG).join(name))?;
        }
        if io_errno(made) != Some(Errno::EINVAL) {
            failures.push(name);
        }
    }
    ensure!(failures.is_empty(), "not refused: {failures:?}");
    for name in ["dmax", "gpio-0", "allocator", "A.b_c-9"] {
        fs::create_dir(Path::new(CONFIG).join(name)).with_context(|| name.to_owned())?;
        fs::remove_dir(Path::new(CONFIG).join(name))?;
    }
    Ok(())
}

fn words_are_checked(_: &Context) -> Result<()> {
    let buffer = NamedBuffer::new("words");
    fs::create_dir(buffer.config())?;
    let made = Made(buffer);
    let buffer = &made.0;
    let refused = |setting: &str, text: &str, expected: Errno| -> Result<()> {
        let got = errno(buffer.set(setting, text));
        ensure!(got == Some(expected), "{setting} {text}: {got:?}");
        Ok(())
    };
    for (setting, text) in [
        ("size", "much"),
        ("backing", "granite"),
        ("method", "magic"),
        ("caching", "wx"),
        ("enabled", "2"),
    ] {
        refused(setting, text, Errno::EINVAL)?;
    }
    let told = |setting: &str| buffer.setting(setting);
    ensure!(told("size")? == "0" && told("backing")? == "pages" && told("method")? == "remap");
    ensure!(told("caching")? == "wb" && told("device")?.is_empty() && told("enabled")? == "0");
    refused("enabled", "1", Errno::EINVAL)?; // no size
    buffer.set("size", "1M")?;
    ensure!(told("size")? == (1 << 20).to_string());
    buffer.set("backing", "vmalloc")?;
    ensure!(told("method")? == "insert", "the first that goes with it");
    buffer.set("method", "remap")?;
    refused("enabled", "1", Errno::EINVAL)?; // no such pair
    buffer.set("method", "fault")?;
    buffer.set("caching", "uc")?;
    refused("enabled", "1", Errno::EINVAL)?; // no such memory
    buffer.set("caching", "wb")?;
    buffer.set("enabled", "1")?;
    buffer.set("enabled", "0")?;
    // Not left half-made.
    ensure!(!buffer.sysfs().exists());
    Ok(fs::remove_dir(buffer.config())?)
}

fn settings_stay_while_enabled(_: &Context) -> Result<()> {
    let made = make("settings", &of_pages(1))?;
    let buffer = &made.0;
    for (setting, text) in [
        ("size", "1M"),
        ("backing", "folio"),
        ("method", "fault"),
        ("caching", "wb"),
        ("device", "pci/0"),
        ("enabled", "1"),
    ] {
        ensure!(
            errno(buffer.set(setting, text)) == Some(Errno::EBUSY),
            "{setting}"
        );
    }
    ensure!(io_errno(fs::remove_dir(buffer.config())) == Some(Errno::EBUSY));
    ensure!(buffer.setting("enabled")? == "1");
    buffer.set("enabled", "0")?;
    wait_for("the node to go", || !buffer.node().exists())?;
    ensure!(!buffer.sysfs().exists());
    // And again, with other settings.
    buffer.set("size", "1M")?;
    buffer.set("enabled", "1")?;
    ensure!(buffer.attribute("size")? == (1 << 20).to_string());
    Ok(buffer.remove(false)?)
}

fn stays_while_it_is_used(_: &Context) -> Result<()> {
    let made = make("used", &of_pages(2))?;
    let buffer = &made.0;
    let busy = |what: &str| -> Result<()> {
        ensure!(errno(buffer.remove(false)) == Some(Errno::EBUSY), "{what}");
        ensure!(buffer.setting("enabled")? == "1");
        Ok(())
    };
    let file = open(buffer)?;
    busy("a file is open")?;
    let map = Map::shared(&file, 0, page_bytes())?;
    drop(file);
    busy("it is mapped")?;
    map.store(0, 1);
    drop(map);
    Ok(buffer.remove(false)?)
}

/// Whether the byte is there: a load of a page that is not is a SIGBUS.
pub fn is_bus_error(map: &Map, at: usize) -> Result<bool> {
    let signal = child::killed_by(|| {
        std::hint::black_box(map.load(at));
        Ok(())
    })?;
    Ok(signal == Some(Signal::SIGBUS))
}

fn is_shared_and_revoked(cell: Cell) -> Result<()> {
    let pages = 40;
    let spec = Spec {
        backing: Some(cell.backing),
        method: Some(cell.method),
        caching: Some(cell.caching),
        ..of_pages(pages)
    };
    let made = make("cell", &spec)?;
    let buffer = &made.0;
    let (one, other) = (open(buffer)?, open(buffer)?);
    let bytes = pages as usize * page_bytes();
    let (first, second) = (
        Map::shared(&one, 0, bytes)?,
        Map::shared(&other, page_size(), bytes - page_bytes())?,
    );
    for page in 1..pages as usize {
        first.store(page * page_bytes(), page as u8);
    }
    let mut seen = [0];
    for page in 1..pages as usize {
        ensure!(
            second.load((page - 1) * page_bytes()) == page as u8,
            "page {page}"
        );
        other.read_exact_at(&mut seen, page as u64 * page_size())?;
        ensure!(seen == [page as u8], "page {page} by read(2)");
    }
    // One that nobody has touched.
    let late = Map::shared(&one, 0, bytes)?;
    ensure!(errno(buffer.remove(false)) == Some(Errno::EBUSY));
    buffer.remove(true)?;
    for (name, map) in [("first", &first), ("second", &second), ("late", &late)] {
        ensure!(
            is_bus_error(map, page_bytes())?,
            "the {name} mapping is still there"
        );
    }
    ensure!(Map::shared(&one, 0, page_bytes()).err() == Some(Errno::ENODEV));
    ensure!(io_errno(one.read_at(&mut seen, 0)) == Some(Errno::ENODEV));
    ensure!(io_errno(one.write_at(&seen, 0)) == Some(Errno::ENODEV));
    let mut query = uapi::Query::new();
    ensure!(Session::from(one).request(&mut query) == Err(Errno::ENODEV));
    ensure!(lseek(&other, 0, Whence::SeekEnd) == Err(Errno::ENODEV));
    // A new one of the same name is another.
    let again = make("cell", &spec)?;
    let file = open(&again.0)?;
    file.read_exact_at(&mut seen, page_size())?;
    ensure!(seen == [0]);
    ensure!(io_errno(other.read_at(&mut seen, 0)) == Some(Errno::ENODEV));
    Ok(())
}

fn is_revoked_from_a_container(_: &Context) -> Result<()> {
    let made = make("container", &of_pages(4))?;
    let device = fs::metadata(made.0.node())?.rdev();
    let dir = Path::new("/tmp/mapwright-container");
    fs::create_dir_all(dir)?;
    let none: Option<&str> = None;
    mount(Some("none"), dir, Some("tmpfs"), MsFlags::empty(), none)?;
    let node = dir.join("node");
    mknod(
        &node,
        SFlag::S_IFCHR,
        Mode::from_bits_truncate(0o600),
        device,
    )?;
    let theirs = OpenOptions::new().read(true).write(true).open(&node)?;
    let ours = open(&made.0)?;
    let map = Map::shared(&theirs, 0, 4 * page_bytes())?;
    let mine = Map::shared(&ours, 0, 4 * page_bytes())?;
    map.store(page_bytes(), 5);
    ensure!(mine.load(page_bytes()) == 5);
    drop((mine, ours));
    made.0.remove(true)?;
    ensure!(
        is_bus_error(&map, page_bytes())?,
        "the container still has it"
    );
    drop((map, theirs));
    umount(dir).context("the file system of the node is busy")?;
    Ok(fs::remove_dir(dir)?)
}

fn a_forked_mapping_is_revoked(_: &Context) -> Result<()> {
    let made = make("forked", &of_pages(2))?;
    let file = open(&made.0)?;
    let map = Map::shared(&file, 0, 2 * page_bytes())?;
    map.store(0, 1);
    let ((ready, tell), (go, let_go)) = (pipe()?, pipe()?);
    let child = child::spawn(|| {
        map.store(page_bytes(), 2);
        write(&tell, &[1])?;
        read(&go, &mut [0])?;
        std::hint::black_box(map.load(0));
        Ok(())
    })?;
    read(&ready, &mut [0])?;
    made.0.remove(true)?;
    write(&let_go, &[1])?;
    let status = waitpid(child, None)?;
    let is_killed = matches!(
        status,
        nix::sys::wait::WaitStatus::Signaled(_, Signal::SIGBUS, _)
    );
    ensure!(is_killed, "{status:?}");
    Ok(())
}

fn no_device_is_enodev(_: &Context) -> Result<()> {
    let buffer = NamedBuffer::new("nodevice");
    for (device, expected) in [
        ("pci/ffff:ff:1f.7", Errno::ENODEV),
        ("/sys/bus/platform/devices/none", Errno::ENODEV),
        ("/sys/devices/none/0000:00:00.0", Errno::ENODEV),
        // It has no driver.
        ("platform/mapwright_buffer", Errno::ENODEV),
        ("none/none", Errno::EINVAL),
        ("none", Errno::EINVAL),
    ] {
        let spec = Spec {
            device: Some(device.to_owned()),
            ..of_pages(1)
        };
        let made = errno(buffer.create(&spec));
        ensure!(made == Some(expected), "{device}: {made:?}");
        ensure!(!buffer.config().exists() && !buffer.sysfs().exists());
    }
    Ok(())
}

fn limits_are_kept(context: &Context) -> Result<()> {
    with_parameters(context, c"total_limit_mib=4", || {
        let (one, two) = (NamedBuffer::new("one"), NamedBuffer::new("two"));
        let of = |mib: u64| Spec {
            bytes: mib << 20,
            ..Spec::default()
        };
        one.create(&of(3))?;
        let one = Made(one);
        ensure!(errno(two.create(&of(2))) == Some(Errno::ENOSPC));
        two.create(&of(1))?;
        two.remove(false)?;
        Ok(one.0.remove(false)?)
    })
}

/// Bytes of memory that could be had.
fn free_bytes() -> Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib: u64 = line
        .context("no MemAvailable")?
        .trim()
        .trim_end_matches(" kB")
        .parse()?;
    Ok(kib << 10)
}

fn large_in_one_piece(context: &Context) -> Result<()> {
    if usize::BITS < 64 {
        return skip("3 GiB do not fit into the address space of this kernel");
    }
    if free_bytes()? < LARGE + (512 << 20) {
        return skip("3 GiB in one buffer take a machine with 4 GiB or more");
    }
    // By default, all buffers have half of the memory.
    with_parameters(context, c"total_limit_mib=3100", large)
}

const LARGE: u64 = 3 << 30;

fn large() -> Result<()> {
    let made = make(
        "large",
        &Spec {
            bytes: LARGE,
            ..Spec::default()
        },
    )?;
    let file = open(&made.0)?;
    let length = usize::try_from(LARGE)?;
    let map = Map::shared(&file, 0, length)?;
    for at in (0..length).step_by(64 << 20).chain([length - 1]) {
        map.store(at, (at >> 26) as u8 | 1);
    }
    let mut seen = [0];
    for at in (0..length).step_by(64 << 20).chain([length - 1]) {
        file.read_exact_at(&mut seen, at as u64)?;
        ensure!(seen == [(at >> 26) as u8 | 1], "byte {at:#x}");
    }
    let session = Session::from(file);
    let region = Region {
        id: 0,
        offset: 0,
        bytes: LARGE,
    };
    let pages = session.pages(&region, 0, u64::MAX)?;
    let beyond = pages
        .iter()
        .filter(|page| page.pfn * page_size() >= 4 << 30)
        .count();
    ensure!(beyond > 0, "no page is beyond 4 GiB");
    Ok(())
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

fn python_as_for_u_dma_buf(_: &Context) -> Result<()> {
    let mut python = crate::examples::python3()?;
    let made = make("python", &of_pages(16))?;
    let output = python.args(["-c", PROGRAM]).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let expected = format!("ok {} True", 16 * page_size());
    if text.trim() != expected {
        bail!("{text}{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(made.0.remove(false)?)
}

fn the_command(_: &Context) -> Result<()> {
    let run = |arguments: &[&str]| -> Result<(bool, String)> {
        let program = std::env::current_exe()?;
        let output = std::process::Command::new(program)
            .arg("buffer")
            .args(arguments)
            .output()?;
        let text = [output.stdout, output.stderr].concat();
        Ok((
            output.status.success(),
            String::from_utf8_lossy(&text).into_owned(),
        ))
    };
    let expect = |arguments: &[&str], succeeds: bool, has: &str| -> Result<()> {
        let (success, text) = run(arguments)?;
        ensure!(
            success == succeeds && text.contains(has),
            "{arguments:?}: {text}"
        );
        Ok(())
    };
    expect(
        &["create", "typed", "--size", "1M", "--backing", "folio"],
        true,
        "/dev/mapwright-typed",
    )?;
    let made = Made(NamedBuffer::new("typed"));
    expect(&["list"], true, "/dev/mapwright-typed")?;
    expect(&["list", "--json"], true, r#""bytes":1048576"#)?;
    expect(&["show", "typed"], true, "folio")?;
    expect(&["show", "typed", "--json"], true, r#""phys_addr":"0x"#)?;
    expect(&["create", "typed", "--size", "1M"], false, "EEXIST")?;
    expect(&["create", "dma0", "--size", "1M"], false, "EINVAL")?;
    let file = open(&made.0)?;
    expect(&["remove", "typed"], false, "--revoke")?;
    expect(&["remove", "typed", "--revoke"], true, "")?;
    drop(file);
    expect(&["remove", "typed"], false, "no such buffer")?;
    expect(&["show", "typed"], false, "there is no buffer")
}
