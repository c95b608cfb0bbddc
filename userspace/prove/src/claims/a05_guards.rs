// SPDX-License-Identifier: MIT OR Apache-2.0

//! A5: what a driver has to refuse, so that a program gets no more than it was given.

use crate::{Claim, Document, Finding, Lab, Need, Table, Verdict, Vm};
use anyhow::{Context as _, Result};
use mapwright::{Backing, Mapping, Method, Protection, Session, DEVICE};
use nix::{errno::Errno, libc};
use std::{
    fs::File,
    os::fd::{AsFd, AsRawFd as _},
    ptr::null_mut,
};

pub const CLAIM: Claim = Claim {
    id: "A5",
    title: "What mmap must refuse",
    sources: &[Document::Driver.section("Interview-Level Questions, 3")],
    says: "Through a mapping that is writable and shared, a program can write to the kernel's memory: the driver has \
           to synchronize.",
    needs: &[Need::Module("mapwright")],
    vms: &[Vm::Normal],
    prove,
};

const PAGES: u64 = 16;

/// What was tried, and what came of it.
struct Attempt {
    what: &'static str,
    came: Result<(), Errno>,
}

fn prove(_: &Lab) -> Result<Finding> {
    let mut attempts = Vec::new();
    let mut attempt = |what, came: Result<(), Errno>| attempts.push(Attempt { what, came });
    let session = Session::open()?;
    let bytes = PAGES * mapwright::page_size();
    let page = usize::try_from(mapwright::page_size())?;
    let length = usize::try_from(bytes)?;
    let region = session.create(Backing::Pages, Method::Remap, bytes)?;
    let rw = libc::PROT_READ | libc::PROT_WRITE;
    let shared = |prot, length, offset| map(&session, length, prot, libc::MAP_SHARED, offset);

    attempt(
        "map it to run code there",
        shared(libc::PROT_READ | libc::PROT_EXEC, length, region.offset),
    );
    attempt(
        "map more than there is",
        shared(rw, length + page, region.offset),
    );
    attempt(
        "map what is at no page's start",
        shared(rw, page, region.offset + 1),
    );
    attempt(
        "map where no region is",
        shared(rw, page, region.offset + (1 << 40)),
    );
    attempt(
        "map frame numbers copy-on-write",
        map(&session, length, rw, libc::MAP_PRIVATE, region.offset),
    );
    let mapping = session.map(&region, Protection::ReadWrite)?;
    attempt(
        "let code run there afterwards",
        protect(&mapping, libc::PROT_READ | libc::PROT_EXEC),
    );
    attempt("let the mapping grow", grow(&mapping, length + page));

    let reader = File::open(DEVICE).with_context(|| format!("opening {DEVICE} for reading"))?;
    attempt(
        "store through a file that is open for reading",
        map(&reader, length, rw, libc::MAP_SHARED, 0),
    );
    let read_only = Mapping::new(reader.as_fd(), 0, length, Protection::Read)?;
    attempt(
        "allow stores afterwards, through such a file",
        protect(&read_only, rw),
    );

    let mut table = Table::new(
        format!("A program with a region of {PAGES} pages tries to …"),
        ["…", "and gets"],
    );
    for attempt in &attempts {
        let came = match attempt.came {
            Ok(()) => "what it wants".to_owned(),
            Err(errno) => format!("{errno:?}"),
        };
        table.row([attempt.what.to_owned(), came]);
    }
    let refused = attempts
        .iter()
        .filter(|attempt| attempt.came.is_err())
        .count();
    let all = attempts.len();
    let writable = session_is_written(&session)?;
    Ok(Finding::new(format!("{refused} of {all} attempts to get more are refused"))
        .statement(
            "Through a mapping that is writable and shared, a program can write to the kernel's memory",
            Verdict::of(writable),
            "what it stored, the kernel reads through its own pointer",
        )
        .statement(
            "What a program must not do can be refused, all of it",
            Verdict::of(refused == all),
            format!("{refused} of {all} are, each with an errno"),
        )
        .asked_here()
        .table(table)
        .instead(
            "The kernel itself refuses what the file or the address does not allow (EACCES, EINVAL for an offset). The \
             rest is the driver's: lengths and offsets, VM_MAYEXEC and VM_DONTEXPAND, and copy-on-write of frame numbers, \
             which would be a bug in the kernel.",
        ))
}

/// Maps, and unmaps what was mapped.
fn map(file: &impl AsFd, length: usize, prot: i32, flags: i32, offset: u64) -> Result<(), Errno> {
    let offset = libc::off64_t::try_from(offset).map_err(|_| Errno::EINVAL)?;
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: The kernel chooses an address where nothing is mapped; nobody uses it before it is unmapped.
    unsafe {
        let addr = libc::mmap64(null_mut(), length, prot, flags, fd, offset);
        if addr == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        Errno::result(libc::munmap(addr, length)).map(drop)
    }
}

fn protect(mapping: &Mapping, prot: i32) -> Result<(), Errno> {
    // SAFETY: The mapping stays readable, and nobody stores to it.
    let result = unsafe { libc::mprotect(mapping.addr() as *mut _, mapping.len(), prot) };
    Errno::result(result).map(drop)
}

/// Without `MREMAP_MAYMOVE`, and with it if there is no room.
fn grow(mapping: &Mapping, length: usize) -> Result<(), Errno> {
    // SAFETY: It is not moved, so the mapping stays where its owner knows it; what would be new is not used.
    let grown = unsafe { libc::mremap(mapping.addr() as *mut _, mapping.len(), length, 0) };
    match grown == libc::MAP_FAILED {
        true => Err(Errno::last()),
        false => Ok(()),
    }
}

fn session_is_written(session: &Session) -> Result<bool> {
    let region = session.create(Backing::Pages, Method::Remap, mapwright::page_size())?;
    let mut mapping = session.map(&region, Protection::ReadWrite)?;
    mapping.write(0, b"stored");
    let mut bytes = [0; 6];
    session.read_at(&region, 0, &mut bytes)?;
    Ok(&bytes == b"stored")
}
