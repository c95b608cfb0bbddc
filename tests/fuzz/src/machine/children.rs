// SPDX-License-Identifier: MIT OR Apache-2.0

//! Child processes, which have the mappings and files, too.

use super::{maps::store_page, Machine, Mapping};
use crate::access;
use crate::program::{Child, Slot};
use anyhow::Result;
use mapwright::page_bytes;

/// What a child has to know, made before it begins: it must not take a lock that another thread held.
struct Inherited {
    map: Option<Mapping>,
    files: Vec<i32>,
}

impl Machine {
    pub(super) fn fork(&self, child: Child, waits: bool) -> Result<()> {
        use std::os::fd::AsRawFd as _;
        let slot = match child {
            Child::Loads(slot)
            | Child::Stores(slot, _, _)
            | Child::Unmaps(slot)
            | Child::UnmapsPart(slot, _, _)
            | Child::Protects(slot)
            | Child::IsKilled(slot)
            | Child::Forks(slot) => slot,
            Child::Exits | Child::ClosesAll | Child::Executes => Slot::MAX,
        };
        let files = self
            .things()
            .files
            .iter()
            .map(|file| file.as_raw_fd())
            .collect();
        let inherited = Inherited {
            map: self.inherited(slot),
            files,
        };
        // It may not have the page, or come late.
        if let (Child::Stores(..), Some((contents, _))) = (
            child,
            inherited.map.as_ref().and_then(|map| map.of.as_ref()),
        ) {
            contents.forget();
        }
        // SAFETY: The child makes system calls, loads and stores, and ends.
        match unsafe { libc::fork() } {
            0 => {
                live(child, &inherited);
                // SAFETY: It ends this process, and runs nothing of the parent's.
                unsafe { libc::_exit(0) }
            }
            -1 => Ok(()),
            pid => {
                if matches!(child, Child::IsKilled(_)) {
                    // SAFETY: A child of this process that was not waited for.
                    unsafe { libc::kill(pid, libc::SIGKILL) };
                }
                if waits {
                    // SAFETY: As above; the status is not wanted.
                    unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
                }
                Ok(())
            }
        }
    }
}

fn live(child: Child, inherited: &Inherited) {
    let whole = |map: &Mapping| {
        (
            map.address as *mut libc::c_void,
            map.pages as usize * page_bytes(),
        )
    };
    let Some(map) = &inherited.map else {
        return live_without(child, inherited);
    };
    let load_all = || {
        for page in 0..map.pages as usize {
            access::load(map.address + page * page_bytes());
        }
    };
    match child {
        Child::Loads(_) => load_all(),
        Child::Stores(_, page, byte) => {
            let page = page.first(map.pages);
            if page < map.pages {
                store_page(map, page, byte);
            }
        }
        Child::Unmaps(_) => {
            let (at, length) = whole(map);
            // SAFETY: The child's own mapping, of which nothing is borrowed.
            unsafe { libc::munmap(at, length) };
        }
        Child::UnmapsPart(_, from, pages) => {
            let first = from.first(map.pages).min(map.pages);
            let pages = pages.pages(map.pages).min(map.pages - first);
            let at = map.address + first as usize * page_bytes();
            // SAFETY: As above.
            unsafe { libc::munmap(at as *mut _, pages as usize * page_bytes()) };
            load_all();
        }
        Child::Protects(_) => {
            let (at, length) = whole(map);
            // SAFETY: As above.
            unsafe { libc::mprotect(at, length, libc::PROT_READ) };
            load_all();
        }
        Child::IsKilled(_) => loop {
            load_all();
        },
        Child::Forks(_) => {
            // SAFETY: It makes system calls and loads, and ends.
            if unsafe { libc::fork() } == 0 {
                load_all();
            }
        }
        Child::Exits | Child::ClosesAll | Child::Executes => live_without(child, inherited),
    }
}

fn live_without(child: Child, inherited: &Inherited) {
    match child {
        Child::ClosesAll => {
            for file in &inherited.files {
                // SAFETY: The child's own descriptors; it ends without using them.
                unsafe { libc::close(*file) };
            }
        }
        Child::Executes => {
            let arguments = [c"true".as_ptr(), std::ptr::null()];
            // SAFETY: Both lists end with a null pointer.
            unsafe {
                libc::execve(
                    c"/bin/true".as_ptr(),
                    arguments.as_ptr(),
                    [std::ptr::null()].as_ptr(),
                )
            };
        }
        _ => {}
    }
}
