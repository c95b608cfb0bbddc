// SPDX-License-Identifier: MIT OR Apache-2.0

//! The modules come and go, but never while they are used.

use crate::{
    raw::Map,
    runner::{suite, Context},
};
use anyhow::{bail, ensure, Context as _, Result};
use mapwright::{page_bytes, page_size, Backing, Method, Session, DEBUGFS, DEVICE};
use nix::{
    errno::Errno,
    kmod::{delete_module, finit_module, DeleteModuleFlags, ModuleInitFlags},
};
use std::{
    ffi::{CStr, CString, OsStr},
    fs::{self, File},
    io::Read as _,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

suite! { "module":
    each_is_removed_and_inserted_twice,
    is_inserted_and_removed_twice,
    stays_while_a_file_is_open,
    stays_while_a_mapping_exists,
    stays_while_a_table_is_open,
    stays_while_a_forked_mapping_exists,
    a_second_insertion_is_eexist,
    has_a_licence_and_descriptions,
}

const NAME: &CStr = c"mapwright";

/// Inserts the module with `parameters` and waits for its device node.
pub fn insert(file: &Path, parameters: &str) -> Result<()> {
    let parameters = CString::new(parameters)?;
    finit_module(&File::open(file)?, &parameters, ModuleInitFlags::empty())
        .with_context(|| format!("inserting {}", file.display()))?;
    wait_for("the device node", || Path::new(DEVICE).exists())
}

/// Removes `mapwright`, or says why not.
pub fn remove() -> Result<(), Errno> {
    remove_named(NAME)
}

/// Removes a module, or says why not.
pub fn remove_named(name: &CStr) -> Result<(), Errno> {
    delete_module(name, DeleteModuleFlags::O_NONBLOCK)
}

/// devtmpfs works in a thread of its own.
pub fn wait_for(what: &str, done: impl Fn() -> bool) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !done() {
        if Instant::now() > deadline {
            bail!("waited in vain for {what}");
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// The modules of the directory that are loaded.
fn loaded(dir: &Path) -> Result<Vec<(PathBuf, CString)>> {
    let mut modules = Vec::new();
    for entry in fs::read_dir(dir)? {
        let file = entry?.path();
        let Some(name) = file
            .file_stem()
            .filter(|_| file.extension() == Some(OsStr::new("ko")))
        else {
            continue;
        };
        if Path::new("/sys/module").join(name).exists() {
            modules.push((file.clone(), CString::new(name.as_bytes())?));
        }
    }
    modules.sort();
    Ok(modules)
}

fn each_is_removed_and_inserted_twice(context: &Context) -> Result<()> {
    let modules = loaded(context.modules()?)?;
    ensure!(!modules.is_empty(), "no module is loaded");
    for (file, name) in modules {
        for _ in 0..2 {
            remove_named(&name).with_context(|| format!("removing {name:?}"))?;
            finit_module(&File::open(&file)?, c"", ModuleInitFlags::empty())
                .with_context(|| format!("inserting {}", file.display()))?;
        }
        context.note(format!("{}", file.display()));
    }
    wait_for("the device node", || Path::new(DEVICE).exists())
}

fn is_inserted_and_removed_twice(context: &Context) -> Result<()> {
    let file = context.module()?;
    for _ in 0..2 {
        remove()?;
        wait_for("the device node to go", || !Path::new(DEVICE).exists())?;
        ensure!(!Path::new(DEBUGFS).exists(), "{DEBUGFS} is still there");
        insert(&file, "")?;
        let session = Session::open()?;
        session.create(Backing::Pages, Method::Remap, page_size())?;
    }
    Ok(())
}

/// The module cannot be removed while `user` lives, and works on.
fn stays_while<T>(context: &Context, user: T) -> Result<()> {
    context.module()?;
    let refused = remove();
    ensure!(refused == Err(Errno::EWOULDBLOCK), "rmmod: {refused:?}");
    Session::open()?.create(Backing::Pages, Method::Remap, page_size())?;
    drop(user);
    remove()?;
    insert(&context.module()?, "")
}

fn stays_while_a_file_is_open(context: &Context) -> Result<()> {
    stays_while(context, File::open(DEVICE)?)
}

fn stays_while_a_mapping_exists(context: &Context) -> Result<()> {
    let session = Session::open()?;
    let map = Map::shared(&session, 0, 2 * page_bytes())?;
    drop(session);
    map.store(0, 1);
    stays_while(context, map)
}

fn stays_while_a_table_is_open(context: &Context) -> Result<()> {
    let mut table = File::open(format!("{DEBUGFS}/stats"))?;
    table.read_exact(&mut [0; 4])?;
    stays_while(context, table)
}

fn stays_while_a_forked_mapping_exists(context: &Context) -> Result<()> {
    let (reader, writer) = nix::unistd::pipe()?;
    let session = Session::open()?;
    let map = Map::shared(&session, 0, 2 * page_bytes())?;
    let child = crate::child::spawn(|| {
        // The child has a copy of the writing end, too, which would keep the pipe open.
        nix::unistd::close(std::os::fd::AsRawFd::as_raw_fd(&writer))?;
        nix::unistd::close(std::os::fd::AsRawFd::as_raw_fd(&std::os::fd::AsFd::as_fd(
            &session,
        )))?;
        File::from(reader.try_clone()?).read_to_end(&mut Vec::new())?;
        Ok(())
    })?;
    drop((map, session));
    context.module()?;
    let refused = remove();
    drop(writer);
    nix::sys::wait::waitpid(child, None)?;
    ensure!(refused == Err(Errno::EWOULDBLOCK), "rmmod: {refused:?}");
    remove()?;
    insert(&context.module()?, "")
}

fn a_second_insertion_is_eexist(context: &Context) -> Result<()> {
    let file = File::open(context.module()?)?;
    let result = finit_module(&file, c"", ModuleInitFlags::empty());
    ensure!(result == Err(Errno::EEXIST), "{result:?}");
    Ok(())
}

fn has_a_licence_and_descriptions(context: &Context) -> Result<()> {
    let module = std::fs::read(context.module()?)?;
    for text in [
        "license=GPL",
        "parm=total_limit_mib:",
        "parm=session_limit_mib:",
        "description=",
    ] {
        let is_there = module
            .windows(text.len())
            .any(|bytes| bytes == text.as_bytes());
        ensure!(is_there, "modinfo lacks {text}");
    }
    Ok(())
}
